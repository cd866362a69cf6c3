"""
Pixel grid of an image on the sky.

The forward transform of the WCS confirms every pixel position that this module returns.
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

# Pixels; default of the largest error of a position.
ACCURACY = 1e-5

# Default of the largest number of Newton steps.
MAXITER = 50

# Radians; uncertainty of unit vectors from world values in double precision.
ROUNDING = 2e-15

# Shape ``(ny, nx)`` that the search assumes if the shape of the image is unknown.
TYPICAL_SHAPE = (1000, 1000)


class PixelGrid:
    """
    WCS and shape of an image, and the transforms between its pixels and the world.

    Parameters
    ----------
    wcs : object
        An APE 14 WCS of two pixel axes, low or high level.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image; by default the shape in the WCS.

    Attributes
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The low-level WCS.
    shape : tuple of int or None
        ``(ny, nx)`` of the image, `None` if it is unknown.
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
        Return world values of pixel positions on and off the image.

        Parameters
        ----------
        x, y : array
            0-based pixel positions, of one shape.

        Returns
        -------
        tuple of array
            One for each world axis, in the order and units of the WCS.
        """
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if not x.size:
            return tuple(np.empty(x.shape) for _ in self.world.units)
        return self._adapter.to_world(x, y)

    def to_vectors(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the vectors of pixel positions, whose straight distances are meaningful.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (M, N)
            Unit vectors on the sky, M = 3; world values otherwise.
        """
        return self.world.vectors(self.to_world(x, y))

    def to_pixel(
        self, *world: ArrayLike, accuracy: float = ACCURACY, maxiter: int = MAXITER
    ) -> tuple[FloatArray, FloatArray]:
        """
        Return pixel positions of world values, confirmed by the forward transform.

        The search starts from a polynomial through control points over the image. If that fails,
        the search starts from the inverse of the WCS, and at last from the nearest control point.
        Newton's method refines the positions. If the distortion folds over, a point can have
        several positions. The result is the position on the same branch as the image.

        Parameters
        ----------
        *world : array
            One for each world axis, in the order and units of the WCS.
        accuracy : float
            Largest error of a position, in pixels.
        maxiter : int
            Largest number of Newton steps.

        Returns
        -------
        x, y : array
            0-based pixel positions; NaN for a point that does not map.

        Raises
        ------
        ValueError
            If the accuracy is not positive or the number of steps negative.
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
        Return pixel positions of points around boxes, and of one more point for each box.

        Boxes farther than ``reach`` pixels from the image are skipped, and so are their points.
        All points of the other boxes are inverted, even those off the image. The extra point of
        such a box is inverted if it is inside the box or near the image.

        Parameters
        ----------
        world : sequence of array, shape (P,)
            World values, one array for each world axis. The points around the boxes come first,
            one box after the other. Then come the extra points, one for each box, or none.
        start : array of int, shape (N,)
            Index of the first point of each box.
        count : int
            Number of points around all boxes.
        inside : array of bool, shape (N,)
            `True` for extra points inside their boxes; empty without extra points.
        reach : float
            Distance from the image in pixels up to which boxes count.
        accuracy, maxiter
            As in `to_pixel`.

        Returns
        -------
        x, y : array of shape (P,)
            0-based pixel positions; NaN for a point that does not map or is skipped.
        candidate : array of bool, shape (N,)
            `True` for boxes that may overlap the image and its surroundings.
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
        """Return positions of the chosen points, of shape (2, N); NaN for other points."""
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
                # World values are rounded, so that residuals on the sky stay above this length.
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

        The reference pixel of a FITS WCS, the center of the image for other WCSs.
        """
        if self._adapter.reference is not None:
            return self._adapter.reference
        ny, nx = self.shape or (1, 1)
        return (nx - 1) / 2, (ny - 1) / 2

    def pixel_area(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the areas of pixels on the sky, from the forward transform.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            Areas in square degrees, or in squared world units if the world is not the sky.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # Use the corners of the pixel, because lookup tables have kinks and no derivative there.
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
        Return the sides of squares with the areas of pixels.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            Square roots of `pixel_area`, in degrees, or in world units if the world is not the sky.
        """
        return np.sqrt(self.pixel_area(x, y))

    def jacobian(self, x: ArrayLike, y: ArrayLike) -> FloatArray:
        """
        Return the local Jacobian, from the forward transform.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N, 2, 2)
            On the sky, the rows are offsets to the east and to the north in degrees of a great
            circle, and the columns are x and y. At a pole, the right ascension defines the east.
            For other world axes, the rows are the derivatives of the world values, and there may
            be more than two.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # Use central differences over a pixel, because lookup tables have kinks.
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
    """Return the shape of an image from its WCS, or `None` if it has neither shape nor bounds."""
    if wcs.array_shape is not None:
        ny, nx = wcs.array_shape
        return ny, nx
    bounds = wcs.pixel_bounds
    if bounds is None or None in bounds:
        return None
    # An upper bound is the edge or the center of the last pixel; both give the same size.
    nx, ny = (max(1, int(np.floor(high)) + 1) for _, high in bounds)
    return ny, nx


def _are_finite(points: FloatArray) -> BoolArray:
    return np.asarray(np.isfinite(points).all(0))


def _to_index(chosen: BoolArray) -> slice | IntArray:
    """Return the index of chosen elements: a slice if all are chosen, which avoids copies."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _check_search(accuracy: float, maxiter: int) -> None:
    if not isinstance(accuracy, Real) or not 0 < accuracy < np.inf:
        msg = f"accuracy must be a positive number of pixels, got {accuracy!r}"
        raise ValueError(msg)
    if not isinstance(maxiter, Integral) or maxiter < 0:
        msg = f"maxiter must be a whole number, 0 or more, got {maxiter!r}"
        raise ValueError(msg)
