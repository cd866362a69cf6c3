"""
Euclid: mosaics of the MER pipeline, and frames of VIS and NISP.

The conventions are those of the public Data Product Description Document (euclid.esac.esa.int,
Q1), of the description of Q1 at IRSA, and of the reader of NISP frames in legacypipe.
"""

from __future__ import annotations

from .metadata import Keywords
from .mission import Instrument, Mission, number_flags

__all__ = ["EUCLID"]

# Data Product Description Document, "Vis Flag Map Product".
_VIS = number_flags("""
    INVALID HOT COLD SAT COSMIC GHOST QUADEDGE BAD_COLUMN BAD_CLUSTER
    CR_REGION - - OVRCOL EXTOBJ SCATLIGHT CHARINJ - SATXTALKGHOST
    STARSIGNAL SATURATEDSTAR CTICORRECTION ADCMAX NO_DATA STITCHBLOCK
    OBJECTS
""")

# Data Product Description Document, "NIR Calibrated Frame", data-quality layer, from legacypipe.
_NISP = number_flags("""
    INVALID OBMASK DISCONNECTED ZEROQE BADBASE LOWQE SUPERQE HOT RTN
    SNOWBALL SATUR NLINEAR NLMODFAIL PERSIST PERMODFAIL DARKNODET COSMIC
    FLATLH GHOST SCATTER MOVING TRANS CROSSTALK FLOWER VIGNET
""")

# The pipelines set INVALID for each pixel that must not be used. All other flags, such as OBJECTS,
# can also mark useful pixels, so they are good flags.
_GOOD_FLAGS = ~1

EUCLID = Mission(
    "EUCLID",
    instruments=(
        Instrument("VIS", "", _VIS, _GOOD_FLAGS),
        Instrument("NISP", "", _NISP, _GOOD_FLAGS),
    ),
    # Frames have an extension for each plane of each detector. Examples are DET11.SCI, DET11.RMS
    # and DET11.DQ for NISP, and 1-1.E.SCI, 1-1.E.RMS and 1-1.E.FLG for VIS.
    extensions={
        "data": ("SCI",),
        "uncertainty": ("RMS",),
        "flags": ("FLG", "DQ"),
        "weight": (),
    },
    header=Keywords(zero_point=("MAGZERO", "ZPAB")),
    # For mosaics, each plane is in its own file.
    file_prefix="EUC_",
    companion_key=r"EUC_MER_BGSUB-MOSAIC-(?P<band>[\w-]+)_TILE(?P<tile>\d+)",
    companions={
        "uncertainty": "EUC_MER_MOSAIC-{band}-RMS_TILE{tile}[-_.]*",
        "flags": "EUC_MER_MOSAIC-{band}-FLAG_TILE{tile}[-_.]*",
    },
)
