"""
Register the formats of cutouts in the registry of astropy.

``import subpixal`` imports this module, so functions import slow packages.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

from astropy.io import registry

from subpixal.cutout import Cutout, CutoutCollection


def _is_asdf(origin: str, path: Any, fileobj: Any, *args: Any, **kwargs: Any) -> bool:
    if origin == "read" and fileobj is not None:
        magic = fileobj.read(5)
        fileobj.seek(-len(magic), 1)
        # Accept FITS files here. The reader then raises an error that explains the problem.
        if magic in (b"#ASDF", b"SIMPL"):
            return True
    return path is not None and str(path).lower().endswith(".asdf")


def _check_options(format_name: str, function: Callable[..., Any], options: dict[str, Any]) -> None:
    """Raise an error for options that the function of a format does not accept."""
    parameters = signature(function).parameters.values()
    known = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            has = f"only {', '.join(known)}" if known else "which has none"
            msg = f"{name} is no option of the format {format_name!r}, {has}"
            raise TypeError(msg)


def _read_collection(path: Any, **options: Any) -> CutoutCollection:
    from subpixal.io._asdf.archive import read_collection

    _check_options("asdf", read_collection, options)
    return read_collection(path, **options)


def _read_cutout(path: Any, **options: Any) -> Cutout:
    from subpixal.io._asdf.archive import read_cutout

    _check_options("asdf", read_cutout, options)
    return read_cutout(path, **options)


def _write(cutouts: Cutout | CutoutCollection, path: Any, **options: Any) -> None:
    from subpixal.io._asdf.archive import write_asdf

    _check_options("asdf", write_asdf, options)
    write_asdf(cutouts, path, **options)


def _is_fits_output(origin: str, path: Any, fileobj: Any, *args: Any, **kwargs: Any) -> bool:
    # The format is for writing only: the package does not read cutouts from FITS files.
    from .paths import FITS_SUFFIXES

    return origin == "write" and path is not None and str(path).lower().endswith(FITS_SUFFIXES)


def _write_fits(cutouts: Cutout | CutoutCollection, path: Any, **options: Any) -> None:
    from subpixal.io._fits.write import write_fits

    _check_options("fits", write_fits, options)
    write_fits(cutouts, path, **options)


for _class, _read in ((Cutout, _read_cutout), (CutoutCollection, _read_collection)):
    registry.register_reader("asdf", _class, _read)
    registry.register_writer("asdf", _class, _write)
    registry.register_identifier("asdf", _class, _is_asdf)
    registry.register_writer("fits", _class, _write_fits)
    registry.register_identifier("fits", _class, _is_fits_output)
