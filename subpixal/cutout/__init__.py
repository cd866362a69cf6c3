"""What the pixels are: cutouts, collections of them, and how they are made."""

from subpixal.errors import NoOverlapError, NotConvergedError, PartialOverlapError

from ._collection import CutoutCollection
from ._create import (
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from ._cutout import Cutout
from ._stack import Stack

__all__ = [
    "Cutout",
    "CutoutCollection",
    "NoOverlapError",
    "NotConvergedError",
    "PartialOverlapError",
    "Stack",
    "create_cutouts",
    "create_input_image_cutouts",
    "create_primary_cutouts",
    "drz_from_input_cutouts",
]

for _public in (
    Cutout,
    CutoutCollection,
    Stack,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
):
    _public.__module__ = __name__
del _public
