"""
Mapping from the pixels of one image to the pixels of another.

A map evaluates the WCS of each image for all points at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .array_types import BoolArray, FloatArray
from .box import PixelBox
from .enclosing import extents, perimeter
from .pixel_grid import ACCURACY, MAXITER, PixelGrid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = ["PixelMap", "corner_distance", "same_grid"]

# Largest bulge of a curved edge, in pixels, that needs no closer samples.
MAX_LOOSENESS = 0.2

# Refinements of the first samples of an edge, in successive attempts.
REFINEMENTS = (4, 16, 64, 256)

# A curve counts as torn if more than this fraction of its bulge remains after a refinement. The
# bulge of a continuous curve becomes smaller than that.
TORN_FRACTION = 0.9

# Smallest refinement at which curves are tested for tears. The samples are then closer than a
# pixel.
TORN_REFINEMENT = 64

# Largest accepted bulge after all refinements, in pixels. Boxes with larger bulges become NaN.
FINAL_LOOSENESS = 0.9

# Corresponding corners of two equal grids differ by less than this, in pixels.
SAME_CORNER = 0.5


class PixelMap:
    """
    Map from the pixels of a first image to the pixels of a second image, through the sky.

    Parameters
    ----------
    image_in, image_out : PixelGrid or object
        The first and the second image, or APE 14 WCSs with two pixel axes. The world axes of the
        two images may differ in celestial frame, order and units.

    Raises
    ------
    ValueError
        If the WCSs do not have the same kind of world axes.
    """

    def __init__(self, image_in: PixelGrid | Any, image_out: PixelGrid | Any) -> None:
        self.image_in = _to_grid(image_in)
        self.image_out = _to_grid(image_out)
        # The conversion of empty arrays raises an error now if the world axes do not match.
        self._convert(tuple(np.empty(0) for _ in self.image_in.world.units))

    def _convert(self, world: Sequence[FloatArray]) -> tuple[FloatArray, ...]:
        """Convert world values of the first image to the world axes of the second image."""
        return self.image_in.world.values_in(self.image_out.world, world)

    def __call__(
        self, x: ArrayLike, y: ArrayLike, *, accuracy: float = ACCURACY, maxiter: int = MAXITER
    ) -> tuple[FloatArray, FloatArray]:
        """
        Map pixel positions from the first image to the second.

        Parameters
        ----------
        x, y : array
            0-based pixel positions in the first image.
        accuracy, maxiter
            As in `PixelGrid.to_pixel`.

        Returns
        -------
        x, y : array
            0-based pixel positions in the second image; NaN for a position that does not map.
        """
        world = self._convert(self.image_in.to_world(x, y))
        return self.image_out.to_pixel(*world, accuracy=accuracy, maxiter=maxiter)

    def boxes(
        self,
        edges: ArrayLike,
        x: ArrayLike = (),
        y: ArrayLike = (),
        *,
        reach: float = 0,
        accuracy: float = ACCURACY,
        maxiter: int = MAXITER,
    ) -> tuple[FloatArray, FloatArray, FloatArray, BoolArray]:
        """
        Map rectangles, and one position for each rectangle, from the first image to the second.

        The method evaluates the WCS of each image for all rectangles and positions at once. If the
        mapped edges of a rectangle are strongly curved, the method maps it again with closer points
        on its edges. The mapped rectangle then encloses the curved edges tightly.

        Parameters
        ----------
        edges : array of float, shape (4, N)
            xmin, ymin, xmax, ymax of the rectangles in continuous pixel
            coordinates: a single pixel *i* has the edges *i* - 0.5 and *i* + 0.5.
        x, y : array of float, shape (N,)
            One position for each rectangle, or empty arrays. A position is mapped only if its
            rectangle is mapped. A position outside its rectangle must also lie near the second
            image.
        reach : float
            Largest distance in pixels between the second image and a rectangle that is mapped.
        accuracy, maxiter
            As in `PixelGrid.to_pixel`.

        Returns
        -------
        edges : array of float, shape (4, N)
            Edges of rectangles in the second image that enclose the mapped rectangles, which may
            have curved sides. The edges are NaN if a rectangle does not map. They are also NaN if
            the map tears the rectangle. A map of the whole sky tears rectangles at its seam, and at
            a pole that the map stretches to a line.
        x, y : array of float, shape (N,)
            The positions in the second image.
        candidate : array of bool, shape (N,)
            `True` for rectangles that may lie within ``reach`` pixels of the second image. The
            other rectangles were not mapped and are NaN.
        """
        edges, x, y = (np.asarray(values, float) for values in (edges, x, y))
        box_count = edges.shape[1]
        if len(x) != len(y) or len(x) not in {0, box_count}:
            msg = f"x and y must have {box_count} positions or none, got {len(x)} and {len(y)}"
            raise ValueError(msg)
        xmin, ymin, xmax, ymax = edges[:, : len(x)]
        inside = (x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax)
        search: dict[str, Any] = {"reach": reach, "accuracy": accuracy, "maxiter": maxiter}
        around_x, around_y, start = perimeter(*edges)
        count = len(around_x)
        world = self.image_in.to_world(np.append(around_x, x), np.append(around_y, y))
        u, v, candidate = self.image_out.boxes_to_pixel(
            self._convert(world), start, count, inside, **search
        )
        mapped, bulge = extents(u[:count], v[:count], start)
        self._tighten(edges, mapped, bulge, search)
        return mapped, u[count:], v[count:], candidate

    def _tighten(
        self, edges: FloatArray, mapped: FloatArray, bulge: FloatArray, search: dict[str, Any]
    ) -> None:
        """Map boxes with curved edges again with closer samples, and update results in place."""
        curved = np.flatnonzero(bulge > MAX_LOOSENESS)
        for refinement in REFINEMENTS:
            if not curved.size:
                return
            x, y, start = perimeter(*edges[:, curved], refinement=refinement)
            world = self._convert(self.image_in.to_world(x, y))
            u, v, _ = self.image_out.boxes_to_pixel(world, start, len(x), **search)
            previous = bulge[curved]
            mapped[:, curved], bulge[curved] = extents(u, v, start)
            torn = (bulge[curved] > TORN_FRACTION * previous) & (refinement >= TORN_REFINEMENT)
            curved = curved[~torn & (bulge[curved] > MAX_LOOSENESS)]
        mapped[:, bulge > FINAL_LOOSENESS] = np.nan


def _to_grid(image: PixelGrid | Any) -> PixelGrid:
    return image if isinstance(image, PixelGrid) else PixelGrid(image)


def corner_distance(image_in: PixelGrid, image_out: PixelGrid) -> float:
    """
    Return the largest distance between corresponding corners of two images.

    Parameters
    ----------
    image_in, image_out : PixelGrid
        Images of the same known shape.

    Returns
    -------
    float
        Largest difference in x or in y, in pixels of ``image_out``. The value is infinite if a
        corner of ``image_in`` does not map to ``image_out``.
    """
    if image_in.wcs is image_out.wcs:
        return 0.0
    if image_in.shape is None:
        msg = "image_in must have a shape: its WCS has none, so pass PixelGrid(wcs, shape)"
        raise ValueError(msg)
    corners = PixelBox.from_shape(image_in.shape).corners.T
    difference = np.abs(np.subtract(PixelMap(image_in, image_out)(*corners), corners))
    return float(np.nan_to_num(difference, nan=np.inf).max())


def same_grid(image_in: PixelGrid, image_out: PixelGrid) -> bool:
    """
    Return `True` if the pixels of two images cover the same areas on the sky.

    Parameters
    ----------
    image_in, image_out : PixelGrid
        The images. Their shapes must be known.

    Returns
    -------
    bool
        `True` if the shapes are equal and corresponding corners agree to half a pixel.
    """
    same_shape = image_in.shape == image_out.shape
    return same_shape and corner_distance(image_in, image_out) < SAME_CORNER
