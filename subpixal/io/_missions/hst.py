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

# stisdq.h of calstis (hstcal), without the flags of extracted spectra. The names follow those of
# ACS.
_STIS = number_flags("""
    LOST FILLED BADPIX MASKED HOT LARGEBLEM - OVERSCAN SATURATED
    BADREF SMALLBLEM - - CRREJ
""")

# nicmos.h of the NICMOS tasks in STSDAS. AstroDrizzle adds the flag CRDRIZ.
_NICMOS = number_flags("""
    LOST NONLINEAR POORDARK POORFLAT GROT DEFECTIVE SATURATED MISSING
    BADPIX CRREJ SOURCE ZEROSIGNAL CRDRIZ USER
""")

HST = Mission(
    "HST",
    instruments=(
        # Good flags are the flags that do not mask a pixel. For ACS and WFC3/UVIS, they are those
        # of the Hubble Advanced Products: full-well saturation, and warm and hot pixels, which the
        # subtraction of the dark corrects.
        Instrument("ACS", "WFC", _ACS, 16 + 64 + 256),
        Instrument("ACS", "HRC", _ACS, 64),
        Instrument("ACS", "SBC", _ACS, 0),
        Instrument("WFC3", "UVIS", _WFC3_UVIS, 16 + 64 + 256),
        # Warm pixels (64) and blobs (512) are good, and hot pixels are bad, as section 7.9.1 of the
        # WFC3 Data Handbook recommends. The Advanced Products also use hot pixels. Signal in the
        # zeroth read (2048) is good, because the pipeline corrects it. Cosmic rays (8192) are good,
        # because the pipeline removes them from the ramp. The flag of AstroDrizzle (4096) is good,
        # because it marks cores of sources fifteen times as often as other pixels.
        Instrument("WFC3", "IR", _WFC3_IR, 64 + 512 + 2048 + 4096 + 8192),
        # Pixels with A/D saturation and repaired warm pixels are treated as good.
        Instrument("WFPC2", "", _WFPC2, 8 + 1024),
        # Hot pixels, which are mostly corrected, and small blemishes are good: calstis uses both.
        Instrument("STIS", "", _STIS, 16 + 1024),
        # The good flags are like those of WFC3/IR. Pixels with a source are good, too.
        Instrument("NICMOS", "", _NICMOS, 512 + 1024 + 2048 + 4096),
    ),
)
