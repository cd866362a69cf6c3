"""
Pixel positions, boxes of pixels, and the mapping between images through their WCSs.

The package deals only with coordinates. It uses no pixel values and no catalogs. Read the modules
in this order:

- ``box``: one rectangle of whole pixels;
- ``boxes``: many rectangles of whole pixels;
- ``world_axes``: physical types, units and celestial frame of the world axes of a WCS;
- ``offset`` and ``adapters``: one interface to the WCSs of all libraries;
- ``newton``: inversion of a transform from pixels to the world;
- ``chebyshev`` and ``control_points``: start positions of the inversion;
- ``footprint``: fast rejection of positions far from an image;
- ``pixel_grid``: conversion between the pixels of one image and the world;
- ``enclosing`` and ``pixel_map``: mapping of positions and boxes from one image to another;
- ``interpolation``: mapped centers of all pixels of boxes;
- ``separation``: distance in pixels between the world positions of two WCSs;
- ``fits_wcs``: conversion of FITS WCSs to plain values and back.
"""

from .adapters import FITSAdapter, low_level_wcs, offset_wcs
from .box import PixelBox
from .boxes import PixelBoxes
from .enclosing import perimeter, whole_pixels
from .interpolation import InterpolatedCenters
from .newton import jacobian, pseudo_inverse
from .offset import OffsetLowLevelWCS
from .pixel_grid import ACCURACY, MAXITER, PixelGrid
from .pixel_map import PixelMap, corner_distance, same_grid
from .separation import has_same_axes, largest_separation, pixel_separation
from .world_axes import WorldAxes, is_celestial

__all__ = [
    "ACCURACY",
    "MAXITER",
    "FITSAdapter",
    "InterpolatedCenters",
    "OffsetLowLevelWCS",
    "PixelBox",
    "PixelBoxes",
    "PixelGrid",
    "PixelMap",
    "WorldAxes",
    "corner_distance",
    "has_same_axes",
    "is_celestial",
    "jacobian",
    "largest_separation",
    "low_level_wcs",
    "offset_wcs",
    "perimeter",
    "pixel_separation",
    "pseudo_inverse",
    "same_grid",
    "whole_pixels",
]

for _name in ("OffsetLowLevelWCS", "PixelBox", "PixelBoxes", "PixelGrid", "PixelMap"):
    globals()[_name].__module__ = __name__

# Earlier name of `PixelGrid`.
SkyImage = PixelGrid
