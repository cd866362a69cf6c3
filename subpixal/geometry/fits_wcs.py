"""FITS WCSs as plain values, to the last bit.

asdf-astropy and the pickles of astropy write a WCS down as header cards, which
round doubles to 12 to 15 digits and cannot say everything. wcslib writes cards
of 17 digits as well, which are exact. What no card says stands beside them.
"""

from __future__ import annotations

import copy
from math import comb
from weakref import WeakKeyDictionary, WeakValueDictionary

import numpy as np
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

__all__ = [
    "check_restored",
    "exact_pickle",
    "exact_state",
    "express_in_header",
    "find_fits_wcs",
    "restore_state",
    "table_pixels",
]

TABLES = ("cpdis1", "cpdis2", "det2im1", "det2im2")

POLYNOMIALS = ("a", "b", "ap", "bp")

# In pixels.
TOLERANCE = 1e-6


def find_fits_wcs(wcs):
    """
    The `astropy.wcs.WCS` that a WCS is, or that is inside its wrappers.

    Parameters
    ----------
    wcs : object
        Any APE 14 WCS.

    Returns
    -------
    `~astropy.wcs.WCS` or None
        `None` if there is none. Subclasses do not count: they may have more to keep.
    """
    from astropy.wcs import WCS

    while isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
        wcs = wcs.low_level_wcs if isinstance(wcs, HighLevelWCSWrapper) else wcs._wcs
    return wcs if type(wcs) is WCS else None


def exact_state(wcs) -> dict:
    """
    All of a FITS WCS but the pixels of its lookup tables, as plain values.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        It is not changed.

    Returns
    -------
    dict
        ``cards``: list of header cards for wcslib; ``key``: the letter of the description;
        ``preserve_units``: whether the units are those of the cards; ``cd`` or
        ``crota``: the matrix in another form than the cards have it; ``dateref`` and
        ``obsgeo``: what astropy has found itself; ``sip``:
        ``crpix`` and the matrices ``a``, ``b``, ``ap``, ``bp``; ``tables``: ``crpix``,
        ``crval``, ``cdelt`` of each lookup table, by name.
    """
    from astropy.wcs import WCSHDO_P17, WCSHDO_all

    # Writing the header sets the values up, and may change them.
    params = copy.deepcopy(wcs.wcs)
    header = params.to_header(WCSHDO_all | WCSHDO_P17)
    cards = [header[i : i + 80].rstrip() for i in range(0, len(header), 80)]
    state = {
        "cards": [card for card in cards if card and not card.startswith("COMMENT")],
        "key": params.alt,
        "preserve_units": wcs.preserve_units,
    }
    for name, present in (("cd", params.has_cd()), ("crota", params.has_crota())):
        if present and not params.has_pc():
            state[name] = getattr(params, name).tolist()
    if params.dateref:
        state["dateref"] = params.dateref
    if np.isfinite(params.obsgeo).all():
        # Cards are either X, Y, Z or L, B, H.
        state["obsgeo"] = params.obsgeo.tolist()
    if wcs.sip is not None:
        matrices = {name: getattr(wcs.sip, name) for name in POLYNOMIALS}
        state["sip"] = {n: m.tolist() for n, m in matrices.items() if m is not None}
        state["sip"]["crpix"] = wcs.sip.crpix.tolist()
    tables = {name: getattr(wcs, name) for name in TABLES}
    state["tables"] = {
        name: {n: [float(v) for v in getattr(table, n)] for n in ("crpix", "crval", "cdelt")}
        for name, table in tables.items()
        if table is not None
    }
    return state


