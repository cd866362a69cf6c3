"""
Cutouts, collections of cutouts, and the functions that make them.

Read the modules in this order:

- ``storage``: tables of numbers and arrays of pixels for many cutouts;
- ``properties`` and ``position``: attributes of a cutout, which read a row of a store;
- ``extract``: cut one cutout out of an image or of another cutout;
- ``cutout``: the class `Cutout`, with ``arithmetic``, ``convert`` and ``repr``;
- ``collection``: the class `CutoutCollection`, with ``stack``, ``measure``, ``epsf`` and
  ``connect``;
- ``_create``: the functions that cut all sources of a catalog.
"""

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
