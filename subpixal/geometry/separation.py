"""Distance in pixels between the world positions of two WCSs at the same pixel."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .array_types import FloatArray
from .newton import jacobian, pseudo_inverse
from .pixel_grid import TYPICAL_SHAPE, PixelGrid

__all__ = ["has_same_axes", "largest_separation", "pixel_separation"]

# Number of random pixel positions at which two WCSs are compared.
SAMPLES = 60

# Some of the positions lie off the image, at most this far from an edge, in pixels.
MARGIN = 100


def has_same_axes(actual: PixelGrid, expected: PixelGrid) -> bool:
    """Return `True` if the world axes of two grids have equal types, units and frames."""
    a = actual.world
    b = expected.world
    if (a.types, a.units, a.is_sky) != (b.types, b.units, b.is_sky):
        return False
    return a.frame is None or a.frame.is_equivalent_frame(b.frame)


def pixel_separation(
    actual: PixelGrid, expected: PixelGrid, x: FloatArray, y: FloatArray
) -> FloatArray:
    """
    Return the distances between the world positions of the same pixels of two grids.

    Parameters
    ----------
    actual, expected : PixelGrid
        Two grids with the same world axes.
    x, y : array of shape (N,)
        0-based pixel positions.

    Returns
    -------
    array of shape (N,)
        Distances in pixels of ``expected``. A distance is 0 if the world positions are equal or
        both NaN. It is infinite if only one of them is NaN.
    """
    expected_points = expected.to_vectors(x, y)
    actual_points = actual.to_vectors(x, y)
    difference = actual_points - expected_points
    inverse, size = pseudo_inverse(jacobian(expected.to_vectors, x, y, expected_points))
    pixels = np.hypot(*np.einsum("kmn,mn->kn", inverse, difference))
    # Use the straight distance if it is larger. For two opposite points of the sky, the distance
    # that the derivatives give is zero.
    pixels = np.maximum(pixels, np.sqrt(np.einsum("mn,mn->n", difference, difference)) / size)
    pixels[np.isnan(pixels)] = np.inf
    both_nan = np.isnan(actual_points) & np.isnan(expected_points)
    pixels[((actual_points == expected_points) | both_nan).all(axis=0)] = 0
    return pixels


def largest_separation(actual: Any, expected: Any, shape: tuple[int, int] | None = None) -> float:
    """
    Return the largest distance between the world positions of two WCSs at the same pixels.

    The WCSs are compared at random pixel positions in and around an image.

    Parameters
    ----------
    actual, expected : object
        APE 14 WCSs with two pixel axes.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image. By default, the shape in ``expected``, or 1000 by 1000 pixels if
        ``expected`` has no shape.

    Returns
    -------
    float
        Distance in pixels; infinite if the world axes differ.
    """
    with warnings.catch_warnings():
        # Ignore warnings about units and positions, because they do not affect the distance.
        warnings.simplefilter("ignore")
        actual_grid = PixelGrid(actual, shape)
        expected_grid = PixelGrid(expected, shape)
        if not has_same_axes(actual_grid, expected_grid):
            return np.inf
        ny, nx = expected_grid.shape or TYPICAL_SHAPE
        rng = np.random.default_rng(0)
        x = rng.uniform(-MARGIN, nx + MARGIN, SAMPLES)
        y = rng.uniform(-MARGIN, ny + MARGIN, SAMPLES)
        return float(pixel_separation(actual_grid, expected_grid, x, y).max())
