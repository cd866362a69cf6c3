"""
Pixel grid of an image: conversion between pixel positions and the sky.

The transform from pixels to the sky confirms every pixel position that this module returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from .adapters import adapt, low_level_wcs
from .array_types import BoolArray, FloatArray, IntArray
from .control_points import ControlPoints
from .newton import newton

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["ACCURACY", "MAXITER", "PixelGrid"]

# Default of the largest allowed error of a position, in pixels.
ACCURACY = 1e-5

# Default of the largest allowed number of Newton steps.
MAXITER = 50

# Rounding error of a unit vector from world values in double precision, in radians.
ROUNDING = 2e-15

# Shape ``(ny, nx)`` that a search assumes if the shape of the image is unknown.
TYPICAL_SHAPE = (1000, 1000)


class PixelGrid:
    """
    WCS and shape of an image, with the transforms between pixel positions and world values.

    Parameters
    ----------
    wcs : object
        A low-level or high-level APE 14 WCS with two pixel axes.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image. By default, the shape or the bounds in the WCS.

    Attributes
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The low-level APE 14 interface of the WCS.
    shape : tuple of int or None
        ``(ny, nx)`` of the image, or `None` if the shape is unknown.
    world : WorldAxes
        The world axes of the WCS.
    """

    def __init__(self, wcs: Any, shape: tuple[int, int] | None = None) -> None:
        self.wcs = low_level_wcs(wcs)
        if shape is None:
            shape = _get_shape(self.wcs)
        self.shape = None if shape is None else (shape[0], shape[1])
        self._adapter = adapt(self.wcs)
        self.world = self._adapter.make_world_axes()

    def to_world(self, x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, ...]:
        """
        Return the world values of pixel positions on or off the image.

        Parameters
        ----------
        x, y : array
            0-based pixel positions. Arrays of different shapes are broadcast.

        Returns
        -------
        tuple of array
            World values, one array for each world axis, in the order and units of the WCS.
        """
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if not x.size:
            return tuple(np.empty(x.shape) for _ in self.world.units)
        return self._adapter.to_world(x, y)

    def to_vectors(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the world positions of pixel positions as vectors.

        The straight distance between two vectors is a meaningful distance.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (M, N)
            If the world is the sky, unit vectors with M = 3. Otherwise, world values.
        """
        return self.world.vectors(self.to_world(x, y))

    def to_pixel(
        self, *world: ArrayLike, accuracy: float = ACCURACY, maxiter: int = MAXITER
    ) -> tuple[FloatArray, FloatArray]:
        """
        Return the pixel positions of world values.

        Newton's method refines start positions until the transform from pixels to the world
        confirms them. The first start positions come from polynomials fitted to control points over
        the image. If the search fails at a point, it starts again from the inverse of the WCS, and
        then from the nearest control point. If the distortion folds over, several pixel positions
        can have the same world values. The result is the position on the same side of the fold as
        the image.

        Parameters
        ----------
        *world : array
            World values, one array for each world axis, in the order and units of the WCS.
        accuracy : float
            Largest allowed error of a position, in pixels.
        maxiter : int
            Largest allowed number of Newton steps.

        Returns
        -------
        x, y : array
            0-based pixel positions; NaN for a point without a confirmed position.

        Raises
        ------
        ValueError
            If ``accuracy`` is not a positive number or ``maxiter`` is negative.
        """
        world = np.broadcast_arrays(*(np.asarray(w, float) for w in world))
        shape = world[0].shape
        flat = [w.ravel() for w in world]
        target = self.world.vectors(flat)
        x, y = self._find(flat, target, self._may_overlap(target), accuracy, maxiter)
        return x.reshape(shape), y.reshape(shape)

    def boxes_to_pixel(
        self,
        world: Sequence[FloatArray],
        start: IntArray,
        count: int,
        inside: ArrayLike = (),
        *,
        reach: float = 0,
        accuracy: float = ACCURACY,
        maxiter: int = MAXITER,
    ) -> tuple[FloatArray, FloatArray, BoolArray]:
        """
        Return the pixel positions of points around boxes, and of one extra point for each box.

        The method skips boxes farther than ``reach`` pixels from the image, and returns NaN for
        their points. For each other box, it finds the positions of all points around the box, on or
        off the image. It finds the position of the extra point only if this point is inside the box
        or near the image.

        Parameters
        ----------
        world : sequence of array, shape (P,)
            World values, one array for each world axis. The points around the boxes come first,
            one box after the other. The extra points follow. There is one for each box, or none.
        start : array of int, shape (N,)
            Index of the first point of each box.
        count : int
            Number of points around all boxes.
        inside : array of bool, shape (N,)
            `True` if the extra point of a box lies inside the box. The array is empty if there are
            no extra points.
        reach : float
            Largest distance in pixels between the image and a box that is not skipped.
        accuracy, maxiter
            As in `to_pixel`.

        Returns
        -------
        x, y : array of shape (P,)
            0-based pixel positions; NaN for a skipped point and for a point without a confirmed
            position.
        candidate : array of bool, shape (N,)
            `True` for boxes that may lie within ``reach`` pixels of the image.
        """
        target = self.world.vectors(world)
        candidate = self._boxes_may_overlap(target[:, :count], start, reach)
        chosen = _are_finite(target)
        chosen[:count] &= np.repeat(candidate, np.diff(start, append=count))
        findable = np.logical_or(inside, self._may_overlap(target[:, count:]))
        chosen[count:] &= candidate[: len(findable)] & findable
        return *self._find(world, target, chosen, accuracy, maxiter), candidate

    def _boxes_may_overlap(self, target: FloatArray, start: IntArray, reach: float) -> BoolArray:
        if not len(start):
            return np.zeros(0, bool)
        if self._has_footprint:
            return self._control_points.footprint.boxes_may_overlap(target, start, reach)
        return np.logical_or.reduceat(_are_finite(target), start)

    def _may_overlap(self, target: FloatArray) -> BoolArray:
        finite = _are_finite(target)
        if self._has_footprint:
            return finite & self._control_points.footprint.may_overlap(target)
        return finite

    @property
    def _has_footprint(self) -> bool:
        return self.world.is_sky and self.shape is not None

    @cached_property
    def _control_points(self) -> ControlPoints:
        return ControlPoints.from_wcs(
            self.wcs, self.to_vectors, self._search_shape, is_sky=self.world.is_sky
        )

    @property
    def _search_shape(self) -> tuple[int, int]:
        return self.shape or TYPICAL_SHAPE

    def _find(
        self,
        world: Sequence[FloatArray],
        target: FloatArray,
        chosen: BoolArray,
        accuracy: float,
        maxiter: int,
    ) -> FloatArray:
        """Return positions, of shape (2, N), of the chosen points, and NaN for other points."""
        _check_search(accuracy, maxiter)
        positions = np.full((2, target.shape[1]), np.nan)
        if chosen.any():
            index = _to_index(chosen)
            flat = [w[index] for w in world]
            positions[:, index] = self._invert(flat, target[:, index], accuracy, maxiter)
        return positions

    def _invert(
        self, world: Sequence[FloatArray], target: FloatArray, accuracy: float, maxiter: int
    ) -> FloatArray:
        control_points = self._control_points
        starts = (
            lambda index: control_points.estimate(target[:, index]),
            lambda index: self._adapter.guess_pixel(*(w[index] for w in world)),
            lambda index: control_points.nearest(target[:, index]),
        )
        positions = np.full((2, target.shape[1]), np.nan)
        converged = np.zeros(target.shape[1], bool)
        for find_start in starts:
            if converged.all():
                break
            index = _to_index(~converged)
            start = find_start(index)
            if start is None:
                continue
            x, y, closed = newton(
                self.to_vectors,
                target[:, index],
                *start,
                accuracy=accuracy,
                maxiter=maxiter,
                max_step=float(max(*self._search_shape, 100)),
                # World values are rounded, so that a residual on the sky cannot become smaller.
                close=ROUNDING if self.world.is_sky else 0.0,
                common=control_points.common_inverse,
            )
            positions[:, index] = x, y
            converged[index] = closed & control_points.is_unfolded(self.to_vectors, x, y)
        positions[:, ~converged] = np.nan
        return positions

    @property
    def reference(self) -> tuple[float, float]:
        """
        Reference position ``(x, y)`` of the image.

        For a FITS WCS, this is the reference pixel. For another WCS, it is the center of the image.
        """
        if self._adapter.reference is not None:
            return self._adapter.reference
        ny, nx = self.shape or (1, 1)
        return (nx - 1) / 2, (ny - 1) / 2

    def pixel_area(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the areas of pixels on the sky, from the sky positions of the pixel corners.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            Areas in square degrees. If the world is not the sky, areas in squared world units.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # Use the corners of the pixel, because a lookup table has kinks without derivatives.
        u = np.concatenate([x - 0.5, x + 0.5] * 2)
        v = np.repeat([y - 0.5, y + 0.5], 2, axis=0)
        corners = np.split(self.to_vectors(u, v.ravel()), 4, axis=1)
        rising = corners[3] - corners[0]
        falling = corners[2] - corners[1]
        overlap = (rising * falling).sum(0)
        gram = (rising**2).sum(0) * (falling**2).sum(0) - overlap**2
        area = np.sqrt(np.maximum(gram, 0)) / 2
        return np.degrees(np.degrees(area)) if self.world.is_sky else area

    def pixel_scale(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the pixel scales: the sides of squares with the same areas as the pixels.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            Square roots of `pixel_area`, in degrees. If the world is not the sky, they are in world
            units.
        """
        return np.sqrt(self.pixel_area(x, y))

    def jacobian(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the derivatives of the world position by x and by y at pixel positions.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N, 2, 2)
            The columns are x and y. On the sky, the rows are offsets to the east and to the north,
            in degrees of a great circle. At a pole, the right ascension of the position defines the
            east. For other world axes, the rows are the world values, and there may be more than
            two rows.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # Use differences over a whole pixel, because a lookup table has kinks without derivatives.
        count = len(x)
        u = np.concatenate([x - 0.5, x + 0.5, x, x])
        v = np.concatenate([y, y, y - 0.5, y + 0.5])
        world = self.to_world(np.append(u, x), np.append(v, y))
        points = self.world.vectors(world)
        left, right, below, above = np.split(points[:, : 4 * count], 4, axis=1)
        steps = np.stack([right - left, above - below])
        if not self.world.is_sky:
            return steps.transpose(2, 1, 0)
        lon, lat = self.world.lonlat([w[4 * count :] for w in world])
        zero = np.zeros_like(lon)
        east = np.array([-np.sin(lon), np.cos(lon), zero])
        north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        rows = [[(axis * step).sum(0) for step in steps] for axis in (east, north)]
        return np.degrees(np.array(rows)).transpose(2, 0, 1)


def _get_shape(wcs: Any) -> tuple[int, int] | None:
    """Return the shape in a WCS, or else the shape of its bounds; `None` without both."""
    if wcs.array_shape is not None:
        ny, nx = wcs.array_shape
        return ny, nx
    bounds = wcs.pixel_bounds
    if bounds is None or None in bounds:
        return None
    # An upper bound may be the edge or the center of the last pixel. Both give the same size.
    nx, ny = (max(1, int(np.floor(high)) + 1) for _, high in bounds)
    return ny, nx


def _are_finite(points: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(points).all(0))


def _to_index(chosen: BoolArray) -> slice | IntArray:
    """Return an index of the chosen elements. A slice for all elements avoids copies."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _check_search(accuracy: float, maxiter: int) -> None:
    if not isinstance(accuracy, Real) or not 0 < accuracy < np.inf:
        msg = f"accuracy must be a positive number of pixels, got {accuracy!r}"
        raise ValueError(msg)
    if not isinstance(maxiter, Integral) or maxiter < 0:
        msg = f"maxiter must be a whole number, 0 or more, got {maxiter!r}"
        raise ValueError(msg)
