"""Masks made of pixels, flags, weights and other masks."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from astropy.nddata import (
    NDData,
    bitfield_to_boolean_mask,
)

from subpixal.geometry import PixelBox, PixelBoxes

from .extraction import overlap
from .lazy import LazyArray, as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["UnitedMask", "bad_flags", "bad_pixels", "mask_outside", "outside_image"]


def mask_without_flags(nd: NDData):
    """Mask of an image that is to be masked by other flags than when it was read."""
    image = getattr(nd, "image", None)
    # Cutouts of sources are masked by segments, too, which cannot be told from flags.
    if image is None or image.stage or nd.flags is None:
        return nd.mask
    return nd.mask & ~bad_flags(nd.flags, image.dqbitmask)


def unite_masks(masks, shape, prefix):
    masks = [as_image(m) for m in masks if m is not None]
    for mask in masks:
        if mask.ndim and mask.shape != shape:
            msg = f"the mask of {prefix}data has shape {mask.shape}, the image has {shape}"
            raise ValueError(msg)
    masks = [m for m in masks if m.ndim or m]
    masks = [m if m.ndim else np.broadcast_to(m, shape) for m in masks]
    if len(masks) < 2:
        return masks[0] if masks else None
    united = UnitedMask(masks)
    return LazyArray(united) if united.lazy else united


def mask_outside(mask: NDArray[np.bool_], boxes: PixelBoxes, shape: tuple[int, int]) -> None:
    """
    Mask the pixels of many boxes that lie outside the image.

    Parameters
    ----------
    mask : array of bool, shape (P,)
        Changed in place.
    boxes : PixelBoxes
        The boxes in the image.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    """
    leaving = np.flatnonzero(~boxes.are_inside(shape))
    for i, box in zip(leaving.tolist(), boxes[leaving], strict=True):
        start = boxes.starts[i]
        mask[start : start + boxes.area[i]] |= outside_image(box, shape).ravel()


def outside_image(box: PixelBox, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of the pixels of a box that lie outside an image of a shape."""
    outside = np.ones(box.shape, bool)
    common = overlap(box, shape)
    if common is not None:
        outside[common[1]] = False
    return outside


def bad_pixels(planes: dict, *, dqbitmask=None, with_weight: bool = False) -> np.ndarray:
    """
    Mask of pixels that their own values call bad.

    Parameters
    ----------
    planes : dict
        Arrays of one shape: ``'data'`` and as far as there are any ``'mask',
        'flags', 'weight'``. The mask is the one of the image, `True` outside it.
    dqbitmask : int or None
        Bits of flags that are good; 0 for none, `None` if flags do not matter.
    with_weight : bool
        Whether a weight that is zero or not finite is bad.
    """
    good = np.isfinite(planes["data"])
    flags, weight = planes.get("flags"), planes.get("weight")
    if weight is not None and with_weight:
        good &= np.isfinite(weight)
        good &= weight != 0
    bad = np.logical_not(good, out=good)
    if flags is not None and dqbitmask is not None:
        bad |= bad_flags(flags, dqbitmask)
    if planes.get("mask") is not None:
        bad |= planes["mask"].astype(bool, copy=False)
    return bad


def bad_flags(flags: np.ndarray, dqbitmask: int | None) -> np.ndarray:
    """Mask of pixels with flags that are not good."""
    if dqbitmask == 0:
        return flags != 0
    if flags.dtype.kind == "b":
        flags = flags.astype(np.uint8)
    return bitfield_to_boolean_mask(
        flags, ignore_flags=dqbitmask, good_mask_value=False, dtype=bool
    )


class UnitedMask:
    """
    Masks of an image that are or-ed where they are read.

    Parameters
    ----------
    masks : list of array or LazyArray
        Of one shape.
    """

    def __init__(self, masks) -> None:
        self._masks = masks
        self.shape, self.ndim, self.dtype = masks[0].shape, masks[0].ndim, np.dtype(bool)

    @property
    def lazy(self) -> bool:
        """Whether a mask is not in memory."""
        return any(isinstance(mask, LazyArray) for mask in self._masks)

    def __getitem__(self, item) -> np.ndarray:
        return reduce(np.logical_or, [mask[item] for mask in self._masks])
