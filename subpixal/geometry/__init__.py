"""
Pixel positions, boxes of pixels, and the mapping between images through their WCSs.

The package has no pixels and no sources. Read the modules in this order:

- ``box`` and ``boxes``: one rectangle of whole pixels, and many;
- ``world_axes``: meaning of the world axes of a WCS;
- ``offset`` and ``adapters``: one interface to the WCSs of all libraries;
- ``newton``: inversion of a forward transform;
- ``chebyshev``, ``footprint`` and ``control_points``: start positions, rejection of far positions;
- ``pixel_grid``: pixel positions of one image;
- ``enclosing`` and ``pixel_map``: positions and boxes from one image to another;
- ``interpolation``: mapped centers of all pixels of boxes;
- ``separation``: distance of two WCSs in pixels;
- ``fits_wcs``: FITS WCSs as plain values.
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

# The earlier name of the class.
SkyImage = PixelGrid
