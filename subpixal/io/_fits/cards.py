"""Values, names and metadata as FITS has them: printable ASCII, no NaN, few types."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping

import numpy as np
from astropy.io import fits

__all__ = ["add_meta", "as_ascii", "as_card_value", "as_pixels", "as_table_hdu", "as_unit"]

# What says how pixels are stored, or where they are on the sky: the file has its own.
_RESERVED = re.compile(
    r"|SIMPLE|XTENSION|BITPIX|NAXIS\d*|EXTEND|[PG]COUNT|GROUPS|BZERO|BSCALE|BLANK|BUNIT"
    r"|DATAMIN|DATAMAX|EXTNAME|EXTVER|EXTLEVEL|INHERIT|CHECKSUM|DATASUM"
    r"|(WCSAXES|WCSNAME|LONPOLE|LATPOLE|RADESYS|EQUINOX)[A-Z]?|RADECSYS|EPOCH|MJDREF[IF]?"
    r"|(CTYPE|CUNIT|CRPIX|CRVAL|CDELT|CROTA|CRDER|CSYER)\d+[A-Z]?|(CD|PC|PV|PS)\d+_\d+[A-Z]?"
    r"|[AB]P?_(ORDER|DMAX|\d+_\d+)|(CPDIS|CQDIS|CPERR|CQERR|D2IM|D2IMDIS|D2IMERR|DP|DQ)\d+(\..*)?"
    r"|AXISCORR|LT[VM]\d+(_\d+)?|WCSFIT|WCSERR"
)

# What a WCS says in words of its own.
_ALSO_OF_WCS = ("DATE-", "MJD-", "OBSGEO-")

_KEYWORD = re.compile(r"[A-Z0-9_-]{1,8}")


def as_ascii(value) -> str:
    """Text, or what stands for something else, in the characters that FITS has."""
    text = str(value)
    plain = text.isascii() and text.isprintable()
    return text if plain else text.encode("unicode_escape").decode("ascii")


def as_card_value(value):
    """
    What a header can hold of a value.

    Raises
    ------
    ValueError
        If it cannot hold the value.
    """
    value = value.item() if isinstance(value, np.generic) else value
    finite = not isinstance(value, float) or np.isfinite(value)
    if not (finite and isinstance(value, bool | int | float | str | None)):
        msg = f"a FITS header cannot hold {value!r}"
        raise ValueError(msg)
    return as_ascii(value) if isinstance(value, str) else value


def add_meta(header: fits.Header, meta: Mapping) -> list[str]:
    """
    Add metadata to a header.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        What is in it stays.
    meta : mapping
        Keys that are no keywords of FITS become ``HIERARCH`` cards. Those that
        say how pixels are stored, or where they are, are not those of the file.

    Returns
    -------
    list of str
        Keys of what the header cannot hold, or has with another value.
    """
    return [str(key) for key, value in meta.items() if not _hold(header, key, value)]


def _hold(header: fits.Header, key, value) -> bool:
    """Whether a header needs no card for a value, or has one with it now."""
    keyword = as_ascii(key).upper()
    if _RESERVED.fullmatch(keyword):
        return True
    try:
        card = _card(keyword, as_card_value(value))
    except (ValueError, fits.VerifyError):
        return False
    if keyword in header:
        return header[keyword] == card.value or keyword.startswith(_ALSO_OF_WCS)
    header.append(card, end=True)
    return True


def _card(keyword: str, value) -> fits.Card:
    if not _KEYWORD.fullmatch(keyword):
        keyword = f"HIERARCH {keyword}"
    with warnings.catch_warnings():
        # A card that is cut off is one that cannot be written.
        warnings.simplefilter("error", fits.verify.VerifyWarning)
        try:
            card = fits.Card(keyword, value)
            str(card)
        except fits.verify.VerifyWarning as warning:
            raise ValueError(str(warning)) from warning
    return card


def as_unit(unit) -> str:
    """Name of a unit, as FITS has it where FITS knows it; empty for none."""
    if unit is None:
        return ""
    try:
        return unit.to_string("fits")
    except ValueError:
        return as_ascii(unit.to_string())


def as_pixels(name: str, pixels: np.ndarray) -> np.ndarray:
    """
    Pixels of a type that FITS images have, all values as they were.

    Raises
    ------
    ValueError
        If there is no such type.
    """
    kind, size = pixels.dtype.kind, pixels.dtype.itemsize
    if kind == "b":
        return pixels.astype(np.uint8)
    if kind == "f" and size == 2:
        return pixels.astype(np.float32)
    if kind not in "iuf" or size > 8:
        msg = f"FITS images hold no {pixels.dtype}, which {name} of a cutout is"
        raise ValueError(msg)
    return pixels


def as_table_hdu(columns: Mapping[str, Iterable], name: str) -> fits.BinTableHDU:
    """Table extension of columns of numbers, or of anything that is written as text."""
    from astropy.table import Table

    columns = {key: np.asarray(values) for key, values in columns.items()}
    for key, values in columns.items():
        if values.dtype.kind in "OU":
            columns[key] = np.array([as_ascii(value) for value in values.tolist()], str)
    return fits.BinTableHDU(Table(columns), name=name)
