"""Arrays that are read in parts, and functions that read only the necessary rows of an image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.nddata import NDData
from astropy.utils.masked import Masked

from subpixal.geometry import PixelBoxes

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["ImageArray", "LazyArray", "as_image", "read_bands", "read_points", "read_rows"]

# Largest size in bytes of a band of rows of an array that is read in parts.
_BAND_BYTES = 2**25

# Largest number of pixels in a band of rows of an array in memory. Such a band fits into the cache
# of the processor.
_CACHE_PIXELS = 2**20


class LazyArray:
    """
    An array that is not in memory and is read in parts.

    Parameters
    ----------
    array : object
        An object that has ``shape`` and ``dtype`` and that slices can index. Examples are a section
        of a FITS file and an array of dask, h5py or zarr.
    """

    def __init__(self, array: Any) -> None:
        self._array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)
        if hasattr(array, "hdu") and self.ndim == 2 and 0 not in self.shape:
            # For a compressed FITS file, the dtype of a section is wrong for unsigned integers.
            # Take the dtype from a pixel instead.
            self.dtype = np.asarray(array[0:1, 0:1]).dtype

    def __getitem__(self, item: Any) -> np.ndarray:
        pixels = self._array[item]
        # Do not convert a dask array with numpy.asarray, which would discard a mask silently.
        pixels = pixels.compute() if hasattr(pixels, "compute") else pixels
        if isinstance(pixels, np.ma.MaskedArray | Masked | u.Quantity):
            msg = (
                f"an image that is read in parts must have plain pixels, got "
                f"{type(pixels).__name__}: pass its mask or unit as an argument"
            )
            raise TypeError(msg)
        pixels = np.asarray(pixels)
        if not np.can_cast(pixels.dtype, self.dtype):
            msg = f"an image of {self.dtype} must not have pixels of {pixels.dtype}"
            raise TypeError(msg)
        return pixels

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype, copy=copy or None)


# Type of an array of pixels, in memory or read in parts.
ImageArray = np.ndarray | LazyArray


def as_image(value: Any) -> ImageArray:
    """
    Return an object as an array, or as a `LazyArray` if the object is read in parts.

    Parameters
    ----------
    value : object
        An array, or any object that NumPy can convert to an array.
    """
    if isinstance(value, LazyArray):
        return value
    if isinstance(value, np.ndarray | np.generic | NDData):
        return np.asarray(value)
    if not all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return np.asarray(value)
    try:
        return LazyArray(value)
    except (TypeError, ValueError):
        # NumPy does not have the dtype, or the shape is unknown.
        return np.asarray(value)


def read_bands(image: ImageArray, boxes: PixelBoxes) -> Iterator[tuple[Any, int, int, np.ndarray]]:
    """
    Read the pixels of boxes in bands of rows.

    The function reads each row once, unless a band would become too large.

    Parameters
    ----------
    image : array or LazyArray
        The image. For an array in memory, the whole image is one band.
    boxes : PixelBoxes
        The boxes, in pixels of the image. Some of their pixels may lie outside the image.

    Yields
    ------
    selected : slice or array of int
        Index of the boxes of the band. The band contains all pixels of these boxes that lie in the
        image.
    x, y : int
        Position of the first pixel of the band in the image.
    pixels : array
        Pixels of the band.
    """
    if not isinstance(image, LazyArray):
        yield slice(None), 0, 0, image
        return
    size = np.array(image.shape[::-1])[:, None]
    corners = np.clip(boxes.low, 0, size), np.clip(boxes.high + 1, 0, size)
    max_pixels = _BAND_BYTES // image.dtype.itemsize
    groups = _group_by_rows(np.concatenate(corners), image.shape[1], max_pixels)
    for selected, (x1, y1, x2, y2) in groups:
        is_empty = x1 >= x2 or y1 >= y2
        band = np.empty((0, 0), image.dtype) if is_empty else image[y1:y2, x1:x2]
        yield selected, x1, y1, band


def _group_by_rows(
    corners: NDArray[np.int64], nx: int, max_pixels: int
) -> Iterator[tuple[NDArray[np.intp], list[int]]]:
    """Yield groups of boxes that share rows, and the corners of the rectangle around each group."""
    order = np.lexsort((corners[3], corners[1]))
    first, around = 0, None
    for k, (x1, y1, x2, y2) in enumerate(corners[:, order].T.tolist()):
        if around is None:
            around = [x1, y1, x2, y2]
        wider = [min(around[0], x1), around[1], max(around[2], x2), max(around[3], y2)]
        if 2 * (wider[2] - wider[0]) > nx:
            # Read whole rows, because they are contiguous in a file.
            wider[0], wider[2] = 0, nx
        if y1 > around[3] or (wider[2] - wider[0]) * (wider[3] - wider[1]) > max_pixels:
            if k > first:
                yield order[first:k], around
            first, wider = k, [x1, y1, x2, y2]
        around = wider
    if around is not None:
        yield order[first:], around


def read_points(image: ImageArray, x: NDArray[np.int64], y: NDArray[np.int64]) -> np.ndarray:
    """
    Read single pixels of an image.

    Parameters
    ----------
    image : array or LazyArray
        The image.
    x, y : array of int, shape (P,)
        Positions of the pixels in the image.
    """
    if not isinstance(image, LazyArray):
        return image[y, x]
    values = np.empty(x.shape, image.dtype)
    if not x.size:
        return values
    order = np.argsort(y, kind="stable")
    rows, first = np.unique(y[order], return_index=True)
    last = np.append(first[1:], y.size)
    x1, x2 = (end.reduceat(x[order], first) for end in (np.minimum, np.maximum))
    spans = PixelBoxes(x1, rows, x2 - x1 + 1, np.ones_like(rows))
    for selected, x0, y0, pixels in read_bands(image, spans):
        in_band = order[first[selected[0]] : last[selected[-1]]]
        values[in_band] = pixels[y[in_band] - y0, x[in_band] - x0]
    return values


def read_rows(image: ImageArray) -> Iterator[tuple[int, np.ndarray]]:
    """
    Read a whole image, one band of rows after the other.

    Parameters
    ----------
    image : array or LazyArray
        The image.

    Yields
    ------
    y : int
        Position of the first row of the band in the image.
    pixels : array
        Pixels of the band.
    """
    ny, nx = image.shape
    max_pixels = _CACHE_PIXELS
    if isinstance(image, LazyArray):
        max_pixels = _BAND_BYTES // image.dtype.itemsize
    step = max(1, max_pixels // max(1, nx))
    for y in range(0, ny if nx else 0, step):
        yield y, image[y : min(y + step, ny), :]
