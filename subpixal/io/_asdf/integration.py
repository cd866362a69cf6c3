"""Entry points of asdf. They are called in every process that uses asdf: nothing heavy here."""

from __future__ import annotations

__all__ = ["get_extensions", "get_resource_mappings"]

URI = "asdf://subpixal.org"


def get_resource_mappings() -> list:
    """Schemas and manifests."""
    from importlib.resources import files

    from asdf.resource import DirectoryResourceMapping

    root = files("subpixal.io._asdf") / "resources"
    return [
        DirectoryResourceMapping(root / "schemas", f"{URI}/schemas/"),
        DirectoryResourceMapping(root / "manifests", f"{URI}/manifests/"),
    ]


def get_extensions() -> list:
    """The extension with our converters."""
    from asdf.extension import ManifestExtension

    from .converters import (
        CollectionConverter,
        CutoutConverter,
        FITSWCSConverter,
        OffsetConverter,
    )

    return [
        ManifestExtension.from_uri(
            f"{URI}/manifests/subpixal-1.0.0",
            converters=[
                CutoutConverter(),
                CollectionConverter(),
                OffsetConverter(),
                FITSWCSConverter(),
            ],
        )
    ]