def restore_state(wcs, state: dict):
    """
    Make a WCS that was read from header cards exactly what it was.

    Parameters
    ----------
    wcs : object
        The FITS WCS, or one that has it inside its wrappers; it is changed in place.
        Once more does nothing more.
    state : dict
        As `exact_state` gives it.

    Returns
    -------
    object
        ``wcs``.
    """
    from astropy.wcs import WCS, Sip

    fits_wcs = find_fits_wcs(wcs)
    params = _read_cards(state)
    tables = {name: getattr(fits_wcs, name) for name in TABLES}
    shape, bounds = fits_wcs.pixel_shape, fits_wcs.pixel_bounds
    if fits_wcs.preserve_units != state["preserve_units"]:
        # There is no other way to set it.
        WCS.__init__(fits_wcs, naxis=params.naxis, preserve_units=state["preserve_units"])
        fits_wcs.pixel_shape = shape
    fits_wcs.wcs = params
    if bounds is not None:
        fits_wcs.pixel_bounds = [None if b is None else tuple(b) for b in bounds]
    sip = state.get("sip")
    if sip is not None:
        matrices = (np.array(sip[name]) if name in sip else None for name in POLYNOMIALS)
        sip = Sip(*matrices, np.array(sip["crpix"]))
    fits_wcs.sip = sip
    for name, table in tables.items():
        # A table that is not among them is there only for the sake of the header.
        place = state["tables"].get(name)
        for attribute, value in (place or {}).items():
            setattr(table, attribute, tuple(value))
        setattr(fits_wcs, name, None if place is None else table)
    return wcs


def _read_cards(state):
    from astropy.wcs import Wcsprm

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


_STANDINS = WeakKeyDictionary()


def express_in_header(wcs, state: dict):
    """
    A WCS that headers as astropy writes and reads them can express.

    Parameters
    ----------
    wcs : object
        A FITS WCS, or one that has it inside its wrappers.
    state : dict
        Its state.

    Returns
    -------
    object
        ``wcs`` itself if headers can. Otherwise one of the same world values, but for
        rounding, that `restore_state` makes what ``wcs`` is. As long as the WCS does
        not change, it is the same one each time.
    """
    fits_wcs = find_fits_wcs(wcs)
    if not _is_beyond_headers(fits_wcs):
        return wcs
    content = state, [table_pixels(fits_wcs)]
    known, standin = _STANDINS.get(fits_wcs, (None, None))
    if known != content:
        standin = _make_standin(fits_wcs)
        _STANDINS[fits_wcs] = content, standin
    return _replace_inside(wcs, standin)


def table_pixels(wcs) -> list:
    """Pixels of the lookup tables of a FITS WCS, as bytes."""
    tables = (getattr(wcs, name) for name in TABLES)
    return [None if table is None else table.data.tobytes() for table in tables]


def _is_beyond_headers(wcs) -> bool:
    """
    Whether a header would not be read, or be read as something else.

    wcslib takes the table of the first axis for one of both. The origin of SIP
    is the reference pixel, its order at least 2, and it needs types of axes. And
    asdf-astropy forgets the key.
    """
    one_table = wcs.cpdis1 is not None and wcs.cpdis2 is None
    return one_table or wcs.wcs.alt != " " or (wcs.sip is not None and _is_odd_sip(wcs))


def _is_odd_sip(wcs) -> bool:
    matrices = [getattr(wcs.sip, name) for name in POLYNOMIALS]
    small = any(m is not None and len(m) < 3 for m in matrices)
    return small or not all(wcs.wcs.ctype) or not np.array_equal(wcs.sip.crpix, wcs.wcs.crpix)


def _make_standin(wcs):
    from astropy.wcs import DistortionLookupTable, Sip

    new = wcs.deepcopy()
    new.wcs.alt = " "
    table = new.cpdis1
    if table is not None and new.cpdis2 is None:
        zeros = np.zeros_like(table.data)
        new.cpdis2 = DistortionLookupTable(zeros, table.crpix, table.crval, table.cdelt)
    if new.sip is not None:
        crpix = new.wcs.crpix
        shift = crpix - new.sip.crpix
        matrices = (_move_polynomial(getattr(new.sip, name), shift) for name in POLYNOMIALS)
        new.sip = Sip(*matrices, crpix)
        # Any type will do that is not one of the sky.
        types = zip(new.wcs.ctype, ("X-SIP", "Y-SIP"), strict=True)
        new.wcs.ctype = [name or other for name, other in types]
    return new


def _move_polynomial(matrix, shift):
    """Coefficients of ``f(x + shift)``, where ``matrix`` has those of ``f``."""
    if matrix is None:
        return None
    order = len(matrix) - 1
    powers = np.arange(order + 1)
    # Higher terms are there, but do not count.
    matrix = np.where(np.add.outer(powers, powers) <= order, matrix, 0.0)
    x, y = (
        np.array([[comb(i, k) * s ** max(i - k, 0) for i in powers] for k in powers]) for s in shift
    )
    return np.pad(x @ matrix @ y.T, (0, max(2 - order, 0)))


