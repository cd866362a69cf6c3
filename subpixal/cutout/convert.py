"""Convert cutouts between counts and rates."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

from astropy import units as u

from subpixal.errors import SubpixalWarning
from subpixal.image import DATA_UNITS, exposure, is_countable, uncertainty_power

if TYPE_CHECKING:
    from .cutout import Cutout

__all__ = ["convert_pixels"]


def convert_pixels(cutout: Cutout, data_units: str) -> Cutout:
    """Return a copy of a cutout, converted to counts or rates; see `Cutout.to_counts`."""
    if not is_countable(cutout.unit):
        msg = f"pixels in {cutout.unit} are not counts: an exposure time cannot convert them"
        raise u.UnitsError(msg)
    converted = cutout.copy()
    if cutout.data_units == data_units:
        return converted
    if cutout.exptime <= 0:
        msg = f"exptime must be positive to convert pixels to {data_units}, it is {cutout.exptime}"
        raise ValueError(msg)
    time = exposure(cutout.exptime, cutout.unit)
    _scale(converted, time if data_units == "counts" else 1 / time, data_units)
    return converted


def _scale(cutout: Cutout, factor: float | u.Quantity, data_units: str) -> None:
    """Multiply the pixels of a cutout by a factor."""
    number = float(getattr(factor, "value", factor))
    factor_unit = getattr(factor, "unit", None)
    uncertainty = cutout.uncertainty
    unit = cutout.unit if factor_unit is None else cutout.unit * factor_unit
    cutout.store.image = replace(cutout.image, unit=unit, data_units=data_units)
    cutout._columns["data_units"] = DATA_UNITS.index(data_units)
    cutout.data = cutout.data * number
    if uncertainty is None:
        return
    cutout.uncertainty = None
    kind = type(uncertainty)
    power = uncertainty_power(kind)
    if power is None:
        msg = f"dropping the uncertainty: the scaling of {kind.__name__} is unknown"
        warnings.warn(msg, SubpixalWarning, stacklevel=4)
        return
    unit = uncertainty.unit if factor_unit is None else uncertainty.unit * factor_unit**power
    cutout.uncertainty = kind(uncertainty.array * number**power, unit=unit, copy=False)
