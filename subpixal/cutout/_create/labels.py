"""Labels of segmentation images: where they are, and what they mask. Arrays only."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

import numpy as np

from subpixal.geometry import PixelBoxes
from subpixal.image import ImageArray, read_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["as_labels", "label_boxes", "nearer_to_neighbour"]


def label_boxes(segmentation: ImageArray) -> tuple[NDArray[np.int64], PixelBoxes]:
    """
    Boxes of all labels, in one pass over runs of equal labels.

    The cost does not depend on how large the labels are, and the memory not on how
    large the image is.

    Parameters
    ----------
    segmentation : array of int or LazyArray, shape (ny, nx)

    Returns
    -------
    labels : array of int, shape (N,)
        All labels but 0, sorted.
    boxes : PixelBoxes
        The smallest boxes that hold all pixels of the labels.
    """
    found = [(np.empty(0, np.int64), np.empty((4, 0), np.int64))]
    found += [_unite(*_find_runs(pixels, y)) for y, pixels in read_rows(segmentation)]
    labels, corners = zip(*found, strict=True)
    labels, corners = _unite(np.concatenate(labels), np.concatenate(corners, axis=1))
    return labels, PixelBoxes.from_corners(corners)


def _find_runs(pixels, y) -> tuple[np.ndarray, np.ndarray]:
    """Labels and boxes of the runs of equal labels in rows from ``y`` on."""
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


def _unite(labels, boxes) -> tuple[np.ndarray, np.ndarray]:
    """Sorted labels, each once, and what encloses all boxes of each."""
    order = np.argsort(labels, kind="stable")
    labels, boxes = labels[order], boxes[:, order]
    start = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])[: labels.size])
    if not start.size:
        return labels, boxes
    low = np.minimum.reduceat(boxes[:2], start, axis=1)
    return labels[start], np.concatenate([low, np.maximum.reduceat(boxes[2:], start, axis=1)])


def as_labels(ids: np.ndarray) -> np.ndarray:
    """Labels that identifiers of any type stand for; 0, the background, for what is none."""
    if ids.dtype.kind == "i":
        return ids

    def is_label(i):
        return isinstance(i, numbers.Real) and -(2**63) <= i < 2**63 and i == int(i)

    return np.array([int(i) if is_label(i) else 0 for i in ids.tolist()], np.int64)


def nearer_to_neighbour(labels: np.ndarray, own: int) -> np.ndarray:
    """
    Mask of the pixels of a cutout that are nearer to another segment than to the own.

    Parameters
    ----------
    labels : array of int, shape (height, width)
    own : int
        Label of the source.

    Notes
    -----
    The "uberseg" of Jarvis et al. 2016, MNRAS 460, 2245. Pixels equally near to
    both are not masked.
    """
    mine = labels == own
    other = (labels != 0) & ~mine
    if not (mine.any() and other.any()):
        return np.full(labels.shape, bool(other.any()))
    from scipy.ndimage import distance_transform_edt

    return distance_transform_edt(~other) < distance_transform_edt(~mine)
