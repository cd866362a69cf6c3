"""What an image looks at, known at nodes over it.

The nodes say where on the sky the image is, where to start a search, what the
derivatives are there, and on which side of a fold the image lies.
"""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from .chebyshev import Polynomial
from .newton import Forward, pseudo_inverse, tangents

__all__ = ["ControlPoints"]

# Nodes along each axis.
COUNT = 17

# How far they reach beyond the image, in sizes of the image.
MARGIN = 0.1

# How far off an image positions are still looked for, in pixels.
REACH = 256

# What the cap around an image is larger than the nodes, for bulges between them.
BULGE = 1.25

# How much derivatives may differ from their mean for it to serve everywhere.
SMOOTH = 0.2

# Points between the image and a position off it, at which it is checked for folds.
STOPS = 4

# The part of the margin in which there is no fold where all nodes are good: one that comes in
# between two of them does not come in far.
UNFOLDED = 0.8

# Lengths that are none, where a direction is wanted.
TINY = 1e-15

# How much where a node looks may differ in a WCS that has not changed: by rounding.
SAME = 1e-12

# Nodes of WCSs as long as these live: to make them costs more than to map a source.
_MADE = WeakKeyDictionary()


class ControlPoints:
    """
    Nodes over an image, a tenth of its size beyond its edges.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` takes pixel positions of shape (N,) and returns points
        of shape (M, N): unit vectors on the sky, world values otherwise.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    is_sky : bool
        Whether the points are unit vectors.

    Attributes
    ----------
    x, y : array of shape (K,)
        Pixel positions of the good nodes: those where the transform is defined
        and not folded over.
    points : array of shape (M, K)
        Where they look.
    derivatives : array of shape (2, M, K)
        By x and by y.
    """

    def __init__(self, forward: Forward, shape: tuple[int, int], *, is_sky: bool) -> None:
        self._shape, self._is_sky = shape, is_sky
        ny, nx = shape
        along = np.linspace(-MARGIN, 1 + MARGIN, COUNT)
        x, y = np.tile(along * nx - 0.5, COUNT), np.repeat(along * ny - 0.5, COUNT)
        points, derivatives = tangents(forward, x, y)
        self._all = x, y, points
        sides = np.sign(self._orientation(points, derivatives))
        self._side = 1.0 if np.nansum(sides) >= 0 else -1.0
        self._good = good = np.isfinite(points).all(0) & (sides == self._side)
        self.x, self.y, self.points = x[good], y[good], points[:, good]
        self.derivatives = derivatives[..., good]

    @classmethod
    def of(cls, wcs, forward: Forward, shape: tuple[int, int], *, is_sky: bool) -> ControlPoints:
        """
        Nodes of an image, those that its WCS has already unless it has changed since.

        Parameters
        ----------
        wcs : object
            What the forward function belongs to.
        forward, shape, is_sky
            See the class.
        """
        try:
            made = _MADE.setdefault(wcs, {})
        except TypeError:
            # A WCS of somebody's own need not be hashable.
            made = {}
        nodes = made.get((shape, is_sky))
        if nodes is None or not nodes._agree_with(forward):
            nodes = made[shape, is_sky] = cls(forward, shape, is_sky=is_sky)
        return nodes

    def _agree_with(self, forward) -> bool:
        """Whether all of them, good or not, look where a forward function says."""
        # A few would not do: there are changes that leave a line as it is.
        x, y, known = self._all
        found = forward(x, y)
        return known.shape == found.shape and np.allclose(
            found, known, rtol=SAME, atol=SAME, equal_nan=True
        )

    # Where to start

    def estimate(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """
        Pixel positions of points, by a polynomial through the nodes.

        Parameters
        ----------
        target : array of shape (M, N)

        Returns
        -------
        x, y : array of shape (N,)
            NaN away from the nodes; `None` where no polynomial is any good.
        """
        return None if self._polynomial is None else self._polynomial(target)

    @cached_property
    def _polynomial(self) -> Polynomial | None:
        if len(self.x) < COUNT**2 / 2:
            return None
        return Polynomial.fit(self.points, self.x, self.y, one_side=self._is_sky)

    def nearest(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel positions of the nodes that are nearest to points; NaN if there are none."""
        if not self.x.size:
            return tuple(np.full((2, target.shape[1]), np.nan))
        _, nearest = self._tree.query(target.T)
        return self.x[nearest], self.y[nearest]

    @cached_property
    def _tree(self):
        from scipy.spatial import KDTree

        return KDTree(self.points.T)

    @cached_property
    def inverse(self) -> tuple[np.ndarray, float] | None:
        """
        Pseudo-inverse of the derivatives, for steps on all of the image.

        As `pseudo_inverse` returns it, of shape (2, M) and a number; `None` if the
        derivatives differ too much from node to node.
        """
        if not self.x.size:
            return None
        inverse, size, pixels = self._mean_inverse
        # In pixels, as the axes may have other units and pixels need not be square.
        return (inverse, size) if np.abs(pixels - np.eye(2)[..., None]).max() <= SMOOTH else None

    @cached_property
    def _mean_inverse(self) -> tuple[np.ndarray, float, np.ndarray]:
        """Pseudo-inverse of the mean of the derivatives, and what it makes of each of them."""
        inverse, size = pseudo_inverse(self.derivatives.mean(-1, keepdims=True))
        inverse = inverse[..., 0]
        return inverse, float(size[0]), np.einsum("km,jmn->kjn", inverse, self.derivatives)

    # What is on the image

    def is_unfolded(self, forward: Forward, x, y) -> np.ndarray:
        """
        Whether positions are on the branch of the transform that the image is on.

        A polynomial folds over somewhere off the image, and from there on
        repeats what is on the image or near it. Where it does its derivatives
        change orientation on the way from the image.

        Parameters
        ----------
        forward : callable
            See the class.
        x, y : array of shape (N,)

        Returns
        -------
        array of bool, shape (N,)
        """
        ny, nx = self._shape
        dx, dy = np.array([nx, ny]) * (UNFOLDED * MARGIN if self._good.all() else 0.0)
        near_x = np.clip(x, -0.5 - dx, nx - 0.5 + dx)
        near_y = np.clip(y, -0.5 - dy, ny - 0.5 + dy)
        off = np.flatnonzero(np.isfinite(x) & ((near_x != x) | (near_y != y)))
        unfolded = np.ones(x.shape, bool)
        if off.size:
            way = np.linspace(0, 1, STOPS + 1)[1:, None]
            u = (near_x[off] + way * (x - near_x)[off]).ravel()
            v = (near_y[off] + way * (y - near_y)[off]).ravel()
            side = self._orientation(*tangents(forward, u, v))
            unfolded[off] = ~(side * self._side < 0).reshape(STOPS, -1).any(0)
        return unfolded

    def _orientation(self, points, derivatives):
        """Positive or negative: whether the transform mirrors; NaN where it is undefined."""
        jx, jy = derivatives
        if self._is_sky:
            return (points * np.cross(jx, jy, axis=0)).sum(0)
        return jx[0] * jy[1] - jx[1] * jy[0] if len(points) == 2 else np.ones(len(points.T))

    def may_overlap(self, target: np.ndarray) -> np.ndarray:
        """Whether unit vectors of shape (3, N) can be on the image or near it."""
        return self._cap[0] @ target >= self._cosine(REACH)

    def boxes_may_overlap(self, target: np.ndarray, start: np.ndarray, reach: float) -> np.ndarray:
        """
        Whether boxes can be on the image or near it, in part or around it.

        In three coordinates of the sky: two are about those of pixels, as far as the sky
        is a plane, the third is positive on the half that the image looks at. Edges that
        are all on the other half are not known to be around the image.

        Parameters
        ----------
        target : array of shape (3, P)
            Unit vectors of points around the boxes, one box after the other.
        start : array of int, shape (N,)
            Where the points of each box begin.
        reach : float
            How far off the image is near it, in pixels.

        Returns
        -------
        array of bool, shape (N,)
        """
        axes, low, high = self._limits(reach)
        at = axes @ target
        least, most = (end.reduceat(at, start, axis=1) for end in (np.fmin, np.fmax))
        # An edge does not bulge more than this between two of the points.
        bulge = (most - least) / 2
        return ((least - bulge <= high) & (most + bulge >= low)).all(0)

    def _limits(self, reach) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Three axes of the sky, and between what coordinates the image and what is near it is."""
        axes, cosine = np.array([self._cap[0]] * 3), self._cosine(reach)
        low, high = np.full((3, 1), -np.inf), np.full((3, 1), np.inf)
        low[2] = min(cosine, 0.0)
        # More than half of the sky is everywhere in a plane.
        if cosine > 0 and np.isfinite(self._mean_inverse[0]).all():
            axes[:2], _, pixels = self._mean_inverse
            at = axes[:2] @ self.points
            beyond = (np.abs(pixels) * self._beyond(reach)[:, None]).sum(1).max(1)
            # An image bulges between nodes as far as derivatives change from one to the next.
            beyond += (np.ptp(pixels, axis=2) * self._spacing).sum(1) / 8
            low[:2, 0], high[:2, 0] = at.min(1) - beyond, at.max(1) + beyond
        return axes, low, high

    @cached_property
    def _cap(self) -> tuple[np.ndarray, float, float]:
        """Centre and radius of a cap of the sky around the nodes, and how far pixels are apart."""
        # A few nodes do not tell where the image ends.
        if len(self.x) < COUNT:
            return np.array([0.0, 0.0, 1.0]), np.pi, 0.0
        center = self.points.mean(1)
        center /= max(np.linalg.norm(center), TINY)
        radius = BULGE * np.arccos(np.clip(center @ self.points, -1, 1)).max()
        # Along the diagonal, too, and where axes are not perpendicular.
        return center, radius, np.sqrt((self.derivatives**2).sum((0, 1)).max())

    def _cosine(self, reach) -> float:
        """Cosine of the radius of a cap around the image and what is near it."""
        _, radius, scale = self._cap
        radius += self._beyond(reach).max() * scale
        return float(np.cos(radius)) if radius < np.pi else -np.inf

    def _beyond(self, reach) -> np.ndarray:
        """Pixels that the image and what is near it go on beyond the good nodes, by x and y."""
        size = np.array(self._shape[::-1])
        if self._good.all():
            return np.maximum(BULGE * reach - MARGIN * size, 0.0)
        # The image ends somewhere between a node that is good and one that is not.
        return BULGE * reach + 2 * self._spacing

    @property
    def _spacing(self) -> np.ndarray:
        """Pixels between two nodes, by x and y."""
        return (1 + 2 * MARGIN) * np.array(self._shape[::-1]) / (COUNT - 1)
