"""WCSs in pickles and deep copies of cutouts."""

import copy
import pickle

import numpy as np
import pytest
from astropy.wcs import Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs

SHAPE = (300, 400)
IMAGE = np.zeros(SHAPE, np.float32)
x, y = np.random.default_rng(3).uniform(-100, 500, (2, 50))


def make_single_table(seed=0):
    """
    Return a WCS with only one distortion table.

    Astropy cannot read its own pickle of this WCS.
    """
    wcs = make_wcs("lookup", SHAPE, center=tuple(np.random.default_rng(seed).random(2) * 90))
    wcs.cpdis2 = None
    return wcs


@given(
    kind=st.sampled_from(["tan", "sip", "tpv", "lookup"]),
    numbers=st.lists(st.floats(0.1, 89.0), min_size=6, max_size=6),
)
def test_pickles_are_exact(kind, numbers):
    """Pickled cutouts have exact world values, for any number of digits in the WCS parameters."""
    wcs = make_wcs(kind, SHAPE, rotation=numbers[5])
    wcs.wcs.crval, wcs.wcs.crpix = numbers[:2], numbers[2:4]
    wcs.wcs.cd = wcs.wcs.cd * numbers[4]
    if wcs.sip is not None:
        wcs.sip = Sip(wcs.sip.a / numbers[0], wcs.sip.b / numbers[1], None, None, numbers[3:5])
    cutout = Cutout(IMAGE, wcs, (3, 4), (30, 50))
    found = pickle.loads(pickle.dumps(cutout))
    assert_array_equal(found.pix2world(x, y), cutout.pix2world(x, y))
    assert_array_equal(found.image_wcs.pixel_to_world_values(x, y), wcs.pixel_to_world_values(x, y))


COPIES = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("name", COPIES)
@pytest.mark.parametrize("make", [make_single_table, lambda: make_wcs("gwcs", SHAPE)])
def test_shared_wcs_stays_shared(name, make):
    """If cutouts, collections or wrappers share a WCS, their copies also share one."""
    wcs = make()
    sliced = SlicedLowLevelWCS(wcs, (slice(0, 300), slice(0, 400)))
    cutouts = [
        Cutout(IMAGE, wcs, (3, 4), (30, 50)),
        CutoutCollection([Cutout(IMAGE, wcs, (i, 4), (30, 50)) for i in range(3)]),
        Cutout(IMAGE, HighLevelWCSWrapper(wcs), (3, 4), (30, 50)),
        Cutout(IMAGE, sliced, (3, 4), (30, 50)),
    ]
    one, several, high, low = COPIES[name](cutouts)
    found = one.image_wcs
    assert found is not wcs
    assert all(c.image_wcs is found for c in several)
    assert high.image_wcs.low_level_wcs is found
    assert low.image_wcs._wcs is found
    assert_array_equal(found.pixel_to_world_values(5, 6), wcs.pixel_to_world_values(5, 6))
    if make is make_single_table:
        assert found.cpdis2 is wcs.cpdis2 is None


def test_wcs_next_to_a_cutout_stays_shared():
    """If a pickle contains a WCS and a cutout with this WCS, they still share it."""
    wcs = make_wcs("sip", SHAPE)
    for pair in ((wcs, Cutout(IMAGE, wcs)), (Cutout(IMAGE, wcs), wcs)):
        one, two = pickle.loads(pickle.dumps(pair))
        assert getattr(one, "image_wcs", one) is getattr(two, "image_wcs", two)


def test_deep_copies_do_not_pickle(monkeypatch):
    """A deep copy copies the WCS directly, without the functions for pickles."""
    monkeypatch.setattr("subpixal.image.info.exact_wcs", lambda _: None)
    cutout = Cutout(IMAGE, make_single_table(), (3, 4), (30, 50))
    for new in (copy.deepcopy(cutout), copy.deepcopy(cutout.image), copy.copy(cutout.image)):
        wcs = getattr(new, "image_wcs", None) or new.wcs
        assert_array_equal(
            wcs.pixel_to_world_values(x, y), cutout.image_wcs.pixel_to_world_values(x, y)
        )
    assert copy.copy(cutout.image).wcs is cutout.image_wcs


def test_pickle_includes_changes_of_the_wcs():
    """A pickle contains the values of the WCS at the time of pickling."""
    wcs = make_single_table()
    cutout = Cutout(IMAGE, wcs, (3, 4), (30, 50))
    pickle.dumps(cutout)
    wcs.wcs.crval = wcs.wcs.crval + 1 / 3
    found = pickle.loads(pickle.dumps(cutout))
    assert_array_equal(found.pix2world(x, y), cutout.pix2world(x, y))
