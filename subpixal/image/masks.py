"""Masks from pixel values, flags, weights and other masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.nddata import NDData, bitfield_to_boolean_mask

from subpixal.geometry import PixelBox, PixelBoxes

from .extraction import overlap
from .lazy import ImageArray, LazyArray, as_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["UnitedMask", "bad_flags", "bad_pixels", "mask_outside", "outside_image"]


def mask_without_flags(nd: NDData) -> Any:
    """Return the mask of an image, minus the pixels that the flags of the image mask."""
    image = getattr(nd, "image", None)
    # The mask of a cutout of a source also contains the segments of other sources. They cannot be
    # separated from the flags.
    if image is None or image.stage or nd.flags is None:
        return nd.mask
    return nd.mask & ~bad_flags(nd.flags, image.dqbitmask)


def unite_masks(
    masks: Iterable[Any], shape: tuple[int, int], prefix: str
) -> ImageArray | UnitedMask | None:
    """
    Combine masks of an image by a logical or.

    Parameters
    ----------
    masks : iterable of array, bool or None
        Masks with the shape of the image. A single value applies to all pixels.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    prefix : str
        Prefix of the names of arguments in error messages.

    Returns
    -------
    array, LazyArray, UnitedMask or None
        The combined mask; `None` if no mask is given, or if each mask is a single `False`.
    """
    arrays = []
    for mask in (as_image(mask) for mask in masks if mask is not None):
        if mask.ndim and mask.shape != shape:
            msg = f"the mask of {prefix}data has shape {mask.shape}, the image has {shape}"
            raise ValueError(msg)
        if mask.ndim:
            arrays.append(mask)
        elif mask:
            arrays.append(np.broadcast_to(mask, shape))
    if len(arrays) < 2:
        return arrays[0] if arrays else None
    united = UnitedMask(arrays)
    return LazyArray(united) if united.lazy else united


def mask_outside(mask: NDArray[np.bool_], boxes: PixelBoxes, shape: tuple[int, int]) -> None:
    """
    Mask the pixels of many boxes that lie outside the image.

    Parameters
    ----------
    mask : array of bool, shape (P,)
        The mask of the pixels, one box after the other, row by row in each box. The function
        changes the mask in place.
    boxes : PixelBoxes
        The boxes, in pixels of the image.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    """
    leaving = np.flatnonzero(~boxes.are_inside(shape))
    for i, box in zip(leaving.tolist(), boxes[leaving], strict=True):
        start = boxes.starts[i]
        mask[start : start + boxes.area[i]] |= outside_image(box, shape).ravel()


def outside_image(box: PixelBox, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the mask of pixels of a box outside an image of the shape ``(ny, nx)``."""
    outside = np.ones(box.shape, bool)
    common = overlap(box, shape)
    if common is not None:
        outside[common[1]] = False
    return outside


def bad_pixels(
    planes: Mapping[str, np.ndarray], *, dqbitmask: int | None = None, with_weight: bool = False
) -> NDArray[np.bool_]:
    """
    Return the mask of bad pixels.

    A pixel is bad if its value is not finite, if a flag masks it, or if the mask contains it. A
    weight can also mask a pixel.

    Parameters
    ----------
    planes : dict
        Arrays by the name of the plane, all of the same shape. ``'data'`` is required. ``'mask'``,
        ``'flags'`` and ``'weight'`` are optional.
    dqbitmask : int or None
        Bits of the good flags, which do not mask a pixel. With 0, any flag masks. With `None`, no
        flag masks.
    with_weight : bool
        If `True`, a weight that is zero or not finite masks the pixel.
    """
    good = np.isfinite(planes["data"])
    flags, weight = planes.get("flags"), planes.get("weight")
    if weight is not None and with_weight:
        good &= np.isfinite(weight)
        good &= weight != 0
    bad = np.logical_not(good, out=good)
    if flags is not None and dqbitmask is not None:
        bad |= bad_flags(flags, dqbitmask)
    mask = planes.get("mask")
    if mask is not None:
        bad |= mask.astype(bool, copy=False)
    return bad


def bad_flags(flags: np.ndarray, dqbitmask: int | None) -> NDArray[np.bool_]:
    """Return the mask of pixels with any flag that is not among the good flags."""
    if dqbitmask == 0:
        return flags != 0
    if flags.dtype.kind == "b":
        flags = flags.astype(np.uint8)
    return bitfield_to_boolean_mask(
        flags, ignore_flags=dqbitmask, good_mask_value=False, dtype=bool
    )


class UnitedMask:
    """
    Several masks of an image, combined by a logical or.

    Each access combines only the pixels that it reads.

    Parameters
    ----------
    masks : list of array or LazyArray
        Masks, all of the same shape.
    """

    def __init__(self, masks: Sequence[ImageArray]) -> None:
        self._masks = masks
        self.shape = masks[0].shape
        self.ndim = masks[0].ndim
        self.dtype = np.dtype(bool)

    @property
    def lazy(self) -> bool:
        """`True` if at least one of the masks is read in parts."""
        return any(isinstance(mask, LazyArray) for mask in self._masks)

    def __getitem__(self, item: Any) -> np.ndarray:
        return reduce(np.logical_or, [mask[item] for mask in self._masks])
