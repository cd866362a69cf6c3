"""Base class of a cutout, which refers to a row of a store, and properties of the row."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.image import PLANES, ImageInfo, validate_finite, validate_kind

from .storage import Store

if TYPE_CHECKING:
    from astropy import units as u
    from numpy.typing import ArrayLike

__all__ = ["StoredCutout", "column_property", "plane_property", "same_pixels", "set_pixels"]


class StoredCutout:
    """
    A cutout as one row of a store.

    Attributes
    ----------
    store : Store
        The store that contains the numbers and the pixels of the cutout.
    row : int
        Row of the cutout in the store.
    """

    store: Store
    row: int
    # View of the row of the index. Assigning an element changes the index.
    _columns: np.void

    def _attach(self, store: Store, row: int) -> None:
        self.store = store
        self.row = row
        self._columns = store.index[row]
        store.cutouts[row] = self

    @property
    def image(self) -> ImageInfo:
        """The image from which the cutout was cut, without its pixels."""
        return self.store.image

    @property
    def unit(self) -> u.UnitBase | None:
        """Unit of the data, or `None` if it is not known."""
        return self.store.image.unit

    @property
    def src_id(self) -> Any:
        """Identifier of the source."""
        value = self.store.ids[self.row]
        return value.item() if isinstance(value, np.generic) else value

    @src_id.setter
    def src_id(self, value: Any) -> None:
        self.store.set_id(self.row, value)

    @property
    def width(self) -> int:
        """Number of pixels along x."""
        return int(self._columns["width"])

    @property
    def height(self) -> int:
        """Number of pixels along y."""
        return int(self._columns["height"])

    @property
    def shape(self) -> tuple[int, int]:
        """``(height, width)``."""
        return self.height, self.width


def plane_property(name: str, doc: str) -> property:
    """
    Return a property for an optional plane of a cutout.

    Parameters
    ----------
    name : str
        Name of the plane.
    doc : str
        Docstring.
    """

    def get(cutout: StoredCutout) -> np.ndarray | None:
        return cutout.store.get_plane(cutout.row, name)

    def set_(cutout: StoredCutout, value: ArrayLike | None) -> None:
        if value is None:
            cutout.store.set_plane(cutout.row, name, None)
        else:
            set_pixels(cutout, name, value)

    return property(get, set_, doc=doc)


def set_pixels(cutout: StoredCutout, name: str, value: ArrayLike) -> None:
    """
    Set the pixels of a plane of a cutout.

    Parameters
    ----------
    cutout : Cutout
        The cutout.
    name : str
        Name of the plane.
    value : array
        Pixels, which must have the shape of the cutout. They are copied.
    """
    pixels = np.asarray(validate_kind(name, np.asarray(value), PLANES[name].kinds))
    if pixels.shape != cutout.shape:
        msg = f"{name} has shape {pixels.shape}, the cutout has {cutout.shape}"
        raise ValueError(msg)
    # After an in-place operation, Python assigns the array that has just been changed. It needs no
    # copy.
    if not same_pixels(pixels, cutout.store.get_plane(cutout.row, name)):
        native = pixels.dtype.newbyteorder("=")
        cutout.store.set_plane(cutout.row, name, pixels.astype(native, order="C"))


def same_pixels(a: np.ndarray, b: np.ndarray | None) -> bool:
    """Return `True` if two arrays are the same view of the same memory."""
    return b is not None and a.__array_interface__ == b.__array_interface__


def column_property(
    name: str, doc: str, convert: Callable[[str, Any], float] = validate_finite
) -> property:
    """
    Return a property for a number in the index.

    Parameters
    ----------
    name : str
        Name of the column.
    doc : str
        Docstring.
    convert : callable
        Function that checks an assigned value. ``convert(name, value)`` returns the number to
        store.
    """

    def get(cutout: StoredCutout) -> float:
        return float(cutout._columns[name])

    def set_(cutout: StoredCutout, value: Any) -> None:
        cutout._columns[name] = convert(name, value)

    return property(get, set_, doc=doc)
