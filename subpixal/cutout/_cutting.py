"""Cutting many boxes out of an image at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ._image import Image
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
from ._segmentation import segment_mask
from ._store import Store, make_index

__all__ = ["Cutter"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """
    An image and how it is cut.

    Attributes
    ----------
    image : Image
    planes : dict
        2-D arrays of the shape of the image.
    segmentation : array of int or None
        Labels on the grid of the image, where they mask.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        Whether pixels are copied now, or viewed until they are needed.
    """

    image: Image
    planes: dict
    segmentation: np.ndarray | None = None
    fillval: float = np.nan
    copy: bool = True

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
        if self.copy:
            pixels = {name: self._pixels(name, boxes) for name in self.planes if name != "mask"}
            pixels["mask"] = self._mask(pixels, boxes, ids)
            planes = {name: PackedPlane(flat) for name, flat in pixels.items()}
        else:
            planes = {name: self._view(name) for name in self.planes if name != "mask"}
            planes["mask"] = DeferredPlane(lambda: self._mask({}, boxes, ids))
        return Store(self.image, index, ids, planes=planes)

    def _fill(self, name):
        dtype = plane_dtype(name, self.planes[name].dtype, promote=True)
        return fill_value(name, self.fillval, self.image.uncertainty_type), dtype

    def _pixels(self, name, boxes) -> np.ndarray:
        return cut_pixels(self.planes[name], boxes, *self._fill(name))

    def _view(self, name) -> ViewedPlane:
        return ViewedPlane(self.planes[name], *self._fill(name))

    def _mask(self, pixels, boxes, ids) -> np.ndarray:
        needed = {n: pixels[n] if n in pixels else self._pixels(n, boxes)
                  for n in ("data", "flags", "weight", "mask") if n in self.planes}  # fmt: skip
        mask = bad_pixels(needed, dqbitmask=self.image.dqbitmask, with_weight=True)
        mask |= outside_pixels(boxes, self.image.shape)
        if self.segmentation is not None:
            labels = cut_pixels(self.segmentation, boxes, 0, self.segmentation.dtype)
            mask |= segment_mask(labels, ids, boxes[2] * boxes[3])
        return mask
