"""
Storage of cutouts: columns and planes.

- `planes`: where the pixels of many cutouts are;
- `store`: the columns and planes of the cutouts of one image;
- `dropped`: the sources that were not cut.
"""

from .dropped import STATUSES, Dropped, drop, dropped_ids, dropped_table
from .planes import DeferredArray, DeferredPlane, ImagePlane, LazyPlane, PackedPlane
from .store import INDEX, KEPT_STATUSES, Store, as_ids, boxes_of, make_index

__all__ = [
    "INDEX",
    "KEPT_STATUSES",
    "STATUSES",
    "DeferredArray",
    "DeferredPlane",
    "Dropped",
    "ImagePlane",
    "LazyPlane",
    "PackedPlane",
    "Store",
    "as_ids",
    "boxes_of",
    "drop",
    "dropped_ids",
    "dropped_table",
    "make_index",
]
