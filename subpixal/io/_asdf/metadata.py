"""Convert metadata to plain values that ASDF can store, and warn of values that are left out."""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections import ChainMap, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

import asdf
import numpy as np
from astropy.io import fits

from subpixal.errors import SubpixalWarning

from .columns import escape_surrogates, is_literal

__all__ = ["check_writable", "is_plain_array", "meta_to_tree"]

COMMENTARY = ("HISTORY", "COMMENT", "")

PLAIN = (type(None), bool, float, complex, bytes, dt.datetime, dt.date)

LEFT_OUT = object()


def meta_to_tree(meta: Mapping[Any, Any] | None, what: str) -> dict[Any, Any] | None:
    """
    Return metadata as a plain dict.

    Parameters
    ----------
    meta : mapping or None
        Metadata. A FITS header becomes a mapping from keywords to values. The values of commentary
        and of repeated keywords are lists. The key ``comments`` contains the comments in the same
        form.
    what : str
        Object to which the metadata belong, for warnings.

    Returns
    -------
    dict or None
        The metadata, or `None` if there are none. Tuples become lists, and NumPy scalars become
        Python scalars. The following changes cause a `SubpixalWarning`. Paths and integers of more
        than 64 bits become text. Characters that UTF-8 cannot encode become escape sequences.
        Values that ASDF cannot store are left out.
    """
    return None if meta is None else _plain_mapping(meta, "meta", what) or None


def check_writable(value: Any) -> None:
    """
    Check that ASDF can store a value.

    Raises
    ------
    ValueError
        If ASDF cannot store the value.
    """
    try:
        asdf.AsdfFile({"value": value}).write_to(io.BytesIO())
    except Exception as error:
        # Converters may raise errors of any class.
        cls = type(value)
        msg = f"ASDF cannot hold a {cls.__module__}.{cls.__qualname__}"
        raise ValueError(msg) from error


def _plain_mapping(meta: Any, path: str, what: str) -> dict[Any, Any]:
    if isinstance(meta, fits.Header):
        return _plain_header(meta, path, what)
    tree: dict[Any, Any] = {}
    if isinstance(meta, ChainMap):
        # Convert each map of the chain, because one of the maps may be a FITS header.
        for part in reversed(meta.maps):
            tree |= _plain_mapping(part, path, what)
        return tree
    for key, value in meta.items():
        plain_key = key.item() if isinstance(key, np.generic) else key
        if not _is_key(plain_key):
            _warn(f"{path} of {what} has the key {key!r}, which ASDF cannot hold; it is left out")
            continue
        plain_value = _plain_value(value, f"{path}[{plain_key!r}]", what)
        if plain_value is not LEFT_OUT:
            tree[plain_key] = plain_value
    return tree


def _is_key(value: Any) -> bool:
    if type(value) is str:
        return value == escape_surrogates(value)
    return type(value) is bool or (type(value) is int and is_literal(value))


def _plain_header(header: fits.Header, path: str, what: str) -> dict[str, Any]:
    values: dict[str, list[Any]] = defaultdict(list)
    comments: dict[str, list[str]] = defaultdict(list)
    for card in header.cards:
        try:
            keyword, value, comment = card.keyword, card.value, card.comment
        except (fits.VerifyError, ValueError):
            _warn(f"{path}[{card.keyword!r}] of {what} is left out: the card is no valid FITS")
            continue
        if keyword or value:
            values[keyword].append(_none_if_left_out(value, f"{path}[{keyword!r}]", what))
            comments[keyword].append(comment)
    tree = _unpack_single_values(values)
    filled = {keyword: texts for keyword, texts in comments.items() if any(texts)}
    if filled:
        tree["comments"] = _unpack_single_values(filled)
    return tree


def _unpack_single_values(lists: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Replace each list of a single value with the value, except lists of commentary."""
    return {
        keyword: values if len(values) > 1 or keyword in COMMENTARY else values[0]
        for keyword, values in lists.items()
    }


def _plain_value(value: Any, path: str, what: str) -> Any:
    if isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        value = value.item()
    if isinstance(value, fits.card.Undefined):
        return None
    if type(value) is str:
        return _plain_text(value, path, what)
    if type(value) in PLAIN or is_plain_array(value) or _is_key(value):
        return value
    if isinstance(value, Mapping | fits.Header):
        return _plain_mapping(value, path, what)
    if isinstance(value, list | tuple):
        return _plain_list(value, path, what)
    if type(value) is int or isinstance(value, PurePath | np.datetime64):
        _warn(f"{path} of {what} is written as text, for it is a {type(value).__name__}")
        return escape_surrogates(str(value))
    return _checked_value(value, path, what)


def _plain_text(value: str, path: str, what: str) -> str:
    escaped = escape_surrogates(value)
    if value != escaped:
        _warn(f"{path} of {what} is written with escapes: UTF-8 has no lone surrogates")
    return escaped


def _plain_list(values: Sequence[Any], path: str, what: str) -> list[Any]:
    return [_none_if_left_out(value, f"{path}[{i}]", what) for i, value in enumerate(values)]


def _none_if_left_out(value: Any, path: str, what: str) -> Any:
    plain = _plain_value(value, path, what)
    return None if plain is LEFT_OUT else plain


def is_plain_array(value: Any) -> bool:
    """Return `True` for an array with a dtype that ASDF supports."""
    return type(value) is np.ndarray and value.dtype.char in "?bBhHiIlLqQefdFD"


def _checked_value(value: Any, path: str, what: str) -> Any:
    try:
        check_writable(value)
    except ValueError as error:
        _warn(f"{path} of {what} is left out: {error}")
        return LEFT_OUT
    return value


def _warn(message: str) -> None:
    warnings.warn(message, SubpixalWarning, stacklevel=2)
