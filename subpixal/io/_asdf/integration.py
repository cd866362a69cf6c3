"""Entry points of asdf, and the versions of the archive format.

Every process that uses asdf calls the entry points. Therefore this module imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asdf.extension import Extension
    from asdf.resource import DirectoryResourceMapping

__all__ = ["MANIFESTS", "UPGRADES", "get_extensions", "get_resource_mappings", "upgrade"]

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


def get_resource_mappings() -> list[DirectoryResourceMapping]:
    """Return the schemas and manifests."""
    from importlib.resources import files

    from asdf.resource import DirectoryResourceMapping

    root = files("subpixal.io._asdf") / "resources"
    return [
        DirectoryResourceMapping(root / "schemas", f"{URI}/schemas/"),
        DirectoryResourceMapping(root / "manifests", f"{URI}/manifests/"),
    ]


def get_extensions() -> list[Extension]:
    """Return one extension for each version of the format."""
    from asdf.extension import ManifestExtension

    from .converters import CONVERTERS

    return [
        ManifestExtension.from_uri(
            f"{URI}/manifests/{name}", converters=[converter() for converter in CONVERTERS]
        )
        for name in MANIFESTS
    ]
