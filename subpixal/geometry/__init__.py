"""Where the pixels are: boxes, WCSs seen from another origin, and the mapping."""

from .box import PixelBox
from .enclosing import whole_pixels
from .mapping import PixelMap
from .offset import OffsetLowLevelWCS, offset_wcs
from .sky_image import ACCURACY, MAXITER, SkyImage

__all__ = [
    "ACCURACY",
    "MAXITER",
    "OffsetLowLevelWCS",
    "PixelBox",
    "PixelMap",
    "SkyImage",
    "offset_wcs",
    "whole_pixels",
]

for _name in ("OffsetLowLevelWCS", "PixelBox", "PixelMap", "SkyImage"):
    globals()[_name].__module__ = __name__
