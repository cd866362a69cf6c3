"""A collection of cutouts, which is both a list and a table."""

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
    Cutouts of one or more images, as a list and as a table.

    The collection behaves like a list: a changed cutout stays changed, and a slice contains the
    same cutouts as its parent. The pixels of all cutouts are in a few large arrays. `Cutout`
    objects are created at the first access.

    Parameters
    ----------
    cutouts : iterable of `Cutout`
        The cutouts. The collection refers to them and does not copy them.

    Attributes
    ----------
    selection : Selection
        The stores and the rows of the cutouts, for code that processes many cutouts at once.
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
        """Return a collection of the cutouts in selected rows of stores."""
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
            Position of a cutout, or positions of several cutouts, in the collection.
        """
        try:
            i = operator.index(item)
        except TypeError:
            i = None
        # Refuse a boolean, which NumPy would accept as an integer.
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
        """Images of the cutouts. The column ``image`` of `table` contains positions in it."""
        return tuple(self.selection.images)

    @property
    def dropped(self) -> Table:
        """
        Sources that were dropped when the collection was made.

        A new `~astropy.table.Table` with the columns ``id, status, stage, image, message``.
        For slices of a collection, the table is empty.
        """
        return dropped_table(self.dropped_groups)

    @property
    def table(self) -> Table:
        """
        A new `~astropy.table.Table` with a row for each cutout.

        The names of the columns are those of the attributes of a cutout. The column ``image``
        contains the position of the image in `images`.
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
        """Positions in `images` of the images of all cutouts."""
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
        Group the cutouts by their values in a column.

        Parameters
        ----------
        column : str
            A column of `table`, such as ``'image'`` or ``'id'``.

        Returns
        -------
        dict
            Mapping from each value to a collection of the cutouts with this value. The order is
            that of the first cutout with each value. For NaN, the key is `None`.
        """
        positions: dict[Hashable, list[int]] = {}
        for i, value in enumerate(self._get_column(column).tolist()):
            positions.setdefault(_to_key(value), []).append(i)
        return {value: self[np.array(chosen)] for value, chosen in positions.items()}

    def _get_column(self, name: str) -> np.ndarray:
        # Avoid the table for these two columns, because it is slow to create.
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

    # Methods that return new objects

    def copy(self) -> CutoutCollection:
        """
        Return an independent collection with its own pixels and the same WCSs.

        In the copy, the pixels of all cutouts of an image are in one array for each plane.
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
        Return 3-D arrays of the planes, in which all sources have the same position.

        The pixel that contains the source becomes the pixel ``(ny - 1) // 2, (nx - 1) // 2``. This
        is the central pixel if the size is odd, and the pixel before the center if the size is
        even. Pixels are copied without resampling.

        Parameters
        ----------
        shape : tuple of int
            ``(ny, nx)`` of the stack.
        planes : sequence of str
            The planes to stack, out of ``'data', 'mask', 'uncertainty', 'flags', 'weight',
            'segmentation'``; by default all planes of the cutouts.
        fillval : scalar
            Value of the data outside the cutout. Outside the cutout, the mask is `True`; weight,
            flags, segmentation and inverse variance are 0; other uncertainties are NaN.

        Returns
        -------
        Stack
            The stack, in the order of the collection. Integer data become floats.

        Raises
        ------
        ValueError
            If the cutouts have different units or classes of uncertainty, if no dtype can represent
            the pixels of all cutouts, or if ``shape``, ``planes`` or ``fillval`` is invalid.
        """
        return stack_cutouts(self, shape, planes=planes, fillval=fillval)

    def to_epsf_stars(self) -> EPSFStars:
        """
        Return stars for the `~photutils.psf.EPSFBuilder` of photutils.

        Returns
        -------
        `~photutils.psf.EPSFStars`
            Stars in the order of the collection. The centers are ``cutout_src_pos``, and the labels
            are ``src_id``. The weights are the inverse of the standard deviations, or 1 without
            uncertainties. Masked pixels have the weight 0. Cutouts with too few good pixels are
            left out, and a `~subpixal.errors.SubpixalWarning` lists them.
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
            Positional arguments of the function, by name. The default is ``'data'``. A name is that
            of a plane or of another attribute of a cutout, such as ``'error'`` or ``'wcs'``. The
            name ``'cutout'`` stands for the cutout itself. Pixels are not copied.
        **named : str
            Keyword arguments of the function, also by name, such as ``mask='mask'``. Use
            ``functools.partial`` to pass other values to the function.

        Returns
        -------
        `~astropy.table.QTable`
            A row for each cutout, with the columns ``id, image, status, message`` and the results.
            The results are in a column with the name of the function (``value`` if it has no name).
            If the results are dicts, there is a column for each key. If the function raises an
            exception, ``status`` is ``'error'``, ``message`` contains the exception, and the result
            is NaN (integers become floats). Results of different shapes, and results that are
            neither numbers nor strings, are in columns of objects.

        Raises
        ------
        ValueError
            If a name is not an attribute of a cutout, or if a key of the dict is the name of
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
        Return the same cutouts with corrected WCSs of their images.

        Parameters
        ----------
        wcs : object or mapping
            The new WCS of a single image. For several images, a mapping from the position in
            `images` to the new WCS. Images that are not in the mapping keep their WCS.

        Returns
        -------
        CutoutCollection
            A collection that shares the pixels with this one. Pixel positions in the images do not
            change.
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
        # Make one new record for each old record, so that cutouts share its cached pixel grid.
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
