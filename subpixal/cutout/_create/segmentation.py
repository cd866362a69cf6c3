"""A segmentation image, and how it goes with an image that is cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.nddata import NDData

from subpixal.geometry import InterpolatedCenters, PixelBoxes, PixelGrid, PixelMap
from subpixal.image import (
    CHUNK,
    ImageInfo,
    LazyArray,
    as_image,
    cut_boxes,
    describe_type,
    read_points,
    refuse_name,
)

from .labels import as_labels, nearer_to_neighbour

__all__ = [
    "MASK_POLICIES",
    "LabelArguments",
    "Segmentation",
    "parse_mask_policy",
    "parse_segmentation",
]

MASK_POLICIES = ("segment", "neighbours", "uberseg", None)


def parse_segmentation(
    segmentation, shape: tuple[int, int] | None = None
) -> np.ndarray | LazyArray:
    """
    Array of a segmentation image, or what is read of it piece by piece.

    Parameters
    ----------
    segmentation : `photutils.segmentation.SegmentationImage` or array of int
        Labels, 0 where there is no source.
    shape : tuple of int, optional
        Shape that it has to have.
    """
    refuse_name("segmentation_image", "hold integers", segmentation, "read_segmentation")
    if isinstance(segmentation, NDData) or not hasattr(segmentation, "dtype"):
        segmentation = getattr(segmentation, "data", segmentation)
    if isinstance(segmentation, np.ma.MaskedArray):
        segmentation = segmentation.filled(0)
    try:
        array = as_image(segmentation)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "iu":
        got = array.dtype if array.ndim else describe_type(array)
        msg = f"segmentation_image must hold integers, got {got}"
        raise TypeError(msg)
    if array.ndim != 2:
        msg = f"segmentation_image must have 2 dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != shape:
        msg = (
            f"segmentation_image has shape {array.shape}, the image has {shape}; with "
            "segmentation_wcs it is mapped to the image"
        )
        raise ValueError(msg)
    return array


def parse_mask_policy(mask_policy, combine_seg_mask) -> str | None:
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


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelArguments:
    """
    Arguments of a function that describe the labels of sources.

    Attributes
    ----------
    segmentation : `photutils.segmentation.SegmentationImage` or array of int
        The segmentation image.
    wcs : object or None
        WCS of the segmentation image; `None` if it has the grid of the image.
    policy : {'segment', 'neighbours', 'uberseg', None}
        Pixels that the labels mask.
    keep : bool
        Whether the labels become a plane of the cutouts.
    """

    segmentation: Any
    wcs: Any
    policy: str | None
    keep: bool

    @property
    def are_used(self) -> bool:
        """Whether the labels mask pixels or are kept."""
        return self.policy is not None or self.keep


@dataclass(frozen=True, eq=False)
class Segmentation:
    """
    Labels for the pixels of an image.

    Attributes
    ----------
    labels : array of int or LazyArray, shape (ny, nx)
        The segmentation image.
    grid : PixelGrid or None
        Its grid; `None` if it is that of the image.
    pixel_map : PixelMap or None
        From the image to it; `None` if both have the same grid.
    policy : {'segment', 'neighbours', 'uberseg', None}
        What it masks.
    keep : bool
        Whether the labels become a plane of the cutouts.
    """

    labels: np.ndarray
    grid: PixelGrid | None = None
    pixel_map: PixelMap | None = None
    policy: str | None = "segment"
    keep: bool = False

    @classmethod
    def from_arguments(cls, image: ImageInfo, labels: LabelArguments) -> Segmentation:
        """
        Return the segmentation of an image.

        Parameters
        ----------
        image : ImageInfo
            The image.
        labels : LabelArguments
            Arguments of the caller.
        """
        if labels.wcs is None or labels.wcs is image.wcs:
            array = parse_segmentation(labels.segmentation, image.shape)
            return cls(array, policy=labels.policy, keep=labels.keep)
        array = parse_segmentation(labels.segmentation)
        grid = PixelGrid(labels.wcs, array.shape)
        return cls(array, grid, PixelMap(image.grid, grid), labels.policy, labels.keep)

    @property
    def has_own_grid(self) -> bool:
        """Whether its grid is another one than that of the image."""
        return self.pixel_map is not None

    @property
    def dtype(self) -> np.dtype:
        """Type of the labels, in the byte order of the machine."""
        return self.labels.dtype.newbyteorder("=")

    def cut(self, boxes: PixelBoxes) -> np.ndarray:
        """
        Labels of the pixels of boxes, of the nearest pixel of the segmentation image.

        Parameters
        ----------
        boxes : PixelBoxes
            The boxes in the image.

        Returns
        -------
        array of int, shape (P,)
            One box after the other; 0 outside the segmentation image.
        """
        if not self.has_own_grid:
            return cut_boxes(self.labels, boxes, 0, self.dtype)
        centers = InterpolatedCenters(self.pixel_map, boxes)
        if isinstance(self.labels, LazyArray):
            return self._nearest(*centers.mapped())
        labels = np.empty(boxes.total_area, self.dtype)
        for some, here in boxes.iter_chunks(CHUNK):
            labels[here] = self._nearest(*centers.mapped(some))
        return labels

    def at(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Labels at pixels of the image."""
        if not self.has_own_grid:
            return read_points(self.labels, x, y)
        return self._nearest(*self.pixel_map(x, y))

    def _nearest(self, x, y) -> np.ndarray:
        ny, nx = self.labels.shape
        found = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
        labels = np.zeros(x.shape, self.dtype)
        column, row = (np.floor(p[found] + 0.5).astype(np.intp) for p in (x, y))
        labels[found] = read_points(self.labels, column, row)
        return labels

    def mask(self, labels: np.ndarray, ids: np.ndarray, boxes: PixelBoxes) -> np.ndarray:
        """
        Mask of the pixels that do not count as those of the source.

        Parameters
        ----------
        labels : array of int, shape (P,)
            What `cut` returns.
        ids : array of shape (N,)
            The sources.
        boxes : PixelBoxes
            The boxes of the cutouts.
        """
        if self.policy is None:
            return np.zeros(labels.shape, bool)
        ids = as_labels(ids)
        same = ids.astype(labels.dtype)
        if np.array_equal(same, ids):
            # Integers of one type are compared several times as fast.
            ids = same
        other = labels != np.repeat(ids, boxes.area)
        if self.policy == "segment":
            return other
        other &= labels != 0
        if self.policy == "uberseg":
            # Cutouts without a neighbor need no distances.
            crowded = np.logical_or.reduceat(other, boxes.starts) if len(boxes) else []
            for i in np.flatnonzero(crowded).tolist():
                start, stop = boxes.starts[i], boxes.starts[i] + boxes.area[i]
                piece = labels[start:stop].reshape(boxes.height[i], boxes.width[i])
                other[start:stop] = nearer_to_neighbour(piece, ids[i]).ravel()
        return other
