"""Cut one cutout, and express a nested cutout in its parent image."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from subpixal.errors import NoOverlapError, PartialOverlapError
from subpixal.geometry import PixelBox
from subpixal.image import (
    PLANES,
    LazyArray,
    bad_pixels,
    cut_box,
    outside_image,
    overlap,
    validate_pixel_pair,
)

from .storage import KEPT_STATUSES, DeferredArray, ImagePlane, Store

__all__ = [
    "check_overlap",
    "cut_one",
    "original_box",
    "parse_box",
    "pixel_slices",
    "reparent",
    "slice_planes",
]


def cut_one(planes: dict, box, image, fillval, *, view: bool) -> dict:
    """
    Cut the planes of one cutout.

    Parameters
    ----------
    planes : dict
        As of `parse_image_arguments`.
    box : PixelBox
    image : Image
    fillval : scalar
        Value of data outside the image.
    view : bool
        Whether read-only views will do. Of a whole image, what there is no view of is then
        left `DeferredArray`: such pixels are mostly there to be cut, not to be looked at.

    Returns
    -------
    dict
        Arrays or `DeferredArray` of the shape of the box, always with a ``'mask'``.
    """
    own = {}
    later = view and box.blc == (0, 0) and box.shape == image.shape
    for name, pixels in planes.items():
        plane = PLANES[name].with_uncertainty_type(image.uncertainty_type)
        fill, dtype = plane.fill_value(fillval), plane.cut_dtype(pixels.dtype)
        if later and (isinstance(pixels, LazyArray) or not _may_be_viewed(name, pixels, dtype)):
            own[name] = DeferredArray(partial(_read_all, pixels, dtype), dtype, pixels)
        else:
            own[name] = cut_box(pixels, box, fill, dtype, view=view)
    mask = partial(_find_bad, dict(own), box, image)
    own["mask"] = DeferredArray(mask, bool) if later and "mask" not in own else mask()
    return own


def slice_planes(planes: dict, slices, image) -> dict:
    """
    Views of parts of planes; of what is `DeferredArray`, no more than the part is read.

    Parameters
    ----------
    planes : dict
        Arrays or `DeferredArray`.
    slices : tuple of slice
        ``(y, x)`` with their bounds.
    image : Image
    """
    parts = {}
    for name, plane in planes.items():
        if not isinstance(plane, DeferredArray):
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


def _find_bad(planes, box, image) -> np.ndarray:
    # Weights mask in the functions that cut many.
    planes = {name: planes[name] for name in planes if PLANES[name].masks and name != "weight"}
    planes = {n: p.pixels if isinstance(p, DeferredArray) else p for n, p in planes.items()}
    outside = outside_image(box, image.shape)
    planes["mask"] = planes["mask"] | outside if "mask" in planes else outside
    return bad_pixels(planes, dqbitmask=image.dqbitmask)


def reparent(store: Store, parent) -> None:
    """
    Let cutouts that were cut from a cutout be cutouts of the image of that one.

    Parameters
    ----------
    store : Store
        What has just been cut; positions in it become those in the image.
    parent : Cutout
    """
    image, row, there = parent.image, parent._row, parent._inside
    whole = None if image.shape is None else PixelBox.from_shape(image.shape)
    if there is not None and there == whole == parent.box and parent.origin == (0, 0):
        # Nothing to say, and the record of the image knows the sky.
        return
    store.image = replace(store.image, wcs=image.wcs, shape=image.shape, name=image.name)
    for axis, blc, origin in zip("xy", parent.blc, parent.origin, strict=True):
        store.index[axis] += blc
        store.index[f"original_{axis}"] += row[f"original_{axis}"]
        store.index[f"src_{axis}"] += origin
        store.index[f"d{axis}"] = row[f"d{axis}"]
    for name, plane in store.planes.items():
        if isinstance(plane, ImagePlane):
            store.planes[name] = plane.shift(int(row["original_x"]), int(row["original_y"]))
    if there not in (None, whole):
        _limit_to(store, there)


def _limit_to(store: Store, there: PixelBox) -> None:
    """Say that cutouts have no pixel that the parent did not have."""
    x, y, width, height = (
        store.index[name] for name in ("original_x", "original_y", "width", "height")
    )
    inside = (x >= there.xmin) & (x + width - 1 <= there.xmax)
    inside &= (y >= there.ymin) & (y + height - 1 <= there.ymax)
    for i in np.flatnonzero(~inside).tolist():
        store.own.setdefault(i, {})["available"] = there
        store.index["status"][i] = KEPT_STATUSES.index("filled")


def parse_box(blc, trc, shape) -> PixelBox:
    """The box between two corners; without ``trc``, to the end of an image of a shape."""
    blc = validate_pixel_pair(blc, "blc")
    last = trc is None
    trc = (shape[1] - 1, shape[0] - 1) if last else validate_pixel_pair(trc, "trc")
    if trc[0] >= blc[0] and trc[1] >= blc[1]:
        return PixelBox(*blc, *trc)
    if last:
        msg = f"blc {blc} lies outside the image of shape {shape}"
        raise NoOverlapError(msg)
    msg = f"trc must not be left of blc or below it, got trc {trc} and blc {blc}"
    raise ValueError(msg)


def check_overlap(box: PixelBox, shape, mode: str) -> None:
    """Raise if a box leaves an image of a shape by more than the mode allows."""
    where = f"the cutout from {box.blc} to {box.trc}"
    if overlap(box, shape) is None:
        msg = f"{where} lies outside the image of shape {shape}"
        raise NoOverlapError(msg)
    if mode == "strict" and not box.is_inside(shape):
        msg = f"{where} leaves the image of shape {shape}; mode='fill' allows it"
        raise PartialOverlapError(msg)


def pixel_slices(item, shape) -> tuple[slice, slice]:
    """Slices ``(y, x)`` with their bounds resolved, of what indexes a cutout of a shape."""
    items = item if isinstance(item, tuple) else (item,)
    dots = [k for k, i in enumerate(items) if i is Ellipsis] or [len(items)]
    before, after = items[: dots[0]], items[dots[0] + 1 :]
    items = (*before, *(slice(None),) * (2 - len(before) - len(after)), *after)
    if len(items) > 2 or not all(isinstance(i, slice) and i.step in (None, 1) for i in items):
        array = isinstance(item, np.ndarray)
        got = f"an array of {item.dtype} of shape {item.shape}" if array else repr(item)
        msg = f"a cutout is sliced by one or two slices (y, x) without step, got {got}"
        raise IndexError(msg)
    y, x = (slice(*i.indices(n)) for i, n in zip(items, shape, strict=True))
    if y.start >= y.stop or x.start >= x.stop:
        msg = f"the slices {item!r} leave no pixel of a cutout of shape {shape}"
        raise IndexError(msg)
    return y, x


def original_box(row) -> PixelBox:
    """The pixels of the image that a row of the index stood for when they were cut."""
    x, y, width, height = (
        int(row[name]) for name in ("original_x", "original_y", "width", "height")
    )
    return PixelBox(x, y, x + width - 1, y + height - 1)
