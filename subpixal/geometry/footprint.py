"""Region of the sky that an image can cover, to reject positions far from the image quickly."""

from __future__ import annotations

import numpy as np

from .array_types import BoolArray, FloatArray, IntArray

__all__ = ["Footprint"]

# Single sky positions are converted to pixels if they may lie within this distance of the image, in
# pixels.
REACH = 256

# Safety factor for the radius of the cap and for the reach around the image, because the edges of
# the image may bulge between control points.
CAP_MARGIN = 1.25

# With fewer good control points, the extent of the image is unknown.
MIN_POINTS = 17

# Smallest divisor when a vector is normalized, to avoid a division by zero.
TINY = 1e-15


class Footprint:
    """
    Region of the sky that an image and its surroundings can cover.

    The region is the intersection of a cap and a rectangle. The cap is centered on the control
    points. The rectangle is aligned with the pixels of the image. If the image is oblong, the
    rectangle excludes most of the cap. Because the rectangle lies in a plane, only an image smaller
    than a hemisphere has a rectangle. For a larger image, the region is the whole cap.

    Parameters
    ----------
    points : array of shape (3, K)
        Unit vectors of the good control points.
    derivatives : array of shape (2, 3, K)
        Derivatives of the points by x and by y.
    axes : array of shape (2, 3)
        Pseudo-inverse of the mean derivatives.
    spacing : array of shape (2,)
        Distances between two control points along x and y, in pixels.
    covered : array of shape (2,)
        Distances along x and y, in pixels, by which the control points extend beyond the image. The
        values are negative if some control points are bad, because the good ones may then end
        inside the image.
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
            # Upper limit of the angle that a pixel covers in any direction, even if the pixel is
            # skewed.
            self._pixel_angle = np.sqrt((derivatives**2).sum((0, 1)).max())
        if self._has_rectangle:
            self._axes = axes
            pixels = np.einsum("km,jmn->kjn", axes, derivatives)
            self._stretch = np.abs(pixels)
            # The change of the derivatives limits how far the image bulges between control points.
            self._bulge = (np.ptp(pixels, axis=2) * spacing).sum(1) / 8
            along_axes = axes @ points
            self._low, self._high = along_axes.min(1), along_axes.max(1)

    def may_overlap(self, target: FloatArray) -> BoolArray:
        """Return `True` for unit vectors, of shape (3, N), that may be on or near the image."""
        return np.asarray(self.center @ target >= self._min_cosine(REACH))

    def boxes_may_overlap(self, target: FloatArray, start: IntArray, reach: float) -> BoolArray:
        """
        Return `True` for boxes that may overlap the image or its surroundings, or contain them.

        The test compares ranges of three coordinates. Two coordinates follow the pixel axes of the
        image. The third follows the direction to the center of the image. If a box contains the
        image, its edges can be far away from the image. If all edges are on the opposite
        hemisphere, however, the result is `False`.

        Parameters
        ----------
        target : array of shape (3, P)
            Unit vectors of points on the edges of the boxes, one box after the other.
        start : array of int, shape (N,)
            Index of the first point of each box.
        reach : float
            Distance from the image, in pixels, to which its surroundings extend.

        Returns
        -------
        array of bool, shape (N,)
        """
        axes, low, high = self._limits(reach)
        coordinates = axes @ target
        least = np.fmin.reduceat(coordinates, start, axis=1)
        most = np.fmax.reduceat(coordinates, start, axis=1)
        # Upper limit of the bulge of an edge between two points.
        bulge = (most - least) / 2
        return np.asarray(((least - bulge <= high) & (most + bulge >= low)).all(0))

    def _limits(self, reach: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return three axes, and the range of the coordinates of the region along each axis."""
        cosine = self._min_cosine(reach)
        axes = np.array([self.center] * 3)
        low = np.full((3, 1), -np.inf)
        high = np.full((3, 1), np.inf)
        low[2] = min(cosine, 0.0)
        # Use the rectangle only for a region smaller than a hemisphere, because no plane separates
        # a larger region from the rest of the sky.
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
        """Return distances in pixels from the control points to the edge of the region."""
        return np.maximum(CAP_MARGIN * reach - self._covered, 0.0)
