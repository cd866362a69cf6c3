"""
Classes that store the pixels of one plane. The classes differ in the place of the pixels.

============== ====================================== =========================
Class          Place of the pixels                    Arrays of cutouts
============== ====================================== =========================
PackedPlane    one array in memory                    views
DeferredPlane  not calculated yet                     views
LazyPlane      a file, or another slow source         read-only copies
ImagePlane     the image                              read-only views
DeferredArray  not read or calculated, one cutout     the array
============== ====================================== =========================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from subpixal.geometry import PixelBox
from subpixal.image import ImageArray, cut_box

__all__ = [
    "DeferredArray",
    "DeferredPlane",
    "FlatPlane",
    "ImagePlane",
    "LazyPlane",
    "PackedPlane",
    "StoredPlane",
]


class StoredPlane(ABC):
    """A plane of all cutouts of a store."""

    dtype: np.dtype

    @abstractmethod
    def piece(self, row: np.void) -> np.ndarray:
        """Return the 2-D pixels of the cutout that a row of the index describes."""


class FlatPlane(StoredPlane):
    """A plane that stores cutouts one after the other. A cutout starts at ``row['start']``."""

    @abstractmethod
    def span(self, start: int, stop: int) -> np.ndarray:
        """Return the pixels of consecutive cutouts. Callers must not write to the array."""

    def piece(self, row: np.void) -> np.ndarray:
        """Return the 2-D pixels of the cutout that a row of the index describes."""
        height, width, start = int(row["height"]), int(row["width"]), int(row["start"])
        return self.span(start, start + height * width).reshape(height, width)


class PackedPlane(FlatPlane):
    """A plane with the pixels of all cutouts in one flat array."""

    def __init__(self, flat: np.ndarray) -> None:
        self.flat = flat
        self.dtype = flat.dtype

    def span(self, start: int, stop: int) -> np.ndarray:
        """Return a view of the pixels of consecutive cutouts."""
        return self.flat[start:stop]


class DeferredPlane(FlatPlane):
    """
    A plane whose pixels are calculated at the first access, for all cutouts at once.

    Parameters
    ----------
    calculate : callable
        ``calculate()`` returns the pixels of all cutouts as a flat array.
    dtype : dtype
        Dtype of the pixels.
    """

    def __init__(self, calculate: Callable[[], np.ndarray], dtype: DTypeLike) -> None:
        self._calculate = calculate
        self.dtype = np.dtype(dtype)

    @cached_property
    def _flat(self) -> np.ndarray:
        flat = self._calculate()
        # Release the function and the image to which it refers.
        del self._calculate
        return flat

    def span(self, start: int, stop: int) -> np.ndarray:
        """Return a view of the pixels of consecutive cutouts."""
        return self._flat[start:stop]


class LazyPlane(FlatPlane):
    """
    A plane whose pixels are read at each access, and are read-only.

    Parameters
    ----------
    fetch : callable
        ``fetch(start, stop)`` returns an array of pixels of shape ``(stop - start,)``.
    dtype : dtype
        Dtype of the pixels.
    """

    def __init__(self, fetch: Callable[[int, int], np.ndarray], dtype: DTypeLike) -> None:
        self._fetch = fetch
        self.dtype = np.dtype(dtype)

    def span(self, start: int, stop: int) -> np.ndarray:
        """Return the pixels of consecutive cutouts, which may be a view of a mapped file."""
        return self._fetch(start, stop)

    def piece(self, row: np.void) -> np.ndarray:
        """Return a read-only copy of the pixels of a cutout."""
        # Copy the pixels: access to a mapped file that has been truncated would crash the process.
        pixels = super().piece(row).copy()
        pixels.flags.writeable = False
        return pixels


class ImagePlane(StoredPlane):
    """
    A plane whose pixels are still in the image. Cutouts are read-only views of the image.

    Parameters
    ----------
    image : array of shape (ny, nx)
        The image.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Dtype of the pixels of cutouts.
    origin : tuple of int
        Coordinates ``(x, y)`` of the first pixel of ``image`` in the system of the boxes. The
        coordinates differ from (0, 0) if ``image`` is a part of a larger image, in which the boxes
        are given.
    """

    def __init__(
        self,
        image: ImageArray,
        fill: Any,
        dtype: np.dtype,
        origin: tuple[int, int] = (0, 0),
    ) -> None:
        self.image = image
        self.fill = fill
        self.dtype = dtype
        self.origin = origin

    def shift(self, x: int, y: int) -> ImagePlane:
        """Return the plane for boxes whose coordinates are larger by ``x, y``."""
        origin = self.origin[0] + x, self.origin[1] + y
        return ImagePlane(self.image, self.fill, self.dtype, origin)

    def piece(self, row: np.void) -> np.ndarray:
        """Return a view of the image, or a filled copy if the box leaves the image."""
        x = int(row["original_x"]) - self.origin[0]
        y = int(row["original_y"]) - self.origin[1]
        box = PixelBox.from_shape((int(row["height"]), int(row["width"])), (x, y))
        pixels = cut_box(self.image, box, self.fill, self.dtype, view=True)
        pixels.flags.writeable = False
        return pixels


class DeferredArray:
    """
    Pixels of a single cutout, which are read or calculated at the first access.

    Parameters
    ----------
    make : callable
        ``make()`` returns the pixels.
    dtype : dtype
        Dtype of the pixels.
    image : array or LazyArray, optional
        Array of the same shape as the pixels. Parts of the cutout are cut from it without reading
        all pixels. After the first access, ``image`` is the array of pixels.
    """

    def __init__(
        self,
        make: Callable[[], np.ndarray],
        dtype: DTypeLike,
        image: ImageArray | None = None,
    ) -> None:
        self._make = make
        self.dtype = np.dtype(dtype)
        self.image = image

    @cached_property
    def pixels(self) -> np.ndarray:
        """The pixels. Each access returns the same array."""
        pixels = self._make()
        # Release the function and the arrays to which it refers.
        del self._make
        if self.image is not None:
            self.image = pixels
        return pixels

    def __reduce__(self) -> tuple:
        return np.asarray, (self.pixels,)
