"""Where an image comes from, under the same few keys whatever the file; unit, exposure time."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.time import Time

__all__ = ["find_in", "metadata_from_header", "metadata_from_model", "parse_unit"]

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

# What Roman writes where there is nothing to write.
_MISSING = ("", "?", "-999999")


def metadata_from_header(*headers: fits.Header) -> tuple[dict[str, str], float | None]:
    """
    Read where an image comes from in its headers.

    Parameters
    ----------
    *headers : `~astropy.io.fits.Header`
        Of the image and of its file; the first that has a keyword counts.

    Returns
    -------
    meta : dict
        ``telescope, instrument, detector, filter, exposure, date, bunit``, as far as
        they are known.
    exptime : float or None
        Exposure time in seconds.
    """

    def find(*keys: str) -> Iterator[Any]:
        return (header.get(key) for key in keys for header in headers)

    visit = [_word(find(key)) for key in ("VISIT_ID", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE")]
    filters = ("FILTER", "FILTER1", "FILTER2", "FILTNAM1", "FILTNAM2", "PUPIL")
    date, time = _word(find("DATE-OBS")), _word(find("TIME-OBS"))
    meta = {
        "telescope": _word(find("TELESCOP")),
        "instrument": _word(find("INSTRUME")),
        "detector": _word(find("DETECTOR")),
        "filter": _join_filters(_word(find(key)) for key in filters),
        "exposure": _jwst_exposure(visit) or _word(find("EXPNAME", "ROOTNAME", "OBS_ID", "OBSID")),
        "date": _word(find("DATE-BEG")) or _join_date(date, time),
        "bunit": _word(find("BUNIT")),
    }
    exptime = _seconds(find("EXPTIME", "XPOSURE", "EFFEXPTM", "TEXPTIME"))
    return {key: value for key, value in meta.items() if value}, exptime


def metadata_from_model(tree) -> tuple[dict[str, str], float | None]:
    """
    Read where an image comes from in the tree of a data model of JWST or Roman.

    Parameters
    ----------
    tree : object
        It has ``meta``, as an attribute or a key.

    Returns
    -------
    meta, exptime
        As of `describe_header`.
    """

    def find(*paths: str) -> Iterator[Any]:
        return (find_in(tree, f"meta.{path}") for path in paths)

    jwst = ("visit_id", "visit_group", "sequence_id", "activity_id", "exposure_number")
    visit = [_word(find(f"observation.{name}")) for name in jwst]
    filters = ("instrument.filter", "instrument.pupil", "instrument.optical_element")
    date, time = _word(find("observation.date")), _word(find("observation.time"))
    start = find("exposure.start_time", "coadd_info.time_first", "basic.time_first_mjd")
    meta = {
        "telescope": _word(find("telescope")),
        "instrument": _word(find("instrument.name", "basic.instrument")),
        "detector": _word(find("instrument.detector")),
        "filter": _join_filters(_word(find(p)) for p in (*filters, "basic.optical_element")),
        "exposure": _jwst_exposure(visit)
        or _roman_exposure(_word(find("observation.visit_id")), _word(find("observation.exposure")))
        or _word(find("observation.obs_id", "observation.observation_id")),
        "date": _word(find("observation.date_beg")) or _join_date(date, time) or _start(start),
        "bunit": _word(find("bunit_data")),
    }
    exptime = _seconds(
        find(
            "exposure.effective_exposure_time", "exposure.exposure_time",
            "coadd_info.exposure_time", "resample.product_exposure_time",
            "basic.mean_exposure_time",
        )
    )  # fmt: skip
    return {key: value for key, value in meta.items() if value}, exptime


def find_in(tree, path: str):
    """What is under keys or attributes joined with dots; None if one of them is missing."""
    for name in path.split("."):
        tree = tree.get(name) if isinstance(tree, Mapping) else getattr(tree, name, None)
    return tree


def parse_unit(text: str) -> u.UnitBase | None:
    """Understand a BUNIT in any spelling of the field, or return None."""
    found = _COUNT_UNIT.fullmatch(text.lower())
    if found and found["count"] in _COUNTS:
        return _COUNTS[found["count"]] / u.s if found["rate"] else _COUNTS[found["count"]]
    if not text:
        return None
    for syntax in (None, "fits"):
        with warnings.catch_warnings():
            # Several slashes, old spellings: what is understood is good enough.
            warnings.simplefilter("ignore", u.UnitsWarning)
            unit = u.Unit(text, format=syntax, parse_strict="silent")
        # 'S' and 'A' mean second and Angstrom here, which astropy cannot know.
        odd = {u.S, u.A} & set(getattr(unit, "bases", ()))
        if not odd and not isinstance(unit, u.UnrecognizedUnit):
            return unit
    return None


def _word(values: Iterable) -> str:
    """The first value that says something, as a word; empty if none does."""
    words = (str(v).strip() for v in values if isinstance(v, str) or type(v) is int)
    return next((word for word in words if word not in _MISSING), "")


def _seconds(values: Iterable) -> float | None:
    """The first exposure time that is a positive number."""
    for value in values:
        try:
            seconds = float(value)
        except (TypeError, ValueError):
            continue
        if 0 < seconds < np.inf:
            return seconds
    return None


def _join_filters(names: Iterable[str]) -> str:
    names = [name for name in names if name]
    used = [name for name in names if not name.upper().startswith(_NO_FILTER)]
    return "/".join(used or names[:1])


def _join_date(date: str, time: str) -> str:
    return f"{date}T{time}" if date and time and "T" not in date else date


def _start(values: Iterable) -> str:
    """The first time as an ISO date; numbers are MJD."""
    for value in values:
        if isinstance(value, Time):
            return str(value.isot)
        if isinstance(value, float) and value > 0:
            return str(Time(value, format="mjd").isot)
    return ""


def _jwst_exposure(visit: list[str]) -> str:
    """Name of an exposure as in the names of its files."""
    if not all(visit):
        return ""
    visit_id, group, sequence, activity, number = visit
    return f"jw{visit_id}_{group}{sequence}{activity}_{number.zfill(5)}"


def _roman_exposure(visit_id: str, number: str) -> str:
    return f"r{visit_id}_{number.zfill(4)}" if visit_id and number else ""
