"""Where cutouts live: columns and planes of the cutouts of one image."""

from __future__ import annotations

from weakref import WeakValueDictionary

import numpy as np

from subpixal.geometry import PixelBoxes
from subpixal.image import DATA_UNITS, PLANES, ImageInfo

from .planes import DeferredArray, PackedPlane

__all__ = ["INDEX", "KEPT_STATUSES", "Store", "as_ids", "boxes_of", "make_index"]

# Statuses of cutouts that are kept; others are in tables of dropped sources.
KEPT_STATUSES = ("ok", "filled")

INDEX = np.dtype(
    [
        # Bottom-left pixel in the image, as it is labelled now ...
        ("x", np.int32),
        ("y", np.int32),
        # ... and as it was when the pixels were cut.
        ("original_x", np.int32),
        ("original_y", np.int32),
        ("width", np.int32),
        ("height", np.int32),
        # First pixel in packed planes.
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


def as_ids(values) -> np.ndarray:
    """
    Identifiers as an array.

    Parameters
    ----------
    values : iterable
        Anything.

    Returns
    -------
    array of shape (N,)
        Of integers, floats or strings if all of them are, otherwise of objects:
        numpy would make strings of numbers, and floats of large integers.
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


def make_index(image: ImageInfo, boxes, *, src_pos=None, src_weight=None) -> np.ndarray:
    """
    Index of cutouts that have just been cut.

    Parameters
    ----------
    image : Image
    boxes : PixelBoxes
        The boxes in the image.
    src_pos : array of float, shape (N, 2), optional
        Positions ``(x, y)`` in the image; NaN or nothing for the centre of the box.
    src_weight : array of float, shape (N,), optional
        NaN for none.
    """
    index = np.zeros(len(boxes), INDEX)
    index["x"] = index["original_x"] = boxes.xmin
    index["y"] = index["original_y"] = boxes.ymin
    index["width"] = boxes.width
    index["height"] = boxes.height
    index["start"] = boxes.starts
    center = boxes.center.T
    pos = center if src_pos is None else np.where(np.isfinite(src_pos), src_pos, center)
    index["src_x"], index["src_y"] = pos.T
    index["src_weight"] = np.nan if src_weight is None else src_weight
    index["exptime"] = image.exptime
    index["data_units"] = DATA_UNITS.index(image.data_units)
    inside = boxes.are_inside(image.shape or (0, 0))
    index["status"] = np.where(inside, KEPT_STATUSES.index("ok"), KEPT_STATUSES.index("filled"))
    return index


def boxes_of(index: np.ndarray) -> PixelBoxes:
    """Return the boxes of the rows of an index in their image, as they are labeled now."""
    return PixelBoxes(*(index[name] for name in ("x", "y", "width", "height")))


class Store:
    """
    Cutouts of one image as columns.

    Parameters
    ----------
    image : Image
        What they share.
    index : structured array of dtype `INDEX`
        One row for each cutout. A row taken from it is a view that writes through.
    ids : array
        Identifiers of the sources, of any type.
    planes : dict
        Planes that hold the pixels of all of them.
    own : dict
        ``own[i]`` is a dict of what cutout *i* has of its own: 2-D arrays that
        stand in for planes (`DeferredArray` until they are asked for), `None` for a plane it
        does not have, its ``'meta'``
        and ``'psf'``, the ``'uncertainty_type'`` (class and unit) of its own
        uncertainty, and the `PixelBox` of the image that was ``'available'``
        when it was cut, if not the whole image was.
    """

    __slots__ = ("ids", "image", "index", "objects", "own", "planes")

    def __init__(self, image: ImageInfo, index, ids, *, planes=None, own=None) -> None:
        self.image = image
        self.index = index
        self.ids = ids
        self.planes = {} if planes is None else planes
        self.own = {} if own is None else own
        self.objects = WeakValueDictionary()

    def __getstate__(self):
        return {name: getattr(self, name) for name in self.__slots__ if name != "objects"}

    def __setstate__(self, state) -> None:
        self.__init__(**state)

    def plane(self, i: int, name: str) -> np.ndarray | None:
        """2-D pixels of a plane of cutout ``i``, `None` if it does not have it."""
        own = self.own.get(i)
        if own is not None and name in own:
            if isinstance(own[name], DeferredArray):
                own[name] = own[name].pixels
            return own[name]
        plane = self.planes.get(name)
        return None if plane is None else plane.piece(self.index[i])

    def set_plane(self, i: int, name: str, pixels: np.ndarray | None) -> None:
        """Give cutout ``i`` pixels of its own."""
        own = self.own.setdefault(i, {})
        if isinstance(own.get("mask"), DeferredArray):
            # It is the mask of the other planes as they were.
            own["mask"] = own["mask"].pixels
        own[name] = pixels

    def set_id(self, i: int, src_id) -> None:
        """Set an identifier, whatever its type."""
        one = as_ids([src_id])
        if one.dtype != self.ids.dtype:
            self.ids = self.ids.astype(object)
        self.ids[i] = one[0]

    def plane_names(self, i: int) -> list[str]:
        """Names of the planes that cutout ``i`` has, ``'data'`` first."""
        own = self.own.get(i, {})
        names = dict.fromkeys([*self.planes, *(n for n in own if n in PLANES)])
        return [n for n in PLANES if n in names and not (n in own and own[n] is None)]

    def uncertainty_type_and_unit(self, i: int) -> tuple:
        """Class and unit of the uncertainty of cutout ``i``."""
        image = self.image.uncertainty_type, self.image.uncertainty_unit
        own = self.own.get(i)
        return image if own is None else own.get("uncertainty_type", image)

    def rest(self, i: int) -> dict:
        """What cutout ``i`` has of its own that is not a plane."""
        rest = {k: v for k, v in self.own.get(i, {}).items() if k not in PLANES}
        # Who reads metadata leaves an empty dict.
        meta = rest.pop("meta", None)
        return rest | {"meta": dict(meta)} if meta else rest

    def extract(self, i: int, planes: dict | None = None) -> Store:
        """
        Cutout ``i`` alone, sharing its pixels.

        Parameters
        ----------
        i : int
        planes : dict, optional
            Planes that it has instead.
        """
        if planes is None:
            planes = {name: self.plane(i, name) for name in self.plane_names(i)}
        index = self.index[i : i + 1].copy()
        index["start"] = 0
        own = {0: planes | self.rest(i)}
        return Store(self.image, index, self.ids[i : i + 1].copy(), own=own)

    def with_image(self, image: ImageInfo | None) -> Store:
        """The same cutouts of another image (`None`: of the same), sharing their pixels."""
        own = {}
        for i, some in self.own.items():
            own[i] = {name: pixels for name, pixels in some.items() if name in PLANES}
            own[i] |= self.rest(i)
        return Store(
            image or self.image, self.index.copy(), self.ids.copy(), planes=self.planes, own=own
        )

    def group_by_planes(self, rows: np.ndarray) -> dict[tuple, np.ndarray]:
        """
        Which cutouts have the same planes.

        Parameters
        ----------
        rows : array of int

        Returns
        -------
        dict
            Arrays of rows, by names and types of their planes.
        """
        groups, own = {}, self._with_own(PLANES)
        common = {name: plane.dtype for name, plane in self.planes.items()}
        for i in rows.tolist() if own else ():
            mine = self.own[i] if i in own else {}
            types = {n: None if mine[n] is None else mine[n].dtype for n in PLANES if n in mine}
            groups.setdefault(_signature(common | types), []).append(i)
        if not own and len(rows):
            groups[_signature(common)] = rows
        return {key: np.array(some) for key, some in groups.items()}

    def _with_own(self, names) -> set[int]:
        """Cutouts that have planes of their own."""
        return {i for i, own in self.own.items() if not own.keys().isdisjoint(names)}

    def pixels(self, name: str, rows: np.ndarray) -> np.ndarray:
        """
        Pixels of cutouts, one cutout after the other.

        Parameters
        ----------
        name : str
            A plane that all of them have.
        rows : array of int

        Returns
        -------
        array of shape (P,)
            A view, not to be written to, where they follow one another already.
        """
        plane, index = self.planes.get(name), self.index[rows]
        start, stop = index["start"], index["start"] + boxes_of(index).area
        span = getattr(plane, "span", None)
        together = len(rows) > 0 and (start[1:] == stop[:-1]).all()
        if span and together and self._with_own([name]).isdisjoint(rows.tolist()):
            return span(int(start[0]), int(stop[-1]))
        return np.concatenate([self.plane(i, name).ravel() for i in rows.tolist()])

    @classmethod
    def concat_index(cls, members: list[tuple[Store, np.ndarray]]) -> Store:
        """
        Cutouts of one image without their planes, wherever they are.

        Parameters
        ----------
        members : list of (Store, array of int)
            Stores with equal images, and the rows that are taken of each.

        Returns
        -------
        Store
            Its index says where their pixels are in planes that hold them one
            after the other.
        """
        index = np.concatenate([store.index[rows] for store, rows in members])
        index["start"] = boxes_of(index).starts
        ids = [store.ids[rows] for store, rows in members]
        same = len({part.dtype for part in ids}) == 1
        ids = np.concatenate(ids) if same else as_ids([i for part in ids for i in part.tolist()])
        own, before = {}, 0
        for store, rows in members:
            for k, i in enumerate(rows.tolist(), before) if store.own else ():
                if rest := store.rest(i):
                    own[k] = rest
            before += len(rows)
        return cls(members[0][0].image, index, ids, own=own)

    @classmethod
    def concat(cls, members: list[tuple[Store, np.ndarray]]) -> Store:
        """
        Copies of cutouts of one image that have the same planes, wherever they are.

        Parameters
        ----------
        members : list of (Store, array of int)
            As for `joined`.

        Returns
        -------
        Store
            With planes of its own; the WCS is referred to.
        """
        store, (first, rows) = cls.concat_index(members), members[0]
        for name in first.plane_names(rows[0]):
            pieces = [member.pixels(name, rows) for member, rows in members]
            store.planes[name] = PackedPlane(np.concatenate(pieces))
        return store


def _signature(types: dict) -> tuple:
    return tuple((name, types[name]) for name in PLANES if types.get(name) is not None)
