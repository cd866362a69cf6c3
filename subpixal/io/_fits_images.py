"""Images, their WCSs and their planes, read from FITS files of HST, JWST and others."""

from __future__ import annotations

import io
import os
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.utils.exceptions import AstropyDeprecationWarning
from astropy.wcs import WCS, FITSFixedWarning

from ._fits_files import IMAGE_HDUS, open_fits, parse_image_name

if TYPE_CHECKING:
    import gwcs

__all__ = ["RawImage", "read_raw_image", "read_raw_images", "read_raw_segmentation"]

_COUNTS = {
    **dict.fromkeys(("count", "counts", "ct", "cts"), u.ct),
    **dict.fromkeys(("electron", "electrons", "e", "e-"), u.electron),
    **dict.fromkeys(("photon", "photons", "ph"), u.photon),
    "dn": u.DN,
    "adu": u.adu,
    "cps": u.ct / u.s,
}
_COUNT_UNIT = re.compile(
    r"(?P<count>[a-z-]+?)(?P<rate>\s*(/|per)\s*s(ec|econds?)?|[ .*]+s(ec)?(\^|\*\*)?\(?-1\)?)?"
)
_NO_LABELS = ("DQ", "CTX", "CON")
_EXPTIMES = ("EXPTIME", "XPOSURE", "EFFEXPTM", "TEXPTIME")
_FILTERS = ("FILTER", "FILTER1", "FILTER2", "PUPIL")
_NO_FILTER = ("CLEAR", "N/A", "NONE")


@dataclass(frozen=True, eq=False)
class RawImage:
    """
    One image of a file, as the file has it.

    Attributes
    ----------
    name : str
        File name and extension, such as ``'ib6o23rtq_flt.fits[SCI,1]'``.
    data : (ny, nx) array
        The pixels; a memory map where the file allows it.
    wcs : `astropy.wcs.WCS` or `gwcs.wcs.WCS`
        The full WCS with every distortion that the file has.
    error, dq, weight : (ny, nx) array or None
        1-sigma errors, data-quality bits and drizzle weights.
    unit : `~astropy.units.Unit` or None
        The unit of ``data`` and ``error``; None where it is missing or not
        understood, ``meta['bunit']`` is what the file says.
    exptime : float or None
        Exposure time in seconds.
    meta : dict
        Where the image comes from: ``filename, extname, extver, telescope,
        instrument, detector, filter, date_obs, bunit``, those that are known.
    """

    name: str
    data: np.ndarray = field(repr=False)
    wcs: WCS | gwcs.WCS = field(repr=False)
    error: np.ndarray | None = field(default=None, repr=False)
    dq: np.ndarray | None = field(default=None, repr=False)
    weight: np.ndarray | None = field(default=None, repr=False)
    unit: u.UnitBase | None = None
    exptime: float | None = None
    meta: dict[str, str | int | float] = field(default_factory=dict)


def read_raw_images(name: str | os.PathLike[str]) -> list[RawImage]:
    """
    Read all the images (chips) of a FITS file, or those that the name picks.

    Every 2-D extension SCI is an image; ERR, DQ and WHT of the same version
    belong to it. A file without SCI is one image, its first 2-D one. The
    gwcs of a JWST file is used in place of its FITS approximation.

    Parameters
    ----------
    name : str or path-like
        File name, if need be with an extension as in ``parse_image_name``.

    Returns
    -------
    list of RawImage
        In the order of the file, never empty.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        If there is no such 2-D image, or no complete celestial WCS with it.
    """
    path, extension = parse_image_name(name)
    with open_fits(path) as hdulist:
        chosen = _choose(hdulist, path, extension)
        if extension is None:
            chosen = [hdu for hdu in chosen if hdu.name == "SCI"] or chosen[:1]
        return [_raw_image(hdulist, hdu, path) for hdu in chosen]


def read_raw_image(name: str | os.PathLike[str]) -> RawImage:
    """
    Read the one image of a FITS file that has, or whose name picks, only one.

    Parameters
    ----------
    name : str or path-like
        File name, if need be with an extension as in ``parse_image_name``.

    Returns
    -------
    RawImage
        The image.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        As `read_raw_images`, and if there are several images to choose from.
    """
    images = read_raw_images(name)
    if len(images) > 1:
        names = ", ".join(repr(image.name) for image in images)
        msg = f"{os.fspath(name)} has {len(images)} images, pick one of {names}"
        raise ValueError(msg)
    return images[0]


