"""From the pixels of one image to the pixels of another.

All points go through one vectorised call of each WCS.
"""

from __future__ import annotations

import numpy as np

from .box import PixelBox
from .enclosing import extents, perimeter
from .pixel_grid import ACCURACY, MAXITER, PixelGrid

__all__ = ["PixelMap", "corner_distance", "same_grid"]

# Pixels that an enclosing box may be too large before its edges are sampled more closely.
LOOSE = 0.2

# How much more closely they are, again and again.
REFINEMENTS = 4, 16, 64, 256

# What is left of bulges where a curve is torn, looked at more closely than at pixels;
# others lose most of theirs.
TORN = 0.9

CLOSELY = 64

# Pixels that a box may be too large in the end.
TOO_LOOSE = 0.9

# Pixels; corners of equal grids are closer than this.
SAME_CORNER = 0.5


class PixelMap:
    """
    Maps pixels of one image to pixels of another through the sky.

    Parameters
    ----------
    image_in, image_out : PixelGrid or object
        The images, or their APE 14 WCSs of two pixel axes. They may differ in
        celestial frame, axis order and units.

    Raises
    ------
    ValueError
        If the WCSs do not describe the same kind of world.
    """

    def __init__(self, image_in, image_out) -> None:
        self.image_in, self.image_out = (
            image if isinstance(image, PixelGrid) else PixelGrid(image)
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
            As in `PixelGrid.to_pixel`.

        Returns
        -------
        x, y : array
            0-based pixel positions in the second image; NaN where there is none.
        """
        world = self._to_out(self.image_in.to_world(x, y))
        return self.image_out.to_pixel(*world, accuracy=accuracy, maxiter=maxiter)

    def boxes(self, edges: np.ndarray, x=(), y=(), *, reach=0, accuracy=ACCURACY, maxiter=MAXITER):
        """
        Map rectangles, and a position with each, in one call of each WCS.

        Only rectangles with edges so curved that the new ones could be loose are
        mapped again, at points that are closer together.

        Parameters
        ----------
        edges : array of float, shape (4, N)
            xmin, ymin, xmax, ymax of the rectangles in continuous pixel
            coordinates: a single pixel *i* has the edges *i* - 0.5 and *i* + 0.5.
        x, y : array of float, shape (N,)
            Positions that are looked for where their rectangles are, and those outside of
            their rectangles near the second image only; or none.
        reach : float
            How far off the second image a rectangle matters, in pixels.
        accuracy, maxiter
            As in `PixelGrid.to_pixel`.

        Returns
        -------
        edges : array of float, shape (4, N)
            Edges in the second image that enclose the mapped rectangles,
            whose sides need not be straight; NaN for one that does not map, or
            that is torn: the seam of a map of the whole sky runs through it, or
            it holds a pole of which the map makes a line.
        x, y : array of float, shape (N,)
            The positions in the second image.
        seen : array of bool, shape (N,)
            Which rectangles may be on the second image or near it; the others are NaN,
            and cost next to nothing.
        """
        edges, x, y = (np.asarray(values, float) for values in (edges, x, y))
        boxes = edges.shape[1]
        if len(x) != len(y) or len(x) not in {0, boxes}:
            msg = f"x and y must have {boxes} positions or none, got {len(x)} and {len(y)}"
            raise ValueError(msg)
        xmin, ymin, xmax, ymax = edges[:, : len(x)]
        search = {"reach": reach, "accuracy": accuracy, "maxiter": maxiter}
        around_x, around_y, start = perimeter(*edges)
        count = len(around_x)
        world = self._to_out(self.image_in.to_world(np.append(around_x, x), np.append(around_y, y)))
        inside = (x >= xmin) & (x <= xmax) & (y >= ymin) & (y <= ymax)
        u, v, seen = self.image_out.boxes_to_pixel(world, start, count, inside, **search)
        found, bulge = extents(u[:count], v[:count], start)
        self._tighten(edges, found, bulge, search)
        return found, u[count:], v[count:], seen

    def _tighten(self, edges, found, bulge, search) -> None:
        """Map boxes with curved edges again, at more and more points."""
        curved = np.flatnonzero(bulge > LOOSE)
        for refinement in REFINEMENTS:
            if not curved.size:
                return
            x, y, start = perimeter(*edges[:, curved], refinement=refinement)
            world = self._to_out(self.image_in.to_world(x, y))
            u, v, _ = self.image_out.boxes_to_pixel(world, start, len(x), **search)
            before = bulge[curved]
            found[:, curved], bulge[curved] = extents(u, v, start)
            torn = (bulge[curved] > TORN * before) & (refinement >= CLOSELY)
            curved = curved[~torn & (bulge[curved] > LOOSE)]
        found[:, bulge > TOO_LOOSE] = np.nan


def corner_distance(image_in: PixelGrid, image_out: PixelGrid) -> float:
    """
    Return how far apart the corners of two images are.

    Parameters
    ----------
    image_in, image_out : PixelGrid
        Images of the same shape.

    Returns
    -------
    float
        The largest difference in x or y, in pixels of ``image_out``; infinite if a corner of
        ``image_in`` does not map to ``image_out``.
    """
    if image_in.wcs is image_out.wcs:
        return 0.0
    corners = PixelBox.from_shape(image_in.shape).corners.T
    difference = np.abs(np.subtract(PixelMap(image_in, image_out)(*corners), corners))
    return float(np.nan_to_num(difference, nan=np.inf).max())


def same_grid(image_in: PixelGrid, image_out: PixelGrid) -> bool:
    """
    Return `True` if two images have the same pixels on the sky.

    Parameters
    ----------
    image_in, image_out : PixelGrid
        The images, with known shapes.

    Returns
    -------
    bool
        `True` if the shapes are equal and all corners agree to half a pixel.
    """
    same_shape = image_in.shape == image_out.shape
    return same_shape and corner_distance(image_in, image_out) < SAME_CORNER
