"""Convert values, names and metadata to the few types that FITS can hold."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.units import UnitBase
from numpy.typing import ArrayLike, NDArray

__all__ = ["add_meta", "as_ascii", "as_card_value", "as_pixels", "as_table_hdu", "as_unit"]

# Keywords that describe the storage of the pixels or the WCS. The writer adds its own cards for
# these keywords.
_RESERVED = re.compile(
    r"|SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|GROUPS|BZERO|BSCALE|BLANK|BUNIT"
    r"|DATAMIN|DATAMAX|EXTNAME|EXTVER|EXTLEVEL|INHERIT|CHECKSUM|DATASUM"
    r"|(WCSAXES|WCSNAME|LONPOLE|LATPOLE|RADESYS|EQUINOX)[A-Z]?|RADECSYS|EPOCH|MJDREF[IF]?"
    r"|(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|CRDER|CSYER)\d+[A-Z]?|(CD|PC|PV|PS)\d+_\d+[A-Z]?"
    r"|[AB]P?_(ORDER|DMAX|\d+_\d+)|(CPDIS|CQDIS|CPERR|CQERR|D2IM|D2IMDIS|D2IMERR|DP|DQ)\d+(\..*)?"
    r"|AXISCORR|LT[VM]\d+(_\d+)?|WCSFIT|WCSERR"
)

# Keywords that start like these may already be in the header, because the header of a WCS contains
# dates and the position of the observatory.
_ALSO_OF_WCS = ("DATE-", "MJD-", "OBSGEO-")

_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")


def as_ascii(value: Any) -> str:
    """Return a value as printable ASCII, with escape sequences for other characters."""
    text = str(value)
    plain = text.isascii() and text.isprintable()
    return text if plain else text.encode("unicode_escape").decode("ascii")


def as_card_value(value: Any) -> bool | int | float | str | None:
    """
    Convert a value to a type that a card of a FITS header can hold.

    Raises
    ------
    ValueError
        If a FITS header cannot hold the value.
    """
    value = value.item() if isinstance(value, np.generic) else value
    finite = not isinstance(value, float) or np.isfinite(value)
    if not (finite and isinstance(value, bool | int | float | str | None)):
        msg = f"a FITS header cannot hold {value!r}"
        raise ValueError(msg)
    return as_ascii(value) if isinstance(value, str) else value


def add_meta(header: fits.Header, meta: Mapping[Any, Any]) -> list[str]:
    """
    Add metadata to a header.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        Header to which cards are added. Its existing cards do not change.
    meta : mapping
        Metadata. Keys that are not valid FITS keywords become ``HIERARCH`` cards. Keywords that
        describe the storage of the pixels or the WCS are left out, because the writer adds its own
        cards for them.

    Returns
    -------
    list of str
        Keys that were left out, because the header cannot contain the value or because an existing
        card has another value.
    """
    return [str(key) for key, value in meta.items() if not _add_card(header, key, value)]


def _add_card(header: fits.Header, key: Any, value: Any) -> bool:
    """Add a card if it is needed; return `False` if the header cannot hold the value."""
    keyword = as_ascii(key).upper()
    if _RESERVED.fullmatch(keyword):
        return True
    try:
        card = _make_card(keyword, as_card_value(value))
    except (ValueError, fits.VerifyError):
        return False
    if keyword in header:
        return header[keyword] == card.value or keyword.startswith(_ALSO_OF_WCS)
    header.append(card, end=True)
    return True


def _make_card(keyword: str, value: Any) -> fits.Card:
    if not _KEYWORD.fullmatch(keyword):
        keyword = f"HIERARCH {keyword}"
    with warnings.catch_warnings():
        # astropy warns if it truncates a card.
        warnings.simplefilter("error", fits.verify.VerifyWarning)
        try:
            card = fits.Card(keyword, value)
            str(card)
        except fits.verify.VerifyWarning as warning:
            raise ValueError(str(warning)) from warning
    return card


def as_unit(unit: UnitBase | None) -> str:
    """Return the name of a unit, in the FITS standard if possible. The name of `None` is empty."""
    if unit is None:
        return ""
    try:
        return unit.to_string("fits")
    except ValueError:
        return as_ascii(unit.to_string())


def as_pixels(name: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """
    Convert pixels to a type of FITS images that represents all values exactly.

    Raises
    ------
    ValueError
        If FITS has no such type.
    """
    kind = pixels.dtype.kind
    size = pixels.dtype.itemsize
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "f" and size == 2:
        return pixels.astype(np.float32)
    if kind not in "iuf" or size > 8:
        msg = f"{name} of a cutout must have a type of FITS images, got {pixels.dtype}"
        raise ValueError(msg)
    return pixels


def as_table_hdu(columns: Mapping[str, ArrayLike], name: str) -> fits.BinTableHDU:
    """Return a table extension; columns of objects become text."""
    from astropy.table import Table

    arrays = {key: np.asarray(values) for key, values in columns.items()}
    for key, values in arrays.items():
        if values.dtype.kind in "OU":
            arrays[key] = np.array([as_ascii(value) for value in values.tolist()], str)
    return fits.BinTableHDU(Table(arrays), name=name)
