"""Read the origin, unit and exposure time of an image from a header or a data model."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

__all__ = ["Keywords", "find_in", "metadata_from_header", "metadata_from_model", "parse_unit"]

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

_NO_FILTER = ("CLEAR", "N/A", "NONE")

# Values that files of Roman contain in place of missing values.
_MISSING = ("", "?", "-999999")


@dataclass(frozen=True)
class Keywords:
    """
    Keywords of the metadata in FITS headers, or paths below ``meta`` in data models.

    Attributes
    ----------
    telescope, instrument, detector, exposure, bunit : tuple of str
        Keywords of one value each. The first keyword that has a value is used.
    filter : tuple of str
        Keywords of all filter wheels. The names of the filters in the beam are joined with a slash.
    exposure_parts : tuple of str
        Keywords of the values that fill `exposure_format`. If one value is missing, `exposure` is
        used.
    exposure_format : str
        Format string for the identifier of an exposure.
    start : tuple of str
        Keywords of the start of the exposure, in ISO format, as `~astropy.time.Time`, or in MJD.
    date, time : str
        Keywords of the date and the time of the start. These keywords are used if `start` gives no
        value.
    exptime : tuple of str
        Keywords of the exposure time. The first positive number is used.
    zero_point : tuple of str
        Keywords of the AB magnitude of a source with a flux of one unit of the pixels.
    """

    telescope: tuple[str, ...] = ("TELESCOP",)
    instrument: tuple[str, ...] = ("INSTRUME",)
    detector: tuple[str, ...] = ("DETECTOR",)
    filter: tuple[str, ...] = ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "FILTNAM2", "PUPIL")
    exposure: tuple[str, ...] = ("EXPNAME", "ROOTNAME", "OBS_ID", "OBSID")
    exposure_parts: tuple[str, ...] = ()
    exposure_format: str = ""
    start: tuple[str, ...] = ("DATE-BEG",)
    date: str = "DATE-OBS"
    time: str = "TIME-OBS"
    bunit: tuple[str, ...] = ("BUNIT",)
    exptime: tuple[str, ...] = ("EXPTIME", "XPOSURE", "EFFEXPTM", "TEXPTIME")
    zero_point: tuple[str, ...] = ()

    @classmethod
    def of_models(cls, **others: Any) -> Self:
        """Return the paths in data models of JWST and Roman. Arguments replace single paths."""
        paths = {
            "telescope": ("telescope",),
            "instrument": ("instrument.name", "basic.instrument"),
            "detector": ("instrument.detector",),
            "filter": (
                "instrument.filter",
                "instrument.pupil",
                "instrument.optical_element",
                "basic.optical_element",
            ),
            "exposure": ("observation.obs_id", "observation.observation_id"),
            "start": (
                "observation.date_beg",
                "exposure.start_time",
                "coadd_info.time_first",
                "basic.time_first_mjd",
            ),
            "date": "observation.date",
            "time": "observation.time",
            "bunit": ("bunit_data",),
            "exptime": (
                "exposure.effective_exposure_time",
                "exposure.exposure_time",
                "coadd_info.exposure_time",
                "resample.product_exposure_time",
                "basic.mean_exposure_time",
            ),
        }
        return cls(**(paths | others))


def metadata_from_header(
    keywords: Keywords, *headers: fits.Header
) -> tuple[dict[str, Any], float | None]:
    """
    Read the metadata of an image from its headers.

    Parameters
    ----------
    keywords : Keywords
    *headers : `~astropy.io.fits.Header`
        Headers of the image and of its file. If several headers contain a keyword, the first is
        used.

    Returns
    -------
    meta : dict
        Values of ``telescope, instrument, detector, filter, exposure, date, bunit, zero_point``, as
        far as the headers contain them.
    exptime : float or None
        Exposure time in seconds.
    """

    def find(*keys: str) -> Iterator[Any]:
        return (header.get(key) for key in keys for header in headers)

    return _read_metadata(keywords, find)


def metadata_from_model(keywords: Keywords, tree: Any) -> tuple[dict[str, Any], float | None]:
    """
    Read the metadata of an image from the tree of a data model.

    Parameters
    ----------
    keywords : Keywords
    tree : object
        Tree with ``meta``, as an attribute or a key.

    Returns
    -------
    meta, exptime
        As in `metadata_from_header`.
    """

    def find(*paths: str) -> Iterator[Any]:
        return (find_in(tree, f"meta.{path}") for path in paths)

    return _read_metadata(keywords, find)


def _read_metadata(
    keywords: Keywords, find: Callable[..., Iterator[Any]]
) -> tuple[dict[str, Any], float | None]:
    meta: dict[str, Any] = {
        name: _first_word(find(*getattr(keywords, name)))
        for name in ("telescope", "instrument", "detector")
    }
    meta["filter"] = _join_filters(_first_word(find(key)) for key in keywords.filter)
    parts = [_first_word(find(key)) for key in keywords.exposure_parts]
    if parts and all(parts):
        meta["exposure"] = keywords.exposure_format.format(*parts)
    else:
        meta["exposure"] = _first_word(find(*keywords.exposure))
    date = _first_word(find(keywords.date))
    time = _first_word(find(keywords.time))
    start = list(find(*keywords.start))
    meta["date"] = _first_word(start) or _join_date(date, time) or _first_time(start)
    meta["bunit"] = _first_word(find(*keywords.bunit))
    meta["zero_point"] = _first_number(find(*keywords.zero_point))
    exptime = _first_number(find(*keywords.exptime))
    return {key: value for key, value in meta.items() if value}, exptime


def find_in(tree: Any, path: str) -> Any:
    """Return the node at a path of keys or attributes with dots between them, or `None`."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else getattr(tree, name, None)
    return tree


