"""FITS WCSs as plain values.

The FITS headers and the pickles of astropy round numbers to 12 to 15 digits, and they cannot
express every `astropy.wcs.WCS`. The plain values of this module are exact: header cards of wcslib
with 17 digits, and the attributes that header cards do not have.
"""

from __future__ import annotations

import copy
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
from astropy.wcs import WCS, WCSHDO_P17, DistortionLookupTable, Sip, WCSHDO_all, Wcsprm
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from .separation import largest_separation

__all__ = [
    "ExactWCS",
    "check_separation",
    "exact_state",
    "exact_wcs",
    "find_fits_wcs",
    "replace_fits_wcs",
    "restore_state",
]

TABLES = ("cpdis1", "cpdis2", "det2im1", "det2im2")

POLYNOMIALS = ("a", "b", "ap", "bp")

# Pixels; largest accepted difference between a WCS and its copy in a file or in a pickle.
MAX_SEPARATION = 1e-6


def find_fits_wcs(wcs: Any) -> WCS | None:
    """
    Return the `astropy.wcs.WCS` in a WCS.

    Parameters
    ----------
    wcs : object
        Any APE 14 WCS.

    Returns
    -------
    `~astropy.wcs.WCS` or None
        ``wcs`` itself or the WCS inside its wrappers. `None` if there is none, or if it is a
        subclass, which may have more content than this module keeps.
    """
    while isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
        wcs = getattr(wcs, _inner_name(wcs))
    return wcs if type(wcs) is WCS else None


def replace_fits_wcs(wcs: Any, new: Any) -> Any:
    """Return a WCS with another object in the place of its FITS WCS, in copies of its wrappers."""
    if not isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
        return new
    name = _inner_name(wcs)
    wrapper = copy.copy(wcs)
    setattr(wrapper, name, replace_fits_wcs(getattr(wcs, name), new))
    return wrapper


def _inner_name(wrapper: HighLevelWCSWrapper | BaseWCSWrapper) -> str:
    return "_low_level_wcs" if isinstance(wrapper, HighLevelWCSWrapper) else "_wcs"


def exact_state(wcs: WCS) -> dict[str, Any]:
    """
    Return the content of a FITS WCS as plain values.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        The WCS, which stays unchanged.

    Returns
    -------
    dict
        ``cards``: list of header cards for wcslib; ``key``: letter of the description;
        ``preserve_units``: `True` if the units are those of the cards; ``pixel_shape`` and
        ``pixel_bounds``; ``cd`` or ``crota``: the matrix in another form than in the cards;
        ``dateref`` and ``obsgeo``: values that astropy derives; ``sip``: ``crpix`` and the
        matrices ``a``, ``b``, ``ap``, ``bp``; ``tables``: ``data``, ``crpix``, ``crval`` and
        ``cdelt`` of each lookup table by name.
    """
    # Work on a copy, because writing a header may change the parameters.
    params = copy.deepcopy(wcs.wcs)
    header = params.to_header(WCSHDO_all | WCSHDO_P17)
    cards = [header[i : i + 80].rstrip() for i in range(0, len(header), 80)]
    tables = {name: getattr(wcs, name) for name in TABLES}
    state = {
        "cards": [card for card in cards if card and not card.startswith("COMMENT")],
        "key": params.alt,
        "preserve_units": wcs.preserve_units,
        "tables": {n: _table_to_state(t) for n, t in tables.items() if t is not None},
        **_get_values_without_cards(params),
    }
    if wcs.pixel_shape is not None:
        state["pixel_shape"] = [int(n) for n in wcs.pixel_shape]
    if wcs.pixel_bounds is not None:
        state["pixel_bounds"] = [_to_floats(bound) for bound in wcs.pixel_bounds]
    if wcs.sip is not None:
        state["sip"] = _sip_to_state(wcs.sip)
    return state


def _get_values_without_cards(params: Wcsprm) -> dict[str, Any]:
    """Return the parameters that the cards of wcslib do not have, or have in another form."""
    values = {}
    for name, is_set in (("cd", params.has_cd()), ("crota", params.has_crota())):
        if is_set and not params.has_pc():
            values[name] = getattr(params, name).tolist()
    if params.dateref:
        values["dateref"] = params.dateref
    if np.isfinite(params.obsgeo).all():
        # Cards have either X, Y, Z or L, B, H.
        values["obsgeo"] = params.obsgeo.tolist()
    return values


def _to_floats(values: Any) -> list[float] | None:
    return None if values is None else [float(value) for value in values]


def _sip_to_state(sip: Sip) -> dict[str, Any]:
    matrices = {name: getattr(sip, name) for name in POLYNOMIALS}
    state = {name: matrix.tolist() for name, matrix in matrices.items() if matrix is not None}
    return {"crpix": sip.crpix.tolist(), **state}


def _table_to_state(table: DistortionLookupTable) -> dict[str, Any]:
    place = {name: _to_floats(getattr(table, name)) for name in ("crpix", "crval", "cdelt")}
    return {"data": np.array(table.data), **place}


