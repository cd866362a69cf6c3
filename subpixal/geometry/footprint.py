"""Region of the sky that an image can cover, for a fast rejection of far positions."""

from __future__ import annotations

import numpy as np

from .array_types import BoolArray, FloatArray, IntArray

__all__ = ["Footprint"]

# Pixels; single positions at most this far off the image are inverted.
REACH = 256

# Safety factor of radius and reach, because the image may bulge between control points.
CAP_MARGIN = 1.25

# With fewer control points, the extent of the image is unknown.
MIN_POINTS = 17

# Shorter vectors count as zero when they are normalized.
TINY = 1e-15


class Footprint:
    """
    Region of the sky that an image and its surroundings can cover.

    The region is the intersection of a cap and of a rectangle. The cap is centered on the control
    points. The rectangle is aligned with the pixels and excludes most of the cap around an oblong
    image. The rectangle lies in a plane, so that only images smaller than a hemisphere have one.

    Parameters
    ----------
    points : array of shape (3, K)
        Unit vectors of the good control points.
    derivatives : array of shape (2, 3, K)
        Derivatives of the points by x and by y.
    axes : array of shape (2, 3)
        Pseudo-inverse of the mean of the derivatives.
    spacing : array of shape (2,)
        Pixels between two control points, along x and y.
    covered : array of shape (2,)
        Pixels that the control points extend beyond the image, along x and y; negative if
        control points are missing.
    """

    def __init__(
        self,
        points: FloatArray,
        derivatives: FloatArray,
        axes: FloatArray,
        spacing: FloatArray,
        covered: FloatArray,
    ) -> None:
        self._covered = covered
        self._has_rectangle = bool(np.isfinite(axes).all())
        self.center = np.array([0.0, 0.0, 1.0])
        self._radius = np.pi
        self._pixel_angle = 0.0
        if points.shape[1] >= MIN_POINTS:
            center = points.mean(1)
            self.center = center / max(np.linalg.norm(center), TINY)
            self._radius = CAP_MARGIN * np.arccos(np.clip(self.center @ points, -1, 1)).max()
            # An upper limit of the angle of a pixel, along the diagonal and for skewed pixels, too.
            self._pixel_angle = np.sqrt((derivatives**2).sum((0, 1)).max())
        if self._has_rectangle:
            self._axes = axes
            pixels = np.einsum("km,jmn->kjn", axes, derivatives)
            self._stretch = np.abs(pixels)
            # Between control points, the image bulges as far as the derivatives change.
            self._bulge = (np.ptp(pixels, axis=2) * spacing).sum(1) / 8
            along_axes = axes @ points
            self._low, self._high = along_axes.min(1), along_axes.max(1)

    def may_overlap(self, target: FloatArray) -> BoolArray:
        """Return `True` for unit vectors of shape (3, N) that may be on the image or near it."""
        return np.asarray(self.center @ target >= self._min_cosine(REACH))

    def boxes_may_overlap(self, target: FloatArray, start: IntArray, reach: float) -> BoolArray:
        """
        Return `True` for boxes that may overlap or contain the image and its surroundings.

        Boxes are compared in three coordinates of the sky. Two are along the axes of the pixels,
        the third is along the center of the image. A box with all its edges on the opposite
        hemisphere does not count as a box around the image.

        Parameters
        ----------
        target : array of shape (3, P)
            Unit vectors of points around the boxes, one box after the other.
        start : array of int, shape (N,)
            Index of the first point of each box.
        reach : float
            Distance from the image, in pixels, up to which boxes count.

        Returns
        -------
        array of bool, shape (N,)
        """
        axes, low, high = self._limits(reach)
        coordinates = axes @ target
        least = np.fmin.reduceat(coordinates, start, axis=1)
        most = np.fmax.reduceat(coordinates, start, axis=1)
        # An edge bulges at most this much between two of the points.
        bulge = (most - least) / 2
        return np.asarray(((least - bulge <= high) & (most + bulge >= low)).all(0))

    def _limits(self, reach: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return three axes, and the least and the largest coordinates of the region along them."""
        cosine = self._min_cosine(reach)
        axes = np.array([self.center] * 3)
        low = np.full((3, 1), -np.inf)
        high = np.full((3, 1), np.inf)
        low[2] = min(cosine, 0.0)
        # A plane cannot separate a region that is larger than a hemisphere.
        if cosine > 0 and self._has_rectangle:
            axes[:2] = self._axes
            extension = (self._stretch * self._beyond(reach)[:, None]).sum(1).max(1) + self._bulge
            low[:2, 0] = self._low - extension
            high[:2, 0] = self._high + extension
        return axes, low, high

    def _min_cosine(self, reach: float) -> float:
        """Return the cosine of the radius of the cap around the image and its surroundings."""
        radius = self._radius + self._beyond(reach).max() * self._pixel_angle
        return float(np.cos(radius)) if radius < np.pi else -np.inf

    def _beyond(self, reach: float) -> FloatArray:
        """Return the pixels from the control points to the edge of the region, along x and y."""
        return np.maximum(CAP_MARGIN * reach - self._covered, 0.0)
