"""The record that all cutouts of an image share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property

from astropy import units as u
from astropy.nddata import (
    BitFlagNameMap,
    NDUncertainty,
    StdDevUncertainty,
    extend_bit_flag_map,
)

from subpixal.geometry import PixelGrid
from subpixal.geometry.fits_wcs import exact_pickle

from .lazy import as_image

__all__ = ["ImageInfo", "as_uncertainty"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageInfo:
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
    def grid(self) -> PixelGrid:
        """The pixel grid of the image on the sky."""
        return PixelGrid(self.wcs, self.shape)

    @property
    def flag_names(self) -> type[BitFlagNameMap] | None:
        """What the flags are called, by ``meta['flag_names']``; `None` if they have no names."""
        return flag_names_of(self.meta)

    @property
    def sharing_key(self) -> tuple:
        """
        Key that two records of the same image share.

        Each cutout that is cut alone has its own record.
        """
        plain = (self.shape, self.unit, self.data_units, self.exptime, self.name, self.stage)
        uncertainty = self.uncertainty_type, self.uncertainty_unit
        large = id(self.wcs), id(self.psf), id(self.meta) if self.meta else 0
        return (*plain, *uncertainty, *large, self.dqbitmask)

    def __copy__(self) -> ImageInfo:
        return replace(self)

    def __deepcopy__(self, memo) -> ImageInfo:
        return replace(
            self, **{f.name: deepcopy(getattr(self, f.name), memo) for f in fields(self)}
        )

    def __getstate__(self):
        state = {name: value for name, value in self.__dict__.items() if name != "grid"}
        return state | {"wcs": exact_pickle(self.wcs)}

    def __repr__(self) -> str:
        size = "" if self.shape is None else f", {self.shape[1]}x{self.shape[0]} pixels"
        unit = "" if self.unit is None else f" [{self.unit}]"
        wcs = type(self.wcs).__name__
        return f"<Image {self.name!r}{size} of {self.data_units}{unit}, {self.exptime} s, {wcs}>"


def flag_names_of(meta) -> type[BitFlagNameMap] | None:
    names = None if meta is None else meta.get("flag_names")
    return extend_bit_flag_map("FlagNames", **names) if isinstance(names, Mapping) else None


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
