"""What an image looks at, known at nodes over it.

The nodes say where on the sky the image is, where to start a search, what the
derivatives are there, and on which side of a fold the image lies.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .inverse import Forward, pseudo_inverse, tangents
from .polynomial import Polynomial

__all__ = ["Nodes"]

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

# Lengths that are none, where a direction is wanted.
TINY = 1e-15


class Nodes:
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
        self._forward, self._shape, self._is_sky = forward, shape, is_sky
        ny, nx = shape
        x, y = np.meshgrid(
            np.linspace(-MARGIN * nx - 0.5, (1 + MARGIN) * nx - 0.5, COUNT),
            np.linspace(-MARGIN * ny - 0.5, (1 + MARGIN) * ny - 0.5, COUNT),
        )
        x, y = x.ravel(), y.ravel()
        points, derivatives = tangents(forward, x, y)
        sides = np.sign(self._orientation(points, derivatives))
        self._side = 1.0 if np.nansum(sides) >= 0 else -1.0
        self._good = good = np.isfinite(points).all(0) & (sides == self._side)
        self.x, self.y, self.points = x[good], y[good], points[:, good]
        self.derivatives = derivatives[..., good]

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
        mean = self.derivatives.mean(-1, keepdims=True)
        inverse, size = pseudo_inverse(mean)
        # In pixels, as the axes may have other units and pixels need not be square.
        change = np.einsum("km,jmn->kjn", inverse[..., 0], self.derivatives - mean)
        if not np.abs(change).max() <= SMOOTH:
            return None
        return inverse[..., 0], float(size[0])

    # What is on the image

    def is_unfolded(self, x, y) -> np.ndarray:
        """
        Whether positions are on the branch of the transform that the image is on.

        A polynomial folds over somewhere off the image, and from there on
        repeats what is on the image or near it. Where it does its derivatives
        change orientation on the way from the image.

        Parameters
        ----------
        x, y : array of shape (N,)

        Returns
        -------
        array of bool, shape (N,)
        """
        ny, nx = self._shape
        near_x, near_y = np.clip(x, -0.5, nx - 0.5), np.clip(y, -0.5, ny - 0.5)
        off = np.flatnonzero(np.isfinite(x) & ((near_x != x) | (near_y != y)))
        unfolded = np.ones(x.shape, bool)
        if off.size:
            way = np.linspace(0, 1, STOPS + 1)[1:, None]
            u = (near_x[off] + way * (x - near_x)[off]).ravel()
            v = (near_y[off] + way * (y - near_y)[off]).ravel()
            side = self._orientation(*tangents(self._forward, u, v))
            unfolded[off] = ~(side * self._side < 0).reshape(STOPS, -1).any(0)
        return unfolded

    def _orientation(self, points, derivatives):
        """Positive or negative: whether the transform mirrors; NaN where it is undefined."""
        jx, jy = derivatives
        if self._is_sky:
            return (points * np.cross(jx, jy, axis=0)).sum(0)
        return jx[0] * jy[1] - jx[1] * jy[0] if len(points) == 2 else np.ones(len(points.T))

    def may_see(self, target: np.ndarray) -> np.ndarray:
        """Whether unit vectors of shape (3, N) can be on the image or near it."""
        center, cosine = self._cap
        return center @ target >= cosine

    def is_surrounded(self, target, start, sizes) -> np.ndarray:
        """
        Whether boxes can have the image inside.

        Parameters
        ----------
        target : array of shape (3, P)
            Unit vectors of points around the boxes, one box after the other.
        start, sizes : array of int, shape (N,)
            Where the points of each box begin, and how many there are.

        Returns
        -------
        array of bool, shape (N,)
        """
        center = np.add.reduceat(target, start, axis=1)
        center /= np.maximum(np.linalg.norm(center, axis=0), TINY)
        cosine = (target * np.repeat(center, sizes, axis=1)).sum(0)
        return self._cap[0] @ center >= np.minimum.reduceat(cosine, start)

    @cached_property
    def _cap(self) -> tuple[np.ndarray, float]:
        """Centre of a cap of the sky around the image, and the cosine of its radius."""
        # A few nodes do not tell where the image ends.
        if len(self.x) < COUNT:
            return np.array([0.0, 0.0, 1.0]), -np.inf
        center = self.points.mean(1)
        center /= max(np.linalg.norm(center), TINY)
        reach = REACH
        if not self._good.all():
            # The image ends somewhere between a node that is good and one that is not.
            reach += 2 * (1 + 2 * MARGIN) * max(self._shape) / (COUNT - 1)
        radius = BULGE * np.arccos(np.clip(center @ self.points, -1, 1)).max()
        radius += reach * self._largest_scale
        return center, float(np.cos(radius)) if radius < np.pi else -np.inf

    @property
    def _largest_scale(self) -> float:
        """Largest angle between neighbouring pixels in radians."""
        # The larger singular value, as the derivatives need not be perpendicular.
        jx, jy = self.derivatives
        a, b, c = ((u * v).sum(0) for u, v in ((jx, jx), (jx, jy), (jy, jy)))
        return float(np.sqrt((a + c + np.hypot(a - c, 2 * b)).max() / 2))
