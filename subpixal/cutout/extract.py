"""Cut one cutout, and convert cutouts of a cutout to cutouts of its image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.errors import NoOverlapError, PartialOverlapError
from subpixal.geometry import PixelBox
from subpixal.image import (
    PLANES,
    ImageArray,
    ImageInfo,
    LazyArray,
    bad_pixels,
    cut_box,
    outside_image,
    overlap,
    validate_pixel_pair,
)

from .storage import KEPT_STATUSES, DeferredArray, ImagePlane, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .cutout import Cutout

__all__ = [
    "check_overlap",
    "cut_one",
    "original_box",
    "parse_box",
    "pixel_slices",
    "reparent",
    "slice_planes",
]

Slices = tuple[slice, slice]
Planes = dict[str, Any]  # 2-D arrays or DeferredArrays by the name of the plane


def cut_one(
    planes: Mapping[str, ImageArray],
    box: PixelBox,
    image: ImageInfo,
    fillval: Any,
    *,
    view: bool,
) -> Planes:
    """
    Cut the planes of one cutout.

    Parameters
    ----------
    planes : dict
        Planes of the image, as `parse_image` returns them.
    box : PixelBox
        The box in the image.
    image : ImageInfo
        The image without its pixels.
    fillval : scalar
        Value of data outside the image.
    view : bool
        Whether to return read-only views. If the box is the whole image, planes that cannot be
        views become `DeferredArray` objects, because most callers need only parts of such an image.

    Returns
    -------
    dict
        Mapping from names of planes to arrays or `DeferredArray` objects of the shape of the box.
        The key ``'mask'`` always exists.
    """
    cut: Planes = {}
    ny, nx = planes["data"].shape
    shape = ny, nx
    is_whole_image = box.blc == (0, 0) and box.shape == shape
    can_defer = view and is_whole_image
    for name, source in planes.items():
        plane = PLANES[name].with_uncertainty_type(image.uncertainty_type)
        dtype = plane.cut_dtype(source.dtype)
        is_view = not isinstance(source, LazyArray) and _can_be_viewed(name, source, dtype)
        if can_defer and not is_view:
            cut[name] = DeferredArray(partial(_read_all, source, dtype), dtype, source)
        else:
            cut[name] = cut_box(source, box, plane.fill_value(fillval), dtype, view=view)
    make_mask = partial(_find_bad, dict(cut), box, shape, image.dqbitmask)
    defers_mask = can_defer and "mask" not in cut
    cut["mask"] = DeferredArray(make_mask, bool) if defers_mask else make_mask()
    return cut


def slice_planes(planes: Planes, slices: Slices, image: ImageInfo) -> Planes:
    """
    Return views of parts of planes. Of a `DeferredArray`, only the part is read.

    Parameters
    ----------
    planes : dict
        Arrays or `DeferredArray`.
    slices : tuple of slice
        ``(y, x)`` with explicit bounds.
    image : ImageInfo
        The image without its pixels.
    """
    parts = {}
    for name, plane in planes.items():
        if not isinstance(plane, DeferredArray):
            parts[name] = plane[slices]
        elif plane.image is not None:
            parts[name] = _read_all(plane.image[slices], plane.dtype)
    if "mask" not in parts:
        parts["mask"] = bad_pixels(parts, dqbitmask=image.dqbitmask)
    return parts


def _can_be_viewed(name: str, pixels: ImageArray, dtype: np.dtype) -> bool:
    # Flags must be in the byte order of the machine, because bitwise operators need it.
    return pixels.dtype == dtype if name == "flags" else pixels.dtype.type == dtype.type


def _read_all(pixels: ImageArray, dtype: np.dtype) -> np.ndarray:
    pixels = np.asarray(pixels).astype(dtype, copy=False)
    pixels.flags.writeable = False
    return pixels


def _find_bad(
    planes: Planes, box: PixelBox, shape: tuple[int, int], dqbitmask: int | None
) -> NDArray[np.bool_]:
    """
    Return the mask of a cutout.

    Weights do not mask pixels here, unlike in the functions that cut many sources.
    """
    masking = {}
    for name, pixels in planes.items():
        if PLANES[name].masks and name != "weight":
            masking[name] = pixels.pixels if isinstance(pixels, DeferredArray) else pixels
    outside = outside_image(box, shape)
    masking["mask"] = masking["mask"] | outside if "mask" in masking else outside
    return bad_pixels(masking, dqbitmask=dqbitmask)


def reparent(store: Store, parent: Cutout) -> None:
    """
    Convert cutouts of a cutout to cutouts of its image.

    Parameters
    ----------
    store : Store
        Cutouts that have just been cut. The function changes their positions and their image.
    parent : Cutout
        The cutout from which they were cut.
    """
    image = parent.image
    valid_box = parent.valid_box
    whole_image = None if image.shape is None else PixelBox.from_shape(image.shape)
    is_whole_image = valid_box == whole_image == parent.box and parent.origin == (0, 0)
    if valid_box is not None and is_whole_image:
        # The parent is the whole image. Keep the record of the image, which contains a cached pixel
        # grid.
        return
    columns = parent.store.index[parent.row]
    store.image = replace(store.image, wcs=image.wcs, shape=image.shape, name=image.name)
    for axis, blc, origin in zip("xy", parent.blc, parent.origin, strict=True):
        store.index[axis] += blc
        store.index[f"original_{axis}"] += columns[f"original_{axis}"]
        store.index[f"src_{axis}"] += origin
        store.index[f"d{axis}"] = columns[f"d{axis}"]
    for name, plane in store.planes.items():
        if isinstance(plane, ImagePlane):
            shifted = plane.shift(int(columns["original_x"]), int(columns["original_y"]))
            store.planes[name] = shifted
    if valid_box is not None and valid_box != whole_image:
        _limit_to(store, valid_box)


def _limit_to(store: Store, box: PixelBox) -> None:
    """Record that the pixels of cutouts outside the box of their parent were filled."""
    index = store.index
    x, y = index["original_x"], index["original_y"]
    inside = (x >= box.xmin) & (x + index["width"] - 1 <= box.xmax)
    inside &= (y >= box.ymin) & (y + index["height"] - 1 <= box.ymax)
    for i in np.flatnonzero(~inside).tolist():
        store.edit_overrides(i).parent_box = box
        index["status"][i] = KEPT_STATUSES.index("filled")


def parse_box(
    blc: tuple[int, int], trc: tuple[int, int] | None, shape: tuple[int, int] | None
) -> PixelBox:
    """Return the box between two corners. By default, ``trc`` is the last pixel of the image."""
    blc = validate_pixel_pair(blc, "blc")
    if trc is None and shape is not None:
        ny, nx = shape
        if blc[0] >= nx or blc[1] >= ny:
            msg = f"blc {blc} lies outside the image of shape {shape}"
            raise NoOverlapError(msg)
        return PixelBox(*blc, nx - 1, ny - 1)
    trc = validate_pixel_pair(trc, "trc")
    if trc[0] < blc[0] or trc[1] < blc[1]:
        msg = f"trc must not be left of blc or below it, got trc {trc} and blc {blc}"
        raise ValueError(msg)
    return PixelBox(*blc, *trc)


def check_overlap(box: PixelBox, shape: tuple[int, int], mode: str) -> None:
    """Raise an error if a box leaves an image by more than the mode allows."""
    cutout = f"the cutout from {box.blc} to {box.trc}"
    if overlap(box, shape) is None:
        msg = f"{cutout} lies outside the image of shape {shape}"
        raise NoOverlapError(msg)
    if mode == "strict" and not box.is_inside(shape):
        msg = f"{cutout} leaves the image of shape {shape}; mode='fill' allows it"
        raise PartialOverlapError(msg)


def pixel_slices(item: Any, shape: tuple[int, int]) -> Slices:
    """Return an index of a cutout as slices ``(y, x)`` with explicit bounds."""
    items = item if isinstance(item, tuple) else (item,)
    dots = [k for k, i in enumerate(items) if i is Ellipsis] or [len(items)]
    before, after = items[: dots[0]], items[dots[0] + 1 :]
    items = (*before, *(slice(None),) * (2 - len(before) - len(after)), *after)
    if len(items) > 2 or not all(isinstance(i, slice) and i.step in (None, 1) for i in items):
        got = repr(item)
        if isinstance(item, np.ndarray):
            got = f"an array of {item.dtype} of shape {item.shape}"
        msg = f"a cutout is sliced by one or two slices (y, x) without step, got {got}"
        raise IndexError(msg)
    y, x = (slice(*i.indices(n)) for i, n in zip(items, shape, strict=True))
    if y.start >= y.stop or x.start >= x.stop:
        msg = f"the slices {item!r} leave no pixel of a cutout of shape {shape}"
        raise IndexError(msg)
    return y, x


def original_box(columns: np.void) -> PixelBox:
    """Return the box of a cutout in its image at the time of cutting, from a row of the index."""
    shape = int(columns["height"]), int(columns["width"])
    return PixelBox.from_shape(shape, (int(columns["original_x"]), int(columns["original_y"])))
