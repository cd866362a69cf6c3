"""The pixel grid of an image on the sky.

Every pixel position that comes out has been confirmed by the forward transform.
"""

from __future__ import annotations

from functools import cached_property
from numbers import Integral, Real

import numpy as np

from .control_points import ControlPoints
from .newton import newton
from .transform import Transform
from .world_axes import WorldAxes

__all__ = ["ACCURACY", "MAXITER", "PixelGrid"]

ACCURACY = 1e-5

MAXITER = 50

# What world values in double precision leave uncertain, in radians.
_ROUNDING = 2e-15


class PixelGrid:
    """
    The pixel grid of an image and the world that it looks at.

    Parameters
    ----------
    wcs : object
        An APE 14 WCS of two pixel axes, low or high level.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image; by default what the WCS knows of it.
    """

    def __init__(self, wcs, shape: tuple[int, int] | None = None) -> None:
        self.transform = Transform(wcs, shape)
        self.world = WorldAxes(self.transform.wcs)

    def to_world(self, x, y) -> tuple[np.ndarray, ...]:
        """
        World values of pixel positions, also of those off the image.

        Parameters
        ----------
        x, y : array
            0-based pixel positions, of any one shape.

        Returns
        -------
        tuple of array
            One for each world axis, in the order and units of the WCS.
        """
        x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        if not x.size:
            return tuple(np.empty(x.shape) for _ in self.world.units)
        return self.transform.to_world(x, y)

    def to_pixel(
        self, *world, accuracy: float = ACCURACY, maxiter: int = MAXITER
    ) -> tuple[np.ndarray, np.ndarray]:
        """
        Pixel positions of world values, confirmed by the forward transform.

        Starts from a polynomial through nodes over the image; where that fails from
        the inverse that the WCS has, and last from the nearest node. Refines by
        Newton's method. Of several positions, as a distortion has them where it
        folds over, the one is taken that hangs together with the image.

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
            0-based pixel positions; NaN where there is none.

        Raises
        ------
        ValueError
            If the accuracy is not positive or the number of steps negative.
        """
        world = np.broadcast_arrays(*(np.asarray(w, float) for w in world))
        shape = world[0].shape
        world = [w.ravel() for w in world]
        target = self.world.vectors(world)
        x, y = self._find(world, target, self._may_see(target), accuracy, maxiter)
        return x.reshape(shape), y.reshape(shape)

    def boxes_to_pixel(
        self, world, start: np.ndarray, count: int, inside=(), *,
        reach=0, accuracy=ACCURACY, maxiter=MAXITER,
    ):  # fmt: skip
        """
        Pixel positions of points around boxes, and of a point that goes with each.

        A box that is not near the image is not looked for, nor is its point; of any other
        all points are, however far off the image they are. A point that lies outside its box
        must be near the image.

        Parameters
        ----------
        world : sequence of array, shape (P,)
            World values, one array for each world axis: first the points around
            the boxes, one box after the other, then one for each box, or none.
        start : array of int, shape (N,)
            Where the points of each box begin.
        count : int
            Number of points around all boxes.
        inside : array of bool, shape (N,)
            Which points lie in the boxes that they go with; nothing if there are none.
        reach : float
            How far off the image is near it, in pixels.
        accuracy, maxiter
            As in `to_pixel`.

        Returns
        -------
        x, y : array of shape (P,)
            0-based pixel positions; NaN where there is none.
        seen : array of bool, shape (N,)
            Which boxes may be on the image, in part or around it.
        """
        target = self.world.vectors(world)
        seen = self._may_see_boxes(target[:, :count], start, reach)
        near = np.isfinite(target).all(0)
        near[:count] &= np.repeat(seen, np.diff(start, append=count))
        others = np.asarray(inside, bool) | self._may_see(target[:, count:])
        near[count:] &= seen[: len(others)] & others
        return *self._find(world, target, near, accuracy, maxiter), seen

    def _may_see_boxes(self, target, start, reach) -> np.ndarray:
        if not len(start):
            return np.zeros(0, bool)
        if self._is_bounded:
            return self._control_points.boxes_may_overlap(target, start, reach)
        return np.logical_or.reduceat(np.isfinite(target).all(0), start)

    def _find(self, world, target, near, accuracy, maxiter):
        """Positions of those points that are near; NaN for the others."""
        _check_search(accuracy, maxiter)
        x, y = np.full((2, target.shape[1]), np.nan)
        if near.any():
            here = _where(near)
            flat = [w[here] for w in world]
            x[here], y[here] = self._invert(flat, target[:, here], accuracy, maxiter)
        return x, y

    def _invert(self, world, target, accuracy, maxiter):
        nodes = self._control_points
        options = {
            "accuracy": accuracy,
            "maxiter": maxiter,
            "max_step": float(max(*self._shape, 100)),
            # World values are rounded; no step gets below that.
            "close": _ROUNDING if self.world.is_sky else 0.0,
        }
        x, y = np.full((2, target.shape[1]), np.nan)
        closed = np.zeros(x.shape, bool)
        for start in (
            lambda here: nodes.estimate(target[:, here]),
            lambda here: self.transform.guess(*(w[here] for w in world)),
            lambda here: nodes.nearest(target[:, here]),
        ):
            if closed.all():
                break
            here = _where(~closed)
            at = start(here)
            if at is not None:
                x[here], y[here], closed[here] = newton(
                    self._forward, target[:, here], *at, common=nodes.inverse, **options
                )
                closed[here] &= nodes.is_unfolded(self._forward, x[here], y[here])
        x[~closed] = y[~closed] = np.nan
        return x, y

    def _forward(self, x, y):
        return self.world.vectors(self.transform.to_world(x, y))

    @property
    def _shape(self) -> tuple[int, int]:
        return self.transform.shape or (1000, 1000)

    @cached_property
    def _control_points(self) -> ControlPoints:
        wcs, is_sky = self.transform.wcs, self.world.is_sky
        return ControlPoints.of(wcs, self._forward, self._shape, is_sky=is_sky)

    @property
    def _is_bounded(self) -> bool:
        """Whether it is known which part of the sky the image covers."""
        return self.world.is_sky and self.transform.shape is not None

    def _may_see(self, target) -> np.ndarray:
        """Whether points of the world can be on the image or near it."""
        good = np.isfinite(target).all(0)
        return good & self._control_points.may_overlap(target) if self._is_bounded else good

    @property
    def reference(self) -> tuple[float, float]:
        """
        Position ``(x, y)`` that stands for the image.

        The reference point of a FITS WCS, the centre of the image for others.
        """
        if self.transform.reference is not None:
            return self.transform.reference
        ny, nx = self.transform.shape or (1, 1)
        return (nx - 1) / 2, (ny - 1) / 2

    def pixel_area(self, x, y) -> np.ndarray:
        """
        Area that a pixel covers, from the forward transform.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            In square degrees on the sky, in squared world units otherwise.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # The pixel's own corners: lookup tables have kinks, a pixel has a size.
        u, v = np.concatenate([x - 0.5, x + 0.5] * 2), np.repeat([y - 0.5, y + 0.5], 2, axis=0)
        corners = np.split(self._forward(u, v.ravel()), 4, axis=1)
        one, other = corners[3] - corners[0], corners[2] - corners[1]
        gram = (one * one).sum(0) * (other * other).sum(0) - (one * other).sum(0) ** 2
        area = np.sqrt(np.maximum(gram, 0)) / 2
        return np.degrees(np.degrees(area)) if self.world.is_sky else area

    def jacobian(self, x, y) -> np.ndarray:
        """
        Local Jacobian, from the forward transform.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N, 2, 2)
            On the sky, the rows are offsets to the east and to the north in
            degrees of a great circle, the columns are x and y; at a pole, east
            is where right ascension says. In another world the rows are the
            derivatives of the world values, which may be more than two.
        """
        x, y = (np.atleast_1d(np.asarray(p, float)) for p in (x, y))
        # Central differences over a pixel: lookup tables have kinks, a pixel has a size.
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

    def pixel_scale(self, x, y) -> np.ndarray:
        """
        Side of a square as large as a pixel.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.

        Returns
        -------
        array of shape (N,)
            Square root of `pixel_area`: in degrees on the sky, in world units
            otherwise.
        """
        return np.sqrt(self.pixel_area(x, y))


def _where(chosen: np.ndarray):
    """Index of what is chosen; no copy is needed of all."""
    return slice(None) if chosen.all() else np.flatnonzero(chosen)


def _check_search(accuracy, maxiter) -> None:
    if not isinstance(accuracy, Real) or not 0 < accuracy < np.inf:
        msg = f"accuracy must be a positive number of pixels, got {accuracy!r}"
        raise ValueError(msg)
    if not isinstance(maxiter, Integral) or maxiter < 0:
        msg = f"maxiter must be a whole number, 0 or more, got {maxiter!r}"
        raise ValueError(msg)
