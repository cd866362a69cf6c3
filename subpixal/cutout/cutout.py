"""One cutout."""

from __future__ import annotations

import copy as copying
from collections import ChainMap
from collections.abc import MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from astropy import units as u
from astropy.nddata import NDData, NDIOMixin, NDUncertainty

from subpixal.geometry import PixelBox, PixelBoxes
from subpixal.image import (
    DATA_UNITS,
    DEFAULT_DQBITMASK,
    DEFAULT_EXPTIME,
    DEFAULT_RATE,
    PLANES,
    ImageArguments,
    ImageInfo,
    as_uncertainty,
    check_fill,
    get_data_units,
    parse_image,
    standard_deviations,
    validate_data_units,
    validate_exptime,
    validate_finite,
    validate_kind,
    validate_meta,
    validate_position,
)

from .arithmetic import ArithmeticMixin
from .convert import convert_pixels
from .extract import check_overlap, cut_one, parse_box, pixel_slices, reparent, slice_planes
from .position import PositionMixin
from .properties import column_property, plane_property, same_pixels, set_pixels
from .repr import cutout_to_html, cutout_to_text
from .storage import KEPT_STATUSES, DeferredArray, Overrides, Store, as_ids, make_index

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike

__all__ = ["Cutout"]

MODES = ("strict", "fill")


