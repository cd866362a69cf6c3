"""
Files of cutouts, images and catalogs.

Read the modules in this order:

- ``paths``: names of files, remote files, and safe replacement of files;
- ``_missions``: conventions of the missions;
- ``_fits``: FITS files;
- ``_asdf``: archives;
- ``readers`` and ``catalogs``: the public functions that read images and catalogs;
- ``connect``: formats in the registry of astropy.

The package imports a module at the first use of one of its names, so that ``import subpixal``
stays fast.
"""

from __future__ import annotations

import importlib
from typing import Any

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
    # Private names for `subpixal.batch` and `subpixal.cli`.
    "FLAG_NAMES": "._missions",
    "check_archive": ".paths",
    "check_file": ".paths",
    "check_folder": ".paths",
    "content_hash": "._asdf.content_hash",
    "format_flags": "._missions",
    "is_remote": ".paths",
    "parse_flags": "._missions",
    "parse_image_name": ".paths",
    "read_any": "._asdf.archive",
    "refuse_existing": ".paths",
    "replacing": ".paths",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
