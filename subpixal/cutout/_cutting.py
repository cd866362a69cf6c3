"""Cutting many boxes out of an image at once."""

from __future__ import annotations

import numbers
from dataclasses import dataclass

import numpy as np

from ._image import Image
from ._labels import as_labels
from ._planes import (
    DeferredPlane,
    PackedPlane,
    ViewedPlane,
    bad_pixels,
    cut_pixels,
    fill_value,
    outside_pixels,
    plane_dtype,
)
from ._segmentation import Segmentation
from ._store import Store, make_index

__all__ = ["Cutter"]

# Planes that say which pixels are bad.
_MASKING = ("data", "flags", "weight", "mask")


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """
    An image and how it is cut.

    Attributes
    ----------
    image : Image
    planes : dict
        2-D arrays of the shape of the image.
    segmentation : Segmentation or None
        Labels, where they mask or are kept.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        Whether pixels are copied now, or viewed until they are needed.
    """

    image: Image
    planes: dict
    segmentation: Segmentation | None = None
    fillval: float = np.nan
    copy: bool = True

    def __post_init__(self) -> None:
        kind = numbers.Complex if self.planes["data"].dtype.kind == "c" else numbers.Real
        if not isinstance(self.fillval, kind):
            msg = f"fillval must be a number that fits the data, got {self.fillval!r}"
            raise TypeError(msg)

    def cut(self, boxes, ids, src_pos, src_weight) -> Store:
        """
        Cut boxes.

        Parameters
        ----------
        boxes : array of int, shape (4, N)
            ``xmin, ymin, xmax, ymax``; where they leave the image, they are filled.
        ids : array of shape (N,)
        src_pos : array of float, shape (N, 2)
        src_weight : array of float, shape (N,)
        """
        boxes = np.concatenate([boxes[:2], boxes[2:] - boxes[:2] + 1])
        index = make_index(self.image, boxes, src_pos=src_pos, src_weight=src_weight)
        pixels = [name for name in self.planes if name != "mask"]
        if self.copy:
            flat = {name: self._pixels(name, boxes) for name in pixels}
            labels = None if self.segmentation is None else self.segmentation.cut(boxes)
            flat["mask"] = self._mask(flat, boxes, ids, labels)
            if self.segmentation is not None and self.segmentation.keep:
                flat["segmentation"] = labels
            planes = {name: PackedPlane(pixels) for name, pixels in flat.items()}
        else:
            planes = {name: self._view(name) for name in pixels}
            planes["mask"] = DeferredPlane(lambda: self._mask({}, boxes, ids))
            if self.segmentation is not None and self.segmentation.keep:
                planes["segmentation"] = DeferredPlane(lambda: self.segmentation.cut(boxes))
        return Store(self.image, index, ids, planes=planes)

    def _fill(self, name):
        dtype = plane_dtype(name, self.planes[name].dtype, promote=True)
        return fill_value(name, self.fillval, self.image.uncertainty_type), dtype

    def _pixels(self, name, boxes) -> np.ndarray:
        return cut_pixels(self.planes[name], boxes, *self._fill(name))

    def _view(self, name) -> ViewedPlane:
        return ViewedPlane(self.planes[name], *self._fill(name))

    def _mask(self, pixels, boxes, ids, labels=None) -> np.ndarray:
        needed = {name: pixels[name] if name in pixels else self._pixels(name, boxes)
                  for name in _MASKING if name in self.planes}  # fmt: skip
        mask = bad_pixels(needed, dqbitmask=self.image.dqbitmask, with_weight=True)
        mask |= outside_pixels(boxes, self.image.shape)
        if self.segmentation is not None:
            labels = self.segmentation.cut(boxes) if labels is None else labels
            mask |= self.segmentation.mask(labels, ids, boxes)
        return mask

    @property
    def masks_by_label(self) -> bool:
        """Whether the segmentation masks, so that a source needs a label."""
        return self.segmentation is not None and self.segmentation.policy is not None

    def find_masked(self, store: Store) -> tuple[np.ndarray, np.ndarray]:
        """
        Find cutouts without a good pixel, without making masks of all of them.

        Parameters
        ----------
        store : Store
            What has just been cut.

        Returns
        -------
        masked : array of bool, shape (N,)
            All pixels are masked.
        absent : array of bool, shape (N,)
            They are, because none has the label of the source.
        """
        index, ids = store.index, store.ids
        boxes = np.array([index[name] for name in ("x", "y", "width", "height")], np.int64)
        masked, absent = np.zeros((2, len(ids)), bool)
        todo = np.flatnonzero(self._bad_at(*self._source_pixels(index, boxes), ids))
        if todo.size:
            boxes, ids = boxes[:, todo], ids[todo]
            start = np.cumsum(boxes[2] * boxes[3]) - boxes[2] * boxes[3]
            masked[todo] = np.logical_and.reduceat(self._mask({}, boxes, ids), start)
            if self.masks_by_label:
                others = self.segmentation.cut(boxes) != np.repeat(
                    as_labels(ids), boxes[2] * boxes[3]
                )
                absent[todo] = np.logical_and.reduceat(others, start) & masked[todo]
        return masked, absent

    def _source_pixels(self, index, boxes):
        """Pixels ``x, y`` of the image in which the sources are, or the next in their boxes."""
        size = np.array(self.image.shape[::-1])[:, None]
        low, high = np.maximum(boxes[:2], 0), np.minimum(boxes[:2] + boxes[2:], size) - 1
        pos = np.array([index["src_x"], index["src_y"]])
        return np.rint(np.clip(pos, low, high)).astype(np.int64)

    def _bad_at(self, x, y, ids) -> np.ndarray:
        pixels = {name: self.planes[name][y, x] for name in _MASKING if name in self.planes}
        bad = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        if self.masks_by_label:
            bad |= self.segmentation.at(x, y) != as_labels(ids)
        return bad