class Cutout(PositionMixin, ArithmeticMixin, NDIOMixin, NDData):
    """
    A rectangle cut out of an image, with mask, uncertainty, flags, WCS and source.

    The constructor cuts the rectangle out of an image. Pixel coordinates are 0-based, and
    the center of a pixel has integer coordinates. Positions are ``(x, y)``; shapes and slices
    are ``(y, x)``.

    Parameters
    ----------
    data : array, `~astropy.units.Quantity`, masked array, `~astropy.nddata.NDData` or None
        The image, of shape ``(ny, nx)``. The attributes of an NDData replace arguments that are not
        given. Masks are combined by a logical or. If ``data`` is a `Cutout`, the result is a cutout
        of the image of that cutout. With `None`, all pixels are ``fillval`` (float32) and masked,
        and ``trc`` is required.
    wcs : object
        WCS of the image with the APE 14 interface, low or high level. The cutout refers to the WCS
        and does not copy it. The argument may be `None` if ``data`` is an NDData with a WCS.
    blc : tuple of int
        Bottom-left pixel ``(x, y)`` of the cutout in the image.
    trc : tuple of int, optional
        Top-right pixel ``(x, y)`` of the cutout in the image, inclusive. The default is the last
        pixel of the image.
    dq : array of int, optional
        Data quality flags of the image.
    weight : array, optional
        Pixel weights of the image, such as the weights of a drizzled image.
    src_id : object
        Identifier of the source, of any type.
    data_units : {'rate', 'counts'}
        Kind of the pixels. The argument is ignored if the unit of the data determines the kind. If
        ``data`` is a `Cutout`, the default is its kind.
    exptime : float
        Exposure time in seconds. If ``data`` is a `Cutout`, the default is its exposure time.
    mode : {'strict', 'fill'}
        ``'strict'`` raises an error if the cutout leaves the image. ``'fill'`` fills the pixels
        outside the image.
    fillval : scalar
        Value of the data outside the image. Outside the image, the mask is `True`; weight, flags
        and inverse variance are 0; other uncertainties are NaN.
    uncertainty : `~astropy.nddata.NDUncertainty` or array, optional
        Uncertainty of the image. A plain array contains standard deviations.
    mask : array of bool, optional
        Array that is `True` for bad pixels of the image.
    unit : `~astropy.units.Unit`, optional
        Unit of the data.
    dqbitmask : int, str, list or None
        Good flags: the flags that do not mask a pixel, as in
        `~astropy.nddata.bitfield_to_boolean_mask`. With 0, any flag masks a pixel. With `None`,
        flags are ignored. If ``data`` is a `Cutout`, the default is its good flags. Names of flags
        are allowed if ``meta['flag_names']`` of the image defines them.
    src_pos : tuple of float, optional
        Position ``(x, y)`` of the source in the image. The default is the center of the cutout.
    src_weight : float, optional
        Weight of the source when models are fitted.
    psf, meta : optional
        As in `~astropy.nddata.NDData`.
    copy : bool
        With `False`, the pixels are read-only views of the image, unless the cutout leaves the
        image. For a cutout of the whole image, the mask is then computed at the first access, and
        planes that are not in memory are read at the first access.

    Raises
    ------
    NoOverlapError
        If the cutout lies outside the image.
    PartialOverlapError
        If the cutout leaves the image and ``mode`` is 'strict'.

    Examples
    --------
    >>> import numpy as np
    >>> from subpixal import Cutout
    >>> from subpixal.datasets import make_wcs
    >>> image = np.arange(100.0).reshape(10, 10)
    >>> cutout = Cutout(image, make_wcs("tan", image.shape), blc=(2, 3), trc=(5, 4))
    >>> cutout.data
    array([[32., 33., 34., 35.],
           [42., 43., 44., 45.]])
    """

    # Without this line, NumPy would index a cutout with integers, which raises an error.
    __iter__ = None

    def __init__(
        self,
        data: Any,
        wcs: Any,
        blc: tuple[int, int] = (0, 0),
        trc: tuple[int, int] | None = None,
        dq: Any = None,
        weight: Any = None,
        src_id: Any = 0,
        data_units: Any = DEFAULT_RATE,
        exptime: Any = DEFAULT_EXPTIME,
        mode: str = "strict",
        fillval: Any = np.nan,
        *,
        uncertainty: Any = None,
        mask: ArrayLike | None = None,
        unit: Any = None,
        dqbitmask: Any = DEFAULT_DQBITMASK,
        src_pos: tuple[float, float] | None = None,
        src_weight: float | None = None,
        psf: Any = None,
        meta: Any = None,
        copy: bool = True,
    ) -> None:
        if mode not in MODES:
            msg = f"mode must be one of {MODES}, got {mode!r}"
            raise ValueError(msg)
        arguments = ImageArguments(
            data=data,
            wcs=wcs,
            planes={"flags": dq, "weight": weight, "uncertainty": uncertainty},
            masks=(mask,),
            units=(unit,),
            psf=psf,
            meta=meta,
            data_units=data_units,
            exptime=exptime,
            dqbitmask=dqbitmask,
        )
        if data is None:
            image, box, planes = _make_empty(arguments, blc, trc, fillval)
        else:
            if isinstance(data, Cutout) and wcs is None:
                # Pass the WCS of the image, which `reparent` needs. The WCS of the cutout is slower
                # to create.
                arguments = replace(arguments, wcs=data.image_wcs)
            image, sources = parse_image(arguments)
            ny, nx = sources["data"].shape
            box = parse_box(blc, trc, (ny, nx))
            check_overlap(box, (ny, nx), mode)
            planes = cut_one(sources, box, image, fillval, view=not copy)
        index = make_index(
            image,
            PixelBoxes.from_corners([[n] for n in (*box.blc, *box.trc)]),
            src_pos=None if src_pos is None else np.array([validate_position(src_pos, "src_pos")]),
        )
        store = Store(image, index, as_ids([src_id]), overrides={0: Overrides(planes)})
        if isinstance(data, Cutout) and wcs is None:
            reparent(store, data)
        self._attach(store, 0)
        self.src_weight = src_weight

    @classmethod
    def from_store(cls, store: Store, row: int) -> Cutout:
        """
        Return the cutout in a row of a store.

        All calls for a row return the same object, as long as that object exists.
        """
        cutout = store.cutouts.get(row)
        if cutout is None:
            cutout = cls.__new__(cls)
            cutout._attach(store, row)
        return cutout

    # The source and the image

    @property
    def src_weight(self) -> float | None:
        """Weight of the source when models are fitted, or `None` if the source has no weight."""
        value = float(self._columns["src_weight"])
        return None if np.isnan(value) else value

    @src_weight.setter
    def src_weight(self, value: float | None) -> None:
        none = value is None or value != value  # noqa: PLR0124  (NaN)
        self._columns["src_weight"] = np.nan if none else validate_finite("src_weight", value)

    @property
    def status(self) -> str:
        """``'filled'`` if the cutout left the image when it was cut, else ``'ok'``."""
        return KEPT_STATUSES[self._columns["status"]]

    exptime = column_property("exptime", "Exposure time in seconds.", validate_exptime)

    @property
    def data_units(self) -> str:
        """
        Kind of the pixels, ``'counts'`` or ``'rate'``.

        Assigning a value changes only this attribute; it does not scale the pixels.
        """
        return DATA_UNITS[self._columns["data_units"]]

    @data_units.setter
    def data_units(self, value: str) -> None:
        required = get_data_units(self.unit)
        if required not in (None, validate_data_units(value)):
            msg = f"data_units cannot be {value!r}: pixels in {self.unit} are {required!r}"
            raise ValueError(msg)
        self._columns["data_units"] = DATA_UNITS.index(value)

    @property
    def meta(self) -> MutableMapping:
        """
        Metadata of the image and of the cutout.

        If both have the same key, the value of the cutout is used.
        """
        # The cast is safe, because a chain writes only to its first mapping.
        image_meta = cast("MutableMapping", self.image.meta)
        return ChainMap(self.store.edit_overrides(self.row).meta, image_meta)

    @meta.setter
    def meta(self, value: Any) -> None:
        self.store.edit_overrides(self.row).meta = dict(validate_meta(value))

    @property
    def psf(self) -> Any:
        """PSF of the cutout, by default that of the image."""
        return self.store.get_psf(self.row)

    @psf.setter
    def psf(self, value: Any) -> None:
        self.store.edit_overrides(self.row).psf = value

    # Pixels

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of all planes of the cutout, such as ``'data'`` and ``'mask'``."""
        return tuple(self.store.plane_dtypes(self.row))

    flags = plane_property("flags", "Data quality flags, or `None` if the cutout has no flags.")
    dq = plane_property(
        "flags", "Data quality flags. This is the name of `flags` in files of HST and JWST."
    )
    weight = plane_property(
        "weight", "Weights of the pixels, or `None` if the cutout has no weights."
    )
    segmentation = plane_property(
        "segmentation", "Labels of the segmentation image, or `None` if they were not kept."
    )

    @property
    def data(self) -> np.ndarray:
        """Pixels, of shape ``(height, width)``."""
        return self.store.existing_plane(self.row, "data")

    @data.setter
    def data(self, value: Any) -> None:
        if isinstance(value, np.ma.MaskedArray):
            self.mask = self.mask | np.ma.getmaskarray(value)
            value = value.data
        if isinstance(value, u.Quantity):
            value = value.to_value(self.unit or u.dimensionless_unscaled)
        set_pixels(self, "data", value)

    @property
    def mask(self) -> np.ndarray:
        """Array of bool of shape ``(height, width)``, `True` where a pixel is bad."""
        return self.store.existing_plane(self.row, "mask")

    @mask.setter
    def mask(self, value: ArrayLike | None) -> None:
        if value is None or np.ndim(value) == 0:
            value = np.full(self.shape, bool(value))
        set_pixels(self, "mask", np.asarray(value, bool))

    @property
    def uncertainty(self) -> NDUncertainty | None:
        """Uncertainty of the data, or `None` if it is not known."""
        array = self.store.get_plane(self.row, "uncertainty")
        if array is None:
            return None
        cached = self.__dict__.get("_uncertainty")
        if cached is None or not same_pixels(cached.array, array):
            cached = self._make_uncertainty(array)
            cached.parent_nddata = self
            self._uncertainty = cached
        return cached

    @uncertainty.setter
    def uncertainty(self, value: Any) -> None:
        value = as_uncertainty(value)
        overrides = self.store.edit_overrides(self.row)
        if value is None:
            overrides.uncertainty_type = None
            self.store.set_plane(self.row, "uncertainty", None)
            return
        if np.shape(value.array) != self.shape:
            msg = f"uncertainty has shape {np.shape(value.array)}, the cutout has {self.shape}"
            raise ValueError(msg)
        kinds = PLANES["uncertainty"].kinds
        array = np.asarray(validate_kind("uncertainty", np.asarray(value.array), kinds))
        new = type(value)(array.astype(array.dtype.newbyteorder("=")), unit=value.unit, copy=False)
        new.parent_nddata = self
        overrides.planes["uncertainty"] = new.array
        overrides.uncertainty_type = type(new), new.unit
        self._uncertainty = new

    @property
    def error(self) -> np.ndarray | None:
        """Standard deviations in the unit of the data, for every class of uncertainty."""
        return standard_deviations(self.uncertainty, self.unit)

    def _make_uncertainty(self, array: Any) -> NDUncertainty:
        uncertainty_type, unit = self.store.uncertainty_type_and_unit(self.row)
        return uncertainty_type(array, unit=unit, copy=False)

    def _deferred_planes(self) -> dict[str, Any]:
        """Return arrays from which `parse_image` can cut planes that are not in memory."""
        planes = self.store.get_overrides(self.row).planes
        deferred = {
            name: pixels.image
            for name, pixels in planes.items()
            if isinstance(pixels, DeferredArray)
        }
        array = deferred.get("uncertainty", planes.get("uncertainty"))
        if array is not None:
            # Do not use the property, which links the uncertainty to the cutout: the link would
            # read the data.
            deferred["uncertainty"] = self._make_uncertainty(array)
        return deferred

    @property
    def ndim(self) -> int:
        """Number of dimensions, 2."""
        return 2

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.height * self.width

    @property
    def dtype(self) -> np.dtype:
        """Data type of the data."""
        return self.data.dtype

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        return cutout_to_text(self)

    def __str__(self) -> str:
        return cutout_to_text(self)

    def _repr_html_(self) -> str:
        return cutout_to_html(self)

    # Methods that return new cutouts

    def __getitem__(self, item: Any) -> Cutout:
        """
        Return a rectangular part of the cutout as a cutout with the same planes.

        Parameters
        ----------
        item : slice or tuple of slice
            Slices ``(y, x)`` without steps. As in NumPy, the result shares the pixels. For planes
            that are not in memory, only the pixels of the part are read.
        """
        slices = pixel_slices(item, self.shape)
        overrides = self.store.get_overrides(self.row)
        planes = {
            name: overrides.planes[name]
            if overrides.is_deferred(name)
            else self.store.existing_plane(self.row, name)
            for name in self.planes
        }
        store = self.store.extract(self.row, slice_planes(planes, slices, self.image))
        columns = store.index[0]
        for axis, size, part in zip("yx", ("height", "width"), slices, strict=True):
            columns[axis] += part.start
            columns[f"original_{axis}"] += part.start
            columns[size] = part.stop - part.start
        return self.from_store(store, 0)

    def copy(self) -> Cutout:
        """Return an independent cutout with its own pixels and the same WCS."""
        planes = {
            name: pixels.copy() for name, pixels in self.store.existing_planes(self.row).items()
        }
        return self.from_store(self.store.extract(self.row, planes), 0)

    def __copy__(self) -> Cutout:
        return self.from_store(self.store.extract(self.row), 0)

    def __deepcopy__(self, memo: dict) -> Cutout:
        store = self.store.extract(self.row)
        store.image = copying.deepcopy(store.image, memo)
        store.overrides = copying.deepcopy(store.overrides, memo)
        store.ids = copying.deepcopy(store.ids, memo)
        return self.from_store(store, 0)

    def __reduce__(self) -> tuple:
        return self.from_store, (self.store.extract(self.row), 0)

    def to_counts(self) -> Cutout:
        """
        Return a copy in counts. Rates are multiplied by the exposure time.

        Returns
        -------
        Cutout
            An independent copy, even if the pixels are counts already.

        Raises
        ------
        `~astropy.units.UnitsError`
            If the unit is a flux density or a surface brightness.
        """
        return convert_pixels(self, "counts")

    def to_rate(self) -> Cutout:
        """Return a copy in rates. Counts are divided by the exposure time; see `to_counts`."""
        return convert_pixels(self, "rate")


# Define the properties of optional planes here. A new row in the table of planes adds a property.
for _plane in PLANES.values():
    if not hasattr(Cutout, _plane.name):
        setattr(Cutout, _plane.name, plane_property(_plane.name, _plane.doc))


def _make_empty(
    arguments: ImageArguments,
    blc: tuple[int, int],
    trc: tuple[int, int] | None,
    fillval: Any,
) -> tuple[ImageInfo, PixelBox, dict[str, Any]]:
    """Return image, box and pixels of a cutout without data."""
    given = {PLANES[name].argument: plane for name, plane in arguments.planes.items()}
    given["mask"] = arguments.masks[0]
    for name, pixels in given.items():
        if pixels is not None:
            msg = f"{name} must be None where data is None: there is no image to cut it from"
            raise ValueError(msg)
    if trc is None:
        msg = "trc must be given where data is None"
        raise ValueError(msg)
    image, _ = parse_image(replace(arguments, data=np.empty((0, 0)), masks=()))
    box = parse_box(blc, trc, None)
    check_fill(fillval, np.dtype(np.float32))
    pixels = {"data": np.full(box.shape, fillval, np.float32), "mask": np.ones(box.shape, bool)}
    return replace(image, shape=None), box, pixels
