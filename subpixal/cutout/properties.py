"""Properties of a cutout that read and write its store."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from subpixal.image import PLANES, validate_finite, validate_kind

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from .cutout import Cutout

__all__ = ["column", "plane_property", "same_pixels", "set_pixels"]


def plane_property(name: str, doc: str) -> property:
    """
    Return the property for a plane that a cutout may lack.

    Parameters
    ----------
    name : str
        Name of the plane.
    doc : str
        Docstring.
    """

    def get(cutout: Cutout) -> np.ndarray | None:
        return cutout._store.plane(cutout._i, name)

    def set_(cutout: Cutout, value: ArrayLike | None) -> None:
        if value is None:
            cutout._store.set_plane(cutout._i, name, None)
        else:
            set_pixels(cutout, name, value)

    return property(get, set_, doc=doc)


def set_pixels(cutout: Cutout, name: str, value: ArrayLike) -> None:
    """
    Give a cutout other pixels in a plane.

    Parameters
    ----------
    cutout : Cutout
        The cutout.
    name : str
        Name of the plane.
    value : array
        Pixels of the shape of the cutout; they are copied.
    """
    pixels = validate_kind(name, np.asarray(value), PLANES[name].kinds)
    if pixels.shape != cutout.shape:
        msg = f"{name} has shape {pixels.shape}, the cutout has {cutout.shape}"
        raise ValueError(msg)
    # In-place operators assign the array that they have changed; it needs no copy.
    if not same_pixels(pixels, cutout._store.plane(cutout._i, name)):
        native = pixels.dtype.newbyteorder("=")
        cutout._store.set_plane(cutout._i, name, pixels.astype(native, order="C"))


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
