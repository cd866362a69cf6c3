"""
Control points: pixel positions on a coarse grid over an image, and their sky positions.

A search for pixel positions takes start positions and derivatives from the control points. The
control points also show the region of the sky that the image covers. A distortion polynomial can
fold over and give the same sky position for several pixel positions. The control points then show
on which side of the fold the image lies.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from .array_types import BoolArray, FloatArray, Forward
from .chebyshev import Polynomial
from .footprint import Footprint
from .newton import pseudo_inverse, tangents

__all__ = ["ControlPoints"]

# Number of control points along each axis.
COUNT = 17

# The grid extends beyond each edge by this fraction of the size of the image.
MARGIN = 0.1

# Largest difference of local derivatives from their mean, in pixels per pixel. If no difference is
# larger, steps anywhere on the image can use the mean.
MAX_DEVIATION = 0.2

# To find a fold between the image and a position off the image, test this number of points on the
# straight line between them.
FOLD_CHECKS = 4

# If all control points are good, positions within this fraction of the margin need no test for
# folds, because a fold between two control points cannot extend far.
UNFOLDED_FRACTION = 0.8

# Tolerance of the test that cached control points still agree with the WCS. Rounding errors are
# smaller.
CACHE_TOLERANCE = 1e-12

# Cache of control points by WCS. Without the cache, it would take longer to make control points
# than to map a source.
_CACHE: WeakKeyDictionary[Any, dict[tuple[Any, ...], ControlPoints]] = WeakKeyDictionary()


class ControlPoints:
    """
    A grid of control points over an image and its surroundings.

    The grid extends beyond each edge by a tenth of the size of the image.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` takes pixel positions of shape (N,) and returns points of shape (M, N).
        The points are unit vectors if the world is the sky, and world values otherwise.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    is_sky : bool
        `True` if the points are unit vectors on the sky.

    Attributes
    ----------
    x, y : array of shape (K,)
        Pixel positions of the good control points. A control point is good if the transform has a
        finite value there and is not folded over.
    points : array of shape (M, K)
        Values of the forward function at the good control points.
    derivatives : array of shape (2, M, K)
        Derivatives of the points by x and by y, at the good control points.
    """

    def __init__(self, forward: Forward, shape: tuple[int, int], *, is_sky: bool) -> None:
        self._size = np.array(shape[::-1])
        self._is_sky = is_sky
        ny, nx = shape
        fraction = np.linspace(-MARGIN, 1 + MARGIN, COUNT)
        x = np.tile(fraction * nx - 0.5, COUNT)
        y = np.repeat(fraction * ny - 0.5, COUNT)
        points, derivatives = tangents(forward, x, y)
        self._all = x, y, points
        sides = np.sign(self._orientation(points, derivatives))
        self._side = 1.0 if np.nansum(sides) >= 0 else -1.0
        good = np.isfinite(points).all(0) & (sides == self._side)
        self._all_good = bool(good.all())
        self.x = x[good]
        self.y = y[good]
        self.points = points[:, good]
        self.derivatives = derivatives[..., good]

    @classmethod
    def from_wcs(
        cls, wcs: Any, forward: Forward, shape: tuple[int, int], *, is_sky: bool
    ) -> ControlPoints:
        """
        Return the control points of an image.

        The control points come from a cache if the WCS is in the cache and has not changed.

        Parameters
        ----------
        wcs : object
            The WCS that ``forward`` evaluates.
        forward, shape, is_sky
            As for `ControlPoints`.
        """
        try:
            cached = _CACHE.setdefault(wcs, {})
        except TypeError:
            # A WCS of another library may not be hashable. Do not cache its control points.
            cached = {}
        control_points = cached.get((shape, is_sky))
        if control_points is None or not control_points._agree_with(forward):
            control_points = cached[shape, is_sky] = cls(forward, shape, is_sky=is_sky)
        return control_points

    def _agree_with(self, forward: Forward) -> bool:
        """Return `True` if a forward function still gives the same points as before."""
        # Compare all points, good or not, because a change of the WCS can leave a whole line of
        # points in place.
        x, y, expected = self._all
        points = forward(x, y)
        return expected.shape == points.shape and np.allclose(
            points, expected, rtol=CACHE_TOLERANCE, atol=CACHE_TOLERANCE, equal_nan=True
        )

    # Start of a search

    def estimate(self, target: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """
        Return approximate pixel positions of points, from polynomials fitted to the control points.

        Parameters
        ----------
        target : array of shape (M, N)
            The points.

        Returns
        -------
        x, y : array of shape (N,)
            Pixel positions; NaN for points outside the region of the control points. If no
            polynomial fits, the result is `None` instead of a tuple.
        """
        return None if self._polynomial is None else self._polynomial(target)

    @cached_property
    def _polynomial(self) -> Polynomial | None:
        if len(self.x) < COUNT**2 / 2:
            return None
        return Polynomial.fit(self.points, self.x, self.y, one_side=self._is_sky)

    def nearest(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the pixel positions of the nearest good control points, or NaN without any."""
        if not self.x.size:
            x, y = np.full((2, target.shape[1]), np.nan)
            return x, y
        _, index = self._tree.query(target.T)
        return self.x[index], self.y[index]

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import KDTree

        return KDTree(self.points.T)

    @cached_property
    def common_inverse(self) -> tuple[FloatArray, float] | None:
        """
        Pseudo-inverse of the mean derivatives, for steps anywhere on the image.

        The value is a pair as from `pseudo_inverse`, for one point: an array of shape (2, M) and a
        number. The value is `None` if the derivatives vary too much over the image.
        """
        if not self.x.size:
            return None
        axes, length = self._mean_inverse
        # Compare derivatives in units of pixels, because world axes can have different units, and
        # pixels need not be square.
        pixels = np.einsum("km,jmn->kjn", axes, self.derivatives)
        deviation = np.abs(pixels - np.eye(2)[..., None]).max()
        return (axes, length) if deviation <= MAX_DEVIATION else None

    @cached_property
    def _mean_inverse(self) -> tuple[FloatArray, float]:
        """Pseudo-inverse of the mean derivatives, or NaN without good control points."""
        if not self.x.size:
            return np.full((2, len(self.points)), np.nan), np.nan
        inverse, length = pseudo_inverse(self.derivatives.mean(-1, keepdims=True))
        return inverse[..., 0], float(length[0])

    # Extent of the image

    @cached_property
    def footprint(self) -> Footprint:
        """Region of the sky that the image can cover; the points must be unit vectors."""
        spacing = (1 + 2 * MARGIN) * self._size / (COUNT - 1)
        # If some control points are bad, the outermost good ones may lie inside the image.
        covered = MARGIN * self._size if self._all_good else -2 * spacing
        axes, _ = self._mean_inverse
        return Footprint(self.points, self.derivatives, axes, spacing, covered)

    def is_unfolded(self, forward: Forward, x: FloatArray, y: FloatArray) -> BoolArray:
        """
        Return `True` for positions on the same branch of the transform as the image.

        A distortion polynomial folds over somewhere off the image. Beyond the fold, it gives the
        same sky positions as on the image or near the image. At the fold, the orientation of the
        derivatives changes.

        Parameters
        ----------
        forward : callable
            As for `ControlPoints`.
        x, y : array of shape (N,)
            Pixel positions.

        Returns
        -------
        array of bool, shape (N,)
        """
        nx, ny = self._size
        dx, dy = self._size * (UNFOLDED_FRACTION * MARGIN if self._all_good else 0.0)
        near_x = np.clip(x, -0.5 - dx, nx - 0.5 + dx)
        near_y = np.clip(y, -0.5 - dy, ny - 0.5 + dy)
        off_image = np.flatnonzero(np.isfinite(x) & ((near_x != x) | (near_y != y)))
        unfolded = np.ones(x.shape, bool)
        if off_image.size:
            fraction = np.linspace(0, 1, FOLD_CHECKS + 1)[1:, None]
            u = (near_x[off_image] + fraction * (x - near_x)[off_image]).ravel()
            v = (near_y[off_image] + fraction * (y - near_y)[off_image]).ravel()
            side = self._orientation(*tangents(forward, u, v))
            unfolded[off_image] = ~(side * self._side < 0).reshape(FOLD_CHECKS, -1).any(0)
        return unfolded

    def _orientation(self, points: FloatArray, derivatives: FloatArray) -> FloatArray:
        """Return a number for each point; the sign is the orientation of the two derivatives."""
        jx, jy = derivatives
        if self._is_sky:
            return (points * np.cross(jx, jy, axis=0)).sum(0)
        if len(points) == 2:
            return jx[0] * jy[1] - jx[1] * jy[0]
        # Two derivatives have no orientation in more than two dimensions.
        return np.ones(points.shape[1])
