"""Segmentation images: labels and masks for the pixels of another image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import NDData

from subpixal.geometry import (
    InterpolatedCenters,
    PixelBoxes,
    PixelGrid,
    PixelMap,
    corner_distance,
    same_grid,
)
from subpixal.image import (
    CHUNK,
    ImageArray,
    ImageInfo,
    LazyArray,
    as_image,
    cut_boxes,
    describe_type,
    read_points,
    refuse_name,
)

from .labels import as_labels, nearer_to_neighbor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]
    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

__all__ = [
    "MASK_POLICIES",
    "LabelArguments",
    "Segmentation",
    "parse_mask_policy",
    "parse_segmentation",
]

MASK_POLICIES = ("segment", "neighbors", "uberseg", None)


def parse_segmentation(segmentation: Any, shape: tuple[int, int] | None = None) -> ImageArray:
    """
    Return the labels of a segmentation image as an array.

    Parameters
    ----------
    segmentation : `photutils.segmentation.SegmentationImage` or array of int
        Labels. The label 0 stands for the background.
    shape : tuple of int, optional
        Required shape of the labels.
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
            f"segmentation_image has shape {array.shape}, the image has {shape}; pass "
            "segmentation_wcs to map it to the image"
        )
        raise ValueError(msg)
    return array


def parse_mask_policy(mask_policy: str | None, combine_seg_mask: bool | None) -> str | None:
    """Return the mask policy. The older argument ``combine_seg_mask`` takes precedence."""
    if combine_seg_mask is not None:
        if not isinstance(combine_seg_mask, bool | np.bool):
            msg = f"combine_seg_mask must be True, False or None, got {combine_seg_mask!r}"
            raise TypeError(msg)
        return "segment" if combine_seg_mask else None
    if mask_policy == "neighbours":
        return "neighbors"
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
        WCS of the segmentation image, or `None` if it is on the grid of the image.
    policy : {'segment', 'neighbors', 'uberseg', None}
        Pixels that the labels mask, as in `create_primary_cutouts`.
    keep : bool
        Whether the labels become a plane of the cutouts.
    """

    segmentation: Any
    wcs: Any
    policy: str | None
    keep: bool

    @property
    def are_used(self) -> bool:
        """`True` if the labels mask pixels or become a plane."""
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
        Pixel grid of the segmentation image, or `None` if it is the grid of the image.
    pixel_map : PixelMap or None
        Map from the image to the segmentation image, or `None` if both have the same grid.
    policy : {'segment', 'neighbors', 'uberseg', None}
        Pixels that the labels mask, as in `create_primary_cutouts`.
    keep : bool
        Whether the labels become a plane of the cutouts.
    """

    labels: ImageArray
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
            Arguments that describe the segmentation image.
        """
        if labels.wcs is None or labels.wcs is image.wcs:
            array = parse_segmentation(labels.segmentation, image.shape)
            _check_grid(labels.segmentation, image)
            return cls(array, policy=labels.policy, keep=labels.keep)
        array = parse_segmentation(labels.segmentation)
        ny, nx = array.shape
        grid = PixelGrid(labels.wcs, (ny, nx))
        return cls(array, grid, PixelMap(image.grid, grid), labels.policy, labels.keep)

    @property
    def has_own_grid(self) -> bool:
        """`True` if the segmentation image has another pixel grid than the image."""
        return self.pixel_map is not None

    @property
    def dtype(self) -> np.dtype:
        """Dtype of the labels, with the byte order of the machine."""
        return self.labels.dtype.newbyteorder("=")

    def cut(self, boxes: PixelBoxes) -> np.ndarray:
        """
        Return the labels of all pixels of boxes.

        The label of a pixel is that of the nearest pixel of the segmentation image.

        Parameters
        ----------
        boxes : PixelBoxes
            The boxes in the image.

        Returns
        -------
        array of int, shape (P,)
            Labels of one box after the other. Labels outside the segmentation image are 0.
        """
        if self.pixel_map is None:
            return cut_boxes(self.labels, boxes, 0, self.dtype)
        centers = InterpolatedCenters(self.pixel_map, boxes)
        if isinstance(self.labels, LazyArray):
            return self._nearest(*centers.mapped())
        labels = np.empty(boxes.total_area, self.dtype)
        for selected, pixels in boxes.iter_chunks(CHUNK):
            labels[pixels] = self._nearest(*centers.mapped(selected))
        return labels

    def at(self, x: IntArray, y: IntArray) -> np.ndarray:
        """Return the labels at pixels of the image."""
        if self.pixel_map is None:
            return read_points(self.labels, x, y)
        return self._nearest(*self.pixel_map(x, y))

    def _nearest(self, x: FloatArray, y: FloatArray) -> np.ndarray:
        """Return the labels of the pixels nearest to positions in the segmentation image."""
        ny, nx = self.labels.shape
        inside = (x >= -0.5) & (x < nx - 0.5) & (y >= -0.5) & (y < ny - 0.5)
        column = np.floor(x[inside] + 0.5).astype(np.int64)
        row = np.floor(y[inside] + 0.5).astype(np.int64)
        labels = np.zeros(x.shape, self.dtype)
        labels[inside] = read_points(self.labels, column, row)
        return labels

    def mask(self, labels: np.ndarray, ids: np.ndarray, boxes: PixelBoxes) -> BoolArray:
        """
        Return the mask that the mask policy defines for the pixels of cutouts.

        Parameters
        ----------
        labels : array of int, shape (P,)
            Labels of the pixels, as `cut` returns them.
        ids : array of shape (N,)
            Identifiers of the sources.
        boxes : PixelBoxes
            The boxes of the cutouts.
        """
        if self.policy is None:
            return np.zeros(labels.shape, bool)
        ids = as_labels(ids)
        same = ids.astype(labels.dtype)
        if np.array_equal(same, ids):
            # Convert the identifiers: integers of the same dtype are compared several times faster.
            ids = same
        other = labels != np.repeat(ids, boxes.area)
        if self.policy == "segment":
            return other
        other &= labels != 0
        if self.policy == "uberseg":
            # Compute distances only for cutouts that contain another segment.
            crowded = np.logical_or.reduceat(other, boxes.starts) if len(boxes) else other
            for i in np.flatnonzero(crowded).tolist():
                start, stop = boxes.starts[i], boxes.starts[i] + boxes.area[i]
                piece = labels[start:stop].reshape(boxes.height[i], boxes.width[i])
                other[start:stop] = nearer_to_neighbor(piece, ids[i]).ravel()
        return other


def _check_grid(segmentation: Any, image: ImageInfo) -> None:
    """Raise an error if the WCS of a segmentation image differs from that of the image."""
    wcs = segmentation.wcs if isinstance(segmentation, NDData) else None
    if wcs is None or wcs is image.wcs:
        return
    grid = PixelGrid(wcs, image.shape)
    if not same_grid(image.grid, grid):
        distance = corner_distance(image.grid, grid)
        msg = (
            "segmentation_image has a WCS with another pixel grid than the image: the corners are "
            f"{distance:.3g} pixels apart. Pass segmentation_wcs to map the segmentation image, or "
            "pass a plain array if it has the pixels of the image"
        )
        raise ValueError(msg)
