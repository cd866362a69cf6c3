"""Nodes over an image serve for as long as its WCS is what it was."""

import gc
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap

X, Y = np.array([3.0, 150.2, 390.7]), np.array([280.1, 5.5, 100.0])


def there_and_back(wcs):
    """Positions of an image that come back to it by an image of its own."""
    return PixelGrid(wcs).to_pixel(*PixelGrid(wcs).to_world(X, Y))


@pytest.fixture
def recorder(plain_low_level):
    """Class of WCSs that record how many points they were asked for in each call."""

    class Recorder(plain_low_level):
        def pixel_to_world_values(self, *pixels):
            self.calls.append(np.size(pixels[0]))
            return self._wcs.pixel_to_world_values(*pixels)

    return Recorder


def test_made_once(build, recorder):
    """Another image of the same WCS asks for where the nodes are, and not for their derivatives."""
    wcs = recorder(build("sip"))
    found = there_and_back(wcs)
    assert sum(wcs.calls) > 850
    wcs.calls.clear()
    again = there_and_back(wcs)
    assert sum(wcs.calls) < 320
    assert_allclose(again, found, rtol=0, atol=0)
    assert_allclose(again, [X, Y], rtol=0, atol=ACCURACY)


def test_for_each_shape(build, recorder):
    """Images of other shapes have nodes of their own."""
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
def test_changed_in_place(build, change):
    """A WCS that was changed is mapped as it is, and images of the old one are not seen."""
    wcs = build("sip")
    old = wcs.deepcopy()
    there_and_back(wcs)
    change(wcs)
    wcs.wcs.set()
    assert_allclose(there_and_back(wcs), [X, Y], rtol=0, atol=ACCURACY)
    edges = np.array([X - 5, Y - 5, X + 5, Y + 5])
    found, *_, seen = PixelMap(old, wcs).boxes(edges)
    expected, *_, expected_seen = PixelMap(old, wcs.deepcopy()).boxes(edges)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    assert (seen == expected_seen).all()


STRETCH = np.array([[10.0, -9.0], [-9.0, 10.0]])


@pytest.mark.parametrize("turn", [np.eye(2), np.diag([1.0, -1.0])])
@pytest.mark.parametrize("matrix", [STRETCH, np.linalg.inv(STRETCH), [[0.0, 1.0], [1.0, 0.0]]])
def test_changed_across_a_diagonal(build, turn, matrix):
    """A change that leaves all positions on a diagonal of the image as they are is seen."""
    wcs, sky = build("tan"), build("tan")
    wcs.wcs.crpix = 200.5, 200.5
    wcs.pixel_shape = 400, 400
    there_and_back(wcs)
    wcs.wcs.cd = wcs.wcs.cd @ turn @ matrix @ turn
    wcs.wcs.set()
    low = np.random.default_rng(0).uniform(-300, 700, (2, 500))
    edges = np.concatenate([low, low + 10])
    found, *_, seen = PixelMap(sky, wcs).boxes(edges)
    expected, *_, expected_seen = PixelMap(sky, wcs.deepcopy()).boxes(edges)
    assert_array_equal(seen, expected_seen)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("kind", ["sip", "gwcs"])
def test_of_a_wcs_that_is_gone(kind, build):
    """Nodes do not keep a WCS alive."""
    wcs = build(kind)
    there_and_back(wcs)
    gone = weakref.ref(wcs)
    del wcs
    gc.collect()
    assert gone() is None


def test_of_a_wcs_that_cannot_be_hashed(build, recorder):
    """It is mapped all the same."""

    class Unhashable(recorder):
        __hash__ = None

    wcs = Unhashable(build("sip"))
    for _ in range(2):
        assert_allclose(there_and_back(wcs), [X, Y], rtol=0, atol=ACCURACY)