def read_raw_segmentation(
    name: str | os.PathLike[str],
) -> tuple[np.ndarray, WCS | gwcs.WCS | None, str]:
    """
    Read a segmentation image: the first 2-D image of integers in a FITS file.

    Data-quality flags and drizzle contexts are integers, too, and are taken
    only if the name picks them.

    Parameters
    ----------
    name : str or path-like
        File name, if need be with an extension as in ``parse_image_name``.

    Returns
    -------
    labels : (ny, nx) array of int
        In native byte order.
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
    path, extension = parse_image_name(name)
    with open_fits(path) as hdulist:
        images = _choose(hdulist, path, extension)
        if extension is None:
            images = [hdu for hdu in images if hdu.name not in _NO_LABELS] or images[:1]
        hdu = next((hdu for hdu in images if hdu.data.dtype.kind in "iu"), images[0])
        label = _label(hdulist, hdu)
        if hdu.data.dtype.kind == "f" and {"ERR", "DQ", "WHT"} & {h.name for h in hdulist}:
            # Counts can be whole numbers, too.
            msg = f"{path}{label} is an image with ERR, DQ or WHT, not a segmentation image"
            raise ValueError(msg)
        labels = _exact_integers(hdu.data, f"{path}{label}")
        return labels, _read_wcs(hdulist, hdu, path), f"{Path(path).name}{label}"


def _label(hdulist: fits.HDUList, hdu: Any) -> str:
    """Give the extension in brackets, so that ``parse_image_name`` finds it again."""
    index = next(i for i, other in enumerate(hdulist) if other is hdu)
    return f"[{hdu.name},{hdu.ver}]" if hdu.name and index else f"[{index}]"


def _bracketed(extension: Any) -> str:
    """Write an extension as users do."""
    parts = extension if isinstance(extension, tuple) else (extension,)
    return "[" + ",".join(str(part) for part in parts if part is not None) + "]"


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
        names = ", ".join(_label(hdulist, hdu) for hdu in images) or "none"
        msg = f"{path}: there is no 2-D image{what} in the file; its 2-D images are: {names}"
        raise ValueError(msg)
    return chosen


def _raw_image(hdulist: fits.HDUList, hdu: Any, path: str) -> RawImage:
    """Collect what the file has about the image in `hdu`."""
    label = _label(hdulist, hdu)
    wcs = _read_wcs(hdulist, hdu, path)
    if wcs is None:
        msg = f"{path}{label} has no celestial WCS of two axes"
        raise ValueError(msg)
    headers = (hdu.header, hdulist[0].header)
    meta = _provenance(headers)
    meta |= {"filename": Path(path).name, "extname": hdu.name, "extver": hdu.ver}
    dq = _plane(hdulist, hdu, "DQ", path)
    return RawImage(
        name=f"{Path(path).name}{label}",
        data=hdu.data,
        wcs=wcs,
        error=_plane(hdulist, hdu, "ERR", path),
        dq=None if dq is None else _exact_integers(dq, f"{path}[DQ,{hdu.ver}]"),
        weight=_plane(hdulist, hdu, "WHT", path),
        unit=_parse_unit(str(meta.get("bunit", ""))),
        exptime=_exptime(headers),
        meta=meta,
    )


def _plane(hdulist: fits.HDUList, science: Any, name: str, path: str) -> np.ndarray | None:
    """Return the plane `name` that belongs to a SCI extension, or None."""
    if science.name != "SCI":
        return None
    found = [hdu for hdu in hdulist if (hdu.name, hdu.ver) == (name, science.ver)]
    twins = [hdu for hdu in hdulist if (hdu.name, hdu.ver) == ("SCI", science.ver)]
    if found and len(found) + len(twins) > 2:
        msg = f"{path}: {len(twins)} SCI and {len(found)} {name} have the EXTVER {science.ver}"
        raise ValueError(msg)
    if not found or (found[0].data is None and "PIXVALUE" not in found[0].header):
        return None
    if found[0].data is None:
        # HST files write a plane of one value as a header alone.
        return np.full(science.shape, found[0].header["PIXVALUE"])
    if found[0].shape != science.shape:
        msg = f"{path}[{name},{science.ver}] has shape {found[0].shape}, SCI has {science.shape}"
        raise ValueError(msg)
    return found[0].data


def _exact_integers(values: np.ndarray, where: str) -> np.ndarray:
    """Return `values` as integers in native byte order; refuse to round."""
    dtype = values.dtype
    if dtype.kind in "iu":
        return values.astype(dtype.newbyteorder("="), copy=False)
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if not np.array_equal(integers, values):
        msg = f"{where} must be integers, got {dtype.name} values that are not"
        raise ValueError(msg)
    return integers


def _read_wcs(hdulist: fits.HDUList, hdu: Any, path: str) -> WCS | gwcs.WCS | None:
    """Read the best WCS that the file has for an image; None if none is celestial."""
    science = [other for other in hdulist if other.name == "SCI"]
    wcs = None
    # The ASDF extension has one gwcs, which cannot belong to several images.
    if "ASDF" in hdulist and len(science) == 1 and science[0].shape == hdu.shape:
        wcs = _read_gwcs(hdulist["ASDF"], path)
    if wcs is not None and wcs.pixel_shape is None:
        wcs.pixel_shape = hdu.shape[::-1]
    try:
        wcs = _read_fits_wcs(hdulist, hdu) if wcs is None else wcs
        world = [kind[0] for kind in wcs.world_axis_object_classes.values()]
    # A header can be wrong in more ways than astropy.wcs has errors for.
    except Exception as error:
        msg = f"{path}{_label(hdulist, hdu)}: the WCS cannot be read ({error})"
        raise ValueError(msg) from error
    return wcs if SkyCoord in world and wcs.pixel_n_dim == wcs.world_n_dim == 2 else None


def _read_fits_wcs(hdulist: fits.HDUList, hdu: Any) -> WCS:
    """Build the WCS of a header with the lookup tables of its file."""
    header = hdu.header
    for keyword, prefix, table in (("CPDIS", "DP", "WCSDVARR"), ("D2IMDIS", "D2IM", "D2IMARR")):
        for axis in (1, 2):
            kind = str(header.get(f"{keyword}{axis}", "lookup")).lower()
            version = int(header.get(f"{prefix}{axis}.EXTVER", 1))
            if kind != "lookup":
                msg = f"{keyword}{axis} = {kind!r} is not supported, only lookup tables are"
                raise ValueError(msg)
            if f"{keyword}{axis}" in header and (table, version) not in hdulist:
                msg = f"{keyword}{axis} needs the table [{table},{version}], it is not in the file"
                raise ValueError(msg)
    if "AXISCORR" in header and ("D2IMARR", 1) not in hdulist:
        msg = "AXISCORR needs the table [D2IMARR,1], it is not in the file"
        raise ValueError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.filterwarnings("ignore", ".*AXISCORR", AstropyDeprecationWarning)
        return WCS(header, hdulist)


def _read_gwcs(hdu: Any, path: str) -> gwcs.WCS | None:
    """Read ``meta.wcs`` of an ASDF extension, without the data models of the mission."""
    import asdf
    import gwcs

    with warnings.catch_warnings():
        warnings.simplefilter("error", asdf.exceptions.AsdfConversionWarning)
        try:
            # Older files have an image of bytes, newer ones a table of one cell.
            values = hdu.data if hdu.is_image else np.ravel(hdu.data.field(0)[0])
            # A lazy tree converts only what is asked for: tags that only the
            # mission's data models know, elsewhere in the tree, do not matter.
            with asdf.open(
                io.BytesIO(values.tobytes()),
                lazy_tree=True,
                lazy_load=False,
                ignore_missing_extensions=True,
            ) as file:
                wcs = file.tree.get("meta", {}).get("wcs")
        # asdf, yaml and every converter have errors of their own.
        except Exception as error:
            msg = f"{path}[ASDF]: the gwcs cannot be read ({error})"
            raise ValueError(msg) from error
    if wcs is not None and not isinstance(wcs, gwcs.WCS):
        msg = f"{path}[ASDF]: meta.wcs is a {type(wcs).__name__}, not a gwcs"
        raise ValueError(msg)
    return wcs


def _parse_unit(bunit: str) -> u.UnitBase | None:
    """Understand a BUNIT in any spelling of the field, or return None."""
    found = _COUNT_UNIT.fullmatch(bunit.lower())
    if found and found["count"] in _COUNTS:
        return _COUNTS[found["count"]] / u.s if found["rate"] else _COUNTS[found["count"]]
    if not bunit:
        return None
    for syntax in (None, "fits"):
        unit = u.Unit(bunit, format=syntax, parse_strict="silent")
        # 'S' and 'A' mean second and Angstrom here, which astropy cannot know.
        odd = {u.S, u.A} & set(getattr(unit, "bases", ()))
        if not odd and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _exptime(headers: tuple[fits.Header, ...]) -> float | None:
    """Return the first exposure time that is a positive number."""
    for value in (header.get(key) for key in _EXPTIMES for header in headers):
        try:
            exptime = float(value)
        except (TypeError, ValueError):
            continue
        if 0 < exptime < np.inf:
            return exptime
    return None


def _provenance(headers: tuple[fits.Header, ...]) -> dict[str, str | int | float]:
    """Collect who took the image, how and when, as far as the headers say."""

    def text(key: str) -> str:
        values = (header.get(key) for header in headers)
        return next((v.strip() for v in values if isinstance(v, str) and v.strip()), "")

    filters = [text(key) for key in _FILTERS if text(key)]
    used = [name for name in filters if not name.upper().startswith(_NO_FILTER)]
    date, time = text("DATE-OBS"), text("TIME-OBS")
    known = {
        "telescope": text("TELESCOP"),
        "instrument": text("INSTRUME"),
        "detector": text("DETECTOR"),
        "filter": "/".join(used or filters[:1]),
        "date_obs": text("DATE-BEG") or (f"{date}T{time}" if time and "T" not in date else date),
        "bunit": text("BUNIT"),
    }
    return {key: value for key, value in known.items() if value}
