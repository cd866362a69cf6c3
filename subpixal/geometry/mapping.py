"""From the pixels of one image to the pixels of another.

All points go through one vectorised call of each WCS, and every pixel
position that comes out has been confirmed by the forward transform.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .enclosing import extents, perimeter
from .inverse import jacobian, newton
from .transform import Transform
from .world import World

__all__ = ["ACCURACY", "MAXITER", "PixelMap", "SkyImage"]

ACCURACY = 1e-5
MAXITER = 50

# Points of the grid along the longer axis of an image, from which start points
# and the footprint are taken.
_GRID = 17

# Points between the image and a position off it, at which it is checked for folds.
_STOPS = 4

# What world values in double precision leave uncertain, in radians.
_ROUNDING = 2e-15


class SkyImage:
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
        self.world = World(self.transform.wcs)

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

        Starts from the inverse that the WCS has, or from a grid over the image
        where it has none or a wrong one, and refines by Newton's method. Of
        several positions, as a polynomial has them where it folds over, the
        one is taken that hangs together with the image.

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
        """
        world = np.broadcast_arrays(*(np.asarray(w, float) for w in world))
        shape = world[0].shape
        target = self.world.vectors([w.ravel() for w in world])
        x, y = np.full((2, target.shape[1]), np.nan)
        here = np.flatnonzero(self._may_see(target))
        if here.size:
            flat = [w.ravel()[here] for w in world]
            x[here], y[here] = self._invert(flat, target[:, here], accuracy, maxiter)
        return x.reshape(shape), y.reshape(shape)

    @property
    def reference(self) -> tuple[float, float]:
        """
        Position ``(x, y)`` that stands for the image.

        The reference point of a FITS WCS, the centre of the image for others.
        """
        crpix = getattr(getattr(self.transform.wcs, "wcs", None), "crpix", None)
        if crpix is not None:
            return crpix[0] - 1, crpix[1] - 1
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

    def _invert(self, world, target, accuracy, maxiter):
        options = {
            "accuracy": accuracy,
            "maxiter": maxiter,
            "max_step": self._reach,
            "close": 0.3 * accuracy * self._scales[0],
        }
        if self.world.is_sky:
            # Right ascensions are rounded; no step gets below that.
            options["close"] = max(options["close"], _ROUNDING)
        guess = self.transform.guess(*world)
        x, y = self._nearest_node(target) if guess is None else guess
        x, y, closed = newton(self._forward, target, x, y, **options)
        closed &= self._is_unfolded(x, y)
        if not closed.all() and guess is not None:
            again = np.flatnonzero(~closed)
            start = self._nearest_node(target[:, again])
            u, v, closed[again] = newton(self._forward, target[:, again], *start, **options)
            closed[again] &= self._is_unfolded(u, v)
            x[again], y[again] = u, v
        x[~closed] = y[~closed] = np.nan
        return x, y

    def _forward(self, x, y):
        return self.world.vectors(self.transform.to_world(x, y))

    def _orientation(self, points, derivatives):
        """Positive or negative: whether the transform mirrors; NaN where it is undefined."""
        jx, jy = derivatives
        if self.world.is_sky:
            return (points * np.cross(jx, jy, axis=0)).sum(0)
        return jx[0] * jy[1] - jx[1] * jy[0] if len(points) == 2 else np.ones(len(points.T))

    def _is_unfolded(self, x, y) -> np.ndarray:
        """
        Whether positions are on the branch of the transform that the image is on.

        A polynomial folds over somewhere off the image, and from there on
        repeats what is on the image or near it. Where it does its derivatives
        change orientation on the way from the image.
        """
        ny, nx = self._shape
        near_x, near_y = np.clip(x, -0.5, nx - 0.5), np.clip(y, -0.5, ny - 0.5)
        off = np.flatnonzero(np.isfinite(x) & ((near_x != x) | (near_y != y)))
        unfolded = np.ones(x.shape, bool)
        if off.size:
            way = np.linspace(0, 1, _STOPS + 1)[1:, None]
            u = (near_x[off] + way * (x - near_x)[off]).ravel()
            v = (near_y[off] + way * (y - near_y)[off]).ravel()
            points = self._forward(u, v)
            side = self._orientation(points, jacobian(self._forward, u, v, points))
            unfolded[off] = ~(side * self._side < 0).reshape(_STOPS, -1).any(0)
        return unfolded

    @property
    def _shape(self):
        return self.transform.shape or (1000, 1000)

    @property
    def _reach(self) -> float:
        """Longest sensible Newton step in pixels."""
        return float(max(self._shape))

    @cached_property
    def _grid(self):
        """
        Nodes over the image, a tenth beyond its edges, where it is not folded.

        x and y, points, derivatives, and the sign of the orientation.
        """
        ny, nx = self._shape
        x, y = np.meshgrid(
            np.linspace(-0.1 * nx - 0.5, 1.1 * nx - 0.5, _GRID),
            np.linspace(-0.1 * ny - 0.5, 1.1 * ny - 0.5, _GRID),
        )
        x, y = x.ravel(), y.ravel()
        points = self._forward(x, y)
        derivatives = jacobian(self._forward, x, y, points)
        sides = np.sign(self._orientation(points, derivatives))
        side = 1.0 if np.nansum(sides) >= 0 else -1.0
        good = np.isfinite(points).all(0) & np.isfinite(sides) & (sides == side)
        return x[good], y[good], points[:, good], derivatives[..., good], side

    @property
    def _side(self) -> float:
        return self._grid[4]

    @cached_property
    def _scales(self) -> tuple[float, float]:
        """Smallest and largest distance of neighbouring pixels, in the metric of the points."""
        jx, jy = self._grid[3]
        if not jx.size:
            return 0.0, 0.0
        # Singular values, as jx and jy need not be perpendicular.
        singular = np.linalg.svd(np.stack([jx, jy]).transpose(2, 0, 1), compute_uv=False)
        return float(singular.min()), float(singular.max())

    @cached_property
    def _cone(self):
        """Centre and cosine of the radius of a cap of the sky around the image."""
        points = self._grid[2]
        center = points.mean(1)
        center /= max(np.linalg.norm(center), _ROUNDING)
        # Bulges between the nodes, and boxes that reach off the image.
        radius = 1.25 * np.arccos(np.clip(center @ points, -1, 1)).max() + 256 * self._scales[1]
        return center, np.cos(min(radius, np.pi))

    def _may_see(self, target) -> np.ndarray:
        """Whether points of the world can lie on the image or near it."""
        good = np.isfinite(target).all(0)
        if not self.world.is_sky or self.transform.shape is None or not self._grid[0].size:
            return good
        center, cosine = self._cone
        return good & (center @ target >= cosine)

    def _nearest_node(self, target):
        x, y, points = self._grid[:3]
        nearest = np.empty(target.shape[1], int)
        if not x.size:
            return np.full(target.shape[1:], np.nan), np.full(target.shape[1:], np.nan)
        length = (points * points).sum(0)
        for i in range(0, len(nearest), 4096):
            part = slice(i, i + 4096)
            nearest[part] = (length[:, None] - 2 * points.T @ target[:, part]).argmin(0)
        return x[nearest], y[nearest]


