"""
Rectangles that enclose mapped rectangles.

The mapped edges of a rectangle may be curved and extend beyond the four mapped corners. The module
therefore samples the edges at many points. The second differences of the mapped points limit how
far an edge bulges between two points.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .array_types import FloatArray, IntArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["extents", "perimeter", "whole_pixels"]

# Largest distance between two samples of an edge, in pixels of the image before mapping.
SPACING = 16


def perimeter(
    xmin: ArrayLike, ymin: ArrayLike, xmax: ArrayLike, ymax: ArrayLike, *, refinement: int = 1
) -> tuple[FloatArray, FloatArray, IntArray]:
    """
    Return points on the edges of rectangles, corners included, in counterclockwise order.

    Parameters
    ----------
    xmin, ymin, xmax, ymax : array of float, shape (N,)
        Edges of the rectangles in continuous pixel coordinates.
    refinement : int
        Number of parts into which each interval between two points is divided. With 1, intervals
        are at most 16 pixels long, and an edge has at least two intervals.

    Returns
    -------
    x, y : array of float, shape (P,)
        The points of all rectangles, one rectangle after the other.
    start : array of int, shape (N,)
        Index of the first point of each rectangle.
    """
    edges = np.array([xmin, ymin, xmax, ymax], float)
    # A rectangle with an edge that is not finite gets the usual number of points, but they are NaN.
    edges[:, ~np.isfinite(edges).all(0)] = np.nan
    low = edges[:2]
    size = edges[2:] - low
    longest = np.fmax(size.max(0, initial=0.0), 0.0)
    intervals = 2 * np.maximum(1, np.ceil(longest / (2 * SPACING))).astype(int) * refinement
    start = np.cumsum(4 * intervals) - 4 * intervals
    points = np.empty((2, 4 * intervals.sum()))
    for rectangles, index in _group_by_size(start, points.shape[1]):
        fraction = np.arange(len(index) // 4) / (len(index) // 4)
        zero = np.zeros_like(fraction)
        one = np.ones_like(fraction)
        along_x = np.concatenate([fraction, one, 1 - fraction, zero])
        along_y = np.concatenate([zero, fraction, one, 1 - fraction])
        for axis, along in enumerate((along_x, along_y)):
            steps = along[:, None] * size[axis, rectangles]
            points[axis, index] = low[axis, rectangles] + steps
    x, y = points
    return x, y, start


def _group_by_size(start: IntArray, count: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield groups of curves with equally many points, and the indices of their points."""
    sizes = np.append(start[1:], count) - start
    for size in np.unique(sizes).tolist():
        curves = np.flatnonzero(sizes == size)
        yield curves, start[curves] + np.arange(size)[:, None]


def extents(x: FloatArray, y: FloatArray, start: IntArray) -> tuple[FloatArray, FloatArray]:
    """
    Return rectangles that enclose closed curves, from samples of the curves.

    Parameters
    ----------
    x, y : array of float, shape (P,)
        Mapped points of the curves, in the order in which `perimeter` returns them.
    start : array of int, shape (N,)
        Index of the first point of each curve.

    Returns
    -------
    edges : array of float, shape (4, N)
        xmin, ymin, xmax, ymax of the rectangles, which include possible bulges of the curves
        between two samples. NaN for a curve with a point that is NaN.
    bulge : array of float, shape (N,)
        Largest possible bulge of each curve, in pixels. The tightest rectangle around the curve is
        at most this much smaller on each side.
    """
    edges = np.full((4, len(start)), np.nan)
    bulge = np.zeros(len(start))
    points = np.stack([x, y])
    for curves, index in _group_by_size(start, len(x)):
        # Skip curves without mapped points, because such curves are common.
        mapped = np.isfinite(x[index[0]])
        if not mapped.all():
            curves = curves[mapped]
            index = index[:, mapped]
        samples = points.take(index, axis=1)
        rise = _max_rise(samples)
        edges[:2, curves] = (samples - rise).min(1)
        edges[2:, curves] = (samples + rise).max(1)
        bulge[curves] = rise.max((0, 1))
    edges[:, ~np.isfinite(edges).all(0)] = np.nan
    return edges, bulge


def _max_rise(points: FloatArray) -> FloatArray:
    """
    Return the largest possible rise of closed curves above each sample, near the sample.

    A lookup table can give a curve a kink between two samples. Such a curve rises by at most half
    of the second difference there. A smooth curve rises less. At a corner, the second difference is
    meaningless. Use twice the second difference of the sample next to the corner instead, because
    that sample contains only half of a kink between the sample and the corner.

    Parameters
    ----------
    points : array of shape (2, P, N)
        Samples of the curves. Each curve has P / 4 intervals between two corners.
    """
    intervals = points.shape[1] // 4
    before, after = _adjacent(points)
    second = np.abs(after - 2 * points + before) / 2
    second[:, ::intervals] = 0.0
    for next_to_corner in {1, intervals - 1}:
        second[:, next_to_corner::intervals] *= 2
    return np.maximum(second, np.maximum(*_adjacent(second)))


def _adjacent(points: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the values at the points before and after each point of closed curves."""
    closed = np.concatenate([points[:, -1:], points, points[:, :1]], axis=1)
    return closed[:, :-2], closed[:, 2:]


def whole_pixels(edges: FloatArray, *, tolerance: float = 0.0) -> IntArray:
    """
    Return the smallest boxes of whole pixels that contain rectangles.

    Parameters
    ----------
    edges : array of float, shape (4, N)
        Finite xmin, ymin, xmax, ymax of the rectangles in continuous pixel coordinates.
    tolerance : float
        Distance in pixels. A pixel does not belong to a box if the rectangle enters it by at most
        this distance.

    Returns
    -------
    array of int, shape (4, N)
        xmin, ymin, xmax, ymax of the boxes. The pixels at the corners belong to the boxes.
    """
    low = np.floor(edges[:2] + 0.5 + tolerance)
    high = np.ceil(edges[2:] - 0.5 - tolerance)
    return np.concatenate([low, np.maximum(low, high)]).astype(np.int64)
