"""Source cutouts from drizzled images, mapped through the full distortion to the exposures."""

from typing import Any

from .cutout import (
    Cutout,
    CutoutCollection,
    NoOverlapError,
    NotConvergedError,
    PartialOverlapError,
    Stack,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from .geometry import PixelBox, PixelMap
from .io import connect  # noqa: F401  (registers the readers and writers)

__all__ = [
    "Cutout",
    "CutoutCollection",
    "NoOverlapError",
    "NotConvergedError",
    "PartialOverlapError",
    "PixelBox",
    "PixelMap",
    "Stack",
    "create_cutouts",
    "create_input_image_cutouts",
    "create_primary_cutouts",
    "drz_from_input_cutouts",
    "map_exposures",
]

# Submodules that are imported at the first access.
_LAZY_SUBMODULES = ("batch", "datasets", "plotting", "testing")


def __getattr__(name: str) -> Any:
    if name == "map_exposures":
        # The batch imports packages that read files.
        from .batch import map_exposures

        return map_exposures
    if name in _LAZY_SUBMODULES:
        from importlib import import_module

        return import_module(f"{__name__}.{name}")
    if name == "__version__":
        # Reading the metadata of the package takes longer than the rest of the import.
        from importlib.metadata import version

        return version("subpixal")
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_LAZY_SUBMODULES})
