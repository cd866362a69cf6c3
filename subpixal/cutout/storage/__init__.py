"""
Storage of cutouts: tables of numbers and arrays of pixels.

Read the modules in this order:

- ``planes``: classes for the storage of pixels, in memory, in files or in the image;
- ``overrides``: properties of single cutouts that differ from those of their image;
- ``store``: table and pixels of the cutouts of one image;
- ``selection``: cutouts of several stores, in any order;
- ``dropped``: sources that were not cut.
"""

from .dropped import STATUSES, Dropped, drop, dropped_ids, dropped_table
from .overrides import FROM_IMAGE, Overrides, UncertaintyType
from .planes import DeferredArray, DeferredPlane, ImagePlane, LazyPlane, PackedPlane, StoredPlane
from .selection import Selection
from .store import (
    INDEX,
    KEPT_STATUSES,
    Members,
    Store,
    as_ids,
    boxes_of,
    concat,
    concat_index,
    make_index,
)

__all__ = [
    "FROM_IMAGE",
    "INDEX",
    "KEPT_STATUSES",
    "STATUSES",
    "DeferredArray",
    "DeferredPlane",
    "Dropped",
    "ImagePlane",
    "LazyPlane",
    "Members",
    "Overrides",
    "PackedPlane",
    "Selection",
    "Store",
    "StoredPlane",
    "UncertaintyType",
    "as_ids",
    "boxes_of",
    "concat",
    "concat_index",
    "drop",
    "dropped_ids",
    "dropped_table",
    "make_index",
]
