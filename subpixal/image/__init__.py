"""
Images: planes, masks, units, and arrays that are read in parts.

The package does not depend on sources, cutouts or files. Other packages import the public names of
its modules from here. Read the modules in this order:

- ``planes``: table of the planes that an image may have;
- ``units``: counts and rates;
- ``lazy``: arrays that are read in parts;
- ``validation``: checks of single arguments;
- ``extraction``: functions that cut boxes of pixels;
- ``masks``: functions that mask pixels;
- ``info``: record that all cutouts of an image share;
- ``defaults`` and ``arguments``: functions that parse the image that a user passes.
"""

from .arguments import ImageArguments, parse_image
from .defaults import (
    DEFAULT_COUNTS,
    DEFAULT_DQBITMASK,
    DEFAULT_EXPTIME,
    DEFAULT_RATE,
    ImplicitDefault,
)
from .extraction import CHUNK, copy_boxes, cut_box, cut_boxes, overlap
from .info import ImageInfo, as_uncertainty
from .lazy import ImageArray, LazyArray, as_image, read_bands, read_points, read_rows
from .masks import UnitedMask, bad_flags, bad_pixels, mask_outside, outside_image
from .planes import PLANES, Plane, common_dtype
from .units import (
    DATA_UNITS,
    exposure,
    get_data_units,
    is_countable,
    standard_deviations,
    uncertainty_power,
    validate_data_units,
    validate_exptime,
)
from .validation import (
    check_fill,
    describe_type,
    refuse_name,
    validate_finite,
    validate_kind,
    validate_meta,
    validate_pad,
    validate_pixel_pair,
    validate_position,
)

__all__ = [
    "CHUNK",
    "DATA_UNITS",
    "DEFAULT_COUNTS",
    "DEFAULT_DQBITMASK",
    "DEFAULT_EXPTIME",
    "DEFAULT_RATE",
    "PLANES",
    "ImageArguments",
    "ImageArray",
    "ImageInfo",
    "ImplicitDefault",
    "LazyArray",
    "Plane",
    "UnitedMask",
    "as_image",
    "as_uncertainty",
    "bad_flags",
    "bad_pixels",
    "check_fill",
    "common_dtype",
    "copy_boxes",
    "cut_box",
    "cut_boxes",
    "describe_type",
    "exposure",
    "get_data_units",
    "is_countable",
    "mask_outside",
    "outside_image",
    "overlap",
    "parse_image",
    "read_bands",
    "read_points",
    "read_rows",
    "refuse_name",
    "standard_deviations",
    "uncertainty_power",
    "validate_data_units",
    "validate_exptime",
    "validate_finite",
    "validate_kind",
    "validate_meta",
    "validate_pad",
    "validate_pixel_pair",
    "validate_position",
]
