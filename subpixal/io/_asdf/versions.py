"""Versions of the archive format."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MANIFESTS", "UPGRADES", "URI", "upgrade"]

URI = "asdf://subpixal.org"

# All versions of the format that the package can read. The package writes the first of them.
MANIFESTS = ("subpixal-1.0.0",)

# Functions that convert the tree of an earlier version to the layout of the first manifest. The
# keys are ends of tags, such as "cutout-1.0.0". All other modules handle only the current layout.
UPGRADES: dict[str, Callable[[Any], Any]] = {}


def upgrade(tree: Any, tag: str) -> Any:
    """Convert a tree to the layout of the newest version."""
    name = tag.removeprefix(f"{URI}/tags/")
    return UPGRADES[name](tree) if name in UPGRADES else tree
