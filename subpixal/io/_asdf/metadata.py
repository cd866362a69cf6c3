"""Metadata as plain values that ASDF can hold. What it cannot hold is left out aloud."""

from __future__ import annotations

import datetime as dt
import io
import warnings
from collections import ChainMap
from collections.abc import Mapping
from pathlib import PurePath

import asdf
import numpy as np
from astropy.io import fits

from subpixal.errors import SubpixalWarning

from .columns import escape_surrogates, is_literal

__all__ = ["check_writable", "is_plain_array", "meta_to_tree"]

COMMENTARY = ("HISTORY", "COMMENT", "")

PLAIN = (type(None), bool, float, complex, str, bytes, dt.datetime, dt.date)

LEFT_OUT = object()


def meta_to_tree(meta, what: str) -> dict | None:
    """
    Metadata as a plain dict.

    Parameters
    ----------
    meta : mapping or None
        A FITS header becomes its values by keyword, lists of them for commentary and
        keywords that are there more than once, with the comments under ``comments``.
    what : str
        What they are of, for warnings.

    Returns
    -------
    dict or None
        `None` where there is nothing. Tuples become lists, and numpy's scalars
        those of python. With a `SubpixalWarning`, paths and integers of more than
        64 bits become text, text that is not UTF-8 has escapes, and what ASDF cannot
        hold is left out.
    """
    return None if meta is None else _plain_mapping(meta, "meta", what) or None


def check_writable(value) -> None:
    """
    Check that ASDF can hold a value.

    Raises
    ------
    ValueError
        If it cannot.
    """
    try:
        asdf.AsdfFile({"value": value}).write_to(io.BytesIO())
    except Exception as error:
        # Converters raise what they like.
        cls = type(value)
        msg = f"ASDF cannot hold a {cls.__module__}.{cls.__qualname__}"
        raise ValueError(msg) from error


def _plain_mapping(meta, path, what) -> dict:
    if isinstance(meta, fits.Header):
        return _plain_header(meta, path, what)
    tree = {}
    if isinstance(meta, ChainMap):
        # One of them may be a header.
        for part in reversed(meta.maps):
            tree |= _plain_mapping(part, path, what)
        return tree
    for key, value in meta.items():
        plain = key.item() if isinstance(key, np.generic) else key
        if not _is_key(plain):
            _warn(f"{path} of {what} has the key {key!r}, which ASDF cannot hold; it is left out")
            continue
        value = _plain_value(value, f"{path}[{plain!r}]", what)
        if value is not LEFT_OUT:
            tree[plain] = value
    return tree


def _is_key(value) -> bool:
    if type(value) is str:
        return value == escape_surrogates(value)
    return type(value) is bool or (type(value) is int and is_literal(value))


def _plain_header(header, path, what) -> dict:
    values, comments = {}, {}
    for card in header.cards:
        try:
            keyword, value, comment = card.keyword, card.value, card.comment
        except (fits.VerifyError, ValueError):
            _warn(f"{path}[{card.keyword!r}] of {what} is left out: the card is no valid FITS")
            continue
        if keyword or value:
            value = _plain_value(value, f"{path}[{keyword!r}]", what)
            values.setdefault(keyword, []).append(None if value is LEFT_OUT else value)
            comments.setdefault(keyword, []).append(comment)
    lists = {k for k, v in values.items() if len(v) > 1 or k in COMMENTARY}
    comments = {k: v if k in lists else v[0] for k, v in comments.items() if any(v)}
    values = {k: v if k in lists else v[0] for k, v in values.items()}
    return values | ({"comments": comments} if comments else {})


def _plain_value(value, path, what):
    if isinstance(value, np.generic) and value.dtype.kind in "biufcSU":
        value = value.item()
    if isinstance(value, fits.card.Undefined):
        return None
    if type(value) is str and value != escape_surrogates(value):
        _warn(f"{path} of {what} is written with escapes: UTF-8 has no lone surrogates")
        return escape_surrogates(value)
    if type(value) in PLAIN or is_plain_array(value):
        return value
    if type(value) is int and is_literal(value):
        return value
    if isinstance(value, Mapping | fits.Header):
        return _plain_mapping(value, path, what)
    if isinstance(value, list | tuple):
        items = [_plain_value(v, f"{path}[{i}]", what) for i, v in enumerate(value)]
        return [None if item is LEFT_OUT else item for item in items]
    if type(value) is int or isinstance(value, PurePath | np.datetime64):
        _warn(f"{path} of {what} is written as text, for it is a {type(value).__name__}")
        return escape_surrogates(str(value))
    return _checked_value(value, path, what)


def is_plain_array(value) -> bool:
    """Whether something is an array that ASDF has a type for."""
    return type(value) is np.ndarray and value.dtype.char in "?bBhHiIlLqQefdFD"


def _checked_value(value, path, what):
    try:
        check_writable(value)
    except ValueError as error:
        _warn(f"{path} of {what} is left out: {error}")
        return LEFT_OUT
    return value


def _warn(message) -> None:
    warnings.warn(message, SubpixalWarning, stacklevel=2)
