"""Properties of a cutout that read and write its store."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from astropy import units as u

from subpixal.image import validate_finite, validate_flags

__all__ = ["column", "plane", "same_pixels"]


def plane(name: str, doc: str, convert: Callable = validate_flags, *, required: bool = False):
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
        if name == "data" and isinstance(value, np.ma.MaskedArray):
            cutout.mask = cutout.mask | np.ma.getmaskarray(value)
            value = value.data
        if name == "data" and isinstance(value, u.Quantity):
            value = value.to_value(cutout.unit or u.dimensionless_unscaled)
        pixels = convert(name, value)
        if pixels.shape != cutout.shape:
            msg = f"{name} has shape {pixels.shape}, the cutout has {cutout.shape}"
            raise ValueError(msg)
        # In-place operators hand back the very pixels that they have changed.
        if not same_pixels(pixels, get(cutout)):
            native = pixels.dtype.newbyteorder("=")
            cutout._store.set_plane(cutout._i, name, pixels.astype(native, order="C"))

    return property(get, set_, doc=doc)


def same_pixels(a: np.ndarray, b: np.ndarray | None) -> bool:
    """Whether two arrays are the same memory seen in the same way."""
    return b is not None and a.__array_interface__ == b.__array_interface__


def column(name: str, doc: str, convert: Callable = validate_finite):
    """Property for a number in the index, which ``convert(name, value)`` makes of what is set."""

    def get(cutout):
        return float(cutout._row[name])

    def set_(cutout, value):
        cutout._row[name] = convert(name, value)

    return property(get, set_, doc=doc)
