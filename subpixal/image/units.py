"""Counts and rates: kinds of units, exposure times, and uncertainties."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import (
    InverseVariance,
    NDUncertainty,
    StdDevUncertainty,
    VarianceUncertainty,
)

__all__ = [
    "DATA_UNITS",
    "exposure",
    "get_data_units",
    "is_countable",
    "standard_deviations",
    "uncertainty_power",
    "validate_data_units",
    "validate_exptime",
]

DATA_UNITS = ("rate", "counts")

_COUNT_UNITS = (u.ct, u.electron, u.DN, u.adu, u.photon)

# Exponents of the scaling of uncertainties. If the data are multiplied by a factor, the uncertainty
# is multiplied by the factor to the power of the exponent.
_POWERS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}


def validate_data_units(value: str) -> str:
    """Return ``value`` if it is 'rate' or 'counts', otherwise raise an error."""
    if value not in DATA_UNITS:
        msg = f"data_units must be one of {DATA_UNITS}, got {value!r}"
        raise ValueError(msg)
    return str(value)


def validate_exptime(name: str, value: Any) -> float:
    """Return an exposure time in seconds; ``value`` may be a `~astropy.units.Quantity`."""
    try:
        time = float(value.to_value(u.s) if isinstance(value, u.Quantity) else value)
    except (TypeError, ValueError):
        time = math.nan
    if not 0 <= time < math.inf:
        msg = f"{name} must be a finite number of seconds, 0 or more, got {value!r}"
        raise ValueError(msg)
    return time


def get_data_units(unit: u.UnitBase | None) -> str | None:
    """
    Return the kind of pixels that a unit implies.

    Parameters
    ----------
    unit : `~astropy.units.Unit` or None
        Unit of an image.

    Returns
    -------
    {'counts', 'rate'} or None
        `None` if the unit implies neither counts nor a rate.
    """
    powers = _powers(unit)
    if any(powers.get(count) == 1 for count in _COUNT_UNITS):
        return "rate" if powers.get(u.s, 0) < 0 else "counts"
    # Flux densities and surface brightnesses are rates. Their units contain energy per time, or
    # maggies.
    return "rate" if u.mgy in powers or (u.kg in powers and powers.get(u.s, 0) < 0) else None


def is_countable(unit: u.UnitBase | None) -> bool:
    """Return `True` if an exposure time can convert values in the unit to counts and back."""
    return (
        unit is None
        or unit == u.dimensionless_unscaled
        or any(count in _powers(unit) for count in _COUNT_UNITS)
    )


def exposure(exptime: float, unit: u.UnitBase | None) -> float | u.Quantity:
    """Return the factor that turns a rate into counts, in the unit of time of the rate."""
    if unit is None or unit == u.dimensionless_unscaled:
        return exptime
    times = [base for base in unit.bases if base.physical_type == "time"]
    return (exptime * u.s).to(times[0] if times else u.s)


def uncertainty_power(kind: type) -> int | None:
    """
    Return the exponent with which a class of uncertainty scales with the data.

    If the data are multiplied by a factor, the uncertainty is multiplied by the factor to the power
    of the exponent. The result is `None` if the exponent is unknown.
    """
    return next((power for known, power in _POWERS.items() if issubclass(kind, known)), None)


def standard_deviations(uncertainty: NDUncertainty | None, unit: Any) -> np.ndarray | None:
    """
    Return an uncertainty as standard deviations, in plain numbers.

    Parameters
    ----------
    uncertainty : `~astropy.nddata.NDUncertainty` or None
        Uncertainty of the data.
    unit : `~astropy.units.Unit` or None
        Unit of the data. The result is in this unit, too.

    Returns
    -------
    array or None
        Standard deviations, infinite for inverse variances of 0. `None` without an uncertainty.

    Raises
    ------
    TypeError
        If the class of the uncertainty cannot be converted to standard deviations.
    """
    if uncertainty is None:
        return None
    if not isinstance(uncertainty, StdDevUncertainty):
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                uncertainty = uncertainty.represent_as(StdDevUncertainty)
        except TypeError:
            kind = type(uncertainty).__name__
            msg = f"{kind} cannot be converted to standard deviations"
            raise TypeError(msg) from None
    if uncertainty.unit in (None, unit):
        return uncertainty.array
    return uncertainty.array * uncertainty.unit.to(unit)


def _powers(unit: Any) -> dict:
    if unit is None:
        return {}
    try:
        base = unit.decompose()
        return dict(zip(base.bases, base.powers, strict=True))
    except (AttributeError, TypeError):
        # Magnitudes and other logarithmic units have no base units.
        return {}
