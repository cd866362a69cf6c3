"""Cutting many boxes out of an image at once."""

from __future__ import annotations

import numbers
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ._image import Image
from ._labels import as_labels
from ._lazy import LazyImage
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

# Pixels of which masks are calculated at once.
_PART = 2**17


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """
    An image and how it is cut.

    Attributes
    ----------
    image : Image
    planes : dict
        2-D arrays of the shape of the image, as of `read_image_arguments`.
    segmentation : Segmentation or None
        Labels, where they mask or are kept.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        Whether pixels are copied now, or viewed until they are needed. What is not
        in memory is copied in any case, as there is nothing to be viewed.
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
        if self.copy or self._is_lazy():
            flat = {name: self._pixels(name, boxes) for name in pixels}
            labels = self._labels(boxes) if self._keeps_labels else None
            flat["mask"] = self._mask(flat, boxes, ids, labels)
            if self._keeps_labels:
                flat["segmentation"] = labels
            planes = {name: PackedPlane(pixels) for name, pixels in flat.items()}
        else:
            planes = {name: self._view(name) for name in pixels}
            planes["mask"] = DeferredPlane(lambda: self._mask({}, boxes, ids))
            if self._keeps_labels:
                planes["segmentation"] = DeferredPlane(lambda: self._labels(boxes))
        return Store(self.image, index, ids, planes=planes)

    @property
    def _keeps_labels(self) -> bool:
        return self.segmentation is not None and self.segmentation.keep

    def _is_lazy(self) -> bool:
        labels = [] if self.segmentation is None else [self.segmentation.labels]
        return any(isinstance(plane, LazyImage) for plane in (*self.planes.values(), *labels))

    def _fill(self, name):
        dtype = plane_dtype(name, self.planes[name].dtype, promote=True)
        return fill_value(name, self.fillval, self.image.uncertainty_type), dtype

    def _pixels(self, name, boxes) -> np.ndarray:
        return cut_pixels(self.planes[name], boxes, *self._fill(name))

    def _view(self, name) -> ViewedPlane:
        return ViewedPlane(self.planes[name], *self._fill(name))

    def _mask(self, pixels, boxes, ids, labels=None) -> np.ndarray:
        planes = {name: plane for name, plane in self.planes.items() if name in _MASKING}
        # What is read piece by piece must be read for all boxes at once.
        pixels = {name: self._pixels(name, boxes) for name, plane in planes.items()
                  if isinstance(plane, LazyImage) and name not in pixels} | pixels  # fmt: skip
        if labels is None and self._is_lazy():
            labels = self._labels(boxes)
        mask = np.empty(int((boxes[2] * boxes[3]).sum()), bool)
        for some, here in _parts(boxes):
            part = {name: pixels[name][here] if name in pixels
                    else self._pixels(name, boxes[:, some]) for name in planes}  # fmt: skip
            known = None if labels is None else labels[here]
            mask[here] = self._mask_part(part, boxes[:, some], ids[some], known)
        return mask

    def _mask_part(self, pixels, boxes, ids, labels) -> np.ndarray:
        mask = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        mask |= outside_pixels(boxes, self.image.shape)
        if self.masks_by_label:
            labels = self._labels(boxes) if labels is None else labels
            mask |= self.segmentation.mask(labels, ids, boxes)
        return mask

    def _labels(self, boxes) -> np.ndarray | None:
        return None if self.segmentation is None else self.segmentation.cut(boxes)

    @property
    def masks_by_label(self) -> bool:
        """Whether the segmentation masks, so that a source needs a label."""
        return self.segmentation is not None and self.segmentation.policy is not None

    def find_masked(self, store: Store) -> tuple[np.ndarray, np.ndarray]:
        """
        Find cutouts without a good pixel, without making masks that there are not.

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
        if isinstance(store.planes["mask"], PackedPlane):
            todo = np.flatnonzero(_all(store.planes["mask"].flat, boxes))
            masked[todo] = True
        else:
            todo = np.flatnonzero(self._bad_at(*self._source_pixels(index, boxes), ids))
            masked[todo] = _all(self._mask({}, boxes[:, todo], ids[todo]), boxes[:, todo])
        if todo.size and self.masks_by_label:
            boxes, ids = boxes[:, todo], as_labels(ids[todo])
            others = self.segmentation.cut(boxes) != np.repeat(ids, boxes[2] * boxes[3])
            absent[todo] = _all(others, boxes) & masked[todo]
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


def _parts(boxes) -> Iterator[tuple[slice, slice]]:
    """
    Parts of a list of boxes, and where their pixels are.

    What is calculated on the way to a mask stays in the cache of the processor:
    fresh memory would cost more than the calculation.
    """
    stop = np.cumsum(boxes[2] * boxes[3])
    first, start = 0, 0
    while first < len(stop):
        last = max(first + 1, int(np.searchsorted(stop, start + _PART, "right")))
        yield slice(first, last), slice(start, int(stop[last - 1]))
        first, start = last, int(stop[last - 1])


def _all(pixels, boxes) -> np.ndarray:
    """For which boxes all pixels are `True`."""
    size = boxes[2] * boxes[3]
    return np.logical_and.reduceat(pixels, np.cumsum(size) - size) if len(size) else size > 0
