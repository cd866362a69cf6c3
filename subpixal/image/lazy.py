"""Images that are not in memory: only the rows that are needed are read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from astropy import units as u
from astropy.nddata import NDData
from astropy.utils.masked import Masked

from subpixal.geometry import PixelBoxes

__all__ = ["ImageArray", "LazyArray", "as_image", "read_bands", "read_points", "read_rows"]

# Of pixels that are read at once.
_BAND_BYTES = 2**25

# What fits into the cache of a processor, for pixels that are in memory.
_CACHE_PIXELS = 2**20


class LazyArray:
    """
    An array that is read piece by piece.

    Parameters
    ----------
    array : object
        It has ``shape`` and ``dtype`` and is indexed by slices: a section of a FITS
        file, an array of dask, h5py, zarr.
    """

    def __init__(self, array) -> None:
        self._array = array
        self.shape = tuple(int(n) for n in array.shape)
        self.ndim = len(self.shape)
        self.dtype = np.dtype(array.dtype)
        if hasattr(array, "hdu") and self.ndim == 2 and 0 not in self.shape:
            # A section of a compressed FITS file does not know of unsigned integers.
            self.dtype = np.asarray(array[0:1, 0:1]).dtype

    def __getitem__(self, item) -> np.ndarray:
        pixels = self._array[item]
        # Otherwise dask would drop a mask without a word.
        pixels = pixels.compute() if hasattr(pixels, "compute") else pixels
        if isinstance(pixels, np.ma.MaskedArray | Masked | u.Quantity):
            msg = (
                f"an image that is read piece by piece must have plain pixels, got "
                f"{type(pixels).__name__}: its mask or unit must be passed as such"
            )
            raise TypeError(msg)
        pixels = np.asarray(pixels)
        if not np.can_cast(pixels.dtype, self.dtype):
            msg = f"an image of {self.dtype} must not have pixels of {pixels.dtype}"
            raise TypeError(msg)
        return pixels

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self[(slice(None),) * self.ndim], dtype=dtype, copy=copy or None)


# Pixels of an image, in memory or not.
ImageArray = np.ndarray | LazyArray


def as_image(value) -> np.ndarray | LazyArray:
    """
    An array, or what is read piece by piece as a `LazyArray`.

    Parameters
    ----------
    value : object
    """
    if isinstance(value, np.ndarray | np.generic | NDData | LazyArray):
        return value if isinstance(value, LazyArray) else np.asarray(value)
    if not all(hasattr(value, name) for name in ("shape", "dtype", "__getitem__")):
        return np.asarray(value)
    try:
        return LazyArray(value)
    except (TypeError, ValueError):
        # Its types are not those of numpy, or its shape is not known.
        return np.asarray(value)


def read_bands(image: ImageArray, boxes: PixelBoxes) -> Iterator[tuple]:
    """
    Read what boxes need of an image, in bands of rows.

    Each row is read once, unless bands have to be cut at the limit of their size.

    Parameters
    ----------
    image : array or LazyArray
        An array is one band as it is.
    boxes : PixelBoxes
        The boxes in the image; they may leave the image.

    Yields
    ------
    selected : slice or array of int
        Boxes of which the band has all pixels that the image has.
    x, y : int
        The first pixel of the band in the image.
    pixels : array
        The band.
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


def _group_by_rows(corners, nx, max_pixels) -> Iterator[tuple[np.ndarray, list[int]]]:
    """Groups of boxes that share rows, and what encloses them, of not too many pixels."""
    order = np.lexsort((corners[3], corners[1]))
    first, around = 0, None
    for k, (x1, y1, x2, y2) in enumerate(corners[:, order].T.tolist()):
        if around is None:
            around = [x1, y1, x2, y2]
        wider = [min(around[0], x1), around[1], max(around[2], x2), max(around[3], y2)]
        if 2 * (wider[2] - wider[0]) > nx:
            # Whole rows are one piece of a file.
            wider[0], wider[2] = 0, nx
        if y1 > around[3] or (wider[2] - wider[0]) * (wider[3] - wider[1]) > max_pixels:
            if k > first:
                yield order[first:k], around
            first, wider = k, [x1, y1, x2, y2]
        around = wider
    if around is not None:
        yield order[first:], around


def read_points(image, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """
    Read single pixels of an image.

    Parameters
    ----------
    image : array or LazyArray
    x, y : array of int, shape (P,)
        They lie in the image.
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


def read_rows(image) -> Iterator[tuple[int, np.ndarray]]:
    """
    Read all of an image, a band of rows after the other.

    Parameters
    ----------
    image : array or LazyArray

    Yields
    ------
    y : int
        The first row of the band.
    pixels : array
    """
    ny, nx = image.shape
    lazy = isinstance(image, LazyArray)
    most = _BAND_BYTES // image.dtype.itemsize if lazy else _CACHE_PIXELS
    step = max(1, most // max(1, nx))
    for y in range(0, ny if nx else 0, step):
        yield y, image[y : min(y + step, ny), :]
