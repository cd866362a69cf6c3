"""Comparison of the pixel grids of two images."""

import numpy as np
import pytest

from subpixal.datasets import make_wcs
from subpixal.geometry import PixelGrid, corner_distance, offset_wcs, same_grid

SHAPE = (200, 300)


@pytest.mark.parametrize("kind", ["tan", "lookup", "gwcs"])
@pytest.mark.parametrize(("shift", "same"), [(0.0, True), (0.4, True), (0.6, False), (1e6, False)])
def test_grids_within_half_a_pixel_are_the_same(kind, shift, same):
    """Two images have the same grid if their corners agree to half a pixel."""
    wcs = make_wcs(kind, SHAPE)
    image = PixelGrid(wcs, SHAPE)
    moved = PixelGrid(offset_wcs(wcs, (shift, 0), SHAPE), SHAPE)
    assert same_grid(image, moved) is same
    expected = shift if shift < 1e6 else np.inf
    assert corner_distance(image, moved) == pytest.approx(expected, abs=1e-5)


def test_grids_of_other_shapes_differ():
    """If the shapes of two images differ, their grids differ, even if their WCSs are equal."""
    wcs = make_wcs("tan", SHAPE)
    assert same_grid(PixelGrid(wcs, SHAPE), PixelGrid(wcs, SHAPE))
    assert not same_grid(PixelGrid(wcs, SHAPE), PixelGrid(wcs, (200, 301)))
