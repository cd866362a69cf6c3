"""Functions that asdf calls to find the schemas and the converters.

Every process that uses asdf calls them. Therefore this module does not import slow modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asdf.extension import Extension
    from asdf.resource import DirectoryResourceMapping

__all__ = ["get_extensions", "get_resource_mappings"]


def get_resource_mappings() -> list[DirectoryResourceMapping]:
    """Return the folders of the schemas and the manifests."""
    from importlib.resources import files

    from asdf.resource import DirectoryResourceMapping

    from .versions import URI

    root = files("subpixal.io._asdf") / "resources"
    return [
        DirectoryResourceMapping(root / "schemas", f"{URI}/schemas/"),
        DirectoryResourceMapping(root / "manifests", f"{URI}/manifests/"),
    ]


def get_extensions() -> list[Extension]:
    """Return one extension for each version of the format."""
    from asdf.extension import ManifestExtension

    from .converters import CONVERTERS
    from .versions import MANIFESTS, URI

    return [
        ManifestExtension.from_uri(
            f"{URI}/manifests/{name}", converters=[converter() for converter in CONVERTERS]
        )
        for name in MANIFESTS
    ]
