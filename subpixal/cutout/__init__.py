"""What the pixels are: cutouts, collections of them, and how they are made."""

from subpixal.cutout._create.api import (
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.errors import NoOverlapError, NotConvergedError, PartialOverlapError

from .collection import CutoutCollection
from .cutout import Cutout
from .stack import Stack

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
