"""The image that cutouts are cut from: what may be passed as one, and its record."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

import numpy as np
from astropy import units as u
from astropy.nddata import (
    BitFlagNameMap,
    NDData,
    NDUncertainty,
    StdDevUncertainty,
    extend_bit_flag_map,
    interpret_bit_flags,
)
from astropy.utils.masked import Masked

from subpixal.geometry import SkyImage
from subpixal.geometry.fits_wcs import exact_pickle
from subpixal.geometry.low_level import low_level_wcs

from ._defaults import ANY_FLAG, ONE_SECOND, RATE, Unsaid
from ._kernels import bad_flags
from ._lazy import LazyImage, UnitedMask, as_image, refuse_name, type_of
from ._units import check_data_units, check_exptime, data_units_of

__all__ = [
    "Image",
    "as_uncertainty",
    "check_flags",
    "check_meta",
    "check_numbers",
    "read_image_arguments",
]


@dataclass(frozen=True, eq=False, repr=False)
class Image:
    """
    What all cutouts of an image share.

    Attributes
    ----------
    wcs : object
        The APE 14 WCS of the image, as it was given.
    shape : tuple of int or None
        ``(ny, nx)`` of the image; `None` if there are no pixels.
    unit : `~astropy.units.Unit` or None
        Unit of the pixels.
    data_units : {'counts', 'rate'}
        What the pixels are.
    exptime : float
        Exposure time in seconds.
    uncertainty_type : type or None
        Subclass of `~astropy.nddata.NDUncertainty`.
    uncertainty_unit : `~astropy.units.Unit` or None
        Unit of the uncertainty.
    psf : object
        What the image has as its PSF.
    meta : mapping
        What is known of the image.
    dqbitmask : int or None
        The bits of flags that are good; `None` if flags do not matter.
    name : str
        Which image it is.
    stage : str
        Which step of the chain cut it: ``'primary'``, ``'input_image'``, ``'drz'``.
    """

    wcs: object
    shape: tuple[int, int] | None
    unit: u.UnitBase | None = None
    data_units: str = "rate"
    exptime: float = 1.0
    uncertainty_type: type | None = None
    uncertainty_unit: u.UnitBase | None = None
    psf: object = None
    meta: Mapping = field(default_factory=dict)
    dqbitmask: int | None = 0
    name: str = ""
    stage: str = ""

    @cached_property
    def sky(self) -> SkyImage:
        """The pixel grid of the image on the sky."""
        return SkyImage(self.wcs, self.shape)

    @property
    def flag_names(self) -> type[BitFlagNameMap] | None:
        """What the flags are called, by ``meta['flag_names']``; `None` if they have no names."""
        return _flag_names(self.meta)

    @property
    def identity(self) -> tuple:
        """
        What two records of one image have in common.

        Each cutout that is cut alone has a record of its own.
        """
        plain = (self.shape, self.unit, self.data_units, self.exptime, self.name, self.stage)
        uncertainty = self.uncertainty_type, self.uncertainty_unit
        large = id(self.wcs), id(self.psf), id(self.meta) if self.meta else 0
        return (*plain, *uncertainty, *large, self.dqbitmask)

    def __copy__(self) -> Image:
        return replace(self)

    def __deepcopy__(self, memo) -> Image:
        return replace(
            self, **{f.name: deepcopy(getattr(self, f.name), memo) for f in fields(self)}
        )

    def __getstate__(self):
        state = {name: value for name, value in self.__dict__.items() if name != "sky"}
        return state | {"wcs": exact_pickle(self.wcs)}

    def __repr__(self) -> str:
        size = "" if self.shape is None else f", {self.shape[1]}x{self.shape[0]} pixels"
        unit = "" if self.unit is None else f" [{self.unit}]"
        wcs = type(self.wcs).__name__
        return f"<Image {self.name!r}{size} of {self.data_units}{unit}, {self.exptime} s, {wcs}>"


def read_image_arguments(
    data,
    wcs,
    dq=None,
    weight=None,
    *,
    mask=None,
    uncertainty=None,
    unit=None,
    psf=None,
    meta=None,
    data_units=RATE,
    exptime=ONE_SECOND,
    dqbitmask=ANY_FLAG,
    prefix="",
) -> tuple[Image, dict]:
    """
    Understand what a user passes as an image.

    Parameters
    ----------
    data : array, `~astropy.units.Quantity`, masked array or `~astropy.nddata.NDData`
        The image. What an NDData has besides its data is used where nothing
        else is given; masks are or-ed. All planes may be arrays that are read
        piece by piece.
    wcs, dq, weight, mask, uncertainty, unit, psf, meta, data_units, exptime, dqbitmask
        What was given explicitly, where it is not `Unsaid`. ``meta['flag_names']``
        has the names that may be in the bit mask.
    prefix : str
        Prefix of the argument names in error messages, such as ``'im'``.

    Returns
    -------
    image : Image
    planes : dict
        2-D arrays, `LazyImage` or `UnitedMask` of the shape of the image: ``'data'`` and as
        far as there are any ``'mask', 'uncertainty', 'flags', 'weight'``. Nothing is copied.
    """
    masks, units = [mask], [unit]
    if isinstance(data, NDData):
        nd, said = data, _planes_of(data)
        data = said["data"]()
        # The mask of a cutout has its own flags, other flags are or-ed to it.
        masks.append(said["mask"]() if dq is None else nd.mask)
        units.append(nd.unit)
        wcs = _grid_wcs(nd) if wcs is None else wcs
        dq = said["flags"]() if dq is None else dq
        weight = said["weight"]() if weight is None else weight
        uncertainty = said["uncertainty"]() if uncertainty is None else uncertainty
        psf = nd.psf if psf is None else psf
        meta = _meta_of(nd) if meta is None else meta
        if isinstance(exptime, Unsaid):
            exptime = getattr(nd, "exptime", exptime)
        if isinstance(data_units, Unsaid):
            data_units = getattr(nd, "data_units", data_units)
        if isinstance(dqbitmask, Unsaid):
            dqbitmask = getattr(getattr(nd, "image", None), "dqbitmask", dqbitmask)
        elif masks[-1] is not None:
            masks[-1] = _mask_without_flags(nd)
    data = _bare(data, masks, units, f"{prefix}data")
    if wcs is None:
        msg = f"{prefix}wcs must be given: the image is not an NDData that has a WCS"
        raise ValueError(msg)
    unit = _one_unit(units, f"{prefix}data")
    uncertainty, uncertainty_unit = _check_uncertainty(as_uncertainty(uncertainty), unit)
    planes = {
        "data": data,
        "mask": _union(masks, data.shape, prefix),
        "uncertainty": None if uncertainty is None else uncertainty.array,
        "flags": None if dq is None else check_flags(f"{prefix}dq", as_image(dq)),
        "weight": weight,
    }
    names = {"uncertainty": "uncertainty", "flags": f"{prefix}dq", "weight": f"{prefix}weight"}
    for name, argument in names.items():
        if planes[name] is not None:
            planes[name] = _as_plane(planes[name], argument, data.shape)
    # It refuses what is not a WCS of two pixel axes.
    low_level_wcs(wcs)
    image = Image(
        wcs=wcs,
        shape=data.shape,
        unit=unit,
        data_units=data_units_of(unit) or check_data_units(data_units),
        exptime=check_exptime(f"{prefix.removesuffix('im')}exptime", exptime),
        uncertainty_type=None if uncertainty is None else type(uncertainty),
        uncertainty_unit=uncertainty_unit,
        psf=psf,
        meta=check_meta(meta),
        dqbitmask=_read_bit_mask(dqbitmask, meta, prefix),
        name=_name(meta),
    )
    return image, {name: plane for name, plane in planes.items() if plane is not None}


def _planes_of(nd: NDData) -> dict:
    """Functions that give the planes of an NDData; of a whole image, without reading them."""
    unread = getattr(nd, "_unread", dict)()
    return {
        name: (lambda name=name: unread[name] if name in unread else getattr(nd, name, None))
        for name in ("data", "mask", "uncertainty", "flags", "weight")
    }


def _meta_of(nd: NDData) -> Mapping:
    """Metadata of an NDData; of a cutout without any of its own, the very ones of its image."""
    meta = nd.meta
    return meta.maps[-1] if isinstance(meta, ChainMap) and not any(meta.maps[:-1]) else meta


def check_meta(value) -> Mapping:
    """Metadata, an empty dict where there are none."""
    if not isinstance(value, Mapping | None):
        msg = f"meta must be a mapping, got {type(value).__name__}"
        raise TypeError(msg)
    return {} if value is None else value


def _flag_names(meta) -> type[BitFlagNameMap] | None:
    names = None if meta is None else meta.get("flag_names")
    return extend_bit_flag_map("FlagNames", **names) if isinstance(names, Mapping) else None


def _read_bit_mask(dqbitmask, meta, prefix) -> int | None:
    """Good flags as a number, so that nothing later on needs their names."""
    if isinstance(dqbitmask, Unsaid):
        return int(dqbitmask)
    if dqbitmask is None or type(dqbitmask) is int:
        return dqbitmask
    names = _flag_names(meta)
    try:
        return interpret_bit_flags(dqbitmask, flag_name_map=names)
    except (AttributeError, TypeError, ValueError) as error:
        known = "; names are those in meta['flag_names'] of an image, which this one does not have"
        if names is not None:
            known = f"; known are {', '.join(meta['flag_names'])}"
        msg = (
            f"{prefix.removeprefix('im')}dqbitmask must be flags that are good, "
            f"as bits or by names that the image has, got {dqbitmask!r}{known}"
        )
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(msg) from error


def as_uncertainty(value) -> NDUncertainty | None:
    """Uncertainty as an NDUncertainty; a bare array means standard deviations."""
    if isinstance(value, NDUncertainty):
        # NDData allows one without values.
        return None if value.array is None else value
    if value is None:
        return None
    if isinstance(value, u.Quantity):
        return StdDevUncertainty(value.value, unit=value.unit, copy=False)
    return StdDevUncertainty(as_image(value), copy=False)


def check_flags(name: str, value) -> np.ndarray | LazyImage:
    """Pixels that must be integers or booleans."""
    value = value if isinstance(value, LazyImage) else np.asarray(value)
    if value.dtype.kind not in "iub":
        msg = f"{name} must hold integers or booleans, got {type_of(value)}"
        raise TypeError(msg)
    return value


def check_numbers(name: str, value) -> np.ndarray | LazyImage:
    """Pixels that may be any numbers."""
    value = value if isinstance(value, LazyImage) else np.asarray(value)
    if value.dtype.kind not in "biufc":
        msg = f"{name} must hold numbers, got {type_of(value)}"
        raise TypeError(msg)
    return value


def _bare(data, masks, units, argument) -> np.ndarray:
    """The pixels of an array of any kind; its mask and unit go to the lists."""
    for kind, bare in ((np.ma.MaskedArray, "data"), (Masked, "unmasked")):
        if isinstance(data, kind):
            masks.append(data.mask)
            data = getattr(data, bare)
    if isinstance(data, u.Quantity):
        units.append(data.unit)
        data = data.value
    return _as_plane(data, argument, None)


def _check_uncertainty(uncertainty, unit):
    """An uncertainty and the unit that it has with data of some unit."""
    if uncertainty is None:
        return None, None
    probe = type(uncertainty)(np.empty(0), unit=uncertainty.unit, copy=False)
    data = NDData(np.empty(0), unit=unit)
    try:
        probe.parent_nddata = data
    except (u.UnitsError, AttributeError):
        msg = f"uncertainty in {uncertainty.unit} contradicts data in {unit}"
        raise u.UnitConversionError(msg) from None
    return uncertainty, probe.unit


def _mask_without_flags(nd: NDData):
    """Mask of an image that is to be masked by other flags than when it was read."""
    image = getattr(nd, "image", None)
    # Cutouts of sources are masked by segments, too, which cannot be told from flags.
    if image is None or image.stage or nd.flags is None:
        return nd.mask
    return nd.mask & ~bad_flags(nd.flags, image.dqbitmask)


def _grid_wcs(nd: NDData):
    """WCS of the pixels of an NDData; of a whole image, the very one of the image."""
    whole = getattr(nd, "origin", None) == (0, 0)
    return nd.image_wcs if whole else nd.wcs


def _as_plane(array, argument, shape):
    refuse_name(argument, "hold numbers", array, "read_image")
    array = check_numbers(argument, as_image(array))
    if array.ndim != 2:
        msg = f"{argument} must have 2 dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != shape:
        msg = f"{argument} has shape {array.shape}, the image has {shape}"
        raise ValueError(msg)
    return array


def _union(masks, shape, prefix):
    masks = [as_image(m) for m in masks if m is not None]
    for mask in masks:
        if mask.ndim and mask.shape != shape:
            msg = f"the mask of {prefix}data has shape {mask.shape}, the image has {shape}"
            raise ValueError(msg)
    masks = [m for m in masks if m.ndim or m]
    masks = [m if m.ndim else np.broadcast_to(m, shape) for m in masks]
    if len(masks) < 2:
        return masks[0] if masks else None
    united = UnitedMask(masks)
    return LazyImage(united) if united.lazy else united


def _one_unit(units, argument):
    known = [u.Unit(unit) for unit in units if unit is not None]
    for unit in known[1:]:
        if unit != known[0]:
            msg = f"the unit of {argument} is both {known[0]} and {unit}"
            raise ValueError(msg)
    return known[0] if known else None


def _name(meta) -> str:
    for key in ("name", "filename", "FILENAME"):
        if meta is not None and isinstance(meta.get(key), str):
            return meta[key]
    return ""
