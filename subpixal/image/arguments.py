"""Arguments that describe an image, and a function that parses them."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import NDData, NDUncertainty, interpret_bit_flags
from astropy.utils.masked import Masked

from subpixal.geometry import low_level_wcs

from .defaults import DEFAULT_DQBITMASK, DEFAULT_EXPTIME, DEFAULT_RATE, ImplicitDefault
from .info import ImageInfo, as_uncertainty, get_flag_names
from .lazy import ImageArray, as_image
from .masks import mask_without_flags, unite_masks
from .planes import PLANES
from .units import get_data_units, validate_data_units, validate_exptime
from .validation import refuse_name, validate_kind, validate_meta

__all__ = ["ImageArguments", "parse_image"]

# Arguments whose names get the prefix "im". Another prefix, such as "drz_", applies to all
# arguments.
_WITH_IM = ("data", "wcs", "dq", "weight")


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageArguments:
    """
    The arguments with which a caller of a public function describes an image.

    Attributes
    ----------
    data : array, `~astropy.units.Quantity`, masked array or `~astropy.nddata.NDData`
        The image. If it is an NDData, its attributes replace the arguments that are not given. This
        and all other planes may be arrays that are read in parts.
    wcs : object or None
        WCS of the image.
    planes : mapping
        Other planes of the image by name, except the mask. The value is `None` for a plane that is
        not given.
    masks : tuple
        Masks of the image, which are combined by a logical or.
    units : tuple
        Units of the data, as an argument and the data themselves give them. An unknown unit is
        `None`. All known units must be equal.
    psf, meta, data_units, exptime, dqbitmask
        As for `~subpixal.cutout.Cutout`. The value of the NDData replaces an `ImplicitDefault`.
        ``dqbitmask`` may use the names of flags in ``meta['flag_names']``.
    prefix : str
        Prefix of the names of arguments in error messages, such as ``'im'``.
    """

    data: Any
    wcs: Any
    planes: Mapping[str, Any] = field(default_factory=dict)
    masks: tuple = ()
    units: tuple = ()
    psf: Any = None
    meta: Any = None
    data_units: Any = DEFAULT_RATE
    exptime: Any = DEFAULT_EXPTIME
    dqbitmask: Any = DEFAULT_DQBITMASK
    prefix: str = ""

    def name(self, argument: str) -> str:
        """Return the name of an argument with its prefix, as in the signature of the function."""
        has_prefix = self.prefix != "im" or argument in _WITH_IM
        return self.prefix + argument if has_prefix else argument


def parse_image(arguments: ImageArguments) -> tuple[ImageInfo, dict[str, ImageArray]]:
    """
    Parse the arguments that describe an image.

    Parameters
    ----------
    arguments : ImageArguments
        The arguments, as the caller passed them.

    Returns
    -------
    image : ImageInfo
        The properties of the image, without pixels.
    planes : dict
        The planes of the image, by the name of the plane: ``'data'``, and each other plane that the
        image has. A plane is an array, a `LazyArray` or a `UnitedMask`, and has the shape of the
        image. The function does not copy the pixels.
    """
    if isinstance(arguments.data, NDData):
        arguments = _complete_from_nddata(arguments, arguments.data)
    arguments = _resolve_defaults(arguments)
    arguments = _split_mask_and_unit(arguments)
    data = _parse_plane("data", arguments.data, arguments)
    ny, nx = data.shape
    shape = ny, nx
    if arguments.wcs is None:
        msg = f"{arguments.name('wcs')} must be given: the image is not an NDData that has a WCS"
        raise ValueError(msg)
    unit = _single_unit(arguments)
    uncertainty = as_uncertainty(arguments.planes.get("uncertainty"))
    uncertainty_unit = _uncertainty_unit(uncertainty, unit)
    given = {**arguments.planes, "uncertainty": getattr(uncertainty, "array", None)}
    planes: dict[str, Any] = {
        "data": data,
        "mask": unite_masks(arguments.masks, shape, arguments.prefix),
    }
    for name in PLANES:
        if name not in planes and given.get(name) is not None:
            planes[name] = _parse_plane(name, given[name], arguments, shape)
    # This call raises an error unless the argument is a WCS with two pixel axes.
    low_level_wcs(arguments.wcs)
    image = ImageInfo(
        wcs=arguments.wcs,
        shape=shape,
        unit=unit,
        data_units=get_data_units(unit) or validate_data_units(arguments.data_units),
        exptime=validate_exptime(arguments.name("exptime"), arguments.exptime),
        uncertainty_type=None if uncertainty is None else type(uncertainty),
        uncertainty_unit=uncertainty_unit,
        psf=arguments.psf,
        meta=validate_meta(arguments.meta),
        dqbitmask=_parse_bit_mask(arguments),
        name=_image_name(arguments.meta),
    )
    return image, {name: plane for name, plane in planes.items() if plane is not None}


def _complete_from_nddata(arguments: ImageArguments, nd: NDData) -> ImageArguments:
    """Return the arguments, completed by attributes of the NDData that contains the image."""
    deferred: dict[str, Any] = getattr(nd, "_deferred_planes", dict)()

    def plane(name: str) -> Any:
        return deferred[name] if name in deferred else getattr(nd, name, None)

    given = arguments.planes
    planes = {
        name: plane(name) if given.get(name) is None else given[name]
        for name in PLANES
        if name not in ("data", "mask")
    }
    # The mask of a cutout contains the pixels that its flags mask. Flags that the caller passes
    # mask further pixels.
    mask = plane("mask") if given.get("flags") is None else nd.mask
    own_image = getattr(nd, "image", None)
    if not isinstance(arguments.dqbitmask, ImplicitDefault) and mask is not None:
        mask = mask_without_flags(nd)
    return replace(
        arguments,
        data=plane("data"),
        wcs=_grid_wcs(nd) if arguments.wcs is None else arguments.wcs,
        planes=planes,
        masks=(*arguments.masks, mask),
        units=(*arguments.units, nd.unit),
        psf=nd.psf if arguments.psf is None else arguments.psf,
        meta=_meta_of(nd) if arguments.meta is None else arguments.meta,
        data_units=_explicit_or(arguments.data_units, nd, "data_units"),
        exptime=_explicit_or(arguments.exptime, nd, "exptime"),
        dqbitmask=_explicit_or(arguments.dqbitmask, own_image, "dqbitmask"),
    )


def _explicit_or(value: Any, owner: object, name: str) -> Any:
    """Return the value that the caller passed, or else the attribute of the image."""
    return getattr(owner, name, value) if isinstance(value, ImplicitDefault) else value


def _resolve_defaults(arguments: ImageArguments) -> ImageArguments:
    """Return the arguments with a plain value in the place of each implicit default."""
    given = {name: getattr(arguments, name) for name in ("data_units", "exptime", "dqbitmask")}
    defaults = {
        name: value.value for name, value in given.items() if isinstance(value, ImplicitDefault)
    }
    return replace(arguments, **defaults)


def _split_mask_and_unit(arguments: ImageArguments) -> ImageArguments:
    """Return the arguments with plain data, and with the mask and the unit of the data apart."""
    data: Any = arguments.data
    masks = arguments.masks
    units = arguments.units
    if isinstance(data, np.ma.MaskedArray):
        masks = (*masks, data.mask)
        data = data.data
    if isinstance(data, Masked):
        masks = (*masks, data.mask)
        data = data.unmasked
    if isinstance(data, u.Quantity):
        units = (*units, data.unit)
        data = data.value
    return replace(arguments, data=data, masks=masks, units=units)


def _parse_plane(
    name: str, array: Any, arguments: ImageArguments, shape: tuple[int, int] | None = None
) -> ImageArray:
    """Return a plane as an array of two axes, and check its dtype and its shape."""
    plane = PLANES[name]
    argument = arguments.name(plane.argument)
    refuse_name(argument, "hold numbers", array, "read_image")
    array = validate_kind(argument, as_image(array), plane.kinds)
    if array.ndim != 2:
        msg = f"{argument} must have 2 dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != shape:
        msg = f"{argument} has shape {array.shape}, the image has {shape}"
        raise ValueError(msg)
    return array


def _meta_of(nd: NDData) -> Mapping:
    """Return the metadata of an NDData, or of its image if a cutout has no metadata."""
    meta = nd.meta
    return meta.maps[-1] if isinstance(meta, ChainMap) and not any(meta.maps[:-1]) else meta


def _parse_bit_mask(arguments: ImageArguments) -> int | None:
    """Return the good flags as a number, so that later steps do not need names of flags."""
    value = arguments.dqbitmask
    if value is None or type(value) is int:
        return value
    names = get_flag_names(arguments.meta)
    try:
        return interpret_bit_flags(value, flag_name_map=names)
    except (AttributeError, TypeError, ValueError) as error:
        allowed = "the image has no names of flags in meta['flag_names']"
        if names is not None:
            allowed = f"the names of flags are {', '.join(arguments.meta['flag_names'])}"
        msg = (
            f"{arguments.name('dqbitmask')} must be the good flags, as bits or by names, "
            f"got {value!r}; {allowed}"
        )
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(msg) from error


def _uncertainty_unit(uncertainty: NDUncertainty | None, unit: Any) -> u.UnitBase | None:
    """Return the unit of an uncertainty, which may follow from the unit of the data."""
    if uncertainty is None:
        return None
    probe = type(uncertainty)(np.empty(0), unit=uncertainty.unit, copy=False)
    # Keep the NDData in a variable, because the uncertainty has only a weak reference to it.
    data = NDData(np.empty(0), unit=unit)
    try:
        probe.parent_nddata = data
    except (u.UnitsError, AttributeError):
        msg = f"uncertainty in {uncertainty.unit} contradicts data in {unit}"
        raise u.UnitConversionError(msg) from None
    return probe.unit


def _grid_wcs(nd: NDData) -> Any:
    """Return the WCS of the pixels of an NDData."""
    # If the origin of a cutout is the origin of its image, use the WCS of the image. It takes time
    # to make another WCS for the cutout.
    whole = getattr(nd, "origin", None) == (0, 0)
    return nd.image_wcs if whole else nd.wcs


def _single_unit(arguments: ImageArguments) -> u.UnitBase | None:
    """Return the unit of the data, and check that all known units are equal."""
    known = [u.Unit(unit) for unit in arguments.units if unit is not None]
    for unit in known[1:]:
        if unit != known[0]:
            msg = f"the unit of {arguments.name('data')} is both {known[0]} and {unit}"
            raise ValueError(msg)
    return known[0] if known else None


def _image_name(meta: Mapping | None) -> str:
    for key in ("name", "filename", "FILENAME"):
        if meta is not None and isinstance(meta.get(key), str):
            return meta[key]
    return ""