def parse_unit(text: str) -> u.UnitBase | None:
    """Parse a BUNIT in any of the common spellings. Return `None` for an unknown unit."""
    found = _COUNT_UNIT.fullmatch(text.lower())
    if found and found["count"] in _COUNTS:
        return _COUNTS[found["count"]] / u.s if found["rate"] else _COUNTS[found["count"]]
    if not text:
        return None
    for syntax in (None, "fits"):
        with warnings.catch_warnings():
            # Ignore warnings about several slashes and old spellings, which astropy parses
            # correctly.
            warnings.simplefilter("ignore", u.UnitsWarning)
            unit = u.Unit(text, format=syntax, parse_strict="silent")
        # Refuse siemens and ampere, because 'S' and 'A' in headers mean seconds and Angstrom.
        wrong = {u.S, u.A} & set(getattr(unit, "bases", ()))
        if not wrong and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _first_word(values: Iterable[Any]) -> str:
    """Return the first text or integer as text, or an empty text if there is none."""
    words = (str(v).strip() for v in values if isinstance(v, str) or type(v) is int)
    return next((word for word in words if word not in _MISSING), "")


def _first_number(values: Iterable[Any]) -> float | None:
    """Return the first positive number."""
    for value in values:
        try:
            number = float(value)
        except (TypeError, ValueError):
            continue
        if 0 < number < np.inf:
            return number
    return None


def _first_time(values: Iterable[Any]) -> str:
    """Return the first time in ISO format. Numbers are times in MJD."""
    for value in values:
        if isinstance(value, Time):
            return str(value.isot)
        if isinstance(value, float) and value > 0:
            return str(Time(value, format="mjd").isot)
    return ""


def _join_filters(names: Iterable[str]) -> str:
    """Join the filters in the beam. Use names of empty positions only if there are no filters."""
    names = [name for name in names if name]
    used = [name for name in names if not name.upper().startswith(_NO_FILTER)]
    return "/".join(used or names[:1])


def _join_date(date: str, time: str) -> str:
    return f"{date}T{time}" if date and time and "T" not in date else date
