"""What an image looks at, known at nodes over it.

The nodes say where on the sky the image is, where to start a search, what the
derivatives are there, and on which side of a fold the image lies.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .inverse import Forward, pseudo_inverse, tangents

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

# Degree of the polynomial that searches start from, how far it reaches (1: as far as the
# nodes), and how many pixels it may be off.
DEGREE = 10
AWAY = 1.02
USEFUL = 1.0

# Points that it is evaluated at in one go.
CHUNK = 2048

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
        if self._polynomial is None:
            return None
        found = np.empty((2, target.shape[1]))
        # In pieces that stay in the cache, and for which BLAS starts no threads.
        for begin in range(0, target.shape[1], CHUNK):
            piece = slice(begin, begin + CHUNK)
            found[:, piece] = self._evaluate(target[:, piece])
        return tuple(found)

    def _evaluate(self, target) -> np.ndarray:
        """The polynomial at points, NaN away from the nodes."""
        middle, linear, coefficients = self._polynomial
        a, b = linear @ (target - middle)
        with np.errstate(invalid="ignore"):
            away = ~((np.abs(a) < AWAY) & (np.abs(b) < AWAY))
        if self._is_sky:
            # The other half of the sky is behind.
            away |= (middle * target).sum(0) <= 0
        a[away] = b[away] = 0.0
        along_a, along_b = _chebyshev(a), _chebyshev(b)
        found = np.stack([np.einsum("kn,kn->n", c @ along_b, along_a) for c in coefficients])
        found[:, away] = np.nan
        return found

    @cached_property
    def _polynomial(self) -> tuple[np.ndarray, ...] | None:
        """
        What turns points into pixel positions.

        A linear map to coordinates a, b that are -1 and 1 about where the nodes end,
        and Chebyshev polynomials in these, by least squares.
        """
        if len(self.x) < COUNT**2 / 2:
            return None
        middle = self.points.mean(1)[:, None]
        around = self.points - middle
        # The surface that the points are on is flat enough for two axes.
        axes = np.linalg.eigh(around @ around.T)[1][:, :-3:-1].T
        flat = axes @ around
        pixels = np.stack([self.x, self.y])
        center, half = pixels.mean(1)[:, None], np.ptp(pixels, axis=1)[:, None] / 2
        try:
            linear = (pixels - center) / half @ flat.T @ np.linalg.inv(flat @ flat.T)
        except np.linalg.LinAlgError:
            return None
        a, b = linear @ flat
        i, j = np.array([(i, j) for i in range(DEGREE + 1) for j in range(DEGREE + 1 - i)]).T
        design = _chebyshev(a)[i] * _chebyshev(b)[j]
        # Not by BLAS, whose threads cost more than they gain on anything so small.
        normal = np.einsum("in,jn->ij", design, design)
        try:
            found = np.linalg.solve(normal, design @ pixels.T).T
        except np.linalg.LinAlgError:
            return None
        if not np.abs(found @ design - pixels).max() < USEFUL:
            return None
        coefficients = np.zeros((2, DEGREE + 1, DEGREE + 1))
        coefficients[:, i, j] = found
        return middle, linear @ axes, coefficients

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


def _chebyshev(t: np.ndarray) -> np.ndarray:
    """Chebyshev polynomials of arrays of shape (N,), of shape (degree + 1, N)."""
    values = np.empty((DEGREE + 1, len(t)))
    values[0], values[1] = 1.0, t
    for k in range(2, DEGREE + 1):
        np.multiply(2 * t, values[k - 1], out=values[k])
        values[k] -= values[k - 2]
    return values
