"""Parse the arguments that describe an image."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

import numpy as np
from astropy import units as u
from astropy.nddata import (
    NDData,
    interpret_bit_flags,
)
from astropy.utils.masked import Masked

from subpixal.geometry.low_level import low_level_wcs

from .defaults import DEFAULT_DQBITMASK, DEFAULT_EXPTIME, DEFAULT_RATE, ImplicitDefault
from .info import ImageInfo, as_uncertainty, flag_names_of
from .lazy import as_image
from .masks import mask_without_flags, unite_masks
from .units import get_data_units, validate_data_units, validate_exptime
from .validation import refuse_name, validate_flags, validate_meta, validate_numbers

__all__ = ["parse_image_arguments"]


def parse_image_arguments(
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
    data_units=DEFAULT_RATE,
    exptime=DEFAULT_EXPTIME,
    dqbitmask=DEFAULT_DQBITMASK,
    prefix="",
) -> tuple[ImageInfo, dict]:
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
        2-D arrays, `LazyArray` or `UnitedMask` of the shape of the image: ``'data'`` and as
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
        if isinstance(exptime, ImplicitDefault):
            exptime = getattr(nd, "exptime", exptime)
        if isinstance(data_units, ImplicitDefault):
            data_units = getattr(nd, "data_units", data_units)
        if isinstance(dqbitmask, ImplicitDefault):
            dqbitmask = getattr(getattr(nd, "image", None), "dqbitmask", dqbitmask)
        elif masks[-1] is not None:
            masks[-1] = mask_without_flags(nd)
    data = _bare(data, masks, units, f"{prefix}data")
    if wcs is None:
        msg = f"{prefix}wcs must be given: the image is not an NDData that has a WCS"
        raise ValueError(msg)
    unit = _one_unit(units, f"{prefix}data")
    uncertainty, uncertainty_unit = _check_uncertainty(as_uncertainty(uncertainty), unit)
    planes = {
        "data": data,
        "mask": unite_masks(masks, data.shape, prefix),
        "uncertainty": None if uncertainty is None else uncertainty.array,
        "flags": None if dq is None else validate_flags(f"{prefix}dq", as_image(dq)),
        "weight": weight,
    }
    names = {"uncertainty": "uncertainty", "flags": f"{prefix}dq", "weight": f"{prefix}weight"}
    for name, argument in names.items():
        if planes[name] is not None:
            planes[name] = _as_plane(planes[name], argument, data.shape)
    # It refuses what is not a WCS of two pixel axes.
    low_level_wcs(wcs)
    image = ImageInfo(
        wcs=wcs,
        shape=data.shape,
        unit=unit,
        data_units=get_data_units(unit) or validate_data_units(data_units),
        exptime=validate_exptime(f"{prefix.removesuffix('im')}exptime", exptime),
        uncertainty_type=None if uncertainty is None else type(uncertainty),
        uncertainty_unit=uncertainty_unit,
        psf=psf,
        meta=validate_meta(meta),
        dqbitmask=_parse_bit_mask(dqbitmask, meta, prefix),
        name=_name(meta),
    )
    return image, {name: plane for name, plane in planes.items() if plane is not None}


def _planes_of(nd: NDData) -> dict:
    """Functions that give the planes of an NDData; of a whole image, without reading them."""
    unread = getattr(nd, "_deferred_planes", dict)()
    return {
        name: (lambda name=name: unread[name] if name in unread else getattr(nd, name, None))
        for name in ("data", "mask", "uncertainty", "flags", "weight")
    }


def _meta_of(nd: NDData) -> Mapping:
    """Metadata of an NDData; of a cutout without any of its own, the very ones of its image."""
    meta = nd.meta
    return meta.maps[-1] if isinstance(meta, ChainMap) and not any(meta.maps[:-1]) else meta


def _parse_bit_mask(dqbitmask, meta, prefix) -> int | None:
    """Good flags as a number, so that nothing later on needs their names."""
    if isinstance(dqbitmask, ImplicitDefault):
        return int(dqbitmask)
    if dqbitmask is None or type(dqbitmask) is int:
        return dqbitmask
    names = flag_names_of(meta)
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


def _grid_wcs(nd: NDData):
    """WCS of the pixels of an NDData; of a whole image, the very one of the image."""
    whole = getattr(nd, "origin", None) == (0, 0)
    return nd.image_wcs if whole else nd.wcs


def _as_plane(array, argument, shape):
    refuse_name(argument, "hold numbers", array, "read_image")
    array = validate_numbers(argument, as_image(array))
    if array.ndim != 2:
        msg = f"{argument} must have 2 dimensions, got shape {array.shape}"
        raise ValueError(msg)
    if shape is not None and array.shape != shape:
        msg = f"{argument} has shape {array.shape}, the image has {shape}"
        raise ValueError(msg)
    return array


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
