"""Cutting many boxes out of an image at once."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from subpixal.cutout.storage import DeferredPlane, PackedPlane, Store, ViewedPlane, make_index
from subpixal.image import (
    PLANES,
    ImageInfo,
    LazyArray,
    bad_pixels,
    copy_boxes,
    cut_pixels,
    mask_outside,
    parts,
    pixel_rows,
)

from .labels import as_labels
from .segmentation import Segmentation

__all__ = ["Cutter"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """
    An image and how it is cut.

    Attributes
    ----------
    image : Image
    planes : dict
        2-D arrays of the shape of the image, as of `parse_image_arguments`.
    segmentation : Segmentation or None
        Labels, where they mask or are kept.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        Whether pixels are copied now, or viewed until they are needed. What is not
        in memory is copied in any case, as there is nothing to be viewed.
    """

    image: ImageInfo
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
        made = ["mask", "segmentation"] if self._keeps_labels else ["mask"]
        if self.copy or any(map(self._is_late, self._sources)):
            flat = self._cut(boxes, ids, dict.fromkeys([*self.planes, *made]))
            planes = {name: PackedPlane(pixels) for name, pixels in flat.items()}
        else:
            planes = {name: ViewedPlane(*self._sources[name])
                      for name in self.planes if name != "mask"}  # fmt: skip
            planes |= {name: DeferredPlane(partial(self._cut_one, boxes, ids, name))
                       for name in made}  # fmt: skip
        return Store(self.image, index, ids, planes=planes)

    @cached_property
    def _sources(self) -> dict[str, tuple]:
        """For each plane the image, its value outside, and the type of its cutouts."""
        sources = {}
        for name, image in self.planes.items():
            plane = PLANES[name].with_uncertainty_type(self.image.uncertainty_type)
            dtype = plane.cut_dtype(image.dtype, promote=True)
            sources[name] = image, plane.fill_value(self.fillval), dtype
        if self.segmentation is not None:
            sources["segmentation"] = self.segmentation.labels, 0, self.segmentation.dtype
        return sources

    def _is_late(self, name) -> bool:
        """Whether a plane is read piece by piece."""
        return isinstance(self._sources[name][0], LazyArray)

    @property
    def _keeps_labels(self) -> bool:
        return self.segmentation is not None and self.segmentation.keep

    def _cut_one(self, boxes, ids, name) -> np.ndarray:
        return self._cut(boxes, ids, [name])[name]

    def _cut(self, boxes, ids, names) -> dict[str, np.ndarray]:
        """Planes of cutouts, whose masks are made of pixels that are still in the cache."""
        needed = {*names, *(self._masking if "mask" in names else ())}
        sources = {name: plane for name, plane in self._sources.items() if name in needed}
        flat = {name: self._cut_apart(name, boxes) for name in sources if self._is_apart(name)}
        near = {name: plane for name, plane in sources.items() if name not in flat}
        count = int((boxes[2] * boxes[3]).sum())
        flat |= {name: np.empty(count, near[name][2]) for name in near if name in names}
        mask = flat.setdefault("mask", np.empty(count, bool)) if "mask" in names else None
        for some, here in parts(boxes):
            part = {name: flat[name][here] if name in flat
                    else np.empty(here.stop - here.start, dtype)
                    for name, (_, _, dtype) in sources.items()}  # fmt: skip
            if near:
                planes = [(image, fill, part[name]) for name, (image, fill, _) in near.items()]
                copy_boxes(planes, pixel_rows(boxes[:, some]))
            if mask is not None:
                mask[here] = self._mask(part, boxes[:, some], ids[some])
        if mask is not None:
            mask_outside(mask, boxes, self.image.shape)
        return {name: flat[name] for name in names}

    @property
    def _masking(self) -> set[str]:
        """Names of what masks are made of."""
        masking = {name for name, plane in PLANES.items() if plane.masks}
        return masking | {"segmentation"} if self.masks_by_label else masking

    def _is_apart(self, name) -> bool:
        """Whether a plane cannot be cut along with the others."""
        return self._is_late(name) or (name == "segmentation" and self.segmentation.has_own_grid)

    def _cut_apart(self, name, boxes) -> np.ndarray:
        if name == "segmentation":
            return self.segmentation.cut(boxes)
        image, fill, dtype = self._sources[name]
        return cut_pixels(image, boxes, fill, dtype)

    def _mask(self, pixels, boxes, ids) -> np.ndarray:
        mask = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        if self.masks_by_label:
            mask |= self.segmentation.mask(pixels["segmentation"], ids, boxes)
        return mask

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
            masked[todo] = _all(self._cut_one(boxes[:, todo], ids[todo], "mask"), boxes[:, todo])
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
        pixels = {name: self.planes[name][y, x] for name in self._masking & set(self.planes)}
        bad = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        if self.masks_by_label:
            bad |= self.segmentation.at(x, y) != as_labels(ids)
        return bad


def _all(pixels, boxes) -> np.ndarray:
    """For which boxes all pixels are `True`."""
    size = boxes[2] * boxes[3]
    return np.logical_and.reduceat(pixels, np.cumsum(size) - size) if len(size) else size > 0
