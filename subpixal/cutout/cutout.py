"""One cutout."""

from __future__ import annotations

import copy as copying
import warnings
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from astropy import units as u
from astropy.nddata import NDData, NDIOMixin, NDUncertainty

from subpixal.errors import SubpixalWarning
from subpixal.geometry import PixelBoxes
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
    exposure,
    get_data_units,
    is_countable,
    parse_image,
    standard_deviations,
    uncertainty_power,
    validate_data_units,
    validate_exptime,
    validate_finite,
    validate_kind,
    validate_meta,
    validate_position,
)

from .arithmetic import ArithmeticMixin
from .extract import check_overlap, cut_one, parse_box, pixel_slices, reparent, slice_planes
from .position import PositionMixin
from .properties import column, plane_property, same_pixels, set_pixels
from .repr import ReprMixin
from .storage import KEPT_STATUSES, DeferredArray, Store, as_ids, make_index

__all__ = ["Cutout"]

MODES = ("strict", "fill")


class Cutout(ReprMixin, PositionMixin, ArithmeticMixin, NDIOMixin, NDData):
    """
    A rectangle of an image, with everything that belongs to its pixels.

    The constructor cuts: ``data`` is the image. Pixel coordinates are 0-based,
    the centre of a pixel is an integer; positions are ``(x, y)``, shapes and
    slices ``(y, x)``.

    Parameters
    ----------
    data : array, `~astropy.units.Quantity`, masked array, `~astropy.nddata.NDData` or None
        The image, of shape ``(ny, nx)``. What an NDData has besides its data is
        used unless it is given explicitly; masks are or-ed. What is cut out of a
        `Cutout` is a cutout of the image of that one. `None` makes an empty grid
        of ``fillval`` (float32), all masked; it needs ``trc``.
    wcs : object
        WCS of the image: anything with the APE 14 interface, low or high level.
        It is kept by reference, never copied. May be `None` if ``data`` is an
        NDData that has one.
    blc : tuple of int
        Bottom-left pixel ``(x, y)`` of the cutout in the image.
    trc : tuple of int, optional
        Top-right pixel ``(x, y)``, which belongs to the cutout; by default the
        last pixel of the image.
    dq : array of int, optional
        Data quality flags of the image.
    weight : array, optional
        Pixel weights of the image, such as drizzling makes.
    src_id : object
        Identifies the source, anything.
    data_units : {'rate', 'counts'}
        What the pixels are, where their unit does not tell; by default what they
        are in the image if it is a `Cutout`.
    exptime : float
        Exposure time in seconds; by default that of the image if it has one.
    mode : {'strict', 'fill'}
        Whether a cutout that leaves the image is refused or filled.
    fillval : scalar
        Value of data outside the image. There, the mask is `True`, weight, flags
        and inverse variance are 0, other uncertainties NaN.
    uncertainty : `~astropy.nddata.NDUncertainty` or array, optional
        Uncertainty of the image; an array means standard deviations.
    mask : array of bool, optional
        `True` where the image is bad.
    unit : `~astropy.units.Unit`, optional
        Unit of the data.
    dqbitmask : int, str, list or None
        Flags that are good, as in `~astropy.nddata.bitfield_to_boolean_mask`:
        0, any flag masks; `None`, flags do not mask. By default those that are good
        in the image if it is a `Cutout`. They may be called by their names where
        ``meta['flag_names']`` of the image has them.
    src_pos : tuple of float, optional
        Position ``(x, y)`` of the source in the image; by default the centre.
    src_weight : float, optional
        Weight of the source in fits.
    psf, meta : optional
        As in `~astropy.nddata.NDData`.
    copy : bool
        `False` leaves read-only views of the image where the cutout lies inside. Of a
        whole image, the mask is then made when it is asked for, and planes that are not
        in memory are read when they are asked for.

    Raises
    ------
    NoOverlapError
        If the cutout lies outside the image.
    PartialOverlapError
        If it leaves the image and ``mode`` is 'strict'.

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

    # numpy would otherwise iterate over integers that a cutout refuses.
    __iter__ = None

    def __init__(
        self,
        data,
        wcs,
        blc=(0, 0),
        trc=None,
        dq=None,
        weight=None,
        src_id=0,
        data_units=DEFAULT_RATE,
        exptime=DEFAULT_EXPTIME,
        mode="strict",
        fillval=np.nan,
        *,
        uncertainty=None,
        mask=None,
        unit=None,
        dqbitmask=DEFAULT_DQBITMASK,
        src_pos=None,
        src_weight=None,
        psf=None,
        meta=None,
        copy=True,
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
            image, box, own = _empty(arguments, blc, trc, fillval)
        else:
            if isinstance(data, Cutout) and wcs is None:
                # `reparent` needs the WCS of the image; that of the cutout costs time to make.
                arguments = replace(arguments, wcs=data.image_wcs)
            image, planes = parse_image(arguments)
            box = parse_box(blc, trc, image.shape)
            check_overlap(box, image.shape, mode)
            own = cut_one(planes, box, image, fillval, view=not copy)
        index = make_index(
            image,
            PixelBoxes.from_corners([[n] for n in (*box.blc, *box.trc)]),
            src_pos=None if src_pos is None else np.array([validate_position(src_pos, "src_pos")]),
        )
        store = Store(image, index, as_ids([src_id]), own={0: own})
        if isinstance(data, Cutout) and wcs is None:
            reparent(store, data)
        self._attach(store, 0)
        self.src_weight = src_weight

    @classmethod
    def _of(cls, store: Store, i: int) -> Cutout:
        """
        The cutout in row ``i`` of a store.

        Every cutout that is not cut from an image is made here. While somebody
        holds it, the same object is returned.
        """
        cutout = store.objects.get(i)
        if cutout is None:
            cutout = cls.__new__(cls)
            cutout._attach(store, i)
        return cutout

    def _attach(self, store: Store, i: int) -> None:
        self._store, self._i, self._row = store, i, store.index[i]
        store.objects[i] = self

    # What it is

    @property
    def src_id(self):
        """Identifier of the source."""
        value = self._store.ids[self._i]
        return value.item() if isinstance(value, np.generic) else value

    @src_id.setter
    def src_id(self, value) -> None:
        self._store.set_id(self._i, value)

    @property
    def src_weight(self) -> float | None:
        """Weight of the source in fits, `None` if it has none."""
        value = float(self._row["src_weight"])
        return None if np.isnan(value) else value

    @src_weight.setter
    def src_weight(self, value) -> None:
        none = value is None or value != value  # noqa: PLR0124  (NaN)
        self._row["src_weight"] = np.nan if none else validate_finite("src_weight", value)

    @property
    def status(self) -> str:
        """``'ok'``, or ``'filled'`` if it left the image when it was cut."""
        return KEPT_STATUSES[self._row["status"]]

    exptime = column("exptime", "Exposure time in seconds.", validate_exptime)

    @property
    def data_units(self) -> str:
        """
        What the pixels are, ``'counts'`` or ``'rate'``.

        Setting it re-labels the pixels and never scales them.
        """
        return DATA_UNITS[self._row["data_units"]]

    @data_units.setter
    def data_units(self, value: str) -> None:
        known = get_data_units(self.unit)
        if known not in (None, validate_data_units(value)):
            msg = f"data_units cannot be {value!r}: pixels in {self.unit} are {known!r}"
            raise ValueError(msg)
        self._row["data_units"] = DATA_UNITS.index(value)

    @property
    def unit(self) -> u.UnitBase | None:
        """Unit of the data, `None` if it is not known."""
        return self._store.image.unit

    @property
    def image(self) -> ImageInfo:
        """What is known of the image that the cutout was cut from."""
        return self._store.image

    @property
    def meta(self) -> Mapping:
        """What is known of the cutout, over what is known of the image."""
        return ChainMap(self._own().setdefault("meta", {}), self.image.meta)

    @meta.setter
    def meta(self, value) -> None:
        self._own()["meta"] = dict(validate_meta(value))

    @property
    def psf(self):
        """The PSF, that of the image unless it was set."""
        return self._store.own.get(self._i, {}).get("psf", self.image.psf)

    @psf.setter
    def psf(self, value) -> None:
        self._own()["psf"] = value

    def _deferred_planes(self) -> dict:
        """What to cut in place of planes that nobody has asked for."""
        own = self._store.own.get(self._i, {})
        found = {name: p.image for name, p in own.items() if isinstance(p, DeferredArray)}
        array = found.get("uncertainty", own.get("uncertainty"))
        if array is not None:
            # An uncertainty that has a parent has asked for its data.
            found["uncertainty"] = self._uncertainty_kind(array)
        return found

    def _own(self) -> dict:
        return self._store.own.setdefault(self._i, {})

    # The pixels

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes that there are, such as ``'data'`` and ``'mask'``."""
        return tuple(self._store.plane_names(self._i))

    flags = plane_property("flags", "Data quality flags, `None` if there are none.")
    dq = plane_property("flags", "Data quality flags, under the name that HST and JWST use.")
    weight = plane_property("weight", "Pixel weights, `None` if there are none.")
    segmentation = plane_property(
        "segmentation", "Labels of the segmentation image, `None` if they were not kept."
    )

    @property
    def data(self) -> np.ndarray:
        """Pixels, of shape ``(height, width)``."""
        return self._store.plane(self._i, "data")

    @data.setter
    def data(self, value) -> None:
        if isinstance(value, np.ma.MaskedArray):
            self.mask = self.mask | np.ma.getmaskarray(value)
            value = value.data
        if isinstance(value, u.Quantity):
            value = value.to_value(self.unit or u.dimensionless_unscaled)
        set_pixels(self, "data", value)

    @property
    def mask(self) -> np.ndarray:
        """Array of bool of shape ``(height, width)``, `True` where a pixel is bad."""
        return self._store.plane(self._i, "mask")

    @mask.setter
    def mask(self, value) -> None:
        if value is None or np.ndim(value) == 0:
            value = np.full(self.shape, bool(value))
        set_pixels(self, "mask", np.asarray(value, bool))

    @property
    def uncertainty(self) -> NDUncertainty | None:
        """Uncertainty of the data, `None` if it is not known."""
        array = self._store.plane(self._i, "uncertainty")
        if array is None:
            return None
        known = self.__dict__.get("_uncertainty")
        if known is None or not same_pixels(known.array, array):
            known = self._uncertainty_kind(array)
            known.parent_nddata = self
            self._uncertainty = known
        return known

    @uncertainty.setter
    def uncertainty(self, value) -> None:
        value = as_uncertainty(value)
        if value is None:
            self._own().pop("uncertainty_type", None)
            self._store.set_plane(self._i, "uncertainty", None)
            return
        if np.shape(value.array) != self.shape:
            msg = f"uncertainty has shape {np.shape(value.array)}, the cutout has {self.shape}"
            raise ValueError(msg)
        kinds = PLANES["uncertainty"].kinds
        array = validate_kind("uncertainty", np.asarray(value.array), kinds)
        new = type(value)(array.astype(array.dtype.newbyteorder("=")), unit=value.unit, copy=False)
        new.parent_nddata = self
        self._own().update(uncertainty=new.array, uncertainty_type=(type(new), new.unit))
        self._uncertainty = new

    @property
    def error(self) -> np.ndarray | None:
        """Standard deviations in the unit of the data, whatever kind of uncertainty there is."""
        return standard_deviations(self.uncertainty, self.unit)

    def _uncertainty_kind(self, array) -> NDUncertainty:
        kind, unit = self._store.uncertainty_type_and_unit(self._i)
        return kind(array, unit=unit, copy=False)

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

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self.data, dtype=dtype, copy=copy)

    # Others made from it

    def __getitem__(self, item) -> Cutout:
        """
        Part of the cutout, all planes, the box and the WCS together.

        Parameters
        ----------
        item : slice or tuple of slice
            ``(y, x)``, without step. As in numpy, pixels are shared. Of a whole image
            whose pixels or mask nobody has asked for, only the part is read.
        """
        sy, sx = pixel_slices(item, self.shape)
        own, planes = self._store.own.get(self._i, {}), {}
        for name in self._store.plane_names(self._i):
            late = isinstance(own.get(name), DeferredArray)
            planes[name] = own[name] if late else self._store.plane(self._i, name)
        store = self._store.extract(self._i, slice_planes(planes, (sy, sx), self.image))
        row = store.index[0]
        for name, start in (("x", sx.start), ("y", sy.start)):
            row[name] += start
            row[f"original_{name}"] += start
        row["width"], row["height"] = sx.stop - sx.start, sy.stop - sy.start
        return self._of(store, 0)

    def copy(self) -> Cutout:
        """A cutout on its own, with pixels of its own and the same WCS."""
        store = self._store.extract(self._i)
        for name in self._store.plane_names(self._i):
            store.own[0][name] = store.own[0][name].copy()
        return self._of(store, 0)

    def __copy__(self) -> Cutout:
        return self._of(self._store.extract(self._i), 0)

    def __deepcopy__(self, memo) -> Cutout:
        store = self._store.extract(self._i)
        store.image = copying.deepcopy(store.image, memo)
        store.own = copying.deepcopy(store.own, memo)
        store.ids = copying.deepcopy(store.ids, memo)
        return self._of(store, 0)

    def __reduce__(self):
        return self._of, (self._store.extract(self._i), 0)

    def to_counts(self) -> Cutout:
        """
        The same in counts: a rate times the exposure time.

        Returns
        -------
        Cutout
            A cutout on its own, in any case.

        Raises
        ------
        `~astropy.units.UnitsError`
            If the unit is a flux density or a surface brightness.
        """
        return self._convert("counts")

    def to_rate(self) -> Cutout:
        """The same per second: counts divided by the exposure time; see `to_counts`."""
        return self._convert("rate")

    def _convert(self, data_units) -> Cutout:
        if not is_countable(self.unit):
            msg = f"pixels in {self.unit} are not counts, whatever the exposure time"
            raise u.UnitsError(msg)
        new = self.copy()
        if self.data_units == data_units:
            return new
        if self.exptime <= 0:
            msg = (
                f"exptime must be positive to convert pixels to {data_units}, it is {self.exptime}"
            )
            raise ValueError(msg)
        time = exposure(self.exptime, self.unit)
        new._scale(time if data_units == "counts" else 1 / time, data_units)
        return new

    def _scale(self, factor, data_units) -> None:
        """Multiply the pixels by a number, or by one with a unit where they have one."""
        number, per = float(getattr(factor, "value", factor)), getattr(factor, "unit", None)
        uncertainty, unit = self.uncertainty, None if per is None else self.unit * per
        self._store.image = replace(self.image, unit=unit or self.unit, data_units=data_units)
        self._row["data_units"] = DATA_UNITS.index(data_units)
        self.data = self.data * number
        if uncertainty is None:
            return
        self.uncertainty = None
        power = uncertainty_power(type(uncertainty))
        if power is None:
            msg = f"a {type(uncertainty).__name__} is dropped: nobody knows how it scales"
            warnings.warn(msg, SubpixalWarning, stacklevel=4)
            return
        unit = uncertainty.unit if per is None else uncertainty.unit * per**power
        self.uncertainty = type(uncertainty)(
            uncertainty.array * number**power, unit=unit, copy=False
        )


# A plane that is new in the table needs no property of its own in the class.
for _plane in PLANES.values():
    if not hasattr(Cutout, _plane.name):
        setattr(Cutout, _plane.name, plane_property(_plane.name, _plane.doc))


def _empty(arguments: ImageArguments, blc, trc, fillval):
    """Return image, box and pixels of a cutout without data."""
    planes = {PLANES[name].argument: plane for name, plane in arguments.planes.items()}
    for name, pixels in (planes | {"mask": arguments.masks[0]}).items():
        if pixels is not None:
            msg = f"{name} must be None where data is None: there is no image that it belongs to"
            raise ValueError(msg)
    if trc is None:
        msg = "trc must be given where data is None"
        raise ValueError(msg)
    image, _ = parse_image(replace(arguments, data=np.empty((0, 0)), masks=()))
    box = parse_box(blc, trc, None)
    check_fill(fillval, np.float32)
    pixels = {"data": np.full(box.shape, fillval, np.float32), "mask": np.ones(box.shape, bool)}
    return replace(image, shape=None), box, pixels
