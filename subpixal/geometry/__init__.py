"""Where the pixels are: boxes, WCSs seen from another origin, and the mapping."""

from .box import PixelBox
from .enclosing import whole_pixels
from .offset import OffsetLowLevelWCS, offset_wcs
from .pixel_grid import ACCURACY, MAXITER, PixelGrid
from .pixel_map import PixelMap, corner_distance, same_grid

__all__ = [
    "ACCURACY",
    "MAXITER",
    "OffsetLowLevelWCS",
    "PixelBox",
    "PixelGrid",
    "PixelMap",
    "corner_distance",
    "offset_wcs",
    "same_grid",
    "whole_pixels",
]

for _name in ("OffsetLowLevelWCS", "PixelBox", "PixelGrid", "PixelMap"):
    globals()[_name].__module__ = __name__

# The earlier name of the class.
SkyImage = PixelGrid
