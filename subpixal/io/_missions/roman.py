"""Nancy Grace Roman Space Telescope."""

from __future__ import annotations

from typing import Any

import astropy.units as u

from .metadata import Keywords, find_in
from .mission import Instrument, Mission, number_flags

__all__ = ["ROMAN"]

# `pixel` in dqflags.py of roman_datamodels. Reserved flags have no name.
_FLAGS = number_flags("""
    DO_NOT_USE SATURATED JUMP_DET DROPOUT GW_AFFECTED_DATA PERSISTENCE
    AD_FLOOR OUTLIER UNRELIABLE_ERROR NON_SCIENCE DEAD HOT WARM LOW_QE
    - TELEGRAPH NONLINEAR BAD_REF_PIXEL NO_FLAT_FIELD NO_GAIN_VALUE
    NO_LIN_CORR NO_SAT_CHECK UNRELIABLE_BIAS UNRELIABLE_DARK UNRELIABLE_SLOPE
    UNRELIABLE_FLAT - - UNRELIABLE_RESET - OTHER_BAD_PIXEL REFERENCE_PIXEL
""")


def _default_unit(tree: Any) -> u.UnitBase:
    """Return the unit of an image, which files of Roman do not contain."""
    combined = find_in(tree, "weight") is not None
    calibrated = find_in(tree, "meta.cal_step.flux") == "COMPLETE"
    return u.MJy / u.sr if combined or calibrated else u.DN / u.s


ROMAN = Mission(
    "ROMAN",
    # Every bad pixel has the flag DO_NOT_USE or NON_SCIENCE. Pixels with other flags are good.
    instruments=(Instrument("WFI", "", _FLAGS, ~(1 + 512)),),
    model=Keywords.of_models(
        exposure_parts=("observation.visit_id", "observation.exposure"),
        exposure_format="r{}_{:0>4}",
    ),
    asdf_root="roman",
    default_unit=_default_unit,
)
