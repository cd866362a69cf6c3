"""FITS WCSs as plain values, and back."""

import copy
import pickle

import numpy as np
import pytest
from astropy.wcs import WCS, DistortionLookupTable, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.datasets import make_wcs
from subpixal.geometry import OffsetLowLevelWCS
from subpixal.geometry.fits_wcs import (
    TABLES,
    check_restored,
    exact_pickle,
    exact_state,
    express_in_header,
    find_fits_wcs,
    restore_state,
)

SHAPE = (300, 400)
x, y = np.random.default_rng(1).uniform(-100, 500, (2, 100))


def make_odd_wcs():
    """A WCS that headers cannot express in any respect."""
    wcs = make_wcs("lookup", SHAPE)
    wcs.wcs.alt = "B"
    wcs.cpdis2 = None
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, np.add(wcs.wcs.crpix, (7.25, -31.5)))
    wcs.wcs.set()
    return wcs


@settings(max_examples=40)
@given(
    order=st.integers(1, 6),
    shift=st.tuples(st.floats(-300, 300), st.floats(-300, 300)),
    seed=st.integers(0, 2**32 - 1),
)
def test_polynomials_of_another_origin(order, shift, seed):
    """SIP polynomials away from the reference pixel are written as those from there."""
    rng = np.random.default_rng(seed)
    powers = np.add.outer(np.arange(order + 1), np.arange(order + 1))
    # What is beyond the order does not count, and must not begin to.
    a, b = rng.uniform(-1, 1, (2, *powers.shape)) / 300.0**powers
    wcs = make_wcs("tan", SHAPE)
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix + shift)
    standin = express_in_header(wcs, exact_state(wcs))
    assert_array_equal(standin.sip.crpix, standin.wcs.crpix)
    assert_allclose(standin.pix2foc(x, y, 0), wcs.pix2foc(x, y, 0), rtol=0, atol=1e-8)


def test_only_what_headers_cannot_say_has_a_standin():
    """What a header can say is written as it is."""
    for kind in ("tan", "sip", "lookup", "tpv"):
        wcs = make_wcs(kind, SHAPE)
        assert express_in_header(wcs, exact_state(wcs)) is wcs


def test_one_standin_until_the_wcs_changes():
    """A WCS is written as one and the same other WCS, but only as long as it is the same."""
    wcs = make_odd_wcs()
    first = express_in_header(wcs, exact_state(wcs))
    assert first is not wcs
    assert express_in_header(wcs, exact_state(wcs)) is first
    wrapped = express_in_header(HighLevelWCSWrapper(wcs), exact_state(wcs))
    assert wrapped.low_level_wcs is first
    wcs.det2im1.data[3, 4] += 1
    second = express_in_header(wcs, exact_state(wcs))
    assert second is not first
    assert second.det2im1.data[3, 4] == wcs.det2im1.data[3, 4]
    wcs.wcs.crval = (1, 2)
    assert_array_equal(express_in_header(wcs, exact_state(wcs)).wcs.crval, (1, 2))


def test_states_restore_everything():
    """A WCS of other values gets every one of the state; once more changes nothing."""
    wcs = make_odd_wcs()
    state = exact_state(wcs)
    found = express_in_header(wcs, state).deepcopy()
    found.wcs.crval, found.wcs.cd = (3, 4), np.eye(2)
    for _ in range(2):
        assert restore_state(found, state) is found
        assert found.wcs.compare(wcs.wcs)
        assert [getattr(found, name) is None for name in TABLES] == [False, True, False, False]
        assert_array_equal(found.sip.crpix, wcs.sip.crpix)
        assert_array_equal(found.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))
        assert exact_state(found) == state


@pytest.mark.parametrize("change", ["crpix", "units", "nan", "turn", "table"])
def test_what_is_not_the_same(change):
    """Differences beyond 1e-6 pixels are found, whole turns of the longitude are none."""
    wcs = make_wcs("lookup", SHAPE)
    found = wcs.deepcopy()
    check_restored(found, wcs)
    if change == "crpix":
        found.wcs.crpix = found.wcs.crpix + 5e-7
        check_restored(found, wcs)
        found.wcs.crpix = found.wcs.crpix + 2e-6
    elif change == "units":
        state = exact_state(wcs)
        found = restore_state(found, state | {"preserve_units": True})
        check_restored(found, wcs)
        found.wcs.cunit = ["arcsec", "arcsec"]
    elif change == "nan":
        found.pixel_bounds = [(0, 10), (0, 10)]
    elif change == "table":
        found.cpdis2 = None
    else:
        found.wcs.crval = np.add(found.wcs.crval, (360, 0))
        check_restored(found, wcs)
        return
    with pytest.raises(ValueError, match="would come back"):
        check_restored(found, wcs)


@pytest.mark.parametrize("kind", ["tan", "sip", "lookup", "tpv", "odd"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda w: w,
        HighLevelWCSWrapper,
        lambda w: SlicedLowLevelWCS(w, (slice(3, 200), slice(5, 300))),
        lambda w: HighLevelWCSWrapper(OffsetLowLevelWCS(w, (-3.25, 7))),
    ],
    ids=["plain", "high", "sliced", "offset"],
)
def test_pickles(kind, wrap):
    """Pickles are exact, share what was shared, and leave the WCS alone."""
    inner = make_odd_wcs() if kind == "odd" else make_wcs(kind, SHAPE, (10 / 3, 20 / 7), 1 / 7)
    inner.wcs.crpix = inner.wcs.crpix + 1 / 3
    if inner.sip is not None and kind != "odd":
        inner.sip = Sip(inner.sip.a / 3, inner.sip.b / 7, None, None, inner.wcs.crpix)
    inner.pixel_bounds = [(-200, 1000.5), (-200, 900)]
    wcs = wrap(inner)
    before = copy.deepcopy(inner)
    data = pickle.dumps((exact_pickle(wcs), exact_pickle(wcs), exact_pickle(inner)))
    assert before.wcs.compare(inner.wcs)
    assert exact_state(before) == exact_state(inner)
    one, two, bare = pickle.loads(data)
    assert one is two
    assert find_fits_wcs(one) is bare
    assert bare.pixel_bounds == inner.pixel_bounds
    assert bare.pixel_shape == inner.pixel_shape
    low = [getattr(w, "low_level_wcs", w) for w in (one, wcs)]
    assert_array_equal(*(w.pixel_to_world_values(x, y) for w in low))
    if kind != "odd":
        pair = pickle.loads(pickle.dumps((inner, exact_pickle(inner))))
        assert pair[0] is pair[1]


def test_pickle_that_would_be_wrong():
    """A WCS of which there is more than can be kept is refused by name."""

    class Mistaken(WCS):
        pass

    wcs = make_wcs("tan", SHAPE)
    assert exact_pickle(Mistaken(naxis=2)).__class__ is Mistaken
    wcs.wcs.name = "distorted"
    wcs.wcs.ctype = "RA---XYZ", "DEC--XYZ"
    with pytest.raises(ValueError, match="WCS 'distorted' cannot be pickled"):
        pickle.dumps(exact_pickle(wcs))


def test_table_of_both_axes():
    """One table object for both axes comes back as two that are equal."""
    wcs = make_wcs("lookup", SHAPE)
    table = DistortionLookupTable(np.ones((4, 5), np.float32) / 3, (1, 2), (1 / 3, 4), (99, 98))
    wcs.cpdis1 = wcs.cpdis2 = table
    found = pickle.loads(pickle.dumps(exact_pickle(wcs)))
    assert_array_equal(found.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))
