"""A selection of cutouts from several stores, in any order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.image import ImageInfo

from .store import INDEX, Members, Store

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Selection"]


@dataclass(frozen=True, eq=False)
class Selection:
    """
    A selection of cutouts from several stores.

    Attributes
    ----------
    stores : tuple of Store
        The stores.
    store_index : array of int, shape (N,)
        For each cutout, the number of its store.
    row_index : array of int, shape (N,)
        For each cutout, its row in the store.
    """

    stores: tuple[Store, ...]
    store_index: NDArray[np.intp]
    row_index: NDArray[np.intp]

    @classmethod
    def of_stores(cls, stores: Iterable[Store]) -> Selection:
        """Return the selection of all cutouts in some stores."""
        stores = tuple(stores)
        sizes = [len(store.index) for store in stores]
        rows = [np.arange(size) for size in sizes]
        row_index = np.concatenate([np.empty(0, np.intp), *rows])
        return cls(stores, np.repeat(np.arange(len(stores)), sizes), row_index)

    @classmethod
    def from_pairs(cls, pairs: Iterable[tuple[Store, int]]) -> Selection:
        """Return the selection of cutouts from pairs of store and row."""
        pairs = list(pairs)
        numbers = {store: k for k, store in enumerate(dict.fromkeys(store for store, _ in pairs))}
        store_index = np.array([numbers[store] for store, _ in pairs], np.intp)
        row_index = np.array([row for _, row in pairs], np.intp)
        return cls(tuple(numbers), store_index, row_index)

    def __len__(self) -> int:
        return len(self.row_index)

    def __iter__(self) -> Iterator[tuple[Store, int]]:
        for k, row in zip(self.store_index.tolist(), self.row_index.tolist(), strict=True):
            yield self.stores[k], row

    def pair(self, i: int) -> tuple[Store, int]:
        """Return the store and the row of the cutout at position ``i`` of the selection."""
        return self.stores[self.store_index[i]], int(self.row_index[i])

    def __add__(self, other: Selection) -> Selection:
        numbers = {store: k for k, store in enumerate(dict.fromkeys(self.stores + other.stores))}
        store_index = [
            np.array([numbers[store] for store in part.stores], np.intp)[part.store_index]
            for part in (self, other)
        ]
        row_index = np.concatenate([self.row_index, other.row_index])
        return Selection(tuple(numbers), np.concatenate(store_index), row_index)

    def take(self, item: Any) -> Selection:
        """Return a part of the selection. ``item`` is a slice or an array for indexing."""
        return Selection(self.stores, self.store_index[item], self.row_index[item])

    def with_stores(self, stores: Iterable[Store]) -> Selection:
        """Return a selection of the same rows from other stores."""
        return Selection(tuple(stores), self.store_index, self.row_index)

    def __contains__(self, pair: tuple[Store, int]) -> bool:
        store, row = pair
        if store not in self.stores:
            return False
        in_store = self.store_index == self.stores.index(store)
        return bool((in_store & (self.row_index == row)).any())

    @property
    def images(self) -> list[ImageInfo]:
        """The images of the cutouts, without repetitions."""
        images: dict[tuple, ImageInfo] = {}
        for k in np.unique(self.store_index).tolist():
            image = self.stores[k].image
            images.setdefault(image.sharing_key, image)
        return list(images.values())

    def number_images(self) -> list[int]:
        """Return the position of each store's image in `images`, or -1 if no cutout has it."""
        numbers = {image.sharing_key: k for k, image in enumerate(self.images)}
        return [numbers.get(store.image.sharing_key, -1) for store in self.stores]

    def iter_wcs(self) -> Iterator[tuple[NDArray[np.bool_], ImageInfo]]:
        """For each WCS, yield a boolean array of the cutouts with it, and an image with the WCS."""
        wcs = [id(store.image.wcs) for store in self.stores]
        _, first, group = np.unique(wcs, return_index=True, return_inverse=True)
        groups = group[self.store_index]
        for k, store in enumerate(first.tolist()):
            selected = groups == k
            if selected.any():
                yield selected, self.stores[store].image

    def iter_stores(self) -> Iterator[tuple[Store, NDArray[np.intp]]]:
        """Yield each store with selected cutouts, and the positions of these cutouts."""
        order = np.argsort(self.store_index, kind="stable")
        used, start = np.unique(self.store_index[order], return_index=True)
        for k, positions in zip(used.tolist(), np.split(order, start[1:]), strict=False):
            yield self.stores[k], positions

    def gather(self, get: Callable[[Store], np.ndarray]) -> np.ndarray:
        """
        Return the values of a column for all cutouts, in the order of the selection.

        Parameters
        ----------
        get : callable
            ``get(store)`` returns the column of a store.
        """
        if not len(self) or len(self.stores) == 1:
            return get(self.stores[0] if self.stores else _EMPTY)[self.row_index]
        values, positions = [], []
        for store, selected in self.iter_stores():
            values.append(get(store)[self.row_index[selected]])
            positions.append(selected)
        flat = np.concatenate(values)
        gathered = np.empty_like(flat)
        gathered[np.concatenate(positions)] = flat
        return gathered

    def group(self) -> tuple[list[Members], Selection]:
        """
        Group the cutouts by their images and planes.

        Returns
        -------
        groups : list of list of (Store, array of int)
            The stores and rows of each group. A cutout that is selected twice occurs once.
        selection : Selection
            The same cutouts, as numbers of groups and rows in the groups. The selection contains no
            stores yet: call `with_stores` with one store for each group.
        """
        groups: dict[tuple, tuple[int, Members]] = {}
        sizes: Counter[int] = Counter()
        group_index = np.empty(len(self), np.intp)
        group_rows = np.empty(len(self), np.intp)
        for store, positions in self.iter_stores():
            rows = self.row_index[positions]
            for members in store.group_by_planes(np.unique(rows)):
                key = store.image.sharing_key, tuple(store.plane_dtypes(members[0]).items())
                number, group = groups.setdefault(key, (len(groups), []))
                group.append((store, members))
                selected = np.isin(rows, members)
                group_index[positions[selected]] = number
                row_in_group = np.searchsorted(members, rows[selected]) + sizes[number]
                group_rows[positions[selected]] = row_in_group
                sizes[number] += len(members)
        return [group for _, group in groups.values()], Selection((), group_index, group_rows)


_NO_IMAGE: Any = None
_EMPTY = Store(_NO_IMAGE, np.empty(0, INDEX), np.empty(0, np.int64))