def restore_state(state: dict[str, Any], wcs: Any = None) -> Any:
    """
    Return the WCS of a state.

    Parameters
    ----------
    state : dict
        A result of `exact_state`.
    wcs : object, optional
        A FITS WCS, or a wrapper with one inside, that gets the content of the state in place; by
        default a new FITS WCS.

    Returns
    -------
    object
        ``wcs``, or the new WCS.
    """
    wcs = WCS() if wcs is None else wcs
    fits_wcs: Any = find_fits_wcs(wcs)
    params = _make_parameters(state)
    # The constructor is the only way to set `preserve_units`.
    WCS.__init__(fits_wcs, naxis=params.naxis, preserve_units=state["preserve_units"])
    fits_wcs.wcs = params
    fits_wcs.pixel_shape = state.get("pixel_shape")
    if "pixel_bounds" in state:
        bounds = state["pixel_bounds"]
        fits_wcs.pixel_bounds = [None if bound is None else tuple(bound) for bound in bounds]
    fits_wcs.sip = _make_sip(state["sip"]) if "sip" in state else None
    for name in TABLES:
        table = state["tables"].get(name)
        setattr(fits_wcs, name, None if table is None else _make_table(table))
    return wcs


def _make_sip(state: dict[str, Any]) -> Sip:
    matrices = [np.array(state[name]) if name in state else None for name in POLYNOMIALS]
    return Sip(*matrices, np.array(state["crpix"]))


def _make_table(state: dict[str, Any]) -> DistortionLookupTable:
    place = [tuple(state[name]) for name in ("crpix", "crval", "cdelt")]
    return DistortionLookupTable(np.array(state["data"], np.float32), *place)


def _make_parameters(state: dict[str, Any]) -> Wcsprm:
    params = Wcsprm(
        header="".join(card.ljust(80) for card in state["cards"]).encode("ascii"),
        key=state["key"],
        relax=True,
        warnings=False,
        preserve_units=state["preserve_units"],
    )
    for name in ("cd", "crota"):
        if name in state:
            del params.pc
            setattr(params, name, np.array(state[name]))
    params.dateref = state.get("dateref", "")
    if "obsgeo" in state:
        params.obsgeo = np.array(state["obsgeo"])
    params.set()
    return params


def check_separation(found: Any, wcs: Any, shape: tuple[int, int] | None = None) -> None:
    """
    Check that the copy of a WCS is good enough.

    Raises
    ------
    ValueError
        If the WCSs differ by more than 1e-6 pixels at positions in and around an image of the
        shape ``(ny, nx)``.
    """
    error = largest_separation(found, wcs, shape)
    if error > MAX_SEPARATION:
        msg = f"it would come back wrong by {error:.2g} pixels"
        raise ValueError(msg)


class ExactWCS:
    """
    Replacement of a WCS in pickles and archives, which is read as the WCS itself.

    Parameters
    ----------
    wcs : object
        A FITS WCS, or a wrapper with one inside.
    """

    def __init__(self, wcs: Any) -> None:
        self.wcs = wcs

    def __reduce__(self) -> tuple[Any, ...]:
        fits_wcs: Any = find_fits_wcs(self.wcs)
        try:
            state = exact_state(fits_wcs)
            check_separation(replace_fits_wcs(self.wcs, restore_state(state)), self.wcs)
        except Exception as error:
            # wcslib has no common class of errors.
            msg = f"the WCS {fits_wcs.wcs.name!r} cannot be pickled: {error}"
            raise ValueError(msg) from error
        if _is_restored_by_astropy(fits_wcs):
            # If the WCS is elsewhere in the pickle, both are one object after unpickling.
            return restore_state, (state, self.wcs)
        if self.wcs is fits_wcs:
            return restore_state, (state,)
        return replace_fits_wcs, (replace_fits_wcs(self.wcs, None), exact_wcs(fits_wcs))


def _is_restored_by_astropy(wcs: WCS) -> bool:
    """
    Return `True` if astropy can unpickle a WCS, perhaps to a WCS that differs.

    Its reader of headers fails for a table of the first axis alone, and for SIP without CTYPE.
    """
    is_single_table = wcs.cpdis1 is not None and wcs.cpdis2 is None
    return not is_single_table and (wcs.sip is None or all(wcs.wcs.ctype))


# By the id of the WCS. Pickles and archives contain one node for each object.
_EXACT: WeakValueDictionary[int, ExactWCS] = WeakValueDictionary()


def exact_wcs(wcs: Any) -> Any:
    """
    Return a replacement of a WCS that pickles and archives restore exactly.

    Parameters
    ----------
    wcs : object
        Any WCS.

    Returns
    -------
    ExactWCS or object
        ``wcs`` itself if it has no FITS WCS inside. As long as a replacement exists, it is the
        same object for each call.
    """
    if find_fits_wcs(wcs) is None:
        return wcs
    return _EXACT.setdefault(id(wcs), ExactWCS(wcs))
