"""Record of the properties of an image, which all cutouts of the image share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from astropy import units as u
from astropy.nddata import BitFlagNameMap, NDUncertainty, StdDevUncertainty, extend_bit_flag_map

from subpixal.geometry import PixelGrid
from subpixal.geometry.fits_wcs import exact_wcs

from .lazy import as_image

__all__ = ["ImageInfo", "as_uncertainty", "get_flag_names"]


@dataclass(frozen=True, eq=False, repr=False)
class ImageInfo:
    """
    Record of the properties of an image, without pixels.

    Cutouts that are cut from an image together share one record.

    Attributes
    ----------
    wcs : object
        The APE 14 WCS of the image, as the caller passed it.
    shape : tuple of int or None
        ``(ny, nx)`` of the image; `None` if the image has no pixels.
    unit : `~astropy.units.Unit` or None
        Unit of the pixels.
    data_units : {'counts', 'rate'}
        Kind of the pixel values.
    exptime : float
        Exposure time in seconds.
    uncertainty_type : type or None
        Class of the uncertainty, a subclass of `~astropy.nddata.NDUncertainty`.
    uncertainty_unit : `~astropy.units.Unit` or None
        Unit of the uncertainty.
    psf : object
        PSF of the image.
    meta : mapping
        Metadata of the image.
    dqbitmask : int or None
        Bits of the good flags, which do not mask a pixel. All other flags mask. With `None`, no
        flag masks.
    name : str
        Name of the image.
    stage : str
        Name of the step of a chain of cutouts that uses the image: ``'primary'``,
        ``'input_image'`` or ``'drz'``.
    """

    wcs: Any
    shape: tuple[int, int] | None
    unit: u.UnitBase | None = None
    data_units: str = "rate"
    exptime: float = 1.0
    uncertainty_type: type | None = None
    uncertainty_unit: u.UnitBase | None = None
    psf: Any = None
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
        """Names of the flags from ``meta['flag_names']``; `None` if the flags have no names."""
        return get_flag_names(self.meta)

    @property
    def sharing_key(self) -> tuple:
        """
        Key that is equal for two records of the same image.

        Two cutouts of the same image have different records if they are cut separately. The key
        shows that the records are for the same image.
        """
        plain = (self.shape, self.unit, self.data_units, self.exptime, self.name, self.stage)
        uncertainty = self.uncertainty_type, self.uncertainty_unit
        large = id(self.wcs), id(self.psf), id(self.meta) if self.meta else 0
        return (*plain, *uncertainty, *large, self.dqbitmask)

    def __copy__(self) -> ImageInfo:
        return replace(self)

    def __deepcopy__(self, memo: dict) -> ImageInfo:
        return replace(
            self, **{f.name: deepcopy(getattr(self, f.name), memo) for f in fields(self)}
        )

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name != "grid"}
        return state | {"wcs": exact_wcs(self.wcs)}

    def __repr__(self) -> str:
        size = "" if self.shape is None else f", {self.shape[1]}x{self.shape[0]} pixels"
        unit = "" if self.unit is None else f" [{self.unit}]"
        wcs = type(self.wcs).__name__
        return f"<Image {self.name!r}{size} of {self.data_units}{unit}, {self.exptime} s, {wcs}>"


def get_flag_names(meta: Mapping | None) -> type[BitFlagNameMap] | None:
    """Return the names of flags from the metadata of an image; `None` if they have no names."""
    names = None if meta is None else meta.get("flag_names")
    return extend_bit_flag_map("FlagNames", **names) if isinstance(names, Mapping) else None


def as_uncertainty(value: Any) -> NDUncertainty | None:
    """Return an uncertainty as an NDUncertainty; a plain array means standard deviations."""
    if isinstance(value, NDUncertainty):
        # An NDData may have an uncertainty without values.
        return None if value.array is None else value
    if value is None:
        return None
    if isinstance(value, u.Quantity):
        return StdDevUncertainty(value.value, unit=value.unit, copy=False)
    return StdDevUncertainty(as_image(value), copy=False)
