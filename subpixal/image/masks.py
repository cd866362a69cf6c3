"""Masks made of pixels, flags, weights and other masks."""

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
    """Return the mask of an image without the pixels that its flags mask."""
    image = getattr(nd, "image", None)
    # Masks of sources also contain segments, which cannot be separated from flags.
    if image is None or image.stage or nd.flags is None:
        return nd.mask
    return nd.mask & ~bad_flags(nd.flags, image.dqbitmask)


def unite_masks(
    masks: Iterable[Any], shape: tuple[int, int], prefix: str
) -> ImageArray | UnitedMask | None:
    """
    Return the logical or of masks of an image.

    Parameters
    ----------
    masks : iterable of array, bool or None
        Masks of the shape of the image; a single value stands for all pixels.
    shape : tuple of int
        ``(ny, nx)`` of the image.
    prefix : str
        Prefix of the argument in errors.

    Returns
    -------
    array, LazyArray, UnitedMask or None
        `None` if no mask is given.
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
        The mask of the boxes, one after the other; it is changed in place.
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


def bad_pixels(
    planes: Mapping[str, np.ndarray], *, dqbitmask: int | None = None, with_weight: bool = False
) -> NDArray[np.bool_]:
    """
    Return the mask of pixels that are not finite, flagged or masked.

    Parameters
    ----------
    planes : dict
        Arrays of one shape: ``'data'`` and, if they exist, ``'mask', 'flags', 'weight'``.
    dqbitmask : int or None
        Bits of good flags; with 0, any flag masks; with `None`, no flag masks.
    with_weight : bool
        Whether a weight that is zero or not finite masks.
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
    """Return the mask of pixels with flags that are not good."""
    if dqbitmask == 0:
        return flags != 0
    if flags.dtype.kind == "b":
        flags = flags.astype(np.uint8)
    return bitfield_to_boolean_mask(
        flags, ignore_flags=dqbitmask, good_mask_value=False, dtype=bool
    )


class UnitedMask:
    """
    Masks of an image that are combined by a logical or at each access.

    Parameters
    ----------
    masks : list of array or LazyArray
        Masks of one shape.
    """

    def __init__(self, masks: Sequence[ImageArray]) -> None:
        self._masks = masks
        self.shape = masks[0].shape
        self.ndim = masks[0].ndim
        self.dtype = np.dtype(bool)

    @property
    def lazy(self) -> bool:
        """`True` if a mask is not in memory."""
        return any(isinstance(mask, LazyArray) for mask in self._masks)

    def __getitem__(self, item: Any) -> np.ndarray:
        return reduce(np.logical_or, [mask[item] for mask in self._masks])
