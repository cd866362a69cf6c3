"""A collection of cutouts: a list and a table in one."""

from __future__ import annotations

import operator
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from astropy.table import QTable, Table
    from photutils.psf import EPSFStars

__all__ = ["CutoutCollection"]


class CutoutCollection(Sequence):
    """
    Cutouts of one image or of many, as a list and as a table.

    As in a list, changes of a cutout last as long as the collection exists, and a slice
    holds the same cutouts as its parent. The pixels are in a few large arrays; a `Cutout`
    object is made at the first access.

    Parameters
    ----------
    cutouts : iterable of `Cutout`
        The cutouts. The collection refers to them and does not copy them.

    Attributes
    ----------
    selection : Selection
        The stores and the rows of the cutouts, for code that reads and writes many cutouts.
    dropped_groups : tuple of Dropped
        The sources that were not cut, grouped by reason.
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
            i = operator.index(item)
        except TypeError:
            i = None
        # NumPy accepts a boolean as an index, but a boolean is not a position.
        if i is not None and not isinstance(item, bool | np.bool):
            return Cutout.from_store(*self.selection.pair(i))
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

    # The collection as a table

    @property
    def images(self) -> tuple[ImageInfo, ...]:
        """Images of the cutouts; the column ``image`` of `table` contains positions in it."""
        return tuple(self.selection.images)

    @property
    def dropped(self) -> Table:
        """
        Sources that were dropped when the collection was made.

        A new `~astropy.table.Table` with the columns ``id, status, stage, image, message``.
        Slices of a collection have no dropped sources.
        """
        return dropped_table(self.dropped_groups)

    @property
    def table(self) -> Table:
        """
        The cutouts as a new `~astropy.table.Table`, one row for each.

        The columns have the names of the attributes of a cutout. The column ``image`` contains
        positions in `images`.
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
        """Position in `images` of the image of each cutout."""
        numbers = np.array(self.selection.number_images(), np.intp)
        return numbers[self.selection.store_index]

    def select(self, src_id: Any) -> CutoutCollection:
        """
        Return all cutouts of a source.

        Parameters
        ----------
        src_id : object
            The identifier.

        Raises
        ------
        KeyError
            If no cutout has the identifier.
        """
        found = np.array([i == src_id for i in self.ids.tolist()], bool)
        if not found.any():
            msg = f"no cutout has the id {src_id!r}"
            raise KeyError(msg)
        return self[found]

    def group_by(self, column: str) -> dict[Hashable, CutoutCollection]:
        """
        Return collections of the cutouts with equal values in a column.

        Parameters
        ----------
        column : str
            A column of `table`, such as ``'image'`` or ``'id'``.

        Returns
        -------
        dict
            Collections by value, in the order in which the values first occur. The key of NaN
            is `None`.
        """
        positions: dict[Hashable, list[int]] = {}
        for i, value in enumerate(self._get_column(column).tolist()):
            positions.setdefault(_to_key(value), []).append(i)
        return {value: self[np.array(chosen)] for value, chosen in positions.items()}

    def _get_column(self, name: str) -> np.ndarray:
        # These two columns are needed often, and the table is slow to make.
        if name == "id":
            return self.ids
        if name == "image":
            return self.image_numbers
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
        Return an independent collection with its own pixels and the same WCSs.

        Each plane of the cutouts of an image is one array in the copy.
        """
        groups, selection = self.selection.group()
        stores = [concat(members) for members in groups]
        return self.from_selection(selection.with_stores(stores), self.dropped_groups)

    def to_stack(
        self,
        shape: tuple[int, int],
        *,
        planes: Sequence[str] = tuple(PLANES),
        fillval: complex = np.nan,
    ) -> Stack:
        """
        Return the planes as arrays of three dimensions, with the sources in the centers.

        The pixel that contains the source becomes the pixel ``(ny - 1) // 2, (nx - 1) // 2``:
        the central pixel of an odd size, the pixel before the center of an even size. Pixels
        are copied, never resampled.

        Parameters
        ----------
        shape : tuple of int
            ``(ny, nx)`` of the stack.
        planes : sequence of str
            The planes to stack, out of ``'data', 'mask', 'uncertainty', 'flags', 'weight',
            'segmentation'``; by default all planes of the cutouts.
        fillval : scalar
            Value of the data where a cutout has no pixels. There, the mask is `True`;
            weight, flags, segmentation and inverse variance are 0; other uncertainties are
            NaN.

        Returns
        -------
        Stack
            The stack, in the order of the collection. Integer data become floats.

        Raises
        ------
        ValueError
            If the cutouts differ in the unit or in the class of uncertainty, if no dtype
            holds the pixels of all cutouts, or if ``shape``, ``planes`` or ``fillval`` is
            invalid.
        """
        return stack_cutouts(self, shape, planes=planes, fillval=fillval)

    def to_epsf_stars(self) -> EPSFStars:
        """
        Return stars for the `~photutils.psf.EPSFBuilder` of photutils.

        Returns
        -------
        `~photutils.psf.EPSFStars`
            Stars in the order of the collection. Centers are ``cutout_src_pos``, labels are
            ``src_id``. Weights are the inverse of the standard deviations, or 1 without
            uncertainties; masked pixels have the weight 0. Cutouts with too few good pixels
            are left out with a `~subpixal.errors.SubpixalWarning`.
        """
        return make_epsf_stars(self)

    def measure(self, function: Callable, *planes: str, **named: str) -> QTable:
        """
        Apply a function to each cutout.

        Parameters
        ----------
        function : callable
            A function that returns a number, an array, a `~astropy.units.Quantity`, a
            string, a tuple of numbers, or a dict of these.
        *planes : str
            Positional arguments of the function, by default ``'data'``: names of planes, or
            of other attributes of a cutout such as ``'error'`` or ``'wcs'``; ``'cutout'``
            stands for the cutout itself. Pixels are not copied.
        **named : str
            Keyword arguments of the function, such as ``mask='mask'``. Use
            ``functools.partial`` for other options of the function.

        Returns
        -------
        `~astropy.table.QTable`
            A row for each cutout, with the columns ``id, image, status, message`` and a
            column with the name of the function (``value`` if it has no name), or one column
            for each key of the dict. Where the function raised an exception, ``status`` is
            ``'error'``, ``message`` contains the exception, and numbers are NaN (integers
            become floats). Columns of objects hold results of different shapes, and results
            that are not numbers.

        Raises
        ------
        ValueError
            If a cutout has no attribute of a name, or if a key of the dict is the name of
            another column.

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

    def with_image_wcs(self, wcs: Any) -> CutoutCollection:
        """
        Return the same cutouts with a corrected WCS of their image.

        Parameters
        ----------
        wcs : object or mapping
            The new WCS if there is one image, or new WCSs by position in `images`. Images
            that are not in the mapping keep their WCS.

        Returns
        -------
        CutoutCollection
            A collection that shares the pixels. Positions in the image do not change.
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


def _to_key(value: Any) -> Hashable:
    """Return the key of a dict for a value of a column."""
    if isinstance(value, list):
        return tuple(value)
    return None if isinstance(value, float) and np.isnan(value) else value
