"""
Mapped centers of all pixels of boxes.

The map is smooth over a small box. The module maps nine points of each box, and interpolates
between them with quadratic polynomials. Nine more mapped points check the interpolation. If a box
fails the check, the module maps each of its pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .array_types import FloatArray, IntArray
from .boxes import PixelBoxes

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Transform = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]

__all__ = ["InterpolatedCenters"]

# Largest accepted error of an interpolated position, in pixels.
TOLERANCE = 0.05

# Nodes of the interpolation along an axis. The centers of the first and the last pixel are at -1
# and at 1.
NODES = np.array([-1.0, 0.0, 1.0])

# Points along an axis at which the interpolation is checked. The interpolation error for a cubic is
# largest near the last point. No point is a simple fraction, because the error for a periodic
# distortion can be zero at simple fractions.
CHECKS = np.array([-0.93, -0.31, 0.58])


class InterpolatedCenters:
    """
    Mapped centers of all pixels of boxes.

    Parameters
    ----------
    transform : callable
        ``transform(x, y)`` returns the mapped positions x, y. The class calls the function once for
        all boxes, and a second time if some boxes are too distorted for interpolation.
    boxes : PixelBoxes
        The boxes before mapping.
    tolerance : float
        Largest accepted error of an interpolated position, in pixels.
    """

    def __init__(
        self, transform: Transform, boxes: PixelBoxes, *, tolerance: float = TOLERANCE
    ) -> None:
        self._boxes = boxes
        self._nodes, checks = _map_nodes(transform, boxes)
        weights = _lagrange(CHECKS)
        expected = np.einsum("ai,bj,cnji->cnba", weights, weights, self._nodes)
        # Accept only half of the tolerance at the check points, because the error may be larger at
        # other points.
        good = (np.abs(expected - checks) <= tolerance / 2).all(axis=(0, 2, 3))
        self._exact: dict[int, FloatArray] = {}
        numbers = np.flatnonzero(~good)
        if numbers.size:
            distorted = boxes[numbers]
            x, y = distorted.pixel_positions()
            centers = np.array(transform(x.astype(float), y.astype(float)))
            parts = np.split(centers, distorted.starts[1:], axis=1)
            self._exact = dict(zip(numbers.tolist(), parts, strict=True))

    def mapped(self, selected: slice = slice(None)) -> FloatArray:
        """
        Return the mapped centers of the pixels of some boxes.

        Parameters
        ----------
        selected : slice
            Range of boxes. By default, all boxes.

        Returns
        -------
        array of float, shape (2, P)
            Mapped x and y of the pixels, one box after the other, row by row in each box. NaN for
            a pixel that does not map.
        """
        boxes = self._boxes[selected]
        centers = np.empty((2, boxes.total_area))
        numbers = range(*selected.indices(len(self._boxes)))
        starts = boxes.starts.tolist()
        for i, start, area in zip(numbers, starts, boxes.area.tolist(), strict=True):
            mapped = self._exact[i] if i in self._exact else self._interpolate(i)
            centers[:, start : start + area] = mapped
        return centers

    def _interpolate(self, i: int) -> FloatArray:
        along_x = _weights(int(self._boxes.width[i]))
        along_y = _weights(int(self._boxes.height[i]))
        return (along_y @ self._nodes[:, i] @ along_x.T).reshape(2, -1)


def _map_nodes(transform: Transform, boxes: PixelBoxes) -> list[FloatArray]:
    """Return the mapped nodes and the mapped check points, each of shape (2, N, 3, 3)."""
    x, y = boxes.center
    grids = []
    for steps in (NODES, CHECKS):
        u = x[:, None] + _half_size(boxes.width)[:, None] * steps
        v = y[:, None] + _half_size(boxes.height)[:, None] * steps
        grids.append(np.broadcast_arrays(u[:, None, :], v[:, :, None]))
    all_x, all_y = (np.concatenate([grid[axis].ravel() for grid in grids]) for axis in (0, 1))
    mapped = np.array(transform(all_x, all_y))
    return [part.reshape(2, -1, 3, 3) for part in np.split(mapped, 2, axis=1)]


def _half_size(size: IntArray) -> FloatArray:
    """Return the distance in pixels from the center of a box to the outer nodes."""
    # The nodes must differ even if the box is a single pixel wide.
    return np.maximum((size - 1) / 2, 0.5)


def _lagrange(t: ArrayLike) -> FloatArray:
    """Return the Lagrange polynomial of each node at positions, shape (positions, nodes)."""
    t = np.asarray(t)[:, None]
    return np.hstack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2])


@lru_cache(maxsize=1024)
def _weights(size: int) -> FloatArray:
    """Return the weight of each node at each pixel along an axis of a box."""
    return _lagrange((np.arange(size) - (size - 1) / 2) / _half_size(np.array(size)))
