"""Images, their planes and segmentation images in FITS files of HST, JWST and others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from subpixal.io._missions.metadata import metadata_from_header, parse_unit
from subpixal.io._missions.registry import find_flags
from subpixal.io.paths import is_gzip, is_remote

from .files import IMAGE_HDUS, FITSArray, FITSFile, needs_lazy_read, open_fits
from .wcs import read_wcs

if TYPE_CHECKING:
    import gwcs
    from astropy.wcs import WCS


__all__ = ["read_fits_images", "read_fits_labels"]

_NO_LABELS = ("DQ", "CTX", "CON")


def read_fits_images(path: str, extension: Any = None) -> list[dict[str, Any]]:
    """
    Read all the images (chips) of a FITS file, or those that an extension picks.

    Every 2-D extension SCI is an image; ERR, DQ and WHT of the same version
    belong to it. A file without SCI is one image, its first 2-D one. The
    gwcs of a JWST file is used in place of its FITS WCS; of an exposure,
    that is an approximation, and none without gwcs is read.

    Parameters
    ----------
    path : str
        The file.
    extension : int, (str, int), (str, None) or None
        As of ``parse_image_name``.

    Returns
    -------
    list of dict
        Arguments of `~subpixal.cutout.Cutout`, in the order of the file, never empty.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        If there is no such 2-D image, or no complete celestial WCS with it.
    """
    with open_fits(path) as hdulist:
        chosen = _choose(hdulist, path, extension)
        if extension is None:
            chosen = [hdu for hdu in chosen if hdu.name == "SCI"] or chosen[:1]
        file = FITSFile(path)
        return [_read_image(hdulist, hdu, file) for hdu in chosen]


def read_fits_labels(
    path: str, extension: Any = None
) -> tuple[np.ndarray | FITSArray, WCS | gwcs.WCS | None, str]:
    """
    Read a segmentation image: the first 2-D image of integers in a FITS file.

    Data-quality flags and drizzle contexts are integers, too, and are taken
    only if the extension picks them.

    Parameters
    ----------
    path, extension
        As of `read_fits_images`.

    Returns
    -------
    labels : (ny, nx) array of int or FITSArray
        As the file has them, a memory map or read when they are needed.
    wcs : `astropy.wcs.WCS`, `gwcs.wcs.WCS` or None
        None if the file has no celestial WCS.
    name : str
        File name and extension.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        If there is no 2-D image, or its values are not all integers.
    """
    with open_fits(path) as hdulist:
        images = _choose(hdulist, path, extension)
        if extension is None:
            images = [hdu for hdu in images if hdu.name not in _NO_LABELS] or images[:1]
        file = FITSFile(path)
        found = [(hdu, _pixels(hdulist, hdu, file)) for hdu in images]
        hdu, labels = next((pair for pair in found if pair[1].dtype.kind in "iu"), found[0])
        label = _label(hdulist, hdu)
        where = f"{path}[{label}]"
        if labels.dtype.kind == "f" and {"ERR", "DQ", "WHT"} & {h.name for h in hdulist}:
            # Counts can be whole numbers, too.
            msg = f"{where} is an image with ERR, DQ or WHT, not a segmentation image"
            raise ValueError(msg)
        labels = _exact_integers(labels, where)
        return labels, read_wcs(hdulist, hdu, where), f"{Path(path).name}[{label}]"


def _label(hdulist: fits.HDUList, hdu: Any) -> str:
    """Give the extension as it stands in brackets, so that ``parse_image_name`` finds it again."""
    index = next(i for i, other in enumerate(hdulist) if other is hdu)
    return f"{hdu.name},{hdu.ver}" if hdu.name and index else f"{index}"


def _choose(hdulist: fits.HDUList, path: str, extension: Any) -> list[Any]:
    """Return the 2-D images that `extension` picks, at least one."""
    images = [hdu for hdu in hdulist if isinstance(hdu, IMAGE_HDUS) and len(hdu.shape) == 2]
    chosen = images
    if isinstance(extension, int):
        chosen = [hdu for hdu in images if hdu is dict(enumerate(hdulist)).get(extension)]
    elif extension is not None:
        name, version = extension
        chosen = [hdu for hdu in images if hdu.name == name and version in (None, hdu.ver)]
    if not chosen:
        what = "" if extension is None else f" {_bracketed(extension)}"
        names = ", ".join(f"[{_label(hdulist, hdu)}]" for hdu in images) or "none"
        msg = f"{path}: there is no 2-D image{what} in the file; its 2-D images are: {names}"
        raise ValueError(msg)
    return chosen


def _bracketed(extension: Any) -> str:
    """Write an extension as users do."""
    parts = extension if isinstance(extension, tuple) else (extension,)
    return "[" + ",".join(str(part) for part in parts if part is not None) + "]"


def _read_image(hdulist: fits.HDUList, hdu: Any, file: FITSFile) -> dict[str, Any]:
    """Collect what the file has about the image in `hdu`."""
    path, label = file.path, _label(hdulist, hdu)
    filename = Path(path).name
    meta, exptime = metadata_from_header(hdu.header, hdulist[0].header)
    dq = _plane(hdulist, hdu, "DQ", file)
    # Combined images have no flags, and a header that is exact.
    needs_gwcs = dq is not None and find_flags(meta).telescope == "JWST"
    wcs = read_wcs(hdulist, hdu, f"{path}[{label}]", needs_gwcs=needs_gwcs)
    if wcs is None:
        msg = f"{path}[{label}] has no celestial WCS of two axes"
        raise ValueError(msg)
    return {
        "data": _pixels(hdulist, hdu, file),
        "wcs": wcs,
        "uncertainty": _plane(hdulist, hdu, "ERR", file),
        "dq": None if dq is None else _exact_integers(dq, f"{path}[DQ,{hdu.ver}]"),
        "weight": _plane(hdulist, hdu, "WHT", file),
        "unit": parse_unit(meta.get("bunit", "")),
        "exptime": exptime,
        "meta": {"name": f"{filename}[{label}]", "filename": filename, "extension": label} | meta,
    }


def _plane(hdulist: fits.HDUList, science: Any, name: str, file: FITSFile) -> Any:
    """Return the plane `name` that belongs to a SCI extension, or None."""
    if science.name != "SCI":
        return None
    found = [hdu for hdu in hdulist if (hdu.name, hdu.ver) == (name, science.ver)]
    twins = [hdu for hdu in hdulist if (hdu.name, hdu.ver) == ("SCI", science.ver)]
    if found and len(found) + len(twins) > 2:
        msg = f"{file.path}: {len(twins)} SCI and {len(found)} {name} have the EXTVER {science.ver}"
        raise ValueError(msg)
    if not found or (not found[0].shape and "PIXVALUE" not in found[0].header):
        return None
    if not found[0].shape:
        # HST files write a plane of one value as a header alone.
        return np.broadcast_to(found[0].header["PIXVALUE"], science.shape)
    if found[0].shape != science.shape:
        msg = (
            f"{file.path}[{name},{science.ver}] has shape {found[0].shape}, SCI has {science.shape}"
        )
        raise ValueError(msg)
    return _pixels(hdulist, found[0], file)


def _pixels(hdulist: fits.HDUList, hdu: Any, file: FITSFile) -> np.ndarray | FITSArray:
    """Return pixels that are read when they are needed, as a memory map if possible."""
    late = is_remote(file.path) or (needs_lazy_read(hdu) and not is_gzip(file.path))
    if not late or 0 in hdu.shape:
        return hdu.data
    index = next(i for i, other in enumerate(hdulist) if other is hdu)
    return FITSArray(file, index, hdu)


def _exact_integers(values: Any, where: str) -> Any:
    """Return `values` as integers; refuse to round."""
    dtype = values.dtype
    if dtype.kind in "iu":
        return values
    values = np.asarray(values)
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if not np.array_equal(integers, values):
        msg = f"{where} must be integers, got {dtype.name} values that are not"
        raise ValueError(msg)
    return integers
