"""Labels of segmentation images: where they are, and what they mask. Arrays only."""

from __future__ import annotations

import numbers

import numpy as np

__all__ = ["as_labels", "label_boxes", "nearer_to_neighbour"]


def label_boxes(segmentation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Boxes of all labels, in one pass over runs of equal labels.

    The cost does not depend on how large the labels are.

    Parameters
    ----------
    segmentation : array of int, shape (ny, nx)

    Returns
    -------
    labels : array of int, shape (N,)
        All labels but 0, sorted.
    boxes : array of int, shape (4, N)
        ``xmin, ymin, xmax, ymax``, both corners included.
    """
    nx = segmentation.shape[1]
    flat = segmentation.ravel()
    border = np.ones(flat.size, bool)
    np.not_equal(flat[1:], flat[:-1], out=border[1:])
    border[:: max(nx, 1)] = True
    first = np.flatnonzero(border)
    del border
    last = np.append(first[1:], flat.size) - 1
    labels = flat[first].astype(np.int64)
    found = labels != 0
    labels, first, last = labels[found], first[found], last[found]
    order = np.argsort(labels, kind="stable")
    labels, first, last = labels[order], first[order], last[order]
    start = np.flatnonzero(np.append(True, labels[1:] != labels[:-1])[: labels.size])
    if not start.size:
        return labels, np.empty((4, 0), np.int64)
    y, x1 = np.divmod(first, nx)
    x2 = last - y * nx
    boxes = [
        np.minimum.reduceat(x1, start),
        np.minimum.reduceat(y, start),
        np.maximum.reduceat(x2, start),
        np.maximum.reduceat(y, start),
    ]
    return labels[start], np.array(boxes)


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
