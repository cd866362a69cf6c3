"""Whether numbers are counts or counts per time."""

from __future__ import annotations

from astropy import units as u

__all__ = ["DATA_UNITS", "check_data_units", "data_units_of", "exposure", "is_countable"]

DATA_UNITS = ("rate", "counts")

_COUNT_UNITS = (u.ct, u.electron, u.DN, u.adu, u.photon)


def check_data_units(value: str) -> str:
    """Return ``value`` if it is one of the allowed data units."""
    if value not in DATA_UNITS:
        msg = f"data_units must be one of {DATA_UNITS}, got {value!r}"
        raise ValueError(msg)
    return value


def data_units_of(unit: u.UnitBase | None) -> str | None:
    """
    What a unit says of its numbers.

    Parameters
    ----------
    unit : `~astropy.units.Unit` or None
        Unit of an image.

    Returns
    -------
    {'counts', 'rate'} or None
        `None` where the unit does not tell.
    """
    powers = _powers(unit)
    if any(powers.get(count) == 1 for count in _COUNT_UNITS):
        return "rate" if powers.get(u.s, 0) < 0 else "counts"
    # Flux densities and surface brightnesses are energies per time.
    return "rate" if u.kg in powers and powers.get(u.s, 0) < 0 else None


def is_countable(unit: u.UnitBase | None) -> bool:
    """Whether an exposure time turns numbers of this unit into counts and back."""
    return (
        unit is None
        or unit == u.dimensionless_unscaled
        or any(count in _powers(unit) for count in _COUNT_UNITS)
    )


def exposure(exptime: float, unit: u.UnitBase | None):
    """Exposure time as what multiplies a rate of some unit and divides counts."""
    if unit is None or unit == u.dimensionless_unscaled:
        return exptime
    times = [base for base in unit.bases if base.physical_type == "time"]
    return (exptime * u.s).to(times[0] if times else u.s)


def _powers(unit) -> dict:
    if unit is None:
        return {}
    try:
        base = unit.decompose()
        return dict(zip(base.bases, base.powers, strict=True))
    except (AttributeError, TypeError):
        # Magnitudes and other functions of a unit.
        return {}