def _replace_inside(wcs, new):
    """A wrapped WCS with another FITS WCS inside."""
    if not isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
        return new
    name = "_low_level_wcs" if isinstance(wcs, HighLevelWCSWrapper) else "_wcs"
    wrapper = copy.copy(wcs)
    setattr(wrapper, name, _replace_inside(getattr(wcs, name), new))
    return wrapper


def check_restored(found, wcs, shape: tuple[int, int] | None = None) -> None:
    """
    Check that what comes back is what was written.

    Parameters
    ----------
    found, wcs : `~astropy.wcs.WCS`
        What came back, and what should have.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image; by default that of the WCS, or 1000 pixels.

    Raises
    ------
    ValueError
        If world values differ by more than 1e-6 pixels, at positions in
        the image and up to 100 pixels off.
    """
    size = (1000.0,) * wcs.naxis
    if shape is not None and wcs.naxis == 2:
        size = shape[::-1]
    elif wcs.pixel_shape is not None:
        size = wcs.pixel_shape
    rng = np.random.default_rng(0)
    pixels = [rng.uniform(-100, n + 100, 60) for n in size]
    error = _distance(found, wcs, pixels)
    worst = int(error.argmax())
    if error[worst] > TOLERANCE:
        where = ", ".join(f"{p[worst]:.1f}" for p in pixels)
        msg = f"it would come back wrong by {error[worst]:.2g} pixels at ({where})"
        raise ValueError(msg)
    units, expected = ([str(unit) for unit in w.wcs.cunit] for w in (found, wcs))
    if units != expected:
        msg = f"its world values would come back in {units}, not in {expected}"
        raise ValueError(msg)


def _distance(found, wcs, pixels):
    """About how many pixels two WCSs are apart; infinite where one of them is not defined."""
    here, there = (np.array(w.pixel_to_world_values(*pixels), float) for w in (wcs, found))
    one_pixel = np.zeros_like(here)
    for i in range(len(pixels)):
        beside = [p + (k == i) for k, p in enumerate(pixels)]
        one_pixel += np.abs(_subtract(wcs, wcs.pixel_to_world_values(*beside), here))
    change = np.abs(_subtract(wcs, there, here))
    with np.errstate(divide="ignore", invalid="ignore"):
        error = np.where(change == 0, 0.0, change / one_pixel)
    both = np.isnan(here) & np.isnan(there)
    return np.where(both, 0.0, np.where(np.isnan(error), np.inf, error)).max(axis=0)


def _subtract(wcs, a, b):
    """Differences of world values, those of longitudes without whole turns."""
    from astropy import units as u

    difference = np.subtract(a, b)
    if wcs.wcs.lng >= 0:
        turn = (360 * u.deg).to_value(wcs.wcs.cunit[wcs.wcs.lng])
        longitude = difference[wcs.wcs.lng]
        longitude -= turn * np.round(longitude / turn)
    return difference


_PICKLED = WeakValueDictionary()


def exact_pickle(wcs):
    """
    What to pickle in place of a WCS, so that the WCS comes back exactly.

    Parameters
    ----------
    wcs : object
        Any WCS.

    Returns
    -------
    object
        It is unpickled as a WCS: the very one, if the pickle has the WCS elsewhere too.
        For a WCS that pickles exactly, the WCS.
    """
    if find_fits_wcs(wcs) is None:
        return wcs
    # One for each WCS, as long as a pickle needs it: what is the same object is pickled once.
    return _PICKLED.setdefault(id(wcs), _ExactPickle(wcs))


class _ExactPickle:
    def __init__(self, wcs) -> None:
        self._wcs = wcs

    def __reduce__(self):
        fits_wcs = find_fits_wcs(self._wcs)
        try:
            state = exact_state(fits_wcs)
            written = express_in_header(self._wcs, state)
            found = restore_state(find_fits_wcs(written).deepcopy(), state)
            check_restored(found, fits_wcs)
        except Exception as error:
            # Of wcslib, there may be any.
            msg = f"the WCS {fits_wcs.wcs.name!r} cannot be pickled: {error}"
            raise ValueError(msg) from error
        return restore_state, (written, state)
