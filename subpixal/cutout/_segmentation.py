"""Segmentation images: boxes of labels, masks from labels."""

from __future__ import annotations

import numbers

import numpy as np

__all__ = [
    "MASK_POLICIES",
    "as_labels",
    "label_boxes",
    "read_mask_policy",
    "read_segmentation",
    "segment_mask",
]

MASK_POLICIES = ("segment", None)


def read_segmentation(segmentation, shape: tuple[int, int] | None = None) -> np.ndarray:
    """
    Array of a segmentation image.

    Parameters
    ----------
    segmentation : `photutils.segmentation.SegmentationImage` or array of int
        Labels, 0 where there is no source.
    shape : tuple of int, optional
        Shape that it has to have.
    """
    if not isinstance(segmentation, np.ndarray):
        segmentation = getattr(segmentation, "data", segmentation)
    try:
        array = np.asarray(np.ma.filled(segmentation, 0))
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "iu":
        msg = f"segmentation_image must hold integers, got {array.dtype}"
        raise TypeError(msg)
    if array.ndim != 2:
        msg = f"segmentation_image must have 2 dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != shape:
        msg = f"segmentation_image has shape {array.shape}, the image has {shape}"
        raise ValueError(msg)
    return array


def read_mask_policy(mask_policy, combine_seg_mask) -> str | None:
    """Mask policy from both spellings; the older one wins where it is given."""
    if combine_seg_mask is not None:
        if not isinstance(combine_seg_mask, bool | np.bool):
            msg = f"combine_seg_mask must be True, False or None, got {combine_seg_mask!r}"
            raise TypeError(msg)
        return "segment" if combine_seg_mask else None
    if mask_policy not in MASK_POLICIES:
        msg = f"mask_policy must be one of {MASK_POLICIES}, got {mask_policy!r}"
        raise ValueError(msg)
    return mask_policy


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


def segment_mask(labels: np.ndarray, ids: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """
    Mask of the pixels that do not belong to the own segment.

    Parameters
    ----------
    labels : array of int, shape (P,)
        Labels of the pixels of all cutouts, one cutout after the other.
    ids : array of int, shape (N,)
        Label of the source of each cutout.
    sizes : array of int, shape (N,)
        Pixels of each cutout.
    """
    return labels != np.repeat(ids, sizes)
