"""Cut and fill boxes of pixels: functions of arrays only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .lazy import read_bands
from .validation import check_fill

__all__ = ["copy_boxes", "cut_piece", "cut_pixels", "is_inside", "overlap", "parts", "pixel_rows"]

# Pixels of a part.
_PART = 2**17


def overlap(row, shape) -> tuple[tuple[slice, slice], tuple[slice, slice]] | None:
    """
    Slices ``(y, x)`` of what a box and an image have in common.

    Parameters
    ----------
    row : tuple of int
        ``x, y, width, height`` of the box.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Returns
    -------
    extraction, insertion : tuple of slice
        In the image and in the box; or `None`.
    """
    x, y, width, height = row
    x1, x2 = max(x, 0), min(x + width, shape[1])
    y1, y2 = max(y, 0), min(y + height, shape[0])
    if x1 >= x2 or y1 >= y2:
        return None
    extraction = slice(y1, y2), slice(x1, x2)
    return extraction, (slice(y1 - y, y2 - y), slice(x1 - x, x2 - x))


def is_inside(box, shape):
    """Whether boxes ``x, y, width, height`` lie in an image of shape ``(ny, nx)``."""
    x, y, width, height = box
    return (x >= 0) & (x <= shape[1] - width) & (y >= 0) & (y <= shape[0] - height)


def cut_piece(image: np.ndarray, box, fill, dtype: np.dtype, *, view: bool = False) -> np.ndarray:
    """
    Pixels of one box, filled where the box leaves the image.

    Parameters
    ----------
    image : array of shape (ny, nx)
    box : tuple of int
        ``x, y, width, height``.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Of the result.
    view : bool
        Whether a read-only view of the image will do.
    """
    x, y, width, height = box
    if not is_inside(box, image.shape):
        check_fill(fill, dtype)
        piece = np.empty((height, width), dtype)
        _fill_piece(piece, image, box, fill)
        return piece
    inside = image[y : y + height, x : x + width]
    if not view or inside.dtype.type != dtype.type:
        return inside.astype(dtype)
    inside = inside.view()
    inside.flags.writeable = False
    return inside


def _fill_piece(piece, image, box, fill) -> None:
    piece[...] = fill
    both = overlap(box, image.shape)
    if both is not None:
        piece[both[1]] = image[both[0]]


def cut_pixels(image, boxes: np.ndarray, fill, dtype: np.dtype) -> np.ndarray:
    """
    Pixels of many boxes, one box after the other.

    Parameters
    ----------
    image : array or LazyArray, shape (ny, nx)
    boxes : array of int, shape (4, N)
        ``x, y, width, height``.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Of the result.

    Returns
    -------
    array of shape (P,)
        The pixels of each box row by row; only they are converted.
    """
    rows = pixel_rows(boxes)
    flat = np.empty(int((boxes[2] * boxes[3]).sum()), dtype)
    for which, x, y, pixels in read_bands(image, boxes):
        copy_boxes([(pixels, fill, flat)], rows[:, which] - [[x], [y], [0], [0], [0]])
    return flat


def pixel_rows(boxes: np.ndarray) -> np.ndarray:
    """Boxes ``x, y, width, height``, and as a fifth row where their pixels begin."""
    size = boxes[2] * boxes[3]
    return np.array([*boxes, np.cumsum(size) - size])


def copy_boxes(planes: list[tuple], rows: np.ndarray) -> None:
    """
    Copy the pixels of many boxes out of planes of one image.

    Parameters
    ----------
    planes : list of tuple
        ``(pixels, fill, flat)``: arrays of shape (ny, nx), values outside of them, and
        arrays of shape (P,) that are written to.
    rows : array of int, shape (5, N)
        As of `pixel_rows`.
    """
    ny, nx = planes[0][0].shape
    if not is_inside(rows[:4], (ny, nx)).all():
        for _, fill, flat in planes:
            check_fill(fill, flat.dtype)
    # This loop is where cutting spends its time.
    for x, y, width, height, start in zip(*rows.tolist(), strict=True):
        here, shape = slice(start, start + width * height), (height, width)
        if 0 <= x <= nx - width and 0 <= y <= ny - height:
            there = slice(y, y + height), slice(x, x + width)
            for pixels, _, flat in planes:
                flat[here].reshape(shape)[...] = pixels[there]
        else:
            for pixels, fill, flat in planes:
                _fill_piece(flat[here].reshape(shape), pixels, (x, y, width, height), fill)


def parts(boxes) -> Iterator[tuple[slice, slice]]:
    """
    Parts of a list of boxes, and where their pixels are.

    What is calculated for a part stays in the cache of the processor: fresh memory
    would cost more than the calculation.

    Parameters
    ----------
    boxes : array of int, shape (4, N)
        ``x, y, width, height``.

    Yields
    ------
    some, here : slice
        Of the boxes, and of their pixels.
    """
    stop = np.cumsum(boxes[2] * boxes[3])
    first, start = 0, 0
    while first < len(stop):
        last = max(first + 1, int(np.searchsorted(stop, start + _PART, "right")))
        yield slice(first, last), slice(start, int(stop[last - 1]))
        first, start = last, int(stop[last - 1])
