"""Functions on arrays of the labels of a segmentation image."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.geometry import PixelBoxes
from subpixal.image import ImageArray, read_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    IntArray = NDArray[np.int64]

__all__ = ["as_labels", "label_boxes", "nearer_to_neighbor"]


def label_boxes(segmentation: ImageArray) -> tuple[IntArray, PixelBoxes]:
    """
    Return the boxes of all labels, in one pass over the segmentation image.

    The computing time does not depend on the value of the largest label. The memory does not depend
    on the size of the image.

    Parameters
    ----------
    segmentation : array of int or LazyArray, shape (ny, nx)
        The segmentation image.

    Returns
    -------
    labels : array of int, shape (N,)
        All labels but 0, sorted.
    boxes : PixelBoxes
        The smallest boxes that contain all pixels of the labels.
    """
    labels = [np.empty(0, np.int64)]
    corners = [np.empty((4, 0), np.int64)]
    for y, pixels in read_rows(segmentation):
        band_labels, band_corners = _unite(*_find_runs(pixels, y))
        labels.append(band_labels)
        corners.append(band_corners)
    all_labels, all_corners = _unite(np.concatenate(labels), np.concatenate(corners, axis=1))
    return all_labels, PixelBoxes.from_corners(all_corners)


def _find_runs(pixels: np.ndarray, y: int) -> tuple[IntArray, IntArray]:
    """Return labels and corners of the runs of equal labels in rows that start at row ``y``."""
    nx = pixels.shape[1]
    flat = pixels.astype(pixels.dtype.newbyteorder("="), copy=False).ravel()
    border = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=border[1:])
    border[::nx] = True
    first = np.flatnonzero(border)
    labels = flat[first]
    found = np.flatnonzero(labels)
    last = np.append(first[1:], flat.size)[found] - 1
    row, x1 = np.divmod(first[found], nx)
    row_y = row + y
    return labels[found].astype(np.int64), np.array([x1, row_y, last - row * nx, row_y])


def _unite(labels: IntArray, corners: IntArray) -> tuple[IntArray, IntArray]:
    """Return the sorted different labels, and for each the corners of the box around its boxes."""
    order = np.argsort(labels, kind="stable")
    labels = labels[order]
    corners = corners[:, order]
    start = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])[: labels.size])
    if not start.size:
        return labels, corners
    low = np.minimum.reduceat(corners[:2], start, axis=1)
    high = np.maximum.reduceat(corners[2:], start, axis=1)
    return labels[start], np.concatenate([low, high])


def as_labels(ids: np.ndarray) -> IntArray:
    """Return identifiers as labels. Identifiers that are not integers become 0, the background."""
    if ids.dtype.kind == "i":
        return ids

    return np.array([_as_label(src_id) for src_id in ids.tolist()], np.int64)


def _as_label(src_id: Any) -> int:
    is_number = isinstance(src_id, numbers.Real)
    is_label = is_number and -(2**63) <= src_id < 2**63 and src_id == int(src_id)
    return int(src_id) if is_label else 0


def nearer_to_neighbor(labels: np.ndarray, own: int) -> NDArray[np.bool_]:
    """
    Return a mask of the pixels that are nearer to another segment than to that of the source.

    Parameters
    ----------
    labels : array of int, shape (height, width)
        Labels of the pixels of a cutout.
    own : int
        Label of the source.

    Notes
    -----
    This is the mask "uberseg" of Jarvis et al. 2016, MNRAS 460, 2245. Pixels at equal distances
    from both segments are not masked.
    """
    inside = labels == own
    other = (labels != 0) & ~inside
    if not (inside.any() and other.any()):
        return np.full(labels.shape, bool(other.any()))
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~other) < distance_transform_edt(~inside)
