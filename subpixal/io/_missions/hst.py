"""Hubble Space Telescope."""

from __future__ import annotations

from .mission import Instrument, Mission, number_flags

__all__ = ["HST"]

# "ACS Data Quality Flags", stsci.edu/hst/instrumentation/acs/data-analysis/dq-flag-definitions.
# The short names are those of the DQInspect plug-in of STScI (stginga, dqflags_acs.txt).
_ACS = number_flags("""
    LOST FILLED BADPIX MASKED HOT UNSTABLE WARM BADCOL SATURATED
    BADREF TRAP ATODSAT CRDRIZ CRREJ USER
""")

# WFC3 Data Handbook, section 2.2.3, table of data-quality flags. Most of the short names are from
# stginga, dqflags_wfc3.txt, which does not distinguish the detectors.
_WFC3_UVIS = number_flags("""
    LOST FILLED BADPIX - HOT UNSTABLE WARM BADBIAS SATURATED
    BADREF TRAP ATODSAT CRDRIZ CRREJ GHOST USER
""")
_WFC3_IR = number_flags("""
    LOST FILLED BADPIX ZEROREAD HOT UNSTABLE WARM BADREF SATURATED
    BLOB SPIKE ZEROSIGNAL CRDRIZ CRREJ GHOST USER
""")

# WFPC2 Data Handbook, table 3.4. AstroDrizzle adds the last flag.
_WFPC2 = number_flags("""
    LOST BADREF BADPIX SATURATED FILLED OTHER - TRAP ABOVETRAP
    WARM WARMREPAIRED CHIPMASKED CRDRIZ
""")

# stisdq.h of calstis (hstcal), without the flags of extracted spectra; names as for ACS.
_STIS = number_flags("""
    LOST FILLED BADPIX MASKED HOT LARGEBLEM - OVERSCAN SATURATED
    BADREF SMALLBLEM - - CRREJ
""")

# nicmos.h of the NICMOS tasks in STSDAS. AstroDrizzle adds CRDRIZ.
_NICMOS = number_flags("""
    LOST NONLINEAR POORDARK POORFLAT GROT DEFECTIVE SATURATED MISSING
    BADPIX CRREJ SOURCE ZEROSIGNAL CRDRIZ USER
""")

HST = Mission(
    "HST",
    instruments=(
        # The good flags of ACS and WFC3/UVIS are those of the Hubble Advanced Products: warm and
        # hot pixels, which the dark corrects, and full-well saturation.
        Instrument("ACS", "WFC", _ACS, 16 + 64 + 256),
        Instrument("ACS", "HRC", _ACS, 64),
        Instrument("ACS", "SBC", _ACS, 0),
        Instrument("WFC3", "UVIS", _WFC3_UVIS, 16 + 64 + 256),
        # Warm pixels and blobs, as in section 7.9.1 of the WFC3 Data Handbook. Hot pixels are bad
        # there, although the Advanced Products use them. The pipeline corrects the signal in the
        # zeroth read and removes cosmic rays from the ramp. AstroDrizzle flags (4096) the cores
        # of sources fifteen times as often as other pixels.
        Instrument("WFC3", "IR", _WFC3_IR, 64 + 512 + 2048 + 4096 + 8192),
        # Saturation of the converter, repaired warm pixels.
        Instrument("WFPC2", "", _WFPC2, 8 + 1024),
        # Hot pixels, which are mostly corrected, and small blemishes: calstis uses both.
        Instrument("STIS", "", _STIS, 16 + 1024),
        # As for WFC3/IR, and pixels with a source.
        Instrument("NICMOS", "", _NICMOS, 512 + 1024 + 2048 + 4096),
    ),
)
