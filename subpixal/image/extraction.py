"""Functions that cut boxes of pixels out of an image, and fill the pixels outside the image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.geometry import PixelBox, PixelBoxes

from .lazy import ImageArray, read_bands
from .validation import check_fill

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CHUNK", "copy_boxes", "cut_box", "cut_boxes", "overlap"]

# Number of pixels in each step of a calculation. Arrays of this size stay in the cache of the
# processor. New memory for larger arrays would take more time than the calculation.
CHUNK = 2**17

Slices = tuple[slice, slice]


def overlap(box: PixelBox, shape: tuple[int, int]) -> tuple[Slices, Slices] | None:
    """
    Return the slices ``(y, x)`` of the pixels of a box that lie in an image.

    Parameters
    ----------
    box : PixelBox
        The box, in pixels of the image.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Returns
    -------
    extraction, insertion : tuple of slice
        Slices of an array of the image, and slices of an array of the box. If all pixels of the box
        lie outside the image, the result is `None` instead.
    """
    x1, x2 = max(box.xmin, 0), min(box.xmax + 1, shape[1])
    y1, y2 = max(box.ymin, 0), min(box.ymax + 1, shape[0])
    if x1 >= x2 or y1 >= y2:
        return None
    insertion = slice(y1 - box.ymin, y2 - box.ymin), slice(x1 - box.xmin, x2 - box.xmin)
    return (slice(y1, y2), slice(x1, x2)), insertion


def cut_box(
    image: ImageArray, box: PixelBox, fill: object, dtype: np.dtype, *, view: bool = False
) -> np.ndarray:
    """
    Return the pixels of one box.

    Pixels of the box outside the image get a fill value.

    Parameters
    ----------
    image : array of shape (ny, nx)
        The image.
    box : PixelBox
        The box, in pixels of the image.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Dtype of the result.
    view : bool
        If `True`, the result may be a read-only view of the image.
    """
    ny, nx = image.shape
    if not box.is_inside((ny, nx)):
        check_fill(fill, dtype)
        pixels = np.empty(box.shape, dtype)
        _fill_box(pixels, image, box, fill)
        return pixels
    inside = image[box.slices]
    if not view or inside.dtype.type != dtype.type:
        return inside.astype(dtype)
    inside = inside.view()
    inside.flags.writeable = False
    return inside


def _fill_box(pixels: np.ndarray, image: ImageArray, box: PixelBox, fill: object) -> None:
    pixels[...] = fill
    ny, nx = image.shape
    common = overlap(box, (ny, nx))
    if common is not None:
        extraction, insertion = common
        pixels[insertion] = image[extraction]


def cut_boxes(image: ImageArray, boxes: PixelBoxes, fill: object, dtype: np.dtype) -> np.ndarray:
    """
    Return the pixels of many boxes, one box after the other.

    Parameters
    ----------
    image : array or LazyArray, shape (ny, nx)
        The image. If the image is read in parts, the function reads only bands with pixels of the
        boxes.
    boxes : PixelBoxes
        The boxes, in pixels of the image.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Dtype of the result.

    Returns
    -------
    array of shape (P,)
        The pixels, one box after the other, row by row in each box.
    """
    flat = np.empty(boxes.total_area, dtype)
    for selected, x, y, pixels in read_bands(image, boxes):
        in_band = boxes[selected].shift(-x, -y)
        copy_boxes([(pixels, fill, flat)], in_band, boxes.starts[selected])
    return flat


def copy_boxes(
    planes: Sequence[tuple[ImageArray, Any, np.ndarray]],
    boxes: PixelBoxes,
    starts: NDArray[np.int64],
) -> None:
    """
    Copy the pixels of many boxes from one or more planes of an image to flat arrays.

    Parameters
    ----------
    planes : list of tuple
        A tuple ``(pixels, fill, flat)`` for each plane. ``pixels`` is the plane, of shape (ny, nx).
        ``fill`` is the value of pixels outside the image. ``flat`` is the array of shape (P,) to
        which the function writes.
    boxes : PixelBoxes
        The boxes, in pixels of the image.
    starts : array of int, shape (N,)
        Index in ``flat`` of the first pixel of each box.
    """
    ny, nx = planes[0][0].shape
    if not boxes.are_inside((ny, nx)).all():
        for _, fill, flat in planes:
            check_fill(fill, flat.dtype)
    columns = boxes.xmin, boxes.ymin, boxes.width, boxes.height, starts
    # This loop takes most of the time of cutting, so its body is as short as possible.
    for x, y, width, height, start in zip(*(c.tolist() for c in columns), strict=True):
        target = slice(start, start + width * height)
        shape = height, width
        if 0 <= x <= nx - width and 0 <= y <= ny - height:
            source = slice(y, y + height), slice(x, x + width)
            for pixels, _, flat in planes:
                flat[target].reshape(shape)[...] = pixels[source]
        else:
            box = PixelBox.from_shape(shape, (x, y))
            for pixels, fill, flat in planes:
                _fill_box(flat[target].reshape(shape), pixels, box, fill)
