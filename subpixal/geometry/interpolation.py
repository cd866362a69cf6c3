"""
Mapped centers of all pixels of boxes.

The map over a small box is smooth. It is computed at nine points of each box and interpolated by
quadratic polynomials. Nine more points check the result. Boxes that fail the check are mapped
pixel by pixel.
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

# Pixels; largest error of an interpolated position.
TOLERANCE = 0.05

# Nodes of the interpolation along an axis; the centers of the outer pixels are at -1 and 1.
NODES = np.array([-1.0, 0.0, 1.0])

# Points of the check along an axis. The error for a cubic is largest near the last point. No point
# is a simple fraction, because the error for a periodic distortion can be zero there.
CHECKS = np.array([-0.93, -0.31, 0.58])


class InterpolatedCenters:
    """
    Mapped centers of all pixels of boxes.

    Parameters
    ----------
    transform : callable
        ``transform(x, y)`` returns mapped x, y. There is one call for all boxes, and one more if
        some boxes are too distorted for interpolation.
    boxes : PixelBoxes
        The boxes.
    tolerance : float
        Pixels; largest error of an interpolated position.
    """

    def __init__(
        self, transform: Transform, boxes: PixelBoxes, *, tolerance: float = TOLERANCE
    ) -> None:
        self._boxes = boxes
        self._nodes, checks = _map_nodes(transform, boxes)
        weights = _lagrange(CHECKS)
        expected = np.einsum("ai,bj,cnji->cnba", weights, weights, self._nodes)
        # Allow half of the tolerance at the checks, because the error may be larger elsewhere.
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
            Range of boxes; by default all.

        Returns
        -------
        array of float, shape (2, P)
            Mapped x and y of the pixels of each box, row by row, one box after the
            other; NaN for a pixel that does not map.
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
    """Return mapped nodes and mapped check points, both of shape (2, N, 3, 3)."""
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
    """Return the distance of the outer nodes from the center."""
    # The nodes of a single pixel must differ.
    return np.maximum((size - 1) / 2, 0.5)


def _lagrange(t: ArrayLike) -> FloatArray:
    """Return the Lagrange polynomials of the nodes at positions, of shape (positions, nodes)."""
    t = np.asarray(t)[:, None]
    return np.hstack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2])


@lru_cache(maxsize=1024)
def _weights(size: int) -> FloatArray:
    """Return the weights of the nodes for each pixel of an axis."""
    return _lagrange((np.arange(size) - (size - 1) / 2) / _half_size(np.array(size)))
