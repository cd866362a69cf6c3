"""
How cutouts, images and catalogues are kept in files.

What is heavy is imported when it is used.
"""

from __future__ import annotations

import importlib

__all__ = [
    "merge_archives",
    "read_asdf",
    "read_catalog",
    "read_image",
    "read_images",
    "read_segmentation",
]

_HOME = {
    "merge_archives": "._asdf.merge",
    "read_asdf": "._asdf.archive",
    "read_catalog": ".catalogs",
    "read_image": ".readers",
    "read_images": ".readers",
    "read_segmentation": ".readers",
}


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
