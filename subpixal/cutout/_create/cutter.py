"""Cut many boxes out of an image at once."""

from __future__ import annotations

import numbers
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from subpixal.cutout.storage import (
    DeferredPlane,
    ImagePlane,
    PackedPlane,
    Store,
    StoredPlane,
    boxes_of,
    make_index,
)
from subpixal.errors import naming_arguments
from subpixal.geometry import PixelBoxes
from subpixal.image import (
    CHUNK,
    PLANES,
    ImageArguments,
    ImageArray,
    ImageInfo,
    LazyArray,
    bad_pixels,
    copy_boxes,
    cut_boxes,
    mask_outside,
    parse_image,
)

from .labels import as_labels
from .segmentation import LabelArguments, Segmentation

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Cutter"]


class PlaneSource(NamedTuple):
    """A plane of an image, the value of pixels outside the image, and the dtype of cutouts."""

    image: ImageArray
    fill: Any
    dtype: np.dtype


@dataclass(frozen=True, kw_only=True, eq=False)
class Cutter:
    """
    An image and the rules for cutting it.

    Attributes
    ----------
    image : ImageInfo
        The image without its pixels.
    planes : dict
        Arrays of the shape of the image, as `parse_image` returns them.
    segmentation : Segmentation or None
        Labels of the sources, or `None` if they neither mask pixels nor become a plane.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        `True` to copy all pixels now, `False` to use views of the image. Pixels that are not in
        memory are always copied.
    """

    image: ImageInfo
    planes: dict[str, ImageArray]
    segmentation: Segmentation | None = None
    fillval: complex = np.nan
    copy: bool = True

    def __post_init__(self) -> None:
        kind = numbers.Complex if self.planes["data"].dtype.kind == "c" else numbers.Real
        if not isinstance(self.fillval, kind):
            msg = f"fillval must be a number that fits the data, got {self.fillval!r}"
            raise TypeError(msg)

    @classmethod
    def from_arguments(
        cls,
        arguments: ImageArguments,
        labels: LabelArguments | None,
        stage: str,
        *,
        fillval: complex,
        copy: bool,
    ) -> Cutter:
        """
        Return the cutter of an image.

        Parameters
        ----------
        arguments : ImageArguments
            Arguments of the caller that describe the image.
        labels : LabelArguments or None
            Arguments that describe the segmentation image, or `None` if labels are not used.
        stage : str
            Name of the step that cuts the image, such as ``'primary'``.
        fillval, copy
            As in `Cutter`.
        """
        image, planes = parse_image(arguments)
        # If the image is a cutout with a plane of labels, the segmentation image replaces this
        # plane.
        planes.pop("segmentation", None)
        segmentation = None
        if labels is not None:
            with naming_arguments("segmentation_image", f"{arguments.prefix}data"):
                segmentation = Segmentation.from_arguments(image, labels)
        image = replace(image, stage=stage)
        return cls(
            image=image, planes=planes, segmentation=segmentation, fillval=fillval, copy=copy
        )

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)`` of the image."""
        ny, nx = self.planes["data"].shape
        return ny, nx

    @property
    def existing_segmentation(self) -> Segmentation:
        """The segmentation, which must not be `None`."""
        if self.segmentation is None:
            msg = "the cutter has no segmentation"
            raise ValueError(msg)
        return self.segmentation

    def cut(
        self,
        boxes: PixelBoxes,
        ids: np.ndarray,
        src_pos: NDArray[np.float64],
        src_weight: NDArray[np.float64],
    ) -> Store:
        """
        Return the cutouts of boxes. Pixels of a box outside the image are filled.

        Parameters
        ----------
        boxes : PixelBoxes
            The boxes in the image.
        ids : array of shape (N,)
            Identifiers of the sources.
        src_pos : array of float, shape (N, 2)
            Positions ``(x, y)`` of the sources in the image.
        src_weight : array of float, shape (N,)
            Weights of the sources.
        """
        index = make_index(self.image, boxes, src_pos=src_pos, src_weight=src_weight)
        made = ["mask", "segmentation"] if self._keeps_labels else ["mask"]
        planes: dict[str, StoredPlane]
        if self.copy or any(map(self._is_lazy, self._sources)):
            flat = self._cut(boxes, ids, dict.fromkeys([*self.planes, *made]))
            planes = {name: PackedPlane(pixels) for name, pixels in flat.items()}
        else:
            planes = {
                name: ImagePlane(*self._sources[name]) for name in self.planes if name != "mask"
            }
            for name in made:
                dtype = np.dtype(bool) if name == "mask" else self._sources[name].dtype
                planes[name] = DeferredPlane(partial(self._cut_plane, boxes, ids, name), dtype)
        return Store(self.image, index, ids, planes=planes)

    @cached_property
    def _sources(self) -> dict[str, PlaneSource]:
        sources = {}
        for name, image in self.planes.items():
            plane = PLANES[name].with_uncertainty_type(self.image.uncertainty_type)
            dtype = plane.cut_dtype(image.dtype, promote=True)
            sources[name] = PlaneSource(image, plane.fill_value(self.fillval), dtype)
        if self.segmentation is not None:
            labels = self.segmentation.labels
            sources["segmentation"] = PlaneSource(labels, 0, self.segmentation.dtype)
        return sources

    def _is_lazy(self, name: str) -> bool:
        return isinstance(self._sources[name].image, LazyArray)

    @property
    def _keeps_labels(self) -> bool:
        return self.segmentation is not None and self.segmentation.keep

    def _cut_plane(self, boxes: PixelBoxes, ids: np.ndarray, name: str) -> np.ndarray:
        return self._cut(boxes, ids, [name])[name]

    def _cut(
        self, boxes: PixelBoxes, ids: np.ndarray, names: Collection[str]
    ) -> dict[str, np.ndarray]:
        """Return a mapping from names of planes to flat arrays with the pixels of all cutouts."""
        needed = {*names, *(self._masking if "mask" in names else ())} & self._sources.keys()
        flat: dict[str, np.ndarray] = {}
        for name in needed:
            if self._is_cut_alone(name):
                flat[name] = self._cut_alone(name, boxes)
            elif name in names:
                flat[name] = np.empty(boxes.total_area, self._sources[name].dtype)
        if "mask" in names:
            flat.setdefault("mask", np.empty(boxes.total_area, bool))
        for selected, pixels in boxes.iter_chunks(CHUNK):
            chunk = self._cut_chunk(needed, flat, boxes[selected], pixels)
            if "mask" in names:
                # Make the mask now, while the pixels of the chunk are in the cache of the
                # processor.
                flat["mask"][pixels] = self._mask(chunk, boxes[selected], ids[selected])
        if "mask" in names:
            mask_outside(flat["mask"], boxes, self.shape)
        return {name: flat[name] for name in names}

    def _cut_chunk(
        self,
        needed: Collection[str],
        flat: dict[str, np.ndarray],
        boxes: PixelBoxes,
        pixels: slice,
    ) -> dict[str, np.ndarray]:
        """Return the pixels of a chunk of boxes. Arrays in `flat` contain these pixels, too."""
        chunk = {}
        copied = []
        for name in needed:
            image, fill, dtype = self._sources[name]
            chunk[name] = flat[name][pixels] if name in flat else np.empty(boxes.total_area, dtype)
            if not self._is_cut_alone(name):
                copied.append((image, fill, chunk[name]))
        if copied:
            copy_boxes(copied, boxes, boxes.starts)
        return chunk

    @cached_property
    def _masking(self) -> set[str]:
        """Names of the planes from which masks are computed."""
        masking = {name for name, plane in PLANES.items() if plane.masks}
        return masking | {"segmentation"} if self.masks_by_label else masking

    def _is_cut_alone(self, name: str) -> bool:
        """Return `True` if a plane is cut separately, because it is lazy or on another grid."""
        if name == "segmentation" and self.existing_segmentation.has_own_grid:
            return True
        return self._is_lazy(name)

    def _cut_alone(self, name: str, boxes: PixelBoxes) -> np.ndarray:
        if name == "segmentation":
            return self.existing_segmentation.cut(boxes)
        image, fill, dtype = self._sources[name]
        return cut_boxes(image, boxes, fill, dtype)

    def _mask(
        self, pixels: dict[str, np.ndarray], boxes: PixelBoxes, ids: np.ndarray
    ) -> NDArray[np.bool_]:
        mask = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        if self.masks_by_label:
            mask |= self.existing_segmentation.mask(pixels["segmentation"], ids, boxes)
        return mask

    @property
    def masks_by_label(self) -> bool:
        """`True` if the segmentation masks pixels, so that each source must have a label."""
        return self.segmentation is not None and self.segmentation.policy is not None

    def find_masked(self, store: Store) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """
        Find cutouts in which all pixels are masked.

        If the masks are not in memory yet, they are computed only for cutouts in which the pixel at
        the source is bad.

        Parameters
        ----------
        store : Store
            Cutouts that have just been cut.

        Returns
        -------
        masked : array of bool, shape (N,)
            `True` for cutouts in which all pixels are masked.
        absent : array of bool, shape (N,)
            `True` for cutouts among them in which no pixel has the label of the source.
        """
        boxes = boxes_of(store.index)
        ids = store.ids
        masked, absent = np.zeros((2, len(ids)), bool)
        mask_plane = store.planes["mask"]
        if isinstance(mask_plane, PackedPlane):
            candidates = np.flatnonzero(_all(mask_plane.flat, boxes))
            masked[candidates] = True
        else:
            candidates = np.flatnonzero(self._is_bad_at_source(store.index, boxes, ids))
            mask = self._cut_plane(boxes[candidates], ids[candidates], "mask")
            masked[candidates] = _all(mask, boxes[candidates])
        if candidates.size and self.masks_by_label:
            boxes = boxes[candidates]
            labels = np.repeat(as_labels(ids[candidates]), boxes.area)
            other = self.existing_segmentation.cut(boxes) != labels
            absent[candidates] = _all(other, boxes) & masked[candidates]
        return masked, absent

    def _is_bad_at_source(
        self, index: np.ndarray, boxes: PixelBoxes, ids: np.ndarray
    ) -> NDArray[np.bool_]:
        """Return `True` for a source if the nearest pixel in its box and the image is bad."""
        size = np.array(self.shape[::-1])[:, None]
        low = np.maximum(boxes.low, 0)
        high = np.minimum(boxes.high, size - 1)
        positions = np.array([index["src_x"], index["src_y"]])
        x, y = np.rint(np.clip(positions, low, high)).astype(np.int64)
        pixels = {name: self.planes[name][y, x] for name in self._masking & self.planes.keys()}
        bad = bad_pixels(pixels, dqbitmask=self.image.dqbitmask, with_weight=True)
        if self.masks_by_label:
            bad |= self.existing_segmentation.at(x, y) != as_labels(ids)
        return bad


def _all(pixels: NDArray[np.bool_], boxes: PixelBoxes) -> NDArray[np.bool_]:
    """Return `True` for boxes in which all pixels are `True`."""
    return np.logical_and.reduceat(pixels, boxes.starts) if len(boxes) else np.empty(0, bool)
