"""Properties of a cutout that read and write its store."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ._image import check_flags

__all__ = ["column", "plane", "same_pixels"]


def plane(name: str, doc: str, convert: Callable = check_flags, *, required: bool = False):
    """
    Property for a plane of pixels.

    Parameters
    ----------
    name : str
        Name of the plane.
    doc : str
        Docstring.
    convert : callable
        ``convert(name, value)`` makes pixels of what is assigned.
    required : bool
        Whether every cutout has this plane.
    """

    def get(cutout):
        return cutout._store.plane(cutout._i, name)

    def set_(cutout, value):
        if value is None and not required:
            cutout._store.set_plane(cutout._i, name, None)
            return
        pixels = convert(name, value)
        if pixels.shape != cutout.shape:
            msg = f"{name} has shape {pixels.shape}, the cutout has {cutout.shape}"
            raise ValueError(msg)
        # In-place operators hand back the very pixels that they have changed.
        if not same_pixels(pixels, get(cutout)):
            cutout._store.set_plane(cutout._i, name, pixels.copy())

    return property(get, set_, doc=doc)


def same_pixels(a: np.ndarray, b: np.ndarray | None) -> bool:
    """Whether two arrays are the same memory seen in the same way."""
    return b is not None and a.__array_interface__ == b.__array_interface__


def column(name: str, doc: str):
    """Property for a number in the index that is always finite."""

    def get(cutout):
        return float(cutout._row[name])

    def set_(cutout, value):
        value = float(value)
        if not math.isfinite(value):
            msg = f"{name} must be finite, got {value}"
            raise ValueError(msg)
        cutout._row[name] = value

    return property(get, set_, doc=doc)
