"""The pixel grid of an image on the sky.

Every pixel position that comes out has been confirmed by the forward transform.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .inverse import jacobian, newton, pseudo_inverse
from .transform import Transform
from .world import World

__all__ = ["ACCURACY", "MAXITER", "SkyImage"]

ACCURACY = 1e-5
MAXITER = 50

# Points of the grid along the longer axis of an image, from which start points
# and the footprint are taken.
_GRID = 17

# How far the grid reaches beyond the image, in sizes of the image.
_MARGIN = 0.1

# How far off an image positions are still looked for, in pixels.
_REACH = 256

# How much derivatives may change from node to node to serve for what is between.
_SMOOTH = 0.1

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
        world = [w.ravel() for w in world]
        target = self.world.vectors(world)
        options = {"accuracy": accuracy, "maxiter": maxiter}
        x, y = self._find(world, target, self._may_see(target), **options)
        return x.reshape(shape), y.reshape(shape)

    def boxes_to_pixel(self, world, start: np.ndarray, count: int):
        """
        Pixel positions of points around boxes, and of other points.

        A box of which no point can be near the image costs nothing; of any other
        all points are looked for, however far off the image they are.

        Parameters
        ----------
        world : sequence of array, shape (P,)
            World values, one array for each world axis: first the points around
            the boxes, one box after the other, then other points.
        start : array of int, shape (N,)
            Where the points of each box begin.
        count : int
            Number of points around all boxes.

        Returns
        -------
        x, y : array of shape (P,)
            0-based pixel positions; NaN where there is none.
        seen : array of bool, shape (N,)
            Which boxes may be on the image, in part or around it.
        """
        target = self.world.vectors(world)
        near = self._may_see(target)
        seen = np.zeros(len(start), bool)
        if len(start):
            sizes = np.diff(start, append=count)
            seen = np.logical_or.reduceat(near[:count], start)
            seen |= self._is_surrounded(target[:, :count], start, sizes)
            near[:count] = np.repeat(seen, sizes) & np.isfinite(target[:, :count]).all(0)
        return *self._find(world, target, near), seen

    def _find(self, world, target, near, accuracy=ACCURACY, maxiter=MAXITER):
        x, y = np.full((2, target.shape[1]), np.nan)
        here = np.flatnonzero(near)
        if here.size:
            flat = [w[here] for w in world]
            x[here], y[here] = self._invert(flat, target[:, here], accuracy, maxiter)
        return x, y

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
        Square root of `pixel_area`, in degrees on the sky.

        Parameters
        ----------
        x, y : array of shape (N,)
            0-based pixel positions.
        """
        return np.sqrt(self.pixel_area(x, y))

    def _invert(self, world, target, accuracy, maxiter):
        options = {
            "accuracy": accuracy,
            "maxiter": maxiter,
            "max_step": self._reach,
            # World values are rounded; no step gets below that.
            "close": _ROUNDING if self.world.is_sky else 0.0,
        }
        guess = self.transform.guess(*world)
        x, y = self._nearest_node(target) if guess is None else guess
        near = self._near_inverse(x, y)
        x, y, closed = newton(self._forward, target, x, y, near=near, **options)
        closed &= self._is_unfolded(x, y)
        if not closed.all() and guess is not None:
            again = np.flatnonzero(~closed)
            start = self._nearest_node(target[:, again])
            u, v, closed[again] = newton(self._forward, target[:, again], *start, **options)
            closed[again] &= self._is_unfolded(u, v)
            x[again], y[again] = u, v
        x[~closed] = y[~closed] = np.nan
        return x, y

    def _near_inverse(self, x, y):
        """Pseudo-inverse at the nearest nodes, `None` where it differs too much among nodes."""
        if self._node_inverse is None:
            return None
        ny, nx = self._shape
        at, there = np.zeros(x.shape, np.intp), np.ones(x.shape, bool)
        for p, n, stride in ((x, nx, 1), (y, ny, _GRID)):
            step = ((p + 0.5) / n + _MARGIN) * (_GRID - 1) / (1 + 2 * _MARGIN)
            there &= (step > -0.5) & (step < _GRID - 0.5)
            at += stride * np.rint(np.where(there, step, 0)).astype(np.intp)
        inverse, size = self._node_inverse
        return inverse[..., at], np.where(there, size[at], np.nan)

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
        return float(max(*self._shape, 100))

    @cached_property
    def _all_nodes(self):
        """
        Nodes over the image, a tenth beyond its edges.

        x and y, points, derivatives, the sign of the orientation, and where it
        is that of the image.
        """
        ny, nx = self._shape
        x, y = np.meshgrid(
            np.linspace(-_MARGIN * nx - 0.5, (1 + _MARGIN) * nx - 0.5, _GRID),
            np.linspace(-_MARGIN * ny - 0.5, (1 + _MARGIN) * ny - 0.5, _GRID),
        )
        x, y = x.ravel(), y.ravel()
        points = self._forward(x, y)
        derivatives = jacobian(self._forward, x, y, points)
        sides = np.sign(self._orientation(points, derivatives))
        side = 1.0 if np.nansum(sides) >= 0 else -1.0
        good = np.isfinite(points).all(0) & np.isfinite(sides) & (sides == side)
        return x, y, points, derivatives, side, good

    @cached_property
    def _grid(self):
        """X and y, points and derivatives of the nodes at which the image is not folded."""
        x, y, points, derivatives, _, good = self._all_nodes
        return x[good], y[good], points[:, good], derivatives[..., good]

    @cached_property
    def _node_inverse(self):
        """Pseudo-inverse at all nodes, NaN where it is no good; `None` if it changes fast."""
        *_, derivatives, _, good = self._all_nodes
        nodes = np.where(good, derivatives, np.nan)
        table = nodes.reshape(*nodes.shape[:2], _GRID, _GRID)
        largest = np.nanmax(np.abs(nodes), initial=0.0)
        change = max(np.nanmax(np.abs(np.diff(table, axis=k)), initial=0.0) for k in (2, 3))
        smooth = good.any() and change <= _SMOOTH * largest
        return pseudo_inverse(nodes) if smooth else None

    @property
    def _side(self) -> float:
        return self._all_nodes[4]

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
        reach = _REACH
        if not self._all_nodes[5].all():
            # The image ends somewhere between a node that is good and one that is not.
            reach += 2 * (1 + 2 * _MARGIN) * max(self._shape) / (_GRID - 1)
        radius = 1.25 * np.arccos(np.clip(center @ points, -1, 1)).max() + reach * self._scales[1]
        few = points.shape[1] < _GRID
        return center, -1.0 if few else np.cos(min(radius, np.pi))

    def _may_see(self, target) -> np.ndarray:
        """Whether points of the world can lie on the image or near it."""
        good = np.isfinite(target).all(0)
        if not self.world.is_sky or self.transform.shape is None or not self._grid[0].size:
            return good
        center, cosine = self._cone
        return good & (center @ target >= cosine)

    def _is_surrounded(self, target, start, sizes) -> np.ndarray:
        """Whether boxes can have the image inside, given points around them."""
        if not self.world.is_sky or self.transform.shape is None or not self._grid[0].size:
            return np.zeros(len(start), bool)
        center = np.add.reduceat(target, start, axis=1)
        center /= np.maximum(np.linalg.norm(center, axis=0), _ROUNDING)
        cosine = (target * np.repeat(center, sizes, axis=1)).sum(0)
        return self._cone[0] @ center >= np.minimum.reduceat(cosine, start)

    def _nearest_node(self, target):
        """Positions of the nodes that are nearest to points of the world."""
        x, y, *_ = self._grid
        if not x.size:
            return np.full((2, target.shape[1]), np.nan)
        _, nearest = self._tree.query(target.T)
        return x[nearest], y[nearest]

    @cached_property
    def _tree(self):
        from scipy.spatial import KDTree

        return KDTree(self._grid[2].T)
