"""Which pixels of one image are nearest to the pixels of another.

A smooth map over a small box is a polynomial. It is mapped exactly at nine
points of each box, checked at nine others, and evaluated at all pixel centres;
a box that does not pass the check is mapped exactly pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .boxes import PixelBoxes

__all__ = ["TOLERANCE", "InterpolatedCenters"]

# Largest error of an interpolated position, in pixels.
TOLERANCE = 0.05

NODES = np.array([-1.0, 0.0, 1.0])

# Where a cubic is farthest from the polynomial, and at no fraction that waves may share.
CHECKS = np.array([-0.93, -0.31, 0.58])


class InterpolatedCenters:
    """
    Mapped centres of all pixels of boxes.

    Parameters
    ----------
    transform : callable
        ``transform(x, y)`` returns mapped x, y; called once, and once more for
        boxes that are too distorted to be interpolated.
    boxes : PixelBoxes
    tolerance : float
        Largest error at the points that are checked, in pixels.
    """

    def __init__(self, transform: Callable, boxes: PixelBoxes, *, tolerance: float = TOLERANCE):
        self._boxes, self._exact = boxes, {}
        self._control_points, checks = _map_nodes(transform, boxes)
        along = _lagrange(CHECKS)
        expected = np.einsum("ai,bj,cnji->cnba", along, along, self._control_points)
        # Between the checks it may be worse.
        good = (np.abs(expected - checks) <= tolerance / 2).all(axis=(0, 2, 3))
        rest = np.flatnonzero(~good)
        if rest.size:
            distorted = boxes[rest]
            x, y = distorted.pixel_positions()
            exact = np.array(transform(x.astype(float), y.astype(float)))
            pieces = np.split(exact, distorted.starts[1:], axis=1)
            self._exact = dict(zip(rest.tolist(), pieces, strict=True))

    def of(self, some: slice = slice(None)) -> np.ndarray:
        """
        Mapped centres of the pixels of some of the boxes.

        Parameters
        ----------
        some : slice
            Of the boxes.

        Returns
        -------
        array of float, shape (2, P)
            Mapped x and y of the pixels of each box, row by row, one box after the
            other; NaN where there is none.
        """
        boxes = self._boxes[some]
        mapped = np.empty((2, boxes.total_area))
        first = some.indices(len(self._boxes))[0]
        stops = (boxes.starts + boxes.area).tolist()
        for i, (start, stop) in enumerate(zip([0, *stops], stops, strict=False), first):
            mapped[:, start:stop] = self._exact[i] if i in self._exact else self._interpolate(i)
        return mapped

    def _interpolate(self, i) -> np.ndarray:
        along_x = _weights(int(self._boxes.width[i]))
        along_y = _weights(int(self._boxes.height[i]))
        return (along_y @ self._control_points[:, i] @ along_x.T).reshape(2, -1)


def _map_nodes(transform, boxes):
    """Mapped nodes and check points, both of shape (2, N, 3, 3)."""
    center_x, center_y = boxes.center
    grids = []
    for steps in (NODES, CHECKS):
        u = center_x[:, None] + _half(boxes.width)[:, None] * steps
        v = center_y[:, None] + _half(boxes.height)[:, None] * steps
        grids.append(np.broadcast_arrays(u[:, None, :], v[:, :, None]))
    count = grids[0][0].size
    flat = (np.concatenate([grid[axis].ravel() for grid in grids]) for axis in (0, 1))
    mapped = np.array(transform(*flat))
    shapes = (grid[0].shape for grid in grids)
    parts = mapped[:, :count], mapped[:, count:]
    return [part.reshape(2, *shape) for part, shape in zip(parts, shapes, strict=True)]


def _half(size):
    """Distance of the outer nodes from the centre; nodes of a single pixel must differ."""
    return np.maximum((size - 1) / 2, 0.5)


def _lagrange(t) -> np.ndarray:
    """Lagrange polynomials of the nodes at positions, shape (positions, nodes)."""
    t = np.asarray(t)[:, None]
    return np.hstack([t * (t - 1) / 2, 1 - t * t, t * (t + 1) / 2])


@lru_cache(maxsize=1024)
def _weights(size: int) -> np.ndarray:
    """Weights of the nodes for each of a number of pixels."""
    return _lagrange((np.arange(size) - (size - 1) / 2) / _half(size))
