"""Conversion of FITS WCSs to plain values and back, and pickles of FITS WCSs."""

import copy
import pickle

import numpy as np
import pytest
from astropy.wcs import WCS, DistortionLookupTable, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.datasets import make_wcs
from subpixal.geometry import OffsetLowLevelWCS, largest_separation
from subpixal.geometry.fits_wcs import (
    TABLES,
    exact_state,
    exact_wcs,
    find_fits_wcs,
    restore_state,
)

SHAPE = (300, 400)
x, y = np.random.default_rng(1).uniform(-100, 500, (2, 100))


def make_wcs_without_header_form():
    """Return a WCS that no header can describe: an alternate key, one table, a SIP center."""
    wcs = make_wcs("lookup", SHAPE)
    wcs.wcs.alt = "B"
    wcs.cpdis2 = None
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, np.add(wcs.wcs.crpix, (7.25, -31.5)))
    wcs.wcs.set()
    return wcs


def test_state_restores_all_values():
    """
    A state restores all values, in a new WCS and in an existing WCS.

    Restoring twice changes nothing.
    """
    wcs = make_wcs_without_header_form()
    wcs.pixel_bounds = [(-200, 1000.5), None]
    state = exact_state(wcs)
    other = make_wcs("lookup", SHAPE)
    other.wcs.crval, other.wcs.cd = (3, 4), np.eye(2)
    new = restore_state(state)
    assert restore_state(state, other) is other
    for found in (new, other, restore_state(state, other)):
        assert type(found) is WCS
        assert found.wcs.compare(wcs.wcs)
        assert [getattr(found, name) is None for name in TABLES] == [False, True, False, False]
        assert_array_equal(found.sip.crpix, wcs.sip.crpix)
        assert_array_equal(found.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))
        assert (found.pixel_shape, found.pixel_bounds) == (wcs.pixel_shape, wcs.pixel_bounds)
        assert pickle.dumps(exact_state(found)) == pickle.dumps(state)


def test_state_restores_units():
    """If a WCS in arcsec is restored, its world values are in arcsec."""
    wcs = make_wcs("tan", SHAPE)
    wcs = restore_state(exact_state(wcs) | {"preserve_units": True})
    wcs.wcs.cunit = ["arcsec", "arcsec"]
    found = restore_state(exact_state(wcs))
    assert list(found.wcs.cunit) == ["arcsec", "arcsec"]
    assert_array_equal(found.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))


@pytest.mark.parametrize("change", ["crpix", "units", "nan", "turn", "table"])
def test_largest_separation_finds_differences(change):
    """All differences exceed 1e-6 pixels, except a shift of the longitude by 360 deg."""
    wcs = make_wcs("lookup", SHAPE)
    found = wcs.deepcopy()
    assert largest_separation(found, wcs) == 0
    if change == "crpix":
        found.wcs.crpix = found.wcs.crpix + 5e-7
        assert_allclose(largest_separation(found, wcs), 5e-7 * 2**0.5, rtol=0.1)
        found.wcs.crpix = found.wcs.crpix + 2e-6
    elif change == "units":
        found = restore_state(exact_state(wcs) | {"preserve_units": True})
        assert largest_separation(found, wcs) == 0
        found.wcs.cunit = ["arcsec", "arcsec"]
    elif change == "nan":
        found.wcs.crval = np.nan, 0
    elif change == "table":
        found.cpdis2 = None
    else:
        found.wcs.crval = np.add(found.wcs.crval, (360, 0))
        assert largest_separation(found, wcs) < 1e-7
        return
    assert largest_separation(found, wcs) > 1e-6


@pytest.mark.parametrize("kind", ["tan", "sip", "lookup", "tpv", "no header form"])
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
def test_pickles_are_exact(kind, wrap):
    """Pickles preserve all values and shared objects. Pickling does not change the original WCS."""
    inner = (
        make_wcs_without_header_form()
        if kind == "no header form"
        else make_wcs(kind, SHAPE, (10 / 3, 20 / 7), 1 / 7)
    )
    inner.wcs.crpix = inner.wcs.crpix + 1 / 3
    if inner.sip is not None and kind != "no header form":
        inner.sip = Sip(inner.sip.a / 3, inner.sip.b / 7, None, None, inner.wcs.crpix)
    inner.pixel_bounds = [(-200, 1000.5), (-200, 900)]
    wcs = wrap(inner)
    before = copy.deepcopy(inner)
    data = pickle.dumps((exact_wcs(wcs), exact_wcs(wcs), exact_wcs(inner)))
    assert before.wcs.compare(inner.wcs)
    assert pickle.dumps(exact_state(before)) == pickle.dumps(exact_state(inner))
    one, two, bare = pickle.loads(data)
    assert one is two
    assert find_fits_wcs(one) is bare
    assert bare.pixel_bounds == inner.pixel_bounds
    assert bare.pixel_shape == inner.pixel_shape
    low = [getattr(w, "low_level_wcs", w) for w in (one, wcs)]
    assert_array_equal(*(w.pixel_to_world_values(x, y) for w in low))
    if kind != "no header form":
        pair = pickle.loads(pickle.dumps((inner, exact_wcs(inner))))
        assert pair[0] is pair[1]


def test_pickle_of_an_unsupported_wcs_is_an_error():
    """The error names a WCS that a pickle could not restore."""

    class Subclass(WCS):
        pass

    wcs = make_wcs("tan", SHAPE)
    assert exact_wcs(Subclass(naxis=2)).__class__ is Subclass
    wcs.wcs.name = "distorted"
    wcs.wcs.ctype = "RA---XYZ", "DEC--XYZ"
    with pytest.raises(ValueError, match="WCS 'distorted' cannot be pickled"):
        pickle.dumps(exact_wcs(wcs))


def test_pickle_of_a_table_for_both_axes():
    """If both axes share a table object, the pickle restores two equal tables."""
    wcs = make_wcs("lookup", SHAPE)
    table = DistortionLookupTable(np.ones((4, 5), np.float32) / 3, (1, 2), (1 / 3, 4), (99, 98))
    wcs.cpdis1 = wcs.cpdis2 = table
    found = pickle.loads(pickle.dumps(exact_wcs(wcs)))
    assert_array_equal(found.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))
