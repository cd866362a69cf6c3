"""What planes cutouts have, and where the pixels of many cutouts are.

A plane hands out the 2-D piece of a cutout, given the row of the index that
says where the cutout is.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np
from astropy.nddata import InverseVariance

from ._kernels import cut_piece

__all__ = [
    "MASKING",
    "PLANES",
    "DeferredPlane",
    "PackedPlane",
    "ViewedPlane",
    "fill_value",
    "plane_dtype",
]

PLANES = ("data", "mask", "uncertainty", "flags", "weight", "segmentation")

# Planes that say which pixels are bad.
MASKING = ("data", "flags", "weight", "mask")


def fill_value(name: str, fillval, uncertainty_type: type | None = None):
    """Value of the pixels of a plane that lie outside the image."""
    if name == "uncertainty":
        return 0 if issubclass(uncertainty_type or object, InverseVariance) else np.nan
    return {"data": fillval, "mask": True}.get(name, 0)


def plane_dtype(name: str, dtype: np.dtype, *, promote: bool = False) -> np.dtype:
    """
    Type of the pixels of a plane when they are cut.

    In the byte order of the machine, which compiled libraries need.

    Parameters
    ----------
    name : str
        Name of the plane.
    dtype : dtype
        Of the image.
    promote : bool
        Whether integer data become floats.
    """
    if name == "mask":
        return np.dtype(bool)
    if name == "uncertainty" and dtype == np.float16:
        # Half precision is a way to store errors, not to calculate with them.
        return np.dtype(np.float32)
    if dtype.kind in "biu" and ((name == "data" and promote) or name == "uncertainty"):
        return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return dtype.newbyteorder("=")


class PackedPlane:
    """Pixels of all cutouts in one flat array."""

    def __init__(self, flat: np.ndarray) -> None:
        self.flat = flat

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.flat.dtype

    def piece(self, row) -> np.ndarray:
        """View of the pixels of the cutout that a row of the index describes."""
        height, width, start = int(row["height"]), int(row["width"]), int(row["start"])
        return self.flat[start : start + height * width].reshape(height, width)

    def span(self, start: int, stop: int) -> np.ndarray:
        """View of the pixels of cutouts that follow one another."""
        return self.flat[start:stop]


class ViewedPlane:
    """Pixels that are still those of the image; pieces are read-only."""

    # Cutouts do not follow one another in an image.
    span = None

    def __init__(self, image: np.ndarray, fill, dtype: np.dtype) -> None:
        self.image, self.fill, self.dtype = image, fill, dtype

    def piece(self, row) -> np.ndarray:
        """View of the image, or filled pixels where the box leaves the image."""
        box = int(row["cut_x"]), int(row["cut_y"]), int(row["width"]), int(row["height"])
        piece = cut_piece(self.image, box, self.fill, self.dtype, view=True)
        piece.flags.writeable = False
        return piece


class DeferredPlane:
    """Pixels that are made for all cutouts when the first of them is asked for."""

    def __init__(self, make: Callable[[], np.ndarray]) -> None:
        self._make = make

    @cached_property
    def _plane(self) -> PackedPlane:
        return PackedPlane(self.__dict__.pop("_make")())

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self._plane.dtype

    def piece(self, row) -> np.ndarray:
        """View of the pixels of the cutout that a row of the index describes."""
        return self._plane.piece(row)

    def span(self, start: int, stop: int) -> np.ndarray:
        """View of the pixels of cutouts that follow one another."""
        return self._plane.span(start, stop)
