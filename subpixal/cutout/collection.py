"""Many cutouts: a list and a table in one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from astropy.io.registry import UnifiedReadWriteMethod

from subpixal.geometry import low_level_wcs
from subpixal.image import DATA_UNITS, PLANES, ImageInfo

from .connect import ReadCollection, WriteCollection
from .cutout import Cutout
from .epsf import make_epsf_stars
from .measure import measure_cutouts
from .stack import Stack, stack_cutouts
from .storage import KEPT_STATUSES, Dropped, Selection, as_ids, concat, dropped_table

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
        self.selection = Selection.from_pairs((cutout.store, cutout.row) for cutout in cutouts)
        self.dropped_groups: tuple[Dropped, ...] = ()

    @classmethod
    def from_selection(
        cls, selection: Selection, dropped: Iterable[Dropped] = ()
    ) -> CutoutCollection:
        """Return the collection of selected rows of stores."""
        collection = cls.__new__(cls)
        collection.selection = selection
        collection.dropped_groups = tuple(dropped)
        return collection

    read = UnifiedReadWriteMethod(ReadCollection)
    write = UnifiedReadWriteMethod(WriteCollection)

    # The collection as a list

    def __len__(self) -> int:
        return len(self.selection)

    def __getitem__(self, item: Any) -> Any:
        """
        Return a cutout, or a collection of some of the cutouts.

        Parameters
        ----------
        item : int, slice, array of bool or array of int
            Position of a cutout, or positions of several.
        """
        try:
            # NumPy accepts a boolean as an index, but a boolean is not a position.
            i = operator.index(None if isinstance(item, bool | np.bool) else item)
        except TypeError:
            pass
        else:
            selection = self.selection
            return Cutout.from_store(
                selection.stores[selection.store_index[i]], int(selection.row_index[i])
            )
        if not isinstance(item, slice):
            item = np.asarray(item)
            if (item.dtype.kind not in "biu" and item.size) or item.ndim != 1:
                msg = (
                    "a collection is indexed by an integer, a slice or a 1-D array of integers "
                    f"or booleans, got an array of {item.dtype} of shape {item.shape}"
                )
                raise IndexError(msg)
            item = item.astype(bool if item.dtype.kind == "b" else np.intp)
        return self.from_selection(self.selection.take(item))

    def __iter__(self) -> Iterator[Cutout]:
        for store, row in self.selection:
            yield Cutout.from_store(store, row)

    def __contains__(self, cutout: object) -> bool:
        return isinstance(cutout, Cutout) and (cutout.store, cutout.row) in self.selection

    def __add__(self, other: CutoutCollection) -> CutoutCollection:
        if not isinstance(other, CutoutCollection):
            return NotImplemented
        dropped = self.dropped_groups + other.dropped_groups
        return self.from_selection(self.selection + other.selection, dropped)

    def __repr__(self) -> str:
        count, images = len(self), len(self.images)
        dropped = sum(len(group.id) for group in self.dropped_groups)
        return f"<CutoutCollection: {count} cutouts of {images} images, {dropped} dropped>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>{self.table._repr_html_()}"

    # As a table

    @property
    def images(self) -> tuple[ImageInfo, ...]:
        """The images that the cutouts were cut from."""
        return tuple(self.selection.images)

    @property
    def dropped(self):
        """
        Sources that the call which made the collection dropped.

        A new `~astropy.table.Table` with the columns ``id, status, stage, image,
        message``. Slices start empty.
        """
        return dropped_table(self.dropped_groups)

    @property
    def table(self):
        """
        The index as a new `~astropy.table.Table`.

        One row for each cutout; the columns are named as the attributes of a
        cutout, and ``image`` is a number in `images`.
        """
        from astropy.table import Table

        index = self.selection.gather(lambda store: store.index)
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
        parts = {store.ids.dtype for store in self.selection.stores}
        if len(parts) == 1 and object not in parts:
            return self.selection.gather(lambda store: store.ids)
        return as_ids(self.selection.gather(lambda store: store.ids.astype(object)))

    @property
    def image_numbers(self) -> np.ndarray:
        """For each cutout, the number of its image in `images`."""
        numbers = np.array(self.selection.number_images(), np.intp)
        return numbers[self.selection.store_index]

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

    def with_dropped(self, dropped: Iterable[Dropped]) -> CutoutCollection:
        """Return a collection of the same cutouts with other dropped sources."""
        return self.from_selection(self.selection, dropped)

    # Objects made from the collection

    def copy(self) -> CutoutCollection:
        """
        A collection on its own, with pixels of its own and the same WCSs.

        The pixels of all cutouts of an image are then in one array for each plane.
        """
        groups, selection = self.selection.group()
        stores = [concat(members) for members in groups]
        return self.from_selection(selection.with_stores(stores), self.dropped_groups)

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
        return self.from_selection(self.selection, self.dropped_groups)

    def __reduce__(self) -> tuple:
        return self.from_selection, (self.copy().selection, self.dropped_groups)

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
        # Cutouts that share a record of the image keep sharing it, with its cached grid.
        corrected: dict[ImageInfo, ImageInfo] = {}
        selection = self.selection
        for store, number in zip(selection.stores, selection.number_images(), strict=True):
            if number in wcs and store.image not in corrected:
                corrected[store.image] = replace(store.image, wcs=wcs[number])
        stores = [
            store.with_image(corrected.get(store.image, store.image)) for store in selection.stores
        ]
        return self.from_selection(selection.with_stores(stores), self.dropped_groups)


def _key(value):
    """What a value of a column is called among the keys of a dict."""
    if isinstance(value, list):
        return tuple(value)
    return None if isinstance(value, float) and np.isnan(value) else value
