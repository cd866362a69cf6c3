"""Boxes that enclose mapped boxes.

The edges of a box are sampled, mapped, and what they bulge between two
samples is bounded by their second differences. Corners alone clip a box whose
edges are curved by distortion.
"""

from __future__ import annotations

import numpy as np

__all__ = ["extents", "perimeter", "whole_pixels"]

# Largest number of source pixels between two samples of an edge.
SPACING = 16


def perimeter(xmin, ymin, xmax, ymax, *, refinement: int = 1):
    """
    Points around rectangles, anticlockwise, the corners among them.

    Parameters
    ----------
    xmin, ymin, xmax, ymax : array of float, shape (N,)
        Edges of the rectangles in continuous pixel coordinates.
    refinement : int
        Into how many parts each interval between points is divided. Intervals are
        at most 16 pixels long, and an edge has at least two.

    Returns
    -------
    x, y : array of float, shape (P,)
        The points of all rectangles, one rectangle after the other.
    start : array of int, shape (N,)
        Where the points of each rectangle begin.
    """
    edges = np.array([xmin, ymin, xmax, ymax], float)
    # A rectangle that is not finite has points all the same, which are NaN.
    edges[:, ~np.isfinite(edges).all(0)] = np.nan
    low, size = edges[:2], edges[2:] - edges[:2]
    longest = np.nan_to_num(size.max(0, initial=0.0))
    intervals = 2 * np.maximum(1, np.ceil(longest / (2 * SPACING))).astype(int) * refinement
    start = np.cumsum(4 * intervals) - 4 * intervals
    points = np.empty((2, 4 * intervals.sum()))
    for rectangles, where in _alike(start, points.shape[1]):
        along = np.arange(len(where) // 4) / (len(where) // 4)
        zero, one = np.zeros_like(along), np.ones_like(along)
        around = [along, one, 1 - along, zero], [zero, along, one, 1 - along]
        for axis, part in enumerate(around):
            steps = np.concatenate(part)[:, None] * size[axis, rectangles]
            points[axis, where] = low[axis, rectangles] + steps
    return *points, start


def _alike(start: np.ndarray, count: int):
    """Curves with the same number of points: which they are, and their points as columns."""
    sizes = np.diff(start, append=count)
    for size in np.unique(sizes).tolist():
        curves = np.flatnonzero(sizes == size)
        yield curves, start[curves] + np.arange(size)[:, None]


def extents(x: np.ndarray, y: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Extents of closed curves that are known by samples.

    Parameters
    ----------
    x, y : array of float, shape (P,)
        Mapped points of `perimeter`.
    start : array of int, shape (N,)
        Where the points of each curve begin.

    Returns
    -------
    edges : array of float, shape (4, N)
        xmin, ymin, xmax, ymax, bulges between the samples included; NaN for a
        curve of which some point is NaN.
    bulge : array of float, shape (N,)
        The largest bulge that is allowed for, in pixels: the edges are at most
        this much looser than the tightest ones.
    """
    found, bulge = np.empty((4, len(start))), np.zeros(len(start))
    for curves, where in _alike(start, len(x)):
        for axis, u in enumerate((x[where], y[where])):
            rise = _bulge(u)
            found[axis, curves] = (u - rise).min(0)
            found[axis + 2, curves] = (u + rise).max(0)
            bulge[curves] = np.maximum(bulge[curves], rise.max(0))
    found[:, ~np.isfinite(found).all(0)] = np.nan
    return found, bulge


def _bulge(u: np.ndarray) -> np.ndarray:
    """
    Bound of what closed curves rise above their samples, next to each sample.

    A curve with a kink between two of its samples, as lookup tables have them,
    rises at most by half of the second difference there; a smooth one rises
    less. Corners have no second difference of their own; next to them that of
    the neighbour must do, which half a kink is missing from.

    Parameters
    ----------
    u : array of shape (P, N)
        Curves, each with P / 4 intervals between corners.
    """
    intervals = len(u) // 4
    second = np.abs(np.roll(u, -1, 0) - 2 * u + np.roll(u, 1, 0)) / 2
    second[::intervals] = 0.0
    for next_to_corner in {1, intervals - 1}:
        second[next_to_corner::intervals] *= 2
    return np.maximum(second, np.maximum(np.roll(second, -1, 0), np.roll(second, 1, 0)))


def whole_pixels(edges: np.ndarray, *, tolerance: float = 0.0):
    """
    Smallest boxes of whole pixels that contain rectangles.

    Parameters
    ----------
    edges : array of float, shape (4, N)
        xmin, ymin, xmax, ymax in continuous pixel coordinates, all finite.
    tolerance : float
        What an edge may reach into a pixel without counting, in pixels.

    Returns
    -------
    array of int, shape (4, N)
        xmin, ymin, xmax, ymax of the boxes, both corners included.
    """
    low = np.floor(edges[:2] + 0.5 + tolerance)
    high = np.ceil(edges[2:] - 0.5 - tolerance)
    return np.concatenate([low, np.maximum(low, high)]).astype(np.int64)
