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
    xmin, ymin, xmax, ymax = edges
    width, height = xmax - xmin, ymax - ymin
    longest = np.nan_to_num(np.maximum(width, height))
    intervals = 2 * np.maximum(1, np.ceil(longest / (2 * SPACING))).astype(int) * refinement
    count = 4 * intervals
    start = np.cumsum(count) - count
    box = np.repeat(np.arange(len(count)), count)
    side, k = np.divmod(np.arange(count.sum()) - start[box], intervals[box])
    along = k / intervals[box]
    u = np.choose(side, [along, 1.0, 1 - along, 0.0])
    v = np.choose(side, [0.0, along, 1.0, 1 - along])
    return xmin[box] + u * width[box], ymin[box] + v * height[box], start


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
    if not len(start):
        return np.empty((4, 0)), np.empty(0)
    bulges = [_bulge(u, start) for u in (x, y)]
    low = [np.minimum.reduceat(u - bulge, start) for u, bulge in zip((x, y), bulges, strict=True)]
    high = [np.maximum.reduceat(u + bulge, start) for u, bulge in zip((x, y), bulges, strict=True)]
    found = np.array([*low, *high])
    found[:, ~np.isfinite(found).all(0)] = np.nan
    return found, np.maximum.reduceat(np.maximum(*bulges), start)


def _bulge(u, start):
    """
    Bound of what a curve rises above its samples, next to each sample.

    A curve with a kink between two of its samples, as lookup tables have them,
    rises at most by half of the second difference there; a smooth one rises
    less. Corners have no second difference of their own; next to them that of
    the neighbour must do, which half a kink is missing from.
    """
    stop = np.append(start[1:], len(u))
    intervals = np.repeat((stop - start) // 4, stop - start)
    position = np.arange(len(u)) - np.repeat(start, stop - start)
    following = np.arange(1, len(u) + 1)
    following[stop - 1] = start
    previous = np.empty_like(following)
    previous[following] = np.arange(len(u))
    second = np.abs(u[following] - 2 * u + u[previous]) / 2
    corner = position % intervals == 0
    second[corner] = 0.0
    second = np.where(corner[following] | corner[previous], 2 * second, second)
    return np.maximum(second, np.maximum(second[following], second[previous]))


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
