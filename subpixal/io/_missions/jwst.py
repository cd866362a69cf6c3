"""James Webb Space Telescope."""

from __future__ import annotations

from .metadata import Keywords
from .mission import Instrument, Mission, number_flags

__all__ = ["JWST"]

# "Data quality flags" in the general references of the JWST pipeline, and `pixel` in dqflags.py of
# stdatamodels, where the ninth flag no longer has a name.
_FLAGS = number_flags("""
    DO_NOT_USE SATURATED JUMP_DET DROPOUT OUTLIER PERSISTENCE AD_FLOOR
    CHARGELOSS UNRELIABLE_ERROR NON_SCIENCE DEAD HOT WARM LOW_QE RC
    TELEGRAPH NONLINEAR BAD_REF_PIXEL NO_FLAT_FIELD NO_GAIN_VALUE NO_LIN_CORR
    NO_SAT_CHECK UNRELIABLE_BIAS UNRELIABLE_DARK UNRELIABLE_SLOPE UNRELIABLE_FLAT
    OPEN ADJ_OPEN FLUX_ESTIMATED MSA_FAILED_OPEN OTHER_BAD_PIXEL
    REFERENCE_PIXEL
""")

# Every bad pixel has the flag DO_NOT_USE or NON_SCIENCE. Pixels with other flags are good.
_GOOD_FLAGS = ~(1 + 512)

# Identifiers of exposures have the form of the names of their files.
_EXPOSURE = "jw{}_{}{}{}_{:0>5}"

JWST = Mission(
    "JWST",
    instruments=tuple(
        Instrument(name, "", _FLAGS, _GOOD_FLAGS)
        for name in ("NIRCAM", "NIRISS", "NIRSPEC", "MIRI", "FGS")
    ),
    header=Keywords(
        exposure_parts=("VISIT_ID", "VISITGRP", "SEQ_ID", "ACT_ID", "EXPOSURE"),
        exposure_format=_EXPOSURE,
    ),
    model=Keywords.of_models(
        exposure_parts=(
            "observation.visit_id",
            "observation.visit_group",
            "observation.sequence_id",
            "observation.activity_id",
            "observation.exposure_number",
        ),
        exposure_format=_EXPOSURE,
    ),
    needs_gwcs=True,
)
