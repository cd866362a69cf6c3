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
    longest = np.fmax(size.max(0, initial=0.0), 0.0)
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
    sizes = np.append(start[1:], count) - start
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
    found, bulge, points = np.full((4, len(start)), np.nan), np.zeros(len(start)), np.stack([x, y])
    for curves, where in _alike(start, len(x)):
        # Curves that nobody has looked for are many, and cost nothing.
        known = np.isfinite(x[where[0]])
        if not known.all():
            curves, where = curves[known], where[:, known]
        around = points.take(where, axis=1)
        rise = _bulge(around)
        found[:2, curves] = (around - rise).min(1)
        found[2:, curves] = (around + rise).max(1)
        bulge[curves] = rise.max((0, 1))
    found[:, ~np.isfinite(found).all(0)] = np.nan
    return found, bulge


def _bulge(points: np.ndarray) -> np.ndarray:
    """
    Bound of what closed curves rise above their samples, next to each sample.

    A curve with a kink between two of its samples, as lookup tables have them,
    rises at most by half of the second difference there; a smooth one rises
    less. Corners have no second difference of their own; next to them that of
    the neighbour must do, which half a kink is missing from.

    Parameters
    ----------
    points : array of shape (2, P, N)
        Curves, each with P / 4 intervals between corners.
    """
    intervals = points.shape[1] // 4
    before, after = _neighbours(points)
    second = np.abs(after - 2 * points + before) / 2
    second[:, ::intervals] = 0.0
    for next_to_corner in {1, intervals - 1}:
        second[:, next_to_corner::intervals] *= 2
    return np.maximum(second, np.maximum(*_neighbours(second)))


def _neighbours(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is before and after each point of closed curves."""
    around = np.concatenate([points[:, -1:], points, points[:, :1]], axis=1)
    return around[:, :-2], around[:, 2:]


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
