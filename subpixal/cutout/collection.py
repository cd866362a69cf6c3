"""Many cutouts: a list and a table in one."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from astropy.io.registry import UnifiedReadWriteMethod

from subpixal.geometry import low_level_wcs
from subpixal.image import DATA_UNITS, PLANES, ImageInfo

from .connect import ReadCollection, WriteCollection
from .cutout import Cutout
from .epsf import make_epsf_stars
from .measure import measure_cutouts
from .stack import Stack, stack_cutouts
from .storage import INDEX, KEPT_STATUSES, Dropped, Store, as_ids, dropped_table

__all__ = ["CutoutCollection"]


class CutoutCollection(Sequence):
    """
    Cutouts of one image or of many, as a list and as a table.

    As in a list, what is set on a cutout lasts for as long as the collection
    lives, and a slice holds the same cutouts as its parent. A cutout is made
    when somebody asks for it; the pixels are in few large arrays.

    Parameters
    ----------
    cutouts : iterable of `Cutout`
        They are referred to, not copied.

    Attributes
    ----------
    images : tuple
        The images that the cutouts were cut from. The ``image`` column of
        `table` points into it.
    """

    def __init__(self, cutouts: Iterable[Cutout] = ()) -> None:
        cutouts = list(cutouts)
        for i, cutout in enumerate(cutouts):
            if not isinstance(cutout, Cutout):
                msg = f"cutouts must hold Cutouts, number {i} is a {type(cutout).__name__}"
                raise TypeError(msg)
        stores = list(dict.fromkeys(cutout._store for cutout in cutouts))
        number = {store: k for k, store in enumerate(stores)}
        self._set(
            stores,
            [number[cutout._store] for cutout in cutouts],
            [cutout._i for cutout in cutouts],
        )

    @classmethod
    def _of(cls, stores, which, rows, dropped: Iterable[Dropped] = ()) -> CutoutCollection:
        """Collection of given rows of stores."""
        collection = cls.__new__(cls)
        collection._set(stores, which, rows, dropped)
        return collection

    def _set(self, stores, which, rows, dropped: Iterable[Dropped] = ()) -> None:
        self._stores = tuple(stores)
        self._which = np.asarray(which, np.intp)
        self._rows = np.asarray(rows, np.intp)
        self._dropped = tuple(dropped)

    read = UnifiedReadWriteMethod(ReadCollection)
    write = UnifiedReadWriteMethod(WriteCollection)

    # As a list

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, item):
        """
        A cutout, or a collection of some of the cutouts.

        Parameters
        ----------
        item : int, slice, array of bool or array of int
        """
        try:
            # A boolean is no index, whatever numpy makes of it.
            i = operator.index(None if isinstance(item, bool | np.bool) else item)
        except TypeError:
            pass
        else:
            return Cutout._of(self._stores[self._which[i]], int(self._rows[i]))
        if not isinstance(item, slice):
            item = np.asarray(item)
            if (item.dtype.kind not in "biu" and item.size) or item.ndim != 1:
                msg = (
                    "a collection is indexed by an integer, a slice or a 1-D array of integers "
                    f"or booleans, got an array of {item.dtype} of shape {item.shape}"
                )
                raise IndexError(msg)
            item = item.astype(bool if item.dtype.kind == "b" else np.intp)
        return self._of(self._stores, self._which[item], self._rows[item])

    def __iter__(self) -> Iterator[Cutout]:
        for store, i in self._stored():
            yield Cutout._of(store, i)

    def __contains__(self, cutout) -> bool:
        if not isinstance(cutout, Cutout) or cutout._store not in self._stores:
            return False
        which = self._stores.index(cutout._store)
        return bool(((self._which == which) & (self._rows == cutout._i)).any())

    def __add__(self, other: CutoutCollection) -> CutoutCollection:
        if not isinstance(other, CutoutCollection):
            return NotImplemented
        stores = list(dict.fromkeys([*self._stores, *other._stores]))
        number = {store: k for k, store in enumerate(stores)}
        which = [
            np.array([number[store] for store in part._stores], np.intp)[part._which]
            for part in (self, other)
        ]
        return self._of(
            stores,
            np.concatenate(which),
            np.concatenate([self._rows, other._rows]),
            [*self._dropped, *other._dropped],
        )

    def __repr__(self) -> str:
        count, images = len(self), len(self.images)
        dropped = sum(len(group.id) for group in self._dropped)
        return f"<CutoutCollection: {count} cutouts of {images} images, {dropped} dropped>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.table._repr_html_()}"

    # As a table

    @property
    def images(self) -> tuple[ImageInfo, ...]:
        """The images that the cutouts were cut from."""
        images = {}
        for k in np.unique(self._which).tolist():
            image = self._stores[k].image
            images.setdefault(image.identity, image)
        return tuple(images.values())

    @property
    def dropped(self):
        """
        Sources that the call which made the collection dropped.

        A new `~astropy.table.Table` with the columns ``id, status, stage, image,
        message``. Slices start empty.
        """
        return dropped_table(self._dropped)

    @property
    def table(self):
        """
        The index as a new `~astropy.table.Table`.

        One row for each cutout; the columns are named as the attributes of a
        cutout, and ``image`` is a number in `images`.
        """
        from astropy.table import Table

        index = self._gather(lambda store: store.index)
        blc = np.stack([index["x"], index["y"]], axis=-1)
        size = np.stack([index["width"], index["height"]], axis=-1)
        return Table(
            {
                "id": self.ids,
                "image": self.image_numbers,
                "status": np.array(KEPT_STATUSES)[index["status"]],
                "blc": blc,
                "trc": blc + size - 1,
                "src_pos": np.stack([index["src_x"], index["src_y"]], axis=-1),
                "src_weight": index["src_weight"],
                "dx": index["dx"],
                "dy": index["dy"],
                "exptime": index["exptime"],
                "data_units": np.array(DATA_UNITS)[index["data_units"]],
            }
        )

    @property
    def ids(self) -> np.ndarray:
        """Identifiers of the sources."""
        parts = {store.ids.dtype for store in self._stores}
        if len(parts) == 1 and object not in parts:
            return self._gather(lambda store: store.ids)
        return as_ids(self._gather(lambda store: store.ids.astype(object)))

    @property
    def image_numbers(self) -> np.ndarray:
        """For each cutout, the number of its image in `images`."""
        return np.array(self._numbers(), np.intp)[self._which]

    def _numbers(self) -> list[int]:
        """For each store, the number of its image; -1 where no cutout is in it."""
        number = {image.identity: k for k, image in enumerate(self.images)}
        return [number.get(store.image.identity, -1) for store in self._stores]

    def select(self, src_id) -> CutoutCollection:
        """
        All cutouts of a source.

        Parameters
        ----------
        src_id : object
            The identifier.

        Raises
        ------
        KeyError
            If there is none.
        """
        found = np.array([i == src_id for i in self.ids.tolist()], bool)
        if not found.any():
            msg = f"no cutout has the id {src_id!r}"
            raise KeyError(msg)
        return self[found]

    def group_by(self, column: str) -> dict[object, CutoutCollection]:
        """
        Collections of the cutouts with equal values in a column.

        Parameters
        ----------
        column : str
            A column of `table`, such as ``'image'`` or ``'id'``.

        Returns
        -------
        dict
            In the order in which the values first occur; NaN is `None`.
        """
        values = self._column(column).tolist()
        rows = {}
        for i, value in enumerate(values):
            rows.setdefault(_key(value), []).append(i)
        return {value: self[np.array(where)] for value, where in rows.items()}

    def _column(self, name) -> np.ndarray:
        direct = {"id": lambda: self.ids, "image": lambda: self.image_numbers}
        if name in direct:
            return direct[name]()
        table = self.table
        if name not in table.colnames:
            msg = f"column must be one of {table.colnames}, got {name!r}"
            raise KeyError(msg)
        return np.asarray(table[name])

    def _with_dropped(self, dropped) -> CutoutCollection:
        return self._of(self._stores, self._which, self._rows, dropped)

    def _by_wcs(self) -> Iterator[tuple[np.ndarray, ImageInfo]]:
        """Positions of the cutouts of each WCS, and an image that has it."""
        wcs = [id(store.image.wcs) for store in self._stores]
        _, first, group = np.unique(wcs, return_index=True, return_inverse=True)
        groups = group[self._which]
        for k, store in enumerate(first.tolist()):
            here = groups == k
            if here.any():
                yield here, self._stores[store].image

    def _stored(self) -> Iterator[tuple[Store, int]]:
        """For each cutout, where it is."""
        for which, row in zip(self._which.tolist(), self._rows.tolist(), strict=True):
            yield self._stores[which], row

    def _parts(self) -> Iterator[tuple[int, np.ndarray]]:
        """For each store that is used, its number and the positions of its cutouts."""
        order = np.argsort(self._which, kind="stable")
        used, start = np.unique(self._which[order], return_index=True)
        yield from zip(used.tolist(), np.split(order, start[1:]), strict=False)

    def _gather(self, get) -> np.ndarray:
        """Values of a column of the stores, in the order of the collection."""
        if not len(self) or len(self._stores) == 1:
            return get(self._stores[0] if self._stores else _NOTHING)[self._rows]
        parts = [(get(self._stores[k])[self._rows[here]], here) for k, here in self._parts()]
        values, order = (np.concatenate(part) for part in zip(*parts, strict=True))
        out = np.empty_like(values)
        out[order] = values
        return out

    # Others made from it

    def copy(self) -> CutoutCollection:
        """
        A collection on its own, with pixels of its own and the same WCSs.

        The pixels of all cutouts of an image are then in one array for each plane.
        """
        groups, which, rows = self._groups()
        stores = [Store.concat(members) for members in groups]
        return self._of(stores, which, rows, self._dropped)

    def _groups(self) -> tuple[list, np.ndarray, np.ndarray]:
        """
        Cutouts of the same image with the same planes.

        Returns
        -------
        groups : list of list of (Store, array of int)
            Where the cutouts of each group are.
        which, rows : array of int
            Group, and place in it, of each cutout of the collection.
        """
        groups, which, rows = {}, *np.empty((2, len(self)), np.intp)
        sizes = Counter()
        for k, here in self._parts():
            store = self._stores[k]
            # A cutout that is in twice stays one cutout.
            for signature, some in store.group_by_planes(np.unique(self._rows[here])).items():
                key = store.image.identity, signature
                number, members = groups.setdefault(key, (len(groups), []))
                members.append((store, some))
                mine = here[np.isin(self._rows[here], some)]
                which[mine] = number
                rows[mine] = np.searchsorted(some, self._rows[mine]) + sizes[number]
                sizes[number] += len(some)
        return [members for _, members in groups.values()], which, rows

    def to_stack(self, shape: tuple[int, int], *, planes=tuple(PLANES), fillval=np.nan) -> Stack:
        """
        Arrays of three dimensions, with the sources in the centres.

        The pixel that a source is in becomes the pixel ``(ny - 1) // 2,
        (nx - 1) // 2``: the central one of an odd size, the one before the
        centre of an even size. Pixels are copied, never resampled.

        Parameters
        ----------
        shape : tuple of int
            ``(ny, nx)`` of the stack.
        planes : sequence of str
            The planes that are stacked, out of ``'data', 'mask', 'uncertainty',
            'flags', 'weight', 'segmentation'``; by default all that there are.
        fillval : scalar
            Value of data where a cutout has no pixels. There, the mask is `True`,
            weight, flags, segmentation and inverse variance are 0, other
            uncertainties NaN.

        Returns
        -------
        Stack
            In the order of the collection. Integer data become floats.

        Raises
        ------
        ValueError
            If the cutouts differ in unit or kind of uncertainty, if no type of
            pixels holds those of all, or if ``shape``, ``planes`` or ``fillval``
            is not possible.
        """
        return stack_cutouts(self, shape, planes=planes, fillval=fillval)

    def to_epsf_stars(self):
        """
        Stars for the `~photutils.psf.EPSFBuilder` of photutils, without cutting again.

        Returns
        -------
        `~photutils.psf.EPSFStars`
            In the order of the collection. Centres are ``cutout_src_pos``, labels
            ``src_id``. Weights are 1, or where there are uncertainties, 1 over their
            standard deviations; 0 where pixels are masked. Cutouts with too few good
            pixels are left out, with a `~subpixal.errors.SubpixalWarning`.
        """
        return make_epsf_stars(self)

    def measure(self, function: Callable, *planes: str, **named: str):
        """
        Apply a function to each cutout.

        Parameters
        ----------
        function : callable
            It returns a number, an array, a `~astropy.units.Quantity`, a string, a
            tuple of numbers, or a dict of these.
        *planes : str
            What the function is given, by default ``'data'``: names of planes, or of
            any other attributes of a cutout, such as ``'error'`` or ``'wcs'``;
            ``'cutout'`` is the cutout itself. The pixels are those of the cutout,
            not copies.
        **named : str
            The same for arguments by name: ``mask='mask'``. For other options of the
            function there is ``functools.partial``.

        Returns
        -------
        `~astropy.table.QTable`
            A row for each cutout, with the columns ``id, image, status, message`` and
            one that is called as the function (``value``, if it has no name), or those
            of the dict. Where the function raised an exception, ``status`` is
            ``'error'``, ``message`` says which, and numbers are NaN (integers become
            floats). What has not one shape, or is not a number, is kept as an object.

        Raises
        ------
        ValueError
            If a cutout has no attribute of a name, or the dict has keys that are
            columns already.

        Examples
        --------
        >>> import numpy as np
        >>> from subpixal import Cutout, CutoutCollection
        >>> from subpixal.datasets import make_wcs
        >>> image = np.arange(100.0).reshape(10, 10)
        >>> cutout = Cutout(image, make_wcs("tan", image.shape), (2, 3), (5, 4), src_id=7)
        >>> print(CutoutCollection([cutout]).measure(np.nanmean))
         id image status message nanmean
        --- ----- ------ ------- -------
          7     0     ok            38.5
        """
        return measure_cutouts(self, function, planes, named)

    def __copy__(self) -> CutoutCollection:
        return self._of(self._stores, self._which, self._rows, self._dropped)

    def __reduce__(self):
        detached = self.copy()
        return self._of, (detached._stores, detached._which, detached._rows, self._dropped)

    def with_image_wcs(self, wcs) -> CutoutCollection:
        """
        The same cutouts with a corrected WCS of their image.

        Parameters
        ----------
        wcs : object or mapping
            The new WCS of the one image, or new WCSs by number of image; images
            that are not in the mapping keep theirs.

        Returns
        -------
        CutoutCollection
            It shares the pixels; positions in the image stay as they are.
        """
        images = self.images
        if not isinstance(wcs, Mapping):
            if len(images) > 1:
                msg = f"wcs must be a mapping by image number: there are {len(images)} images"
                raise ValueError(msg)
            wcs = dict.fromkeys(range(len(images)), wcs)
        unknown = [number for number in wcs if number not in range(len(images))]
        if unknown:
            msg = f"wcs has image numbers {unknown}, there are {len(images)} images"
            raise ValueError(msg)
        for new in wcs.values():
            low_level_wcs(new)
        # One record stays one record: it knows the sky.
        corrected = {}
        for store, number in zip(self._stores, self._numbers(), strict=True):
            if number in wcs and store.image not in corrected:
                corrected[store.image] = replace(store.image, wcs=wcs[number])
        stores = [store.with_image(corrected.get(store.image)) for store in self._stores]
        return self._of(stores, self._which, self._rows, self._dropped)


def _key(value):
    """What a value of a column is called among the keys of a dict."""
    if isinstance(value, list):
        return tuple(value)
    return None if isinstance(value, float) and np.isnan(value) else value


_NOTHING = Store(None, np.empty(0, INDEX), np.empty(0, np.int64))
