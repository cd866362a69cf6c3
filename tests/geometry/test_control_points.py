"""
Cache of control points.

It serves the same WCS again, and is renewed after a change of the WCS.
"""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap

X, Y = np.array([3.0, 150.2, 390.7]), np.array([280.1, 5.5, 100.0])


def map_there_and_back(wcs):
    """Map pixels to the sky with one pixel grid, and back with another one of the same WCS."""
    return PixelGrid(wcs).to_pixel(*PixelGrid(wcs).to_world(X, Y))


@pytest.fixture
def recorder(plain_low_level):
    """Class of WCSs that record the number of points in each call."""

    class Recorder(plain_low_level):
        def pixel_to_world_values(self, *pixels):
            self.calls.append(np.size(pixels[0]))
            return self._wcs.pixel_to_world_values(*pixels)

    return Recorder


def test_second_grid_reuses_control_points(build, recorder):
    """A second grid of the same WCS uses the derivatives at the control points of the first."""
    wcs = recorder(build("sip"))
    found = map_there_and_back(wcs)
    assert sum(wcs.calls) > 850
    wcs.calls.clear()
    again = map_there_and_back(wcs)
    assert sum(wcs.calls) < 320
    assert_allclose(again, found, rtol=0, atol=0)
    assert_allclose(again, [X, Y], rtol=0, atol=ACCURACY)


def test_each_shape_has_its_control_points(build, recorder):
    """Two grids with the same WCS and different shapes have separate control points."""
    wcs = recorder(build("sip"))
    for shape in ((300, 400), (600, 500)):
        wcs.calls.clear()
        PixelGrid(wcs, shape).to_pixel(*PixelGrid(wcs, shape).to_world(X, Y))
        assert sum(wcs.calls) > 850


@pytest.mark.parametrize(
    "change",
    [
        lambda wcs: setattr(wcs.wcs, "crval", np.add(wcs.wcs.crval, [40, -20])),
        lambda wcs: setattr(wcs.wcs, "crval", np.add(wcs.wcs.crval, [0, 1e-7])),
        lambda wcs: setattr(wcs.wcs, "crpix", wcs.wcs.crpix + 5000),
        lambda wcs: setattr(wcs.wcs, "cd", wcs.wcs.cd @ [[-30, 0], [0, 30]]),
        lambda wcs: setattr(wcs.wcs, "ctype", ["DEC--TAN-SIP", "RA---TAN-SIP"]),
        lambda wcs: setattr(wcs.wcs, "ctype", ["GLON-TAN-SIP", "GLAT-TAN-SIP"]),
        lambda wcs: setattr(wcs, "sip", None),
    ],
    ids=["far", "near", "crpix", "mirrored", "latitude first", "galactic", "sip"],
)
def test_change_of_the_wcs_renews_control_points(build, change):
    """After a change of a WCS in place, it gives the same positions as a new copy."""
    wcs = build("sip")
    old = wcs.deepcopy()
    map_there_and_back(wcs)
    change(wcs)
    wcs.wcs.set()
    assert_allclose(map_there_and_back(wcs), [X, Y], rtol=0, atol=ACCURACY)
    edges = np.array([X - 5, Y - 5, X + 5, Y + 5])
    found, *_, candidate = PixelMap(old, wcs).boxes(edges)
    expected, *_, expected_candidate = PixelMap(old, wcs.deepcopy()).boxes(edges)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    assert (candidate == expected_candidate).all()


STRETCH = np.array([[10.0, -9.0], [-9.0, 10.0]])


@pytest.mark.parametrize("turn", [np.eye(2), np.diag([1.0, -1.0])])
@pytest.mark.parametrize("matrix", [STRETCH, np.linalg.inv(STRETCH), [[0.0, 1.0], [1.0, 0.0]]])
def test_change_across_a_diagonal_renews_control_points(build, turn, matrix):
    """A change of the WCS is found even if positions on a diagonal stay the same."""
    wcs, sky = build("tan"), build("tan")
    wcs.wcs.crpix = 200.5, 200.5
    wcs.pixel_shape = 400, 400
    map_there_and_back(wcs)
    wcs.wcs.cd = wcs.wcs.cd @ turn @ matrix @ turn
    wcs.wcs.set()
    low = np.random.default_rng(0).uniform(-300, 700, (2, 500))
    edges = np.concatenate([low, low + 10])
    found, *_, candidate = PixelMap(sky, wcs).boxes(edges)
    expected, *_, expected_candidate = PixelMap(sky, wcs.deepcopy()).boxes(edges)
    assert_array_equal(candidate, expected_candidate)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("kind", ["sip", "gwcs"])
def test_cache_does_not_keep_the_wcs_alive(kind, build):
    """The cache does not keep a WCS in memory that has no other references."""
    wcs = build(kind)
    map_there_and_back(wcs)
    gone = weakref.ref(wcs)
    del wcs
    gc.collect()
    assert gone() is None


def test_wcs_without_hash_maps_positions(build, recorder):
    """A WCS without a hash, which cannot be the key of a cache, maps positions correctly."""

    class Unhashable(recorder):
        __hash__ = None

    wcs = Unhashable(build("sip"))
    for _ in range(2):
        assert_allclose(map_there_and_back(wcs), [X, Y], rtol=0, atol=ACCURACY)
