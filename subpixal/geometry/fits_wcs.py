"""
Conversion of FITS WCSs to plain values and back.

The FITS headers and the pickles of astropy round numbers to 12 to 15 digits, and they cannot
express every `astropy.wcs.WCS`. The plain values of this module are exact. They consist of header
cards of wcslib with 17 digits, and of the attributes of the WCS that header cards cannot express.
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

# Largest accepted distance between a WCS and its copy in a file or in a pickle, in pixels.
MAX_SEPARATION = 1e-6


def find_fits_wcs(wcs: Any) -> WCS | None:
    """
    Return the `astropy.wcs.WCS` inside a WCS.

    Parameters
    ----------
    wcs : object
        Any APE 14 WCS.

    Returns
    -------
    `~astropy.wcs.WCS` or None
        ``wcs`` itself, or the WCS inside the wrappers of ``wcs``. `None` if this WCS is not an
        `astropy.wcs.WCS`. For an instance of a subclass, the result is also `None`, because the
        subclass may have attributes that this module would lose.
    """
    while isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
        wcs = getattr(wcs, _inner_name(wcs))
    return wcs if type(wcs) is WCS else None


def replace_fits_wcs(wcs: Any, new: Any) -> Any:
    """
    Replace the FITS WCS inside a WCS by another object.

    The result has copies of the wrappers of ``wcs``. The function does not change ``wcs`` itself.
    """
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
        The WCS. The function does not change it.

    Returns
    -------
    dict
        The state. It has the following keys, except for values that the WCS does not have:

        - ``cards``: list of header cards for wcslib;
        - ``key``: letter of the description in a header with several WCSs;
        - ``preserve_units``: `True` if the WCS keeps the units of the cards;
        - ``pixel_shape`` and ``pixel_bounds``: the attributes of the WCS;
        - ``cd`` or ``crota``: the matrix in the form that the WCS uses, if the cards use another;
        - ``dateref`` and ``obsgeo``: values that wcslib would otherwise derive from the cards;
        - ``sip``: ``crpix`` and the matrices ``a``, ``b``, ``ap``, ``bp`` of the SIP polynomials;
        - ``tables``: ``data``, ``crpix``, ``crval`` and ``cdelt`` of each lookup table, by the
          name of the table.
    """
    # Use a copy of the parameters, because the method that writes a header may change them.
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
    """Return the parameters that the cards of wcslib omit or express in another form."""
    values = {}
    for name, is_set in (("cd", params.has_cd()), ("crota", params.has_crota())):
        if is_set and not params.has_pc():
            values[name] = getattr(params, name).tolist()
    if params.dateref:
        values["dateref"] = params.dateref
    if np.isfinite(params.obsgeo).all():
        # Cards have either OBSGEO-X, -Y and -Z or OBSGEO-L, -B and -H, not both.
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
    Make the WCS that a state describes.

    Parameters
    ----------
    state : dict
        A result of `exact_state`.
    wcs : object, optional
        A FITS WCS, or a wrapper around a FITS WCS. The state replaces the content of this FITS
        WCS. By default, the function makes a new FITS WCS.

    Returns
    -------
    object
        ``wcs``, or the new WCS if ``wcs`` is not given.
    """
    wcs = WCS() if wcs is None else wcs
    fits_wcs: Any = find_fits_wcs(wcs)
    params = _make_parameters(state)
    # Call the constructor, because there is no other way to set `preserve_units`.
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
    Raise an error if the copy ``found`` of a WCS ``wcs`` is not accurate enough.

    Raises
    ------
    ValueError
        If the WCSs differ by more than 1e-6 pixels at positions in and around an image of the
        shape ``(ny, nx)``, or if their world axes differ.
    """
    error = largest_separation(found, wcs, shape)
    if error > MAX_SEPARATION:
        msg = f"the WCS that is read would differ by {error:.2g} pixels"
        raise ValueError(msg)


class ExactWCS:
    """
    Stand-in for a WCS while a pickle or an archive is written.

    A reader of the pickle or of the archive gets the WCS itself.

    Parameters
    ----------
    wcs : object
        A FITS WCS, or a wrapper around a FITS WCS.
    """

    def __init__(self, wcs: Any) -> None:
        self.wcs = wcs

    def __reduce__(self) -> tuple[Any, ...]:
        fits_wcs: Any = find_fits_wcs(self.wcs)
        try:
            state = exact_state(fits_wcs)
            check_separation(replace_fits_wcs(self.wcs, restore_state(state)), self.wcs)
        except Exception as error:
            # Catch all exceptions, because the errors of wcslib have no common base class.
            msg = f"the WCS {fits_wcs.wcs.name!r} cannot be pickled: {error}"
            raise ValueError(msg) from error
        if _is_restored_by_astropy(fits_wcs):
            # Pass on the WCS itself. If the pickle also contains the WCS in another place, both
            # places then get the same object.
            return restore_state, (state, self.wcs)
        if self.wcs is fits_wcs:
            return restore_state, (state,)
        return replace_fits_wcs, (replace_fits_wcs(self.wcs, None), exact_wcs(fits_wcs))


def _is_restored_by_astropy(wcs: WCS) -> bool:
    """
    Return `True` if astropy can pickle and unpickle a WCS, even if the result is not exact.

    To unpickle a WCS, astropy reads a header. This fails if only the first axis has a lookup table,
    and if a WCS with SIP polynomials has no CTYPE.
    """
    is_single_table = wcs.cpdis1 is not None and wcs.cpdis2 is None
    return not is_single_table and (wcs.sip is None or all(wcs.wcs.ctype))


# Stand-ins by the id of the WCS. Because a WCS has only one stand-in, a pickle or an archive
# contains a shared WCS only once.
_EXACT: WeakValueDictionary[int, ExactWCS] = WeakValueDictionary()


def exact_wcs(wcs: Any) -> Any:
    """
    Return a stand-in for a WCS, from which pickles and archives restore the exact WCS.

    Parameters
    ----------
    wcs : object
        Any WCS.

    Returns
    -------
    ExactWCS or object
        The stand-in. Further calls return the same object as long as it exists. If ``wcs`` contains
        no FITS WCS, the result is ``wcs`` itself.
    """
    if find_fits_wcs(wcs) is None:
        return wcs
    return _EXACT.setdefault(id(wcs), ExactWCS(wcs))
