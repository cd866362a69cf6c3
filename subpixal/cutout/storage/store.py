"""The store, which contains the numbers and the pixels of many cutouts of one image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import numpy as np

from subpixal.geometry import PixelBoxes
from subpixal.image import DATA_UNITS, PLANES, ImageInfo

from .overrides import FROM_IMAGE, Overrides, UncertaintyType
from .planes import DeferredArray, FlatPlane, PackedPlane, StoredPlane

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

__all__ = [
    "INDEX",
    "KEPT_STATUSES",
    "Members",
    "Store",
    "as_ids",
    "boxes_of",
    "concat",
    "concat_index",
    "make_index",
]

# Statuses of cutouts. Dropped sources have other statuses.
KEPT_STATUSES = ("ok", "filled")

INDEX = np.dtype(
    [
        # Bottom-left pixel in the image now. It changes if `Cutout.blc` is assigned.
        ("x", np.int32),
        ("y", np.int32),
        # Bottom-left pixel in the image when the pixels were cut.
        ("original_x", np.int32),
        ("original_y", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        # Position of the first pixel of the cutout in flat planes.
        ("start", np.int64),
        ("dx", np.float64),
        ("dy", np.float64),
        ("src_x", np.float64),
        ("src_y", np.float64),
        ("src_weight", np.float64),
        ("exptime", np.float64),
        ("data_units", np.uint8),
        ("status", np.uint8),
    ]
)


def as_ids(values: Iterable[Any]) -> np.ndarray:
    """
    Return identifiers as an array.

    Parameters
    ----------
    values : iterable
        Objects of any type.

    Returns
    -------
    array of shape (N,)
        An array of integers, floats or strings if all identifiers have this type, otherwise an
        array of objects. `numpy.array` would convert numbers to strings, and large integers to
        floats.
    """
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    if {type(value) for value in values} in ({int}, {float}, {str}):
        array = np.array(values)
        if array.dtype.kind in "iuU" or isinstance(values[0], float):
            return array
    array = np.empty(len(values), object if values else np.int64)
    for i, value in enumerate(values):
        array[i] = value
    return array


def make_index(
    image: ImageInfo,
    boxes: PixelBoxes,
    *,
    src_pos: ArrayLike | None = None,
    src_weight: ArrayLike | None = None,
) -> np.ndarray:
    """
    Return the index (a table of numbers) of cutouts that have just been cut.

    Parameters
    ----------
    image : ImageInfo
        The image.
    boxes : PixelBoxes
        The boxes in the image.
    src_pos : array of float, shape (N, 2), optional
        Positions ``(x, y)`` of the sources in the image. NaN or `None` stands for the center of the
        box.
    src_weight : array of float, shape (N,), optional
        Weights of the sources. NaN stands for a source without a weight.

    Returns
    -------
    structured array of dtype `INDEX`, shape (N,)
        One row for each cutout.
    """
    index = np.zeros(len(boxes), INDEX)
    index["x"] = index["original_x"] = boxes.xmin
    index["y"] = index["original_y"] = boxes.ymin
    index["width"] = boxes.width
    index["height"] = boxes.height
    index["start"] = boxes.starts
    positions = boxes.center.T
    if src_pos is not None:
        positions = np.where(np.isfinite(src_pos), src_pos, positions)
    index["src_x"], index["src_y"] = positions.T
    index["src_weight"] = np.nan if src_weight is None else src_weight
    index["exptime"] = image.exptime
    index["data_units"] = DATA_UNITS.index(image.data_units)
    inside = boxes.are_inside(image.shape or (0, 0))
    index["status"] = np.where(inside, KEPT_STATUSES.index("ok"), KEPT_STATUSES.index("filled"))
    return index


def boxes_of(index: np.ndarray) -> PixelBoxes:
    """Return the current boxes in the image of cutouts, from rows of the index."""
    return PixelBoxes(*(index[name] for name in ("x", "y", "width", "height")))


class Store:
    """
    Many cutouts of one image.

    The index is a table of the numbers of all cutouts. For each plane, a `StoredPlane` contains the
    pixels of all cutouts.

    Parameters
    ----------
    image : ImageInfo
        The image of all cutouts.
    index : structured array of dtype `INDEX`, shape (N,)
        One row for each cutout. A single row is a view: assigning an element changes the index.
    ids : array of shape (N,)
        Identifiers of the sources, of any type.
    planes : dict
        Mapping from the name of a plane to a `StoredPlane` with the pixels of all cutouts.
    overrides : dict
        Mapping from the number of a cutout to its `Overrides`, which replace properties of the
        image and pixels of the planes. Most cutouts have no overrides.

    Attributes
    ----------
    cutouts : weakref.WeakValueDictionary
        Mapping from the number of a cutout to its `Cutout` object, while this object exists. So the
        same number always gives the same object.
    """

    __slots__ = ("cutouts", "ids", "image", "index", "overrides", "planes")

    def __init__(
        self,
        image: ImageInfo,
        index: np.ndarray,
        ids: np.ndarray,
        *,
        planes: dict[str, StoredPlane] | None = None,
        overrides: dict[int, Overrides] | None = None,
    ) -> None:
        self.image = image
        self.index = index
        self.ids = ids
        self.planes = {} if planes is None else planes
        self.overrides = {} if overrides is None else overrides
        self.cutouts: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def __reduce__(self) -> tuple:
        state = {"planes": self.planes, "overrides": self.overrides}
        return _restore, (self.image, self.index, self.ids, state)

    def get_overrides(self, i: int) -> Overrides:
        """Return the overrides of cutout ``i`` for reading."""
        return self.overrides.get(i) or Overrides()

    def edit_overrides(self, i: int) -> Overrides:
        """Return the overrides of cutout ``i`` for writing."""
        return self.overrides.setdefault(i, Overrides())

    def get_plane(self, i: int, name: str) -> np.ndarray | None:
        """Return the 2-D pixels of a plane of cutout ``i``, or `None` without the plane."""
        overrides = self.overrides.get(i)
        if overrides is not None and name in overrides.planes:
            pixels = overrides.planes[name]
            if isinstance(pixels, DeferredArray):
                pixels = overrides.planes[name] = pixels.pixels
            return pixels
        plane = self.planes.get(name)
        return None if plane is None else plane.piece(self.index[i])

    def existing_plane(self, i: int, name: str) -> np.ndarray:
        """Return the 2-D pixels of a plane of cutout ``i``, which must have the plane."""
        pixels = self.get_plane(i, name)
        if pixels is None:
            msg = f"the cutout has no plane {name!r}"
            raise KeyError(msg)
        return pixels

    def existing_planes(self, i: int) -> dict[str, np.ndarray]:
        """Return a mapping from the names of all planes of cutout ``i`` to their 2-D pixels."""
        return {name: self.existing_plane(i, name) for name in self.plane_dtypes(i)}

    def set_plane(self, i: int, name: str, pixels: np.ndarray | None) -> None:
        """Set the pixels of a plane of cutout ``i``; `None` removes the plane."""
        planes = self.edit_overrides(i).planes
        mask = planes.get("mask")
        if isinstance(mask, DeferredArray):
            # Compute a deferred mask now, because it depends on the planes before the change.
            planes["mask"] = mask.pixels
        planes[name] = pixels

    def set_id(self, i: int, src_id: Any) -> None:
        """Set the identifier of cutout ``i``, which may have any type."""
        new = as_ids([src_id])
        if new.dtype != self.ids.dtype:
            self.ids = self.ids.astype(object)
        self.ids[i] = new[0]

    def plane_dtypes(self, i: int) -> dict[str, np.dtype]:
        """Return a mapping from the planes of cutout ``i`` to dtypes, with ``'data'`` first."""
        stored = self.planes | self.get_overrides(i).planes
        found = {}
        for name in PLANES:
            pixels = stored.get(name)
            if pixels is not None:
                found[name] = pixels.dtype
        return found

    def uncertainty_type_and_unit(self, i: int) -> UncertaintyType:
        """Return the class and the unit of the uncertainty of cutout ``i``."""
        own = self.get_overrides(i).uncertainty_type
        return own or (self.image.uncertainty_type, self.image.uncertainty_unit)

    def get_psf(self, i: int) -> Any:
        """Return the PSF of cutout ``i``. Unless it was set, it is the PSF of the image."""
        psf = self.get_overrides(i).psf
        return self.image.psf if psf is FROM_IMAGE else psf

    def extract(self, i: int, planes: Mapping[str, Any] | None = None) -> Store:
        """
        Return a store that contains only cutout ``i`` and shares its pixels.

        Parameters
        ----------
        i : int
            Number of the cutout.
        planes : dict, optional
            Mapping from names of planes to pixels that replace all planes of the cutout.
        """
        overrides = self.get_overrides(i).without_planes()
        overrides.planes = dict(self.existing_planes(i) if planes is None else planes)
        index = self.index[i : i + 1].copy()
        index["start"] = 0
        return Store(self.image, index, self.ids[i : i + 1].copy(), overrides={0: overrides})

    def with_image(self, image: ImageInfo) -> Store:
        """Return a store of the same cutouts with another image. Both stores share the pixels."""
        overrides = {i: own.copy() for i, own in self.overrides.items()}
        ids = self.ids.copy()
        return Store(image, self.index.copy(), ids, planes=self.planes, overrides=overrides)

    def group_by_planes(self, rows: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """
        Group cutouts by the names and dtypes of their planes.

        Parameters
        ----------
        rows : array of int
            Numbers of the cutouts.

        Returns
        -------
        list of array of int
            Numbers of the cutouts of each group.
        """
        if not self._with_own_planes(PLANES):
            return [rows] if len(rows) else []
        groups: dict[tuple, list[int]] = {}
        for i in rows.tolist():
            groups.setdefault(tuple(self.plane_dtypes(i).items()), []).append(i)
        return [np.array(group) for group in groups.values()]

    def _with_own_planes(self, names: Iterable[str]) -> set[int]:
        """Return the numbers of cutouts whose overrides contain one of the planes."""
        names = set(names)
        return {i for i, own in self.overrides.items() if not names.isdisjoint(own.planes)}

    def get_pixels(self, name: str, rows: NDArray[np.intp]) -> np.ndarray:
        """
        Return the pixels of a plane of cutouts, one cutout after the other.

        Parameters
        ----------
        name : str
            A plane that all of the cutouts have.
        rows : array of int
            Numbers of the cutouts.

        Returns
        -------
        array of shape (P,)
            Pixels, which callers must not change. If the cutouts are consecutive in the plane, the
            array is a view of the plane.
        """
        plane = self.planes.get(name)
        index = self.index[rows]
        start = index["start"]
        stop = start + boxes_of(index).area
        consecutive = len(rows) > 0 and bool((start[1:] == stop[:-1]).all())
        own = self._with_own_planes([name])
        if isinstance(plane, FlatPlane) and consecutive and own.isdisjoint(rows.tolist()):
            return plane.span(int(start[0]), int(stop[-1]))
        return np.concatenate([self.existing_plane(i, name).ravel() for i in rows.tolist()])


# Stores with equal images, and for each store the numbers of the cutouts to take.
Members = list[tuple[Store, "NDArray[np.intp]"]]


def concat_index(members: Members) -> Store:
    """
    Combine cutouts of one image in a new store, without their planes.

    Parameters
    ----------
    members : list of (Store, array of int)
        Stores with equal images, and for each store the numbers of the cutouts to take.

    Returns
    -------
    Store
        The new store. According to its index, the pixels of the cutouts follow one another in flat
        planes, which the caller adds.
    """
    index = np.concatenate([store.index[rows] for store, rows in members])
    index["start"] = boxes_of(index).starts
    parts = [store.ids[rows] for store, rows in members]
    if len({part.dtype for part in parts}) == 1:
        ids = np.concatenate(parts)
    else:
        ids = as_ids([src_id for part in parts for src_id in part.tolist()])
    return Store(members[0][0].image, index, ids, overrides=_concat_overrides(members))


def _concat_overrides(members: Members) -> dict[int, Overrides]:
    """Return the overrides without planes, by the number of the cutout in the new store."""
    overrides = {}
    first = 0
    for store, rows in members:
        # Skip stores without overrides, because a loop over their rows is slow.
        if store.overrides:
            for number, i in enumerate(rows.tolist(), first):
                own = store.get_overrides(i).without_planes()
                if not own.is_empty:
                    overrides[number] = own
        first += len(rows)
    return overrides


def concat(members: Members) -> Store:
    """
    Copy cutouts of one image to a new store. All cutouts must have the same planes.

    Parameters
    ----------
    members : list of (Store, array of int)
        Stores with equal images, and for each store the numbers of the cutouts to take.

    Returns
    -------
    Store
        The new store. Each of its planes is a single array. The WCS is not copied.
    """
    store = concat_index(members)
    first_store, first_rows = members[0]
    for name in first_store.plane_dtypes(first_rows[0]):
        pixels = [member.get_pixels(name, rows) for member, rows in members]
        store.planes[name] = PackedPlane(np.concatenate(pixels))
    return store


def _restore(image: ImageInfo, index: np.ndarray, ids: np.ndarray, state: dict) -> Store:
    return Store(image, index, ids, **state)
