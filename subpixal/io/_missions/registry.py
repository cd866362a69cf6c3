"""Names of data quality flags, and which of them are good, by mission and instrument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from astropy.nddata import extend_bit_flag_map, interpret_bit_flags

__all__ = ["ANY_NAMES", "FLAGS", "InstrumentFlags", "find_flags", "format_flags", "parse_flags"]


class InstrumentFlags(NamedTuple):
    """
    Flags of an instrument.

    Attributes
    ----------
    telescope, instrument, detector : str
        Whose they are, as files have it; an empty detector means any.
    names : dict
        The bit of each name.
    good : int
        Flags that do not make a pixel bad, as ``dqbitmask``.
    """

    telescope: str
    instrument: str
    detector: str
    names: dict[str, int]
    good: int


def _numbered(*names: str) -> dict[str, int]:
    """Flags in the order of their bits, from 1 on; an empty name is a bit without a meaning."""
    return {name: 1 << bit for bit, name in enumerate(names) if name}


# "ACS Data Quality Flags", stsci.edu/hst/instrumentation/acs/data-analysis/dq-flag-definitions;
# the short names are those of STScI's DQInspect plug-in (stginga, dqflags_acs.txt).
_ACS = _numbered(
    "LOST", "FILLED", "BADPIX", "MASKED", "HOT", "UNSTABLE", "WARM", "BADCOL", "SATURATED",
    "BADREF", "TRAP", "ATODSAT", "CRDRIZ", "CRREJ", "USER",
)  # fmt: skip


# WFC3 Data Handbook, section 2.2.3, table of data quality flags; the short names as far as they
# go from stginga, dqflags_wfc3.txt, which does not tell the two detectors apart.
_WFC3_UVIS = _numbered(
    "LOST", "FILLED", "BADPIX", "", "HOT", "UNSTABLE", "WARM", "BADBIAS", "SATURATED",
    "BADREF", "TRAP", "ATODSAT", "CRDRIZ", "CRREJ", "GHOST", "USER",
)  # fmt: skip


_WFC3_IR = _numbered(
    "LOST", "FILLED", "BADPIX", "ZEROREAD", "HOT", "UNSTABLE", "WARM", "BADREF", "SATURATED",
    "BLOB", "SPIKE", "ZEROSIGNAL", "CRDRIZ", "CRREJ", "GHOST", "USER",
)  # fmt: skip


# WFPC2 Data Handbook, table 3.4; what AstroDrizzle adds is the last one.
_WFPC2 = _numbered(
    "LOST", "BADREF", "BADPIX", "SATURATED", "FILLED", "OTHER", "", "TRAP", "ABOVETRAP",
    "WARM", "WARMREPAIRED", "CHIPMASKED", "CRDRIZ",
)  # fmt: skip


# stisdq.h of calstis (hstcal), without those of extracted spectra; names as of ACS.
_STIS = _numbered(
    "LOST", "FILLED", "BADPIX", "MASKED", "HOT", "LARGEBLEM", "", "OVERSCAN", "SATURATED",
    "BADREF", "SMALLBLEM", "", "", "CRREJ",
)  # fmt: skip


# nicmos.h of the NICMOS tasks in STSDAS; what AstroDrizzle adds is the last but one.
_NICMOS = _numbered(
    "LOST", "NONLINEAR", "POORDARK", "POORFLAT", "GROT", "DEFECTIVE", "SATURATED", "MISSING",
    "BADPIX", "CRREJ", "SOURCE", "ZEROSIGNAL", "CRDRIZ", "USER",
)  # fmt: skip


# "Data quality flags" in the general references of the JWST pipeline; `pixel` in dqflags.py of
# stdatamodels, where the ninth has lost its name since.
_JWST = _numbered(
    "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "OUTLIER", "PERSISTENCE", "AD_FLOOR",
    "CHARGELOSS", "UNRELIABLE_ERROR", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE", "RC",
    "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE",
    "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT", "OPEN", "ADJ_OPEN", "FLUX_ESTIMATED", "MSA_FAILED_OPEN",
    "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
)  # fmt: skip


# `pixel` in dqflags.py of roman_datamodels; those that are reserved have no name.
_ROMAN = _numbered(
    "DO_NOT_USE", "SATURATED", "JUMP_DET", "DROPOUT", "GW_AFFECTED_DATA", "PERSISTENCE",
    "AD_FLOOR", "OUTLIER", "UNRELIABLE_ERROR", "NON_SCIENCE", "DEAD", "HOT", "WARM", "LOW_QE",
    "", "TELEGRAPH", "NONLINEAR", "BAD_REF_PIXEL", "NO_FLAT_FIELD", "NO_GAIN_VALUE",
    "NO_LIN_CORR", "NO_SAT_CHECK", "UNRELIABLE_BIAS", "UNRELIABLE_DARK", "UNRELIABLE_SLOPE",
    "UNRELIABLE_FLAT", "", "", "UNRELIABLE_RESET", "", "OTHER_BAD_PIXEL", "REFERENCE_PIXEL",
)  # fmt: skip


# Of JWST and Roman, a pixel that nobody should use is DO_NOT_USE or NON_SCIENCE.
_USABLE = ~(1 + 512)

FLAGS = (
    # Warm and hot pixels that the dark corrects, full-well saturation: as the Hubble Advanced
    # Products are drizzled.
    InstrumentFlags("HST", "ACS", "WFC", _ACS, 16 + 64 + 256),
    InstrumentFlags("HST", "ACS", "HRC", _ACS, 64),
    InstrumentFlags("HST", "ACS", "SBC", _ACS, 0),
    InstrumentFlags("HST", "WFC3", "UVIS", _WFC3_UVIS, 16 + 64 + 256),
    # Warm pixels and blobs, as section 7.9.1 of the WFC3 Data Handbook has it; hot pixels are
    # bad there, although the Advanced Products take them. Signal in the zeroth read is
    # corrected, cosmic rays are removed from the ramp already, and what AstroDrizzle flags of
    # them afterwards (4096) is fifteen times as frequent on the cores of sources as elsewhere.
    InstrumentFlags("HST", "WFC3", "IR", _WFC3_IR, 64 + 512 + 2048 + 4096 + 8192),
    # Saturation of the converter, repaired warm pixels.
    InstrumentFlags("HST", "WFPC2", "", _WFPC2, 8 + 1024),
    # What calstis does not take seriously either: hot pixels, mostly corrected, small blemishes.
    InstrumentFlags("HST", "STIS", "", _STIS, 16 + 1024),
    # As of WFC3/IR; and that there is a source.
    InstrumentFlags("HST", "NICMOS", "", _NICMOS, 512 + 1024 + 2048 + 4096),
    *(
        InstrumentFlags("JWST", instrument, "", _JWST, _USABLE)
        for instrument in ("NIRCAM", "NIRISS", "NIRSPEC", "MIRI", "FGS")
    ),
    InstrumentFlags("ROMAN", "WFI", "", _ROMAN, _USABLE),
)

# Of all missions; the bits are those of some of them.
ANY_NAMES = {name: bit for flags in FLAGS for name, bit in flags.names.items()}


def find_flags(meta: Mapping) -> InstrumentFlags:
    """
    Find the flags of the instrument that took an image.

    Parameters
    ----------
    meta : mapping
        ``telescope``, ``instrument`` and ``detector``, as far as they are known.

    Returns
    -------
    InstrumentFlags
        Without names, and without good flags, where the instrument is not known.
    """
    keys = ("telescope", "instrument", "detector")
    telescope, instrument, detector = (str(meta.get(key, "")).upper() for key in keys)
    for flags in FLAGS:
        # Instruments of other telescopes are called WFI, too.
        same = flags.instrument == instrument and telescope in ("", flags.telescope)
        if same and flags.detector in ("", detector):
            return flags
    return InstrumentFlags(telescope, instrument, detector, {}, 0)


def parse_flags(text: str):
    """
    Good flags of a command.

    Parameters
    ----------
    text : str
        ``none``, ``mission``, bits, names, or ``~`` bits or names.

    Returns
    -------
    str or None
        `None` for ``none``; names wait for the image, which knows their bits.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    if text.lower() in ("mission", "none"):
        return "mission" if text.lower() == "mission" else None
    try:
        interpret_bit_flags(text, flag_name_map=extend_bit_flag_map("AnyFlags", **ANY_NAMES))
    except (AttributeError, ValueError):
        msg = (
            "--dqbitmask must be none, bits as in 16,64 or 80, names as in HOT+WARM, "
            f"or ~ bits or names, got {text!r}"
        )
        raise ValueError(msg) from None
    return text


def format_flags(good: int | None, names: Mapping[str, int]) -> str:
    """Good flags as `parse_flags` takes them, by their names if they have any."""
    if not good:
        return "none" if good is None else "0"
    bits = ~good if good < 0 else good
    found = sorted((bit, name) for name, bit in names.items() if bit & bits)
    if sum(bit for bit, _ in found) != bits:
        return str(good)
    text = "+".join(name for _, name in found)
    return f"~({text})" if good < 0 else text
