"""
Sky positions of an image on a coarse grid of control points.

They provide the first guess of a search, the derivatives there, the footprint of the image, and the
side of a fold on which the image lies.
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

# Sizes of the image; the grid extends this far beyond each edge.
MARGIN = 0.1

# Pixels; if derivatives differ more than this from their mean, steps do not use the mean.
MAX_DEVIATION = 0.2

# Number of points, on the way from the image to a position off it, that are tested for folds.
FOLD_CHECKS = 4

# If all control points are good, positions within this fraction of the margin need no search for
# folds, because a fold between two control points does not extend far.
UNFOLDED_FRACTION = 0.8

# Tolerance of the check that cached control points still match the WCS; rounding stays below.
CACHE_TOLERANCE = 1e-12

# Control points by WCS. The cache exists because making them costs more than mapping a source.
_CACHE: WeakKeyDictionary[Any, dict[tuple[Any, ...], ControlPoints]] = WeakKeyDictionary()


class ControlPoints:
    """
    Control points over an image and up to a tenth of its size beyond the edges.

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
        Pixel positions of the good control points: those at which the transform is defined and
        not folded over.
    points : array of shape (M, K)
        Values of the forward function at the good control points.
    derivatives : array of shape (2, M, K)
        Derivatives of the points by x and by y.
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
        Return the control points of an image, from a cache unless the WCS has changed.

        Parameters
        ----------
        wcs : object
            The WCS of the forward function.
        forward, shape, is_sky
            See the class.
        """
        try:
            cached = _CACHE.setdefault(wcs, {})
        except TypeError:
            # WCSs of other libraries need not be hashable.
            cached = {}
        control_points = cached.get((shape, is_sky))
        if control_points is None or not control_points._agree_with(forward):
            control_points = cached[shape, is_sky] = cls(forward, shape, is_sky=is_sky)
        return control_points

    def _agree_with(self, forward: Forward) -> bool:
        """Return `True` if all points, good or not, agree with a forward function."""
        # Compare all points, because a change of the WCS can leave a whole line of them in place.
        x, y, expected = self._all
        points = forward(x, y)
        return expected.shape == points.shape and np.allclose(
            points, expected, rtol=CACHE_TOLERANCE, atol=CACHE_TOLERANCE, equal_nan=True
        )

    # Start of a search

    def estimate(self, target: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """
        Return pixel positions of points from a polynomial through the control points.

        Parameters
        ----------
        target : array of shape (M, N)

        Returns
        -------
        x, y : array of shape (N,)
            NaN away from the control points. `None` instead of a tuple if no polynomial fits.
        """
        return None if self._polynomial is None else self._polynomial(target)

    @cached_property
    def _polynomial(self) -> Polynomial | None:
        if len(self.x) < COUNT**2 / 2:
            return None
        return Polynomial.fit(self.points, self.x, self.y, one_side=self._is_sky)

    def nearest(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the pixel positions of the nearest control points; NaN if there are none."""
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
        Pseudo-inverse of the mean of the derivatives, for steps anywhere on the image.

        As `pseudo_inverse` returns it, of shape (2, M) and a number; `None` if the derivatives
        differ too much.
        """
        if not self.x.size:
            return None
        axes, length = self._mean_inverse
        # Compare in pixels, because the axes may have other units and pixels need not be square.
        pixels = np.einsum("km,jmn->kjn", axes, self.derivatives)
        deviation = np.abs(pixels - np.eye(2)[..., None]).max()
        return (axes, length) if deviation <= MAX_DEVIATION else None

    @cached_property
    def _mean_inverse(self) -> tuple[FloatArray, float]:
        """Pseudo-inverse of the mean of the derivatives; NaN without control points."""
        if not self.x.size:
            return np.full((2, len(self.points)), np.nan), np.nan
        inverse, length = pseudo_inverse(self.derivatives.mean(-1, keepdims=True))
        return inverse[..., 0], float(length[0])

    # Extent of the image

    @cached_property
    def footprint(self) -> Footprint:
        """Region of the sky that the image can cover; only for points on the sky."""
        spacing = (1 + 2 * MARGIN) * self._size / (COUNT - 1)
        # The image ends somewhere between a good control point and a bad one.
        covered = MARGIN * self._size if self._all_good else -2 * spacing
        axes, _ = self._mean_inverse
        return Footprint(self.points, self.derivatives, axes, spacing, covered)

    def is_unfolded(self, forward: Forward, x: FloatArray, y: FloatArray) -> BoolArray:
        """
        Return `True` for positions on the same branch of the transform as the image.

        A polynomial folds over somewhere off the image. Beyond the fold, it repeats sky positions
        that are on the image or near it. At the fold, the orientation of its derivatives changes.

        Parameters
        ----------
        forward : callable
            See the class.
        x, y : array of shape (N,)

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
        """Return a number for each point, which is negative if x and y are mirrored there."""
        jx, jy = derivatives
        if self._is_sky:
            return (points * np.cross(jx, jy, axis=0)).sum(0)
        if len(points) == 2:
            return jx[0] * jy[1] - jx[1] * jy[0]
        # More dimensions have no orientation.
        return np.ones(points.shape[1])
