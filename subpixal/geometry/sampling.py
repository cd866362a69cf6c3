"""Which pixels of one image are nearest to the pixels of another.

A smooth map over a small box is a polynomial. It is mapped exactly at nine
points of each box, checked at nine others, and evaluated at all pixel centres;
a box that does not pass the check is mapped exactly pixel by pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

__all__ = ["TOLERANCE", "map_centers"]

# Largest error of an interpolated position, in pixels.
TOLERANCE = 0.05

NODES = np.array([-1.0, 0.0, 1.0])
# Where a cubic is farthest from the polynomial, and at no fraction that waves may share.
CHECKS = np.array([-0.93, -0.31, 0.58])


def map_centers(transform: Callable, boxes: np.ndarray, *, tolerance: float = TOLERANCE):
    """
    Map the centres of all pixels of boxes.

    Parameters
    ----------
    transform : callable
        ``transform(x, y)`` returns mapped x, y; called once, and once more for
        boxes that are too distorted to be interpolated.
    boxes : array of int, shape (4, N)
        ``x, y, width, height``.
    tolerance : float
        Largest error at the points that are checked, in pixels.

    Returns
    -------
    array of float, shape (2, P)
        Mapped x and y of the pixels of each box, row by row, one box after the
        other; NaN where there is none.
    """
    _, _, width, height = boxes
    size = width * height
    stop = np.cumsum(size)
    mapped = np.empty((2, int(size.sum())))
    nodes, checks = _map_nodes(transform, boxes)
    expected = np.einsum("ai,bj,cnji->cnba", _lagrange(CHECKS), _lagrange(CHECKS), nodes)
    # Between the checks it may be worse.
    good = (np.abs(expected - checks) <= tolerance / 2).all(axis=(0, 2, 3))
    for i in np.flatnonzero(good).tolist():
        along_x, along_y = _weights(int(width[i])), _weights(int(height[i]))
        piece = mapped[:, stop[i] - size[i] : stop[i]]
        piece[...] = (along_y @ nodes[:, i] @ along_x.T).reshape(2, -1)
    rest = np.flatnonzero(~good)
    if rest.size:
        u, v = _centers(boxes[:, rest])
        exact = np.array(transform(u, v))
        begin = 0
        for i in rest.tolist():
            mapped[:, stop[i] - size[i] : stop[i]] = exact[:, begin : begin + size[i]]
            begin += size[i]
    return mapped


def _map_nodes(transform, boxes):
    """Mapped nodes and check points, both of shape (2, N, 3, 3)."""
    x, y, width, height = boxes
    grids = []
    for steps in (NODES, CHECKS):
        u = (x + (width - 1) / 2)[:, None] + _half(width)[:, None] * steps
        v = (y + (height - 1) / 2)[:, None] + _half(height)[:, None] * steps
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


def _centers(boxes):
    """Centres of all pixels of boxes."""
    x, y, width, height = boxes
    size = width * height
    position = np.arange(size.sum()) - np.repeat(np.cumsum(size) - size, size)
    row, column = np.divmod(position, np.repeat(width, size))
    return (np.repeat(x, size) + column).astype(float), (np.repeat(y, size) + row).astype(float)
