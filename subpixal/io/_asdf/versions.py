"""Versions of the archive format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MANIFESTS", "UPGRADES", "URI", "upgrade"]

URI = "asdf://subpixal.org"

# All versions of the format that can be read. asdf writes the first one.
MANIFESTS = ("subpixal-1.0.0",)

# Functions that return the tree of an earlier version in the layout of the first manifest, by the
# end of the tag, such as "cutout-1.0.0". The other modules contain only the current layout.
UPGRADES: dict[str, Callable[[Any], Any]] = {}


def upgrade(tree: Any, tag: str) -> Any:
    """Return a tree in the layout of the newest version."""
    name = tag.removeprefix(f"{URI}/tags/")
    return UPGRADES[name](tree) if name in UPGRADES else tree
