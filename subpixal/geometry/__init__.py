"""Where the pixels are: boxes, WCSs seen from another origin, and the mapping."""

from .box import PixelBox
from .enclosing import whole_pixels
from .offset import OffsetLowLevelWCS, offset_wcs
from .pixel_grid import ACCURACY, MAXITER, PixelGrid
from .pixel_map import PixelMap

__all__ = [
    "ACCURACY",
    "MAXITER",
    "OffsetLowLevelWCS",
    "PixelBox",
    "PixelGrid",
    "PixelMap",
    "offset_wcs",
    "whole_pixels",
]

for _name in ("OffsetLowLevelWCS", "PixelBox", "PixelGrid", "PixelMap"):
    globals()[_name].__module__ = __name__

# The earlier name of the class.
SkyImage = PixelGrid