class PixelMap:
    """
    Maps pixels of one image to pixels of another through the sky.

    Parameters
    ----------
    image_in, image_out : SkyImage or object
        The images, or their APE 14 WCSs of two pixel axes. They may differ in
        celestial frame, axis order and units.

    Raises
    ------
    ValueError
        If the WCSs do not describe the same kind of world.
    """

    def __init__(self, image_in, image_out) -> None:
        self.image_in, self.image_out = (
            image if isinstance(image, SkyImage) else SkyImage(image)
            for image in (image_in, image_out)
        )
        self._to_out(tuple(np.empty(0) for _ in self.image_in.world.units))

    def _to_out(self, world):
        return self.image_in.world.values_in(self.image_out.world, world)

    def __call__(self, x, y, *, accuracy: float = ACCURACY, maxiter: int = MAXITER):
        """
        Map positions.

        Parameters
        ----------
        x, y : array
            0-based pixel positions in the first image.
        accuracy, maxiter
            As in `SkyImage.to_pixel`.

        Returns
        -------
        x, y : array
            0-based pixel positions in the second image; NaN where there is none.
        """
        world = self._to_out(self.image_in.to_world(x, y))
        return self.image_out.to_pixel(*world, accuracy=accuracy, maxiter=maxiter)

    def boxes(self, edges: np.ndarray, x=(), y=()):
        """
        Map rectangles, and positions with them, in one call of each WCS.

        Parameters
        ----------
        edges : array of float, shape (4, N)
            xmin, ymin, xmax, ymax of the rectangles in continuous pixel
            coordinates: a single pixel *i* has the edges *i* - 0.5 and *i* + 0.5.
        x, y : array of float, shape (M,)
            Positions.

        Returns
        -------
        edges : array of float, shape (4, N)
            Edges in the second image that enclose the mapped rectangles,
            whose sides need not be straight; NaN for one that does not map.
        x, y : array of float, shape (M,)
            The positions in the second image.
        """
        around_x, around_y, start = perimeter(*np.asarray(edges, float))
        count = len(around_x)
        u, v = self(np.append(around_x, x), np.append(around_y, y))
        return extents(u[:count], v[:count], start), u[count:], v[count:]
