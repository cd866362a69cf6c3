"""Pixels of a cutout that is cut alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial

import numpy as np

from ._kernels import bad_pixels, cut_piece, overlap
from ._lazy import LazyImage
from ._planes import MASKING, fill_value, plane_dtype

__all__ = ["Unread", "cut_own", "slice_planes"]


class Unread:
    """
    Pixels of one cutout that are read or calculated when they are asked for.

    Parameters
    ----------
    make : callable
        Returns the pixels.
    dtype : dtype
        Of the pixels.
    image : array or LazyImage, optional
        A plane of the same shape that stands for them where cutouts are cut; the pixels
        themselves once there are any.
    """

    def __init__(self, make: Callable[[], np.ndarray], dtype, image=None) -> None:
        self._make, self.dtype, self.image = make, np.dtype(dtype), image

    @cached_property
    def pixels(self) -> np.ndarray:
        """The pixels, always the same array."""
        pixels = self._make()
        # Who has the pixels does not need what they were made from.
        self._make, self.image = None, pixels
        return pixels

    def __reduce__(self):
        return np.asarray, (self.pixels,)


def cut_own(planes: dict, box, image, fillval, *, view: bool) -> dict:
    """
    Cut the planes of one cutout.

    Parameters
    ----------
    planes : dict
        As of `read_image_arguments`.
    box : PixelBox
    image : Image
    fillval : scalar
        Value of data outside the image.
    view : bool
        Whether read-only views will do. Of a whole image, what there is no view of is then
        left `Unread`: such pixels are mostly there to be cut, not to be looked at.

    Returns
    -------
    dict
        Arrays or `Unread` of the shape of the box, always with a ``'mask'``.
    """
    place, own = (*box.blc, *box.naxis), {}
    later = view and place == (0, 0, *image.shape[::-1])
    for name, pixels in planes.items():
        fill = fill_value(name, fillval, image.uncertainty_type)
        dtype = plane_dtype(name, pixels.dtype)
        if later and (isinstance(pixels, LazyImage) or not _may_be_viewed(name, pixels, dtype)):
            own[name] = Unread(partial(_read_all, pixels, dtype), dtype, pixels)
        else:
            own[name] = cut_piece(pixels, place, fill, dtype, view=view)
    mask = partial(_find_bad, dict(own), place, image)
    own["mask"] = Unread(mask, bool) if later and "mask" not in own else mask()
    return own


def slice_planes(planes: dict, slices, image) -> dict:
    """
    Views of parts of planes; of what is `Unread`, no more than the part is read.

    Parameters
    ----------
    planes : dict
        Arrays or `Unread`.
    slices : tuple of slice
        ``(y, x)`` with their bounds.
    image : Image
    """
    parts = {}
    for name, plane in planes.items():
        if not isinstance(plane, Unread):
            parts[name] = plane[slices]
        elif name != "mask":
            parts[name] = _read_all(plane.image[slices], plane.dtype)
    if "mask" not in parts:
        parts["mask"] = bad_pixels(parts, dqbitmask=image.dqbitmask)
    return parts


def _may_be_viewed(name, pixels, dtype) -> bool:
    # Bits of the other byte order would not be understood.
    return pixels.dtype == dtype if name == "flags" else pixels.dtype.type == dtype.type


def _read_all(pixels, dtype) -> np.ndarray:
    pixels = np.asarray(pixels).astype(dtype, copy=False)
    pixels.flags.writeable = False
    return pixels


def _find_bad(planes, place, image) -> np.ndarray:
    # Weights mask in the functions that cut many.
    planes = {name: planes[name] for name in MASKING if name in planes and name != "weight"}
    planes = {n: p.pixels if isinstance(p, Unread) else p for n, p in planes.items()}
    outside = np.ones((place[3], place[2]), bool)
    outside[overlap(place, image.shape)[1]] = False
    planes["mask"] = planes["mask"] | outside if "mask" in planes else outside
    return bad_pixels(planes, dqbitmask=image.dqbitmask)
