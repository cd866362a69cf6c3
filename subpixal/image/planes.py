"""
The table of planes.

A plane is an array of the shape of an image: pixels, mask, uncertainty, flags, weights,
labels. A new plane is one row of `PLANES`: images, cutouts, stacks, arithmetic, archives
and FITS files read the table.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from astropy.nddata import (
    InverseVariance,
    NDUncertainty,
    StdDevUncertainty,
    VarianceUncertainty,
)

__all__ = ["PLANES", "Plane", "common_dtype"]

# Kinds of NumPy dtypes that can hold numbers.
NUMBERS = "biufc"

# FITS extension and value outside the image for each class of uncertainty.
UNCERTAINTIES = {
    StdDevUncertainty: ("ERR", np.nan),
    VarianceUncertainty: ("VAR", np.nan),
    InverseVariance: ("IVAR", 0),
}


@dataclass(frozen=True)
class Plane:
    """
    A plane and the rules for its pixels.

    Attributes
    ----------
    name : str
        Name of the plane, and of the attribute of a `~subpixal.cutout.Cutout`.
    doc : str
        Description of the plane.
    fits_name : str
        Name of its extension in FITS files.
    kinds : str
        Kinds of dtypes that its pixels may have.
    fill : scalar or None
        Value outside the image; `None` if the caller chooses the value.
    masks : bool
        Whether its values can mask a pixel.
    integers : {'keep', 'promote', 'convert'}
        Whether integers stay, become floats where the caller promotes them, or always
        become floats.
    arithmetic : {'keep if equal', 'keep', 'or', 'nddata'}
        Plane of the result of an operation: that of the first cutout unless another operand
        has a different one, that of the first cutout, the bitwise or of all, or the one that
        `~astropy.nddata.NDDataRef` calculates.
    argument : str
        Name of the argument that takes the plane, without the prefix of the image; by
        default the name of the plane.
    """

    name: str
    doc: str
    fits_name: str
    kinds: str = NUMBERS
    fill: object = 0
    masks: bool = False
    integers: str = "keep"
    arithmetic: str = "keep if equal"
    argument: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "argument", self.argument or self.name)

    def with_uncertainty_type(self, uncertainty_type: type[NDUncertainty] | None) -> Plane:
        """Return the rules for the uncertainty of an image; other planes have no other rules."""
        if self.name == "uncertainty" and uncertainty_type is not None:
            for known, (fits_name, fill) in UNCERTAINTIES.items():
                if issubclass(uncertainty_type, known):
                    return replace(self, fits_name=fits_name, fill=fill)
        return self

    def fill_value(self, fillval: object) -> object:
        """Return the value outside the image, which is ``fillval`` if the caller chooses."""
        return fillval if self.fill is None else self.fill

    def cut_dtype(self, dtype: np.dtype, *, promote: bool = False) -> np.dtype:
        """
        Return the dtype of pixels that are cut out of an image.

        The byte order is that of the machine because compiled libraries need it.

        Parameters
        ----------
        dtype : dtype
            Dtype of the image.
        promote : bool
            Whether integer data become floats.
        """
        if self.kinds == "b":
            return np.dtype(bool)
        to_float = self.integers == "convert" or (promote and self.integers == "promote")
        if to_float and dtype.kind in "biu":
            return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
        if self.integers == "convert" and dtype == np.float16:
            # Half precision stores errors; calculating with them needs single precision.
            return np.dtype(np.float32)
        return dtype.newbyteorder("=")


# In the order in which planes are listed, written and checksummed.
PLANES: dict[str, Plane] = {
    plane.name: plane
    for plane in (
        Plane(
            "data",
            "Science pixels.",
            "SCI",
            fill=None,
            masks=True,
            integers="promote",
            arithmetic="nddata",
        ),
        Plane(
            "mask",
            "`True` where a pixel is bad.",
            "MASK",
            kinds="b",
            fill=True,
            masks=True,
            arithmetic="nddata",
        ),
        Plane(
            "uncertainty",
            "Uncertainty of the data.",
            "UNC",
            fill=np.nan,
            integers="convert",
            arithmetic="nddata",
        ),
        Plane(
            "flags",
            "Data quality flags, `None` if there are none.",
            "DQ",
            kinds="biu",
            masks=True,
            arithmetic="or",
            argument="dq",
        ),
        Plane("weight", "Pixel weights, `None` if there are none.", "WHT", masks=True),
        Plane(
            "segmentation",
            "Labels of the sources, `None` if they were not kept.",
            "SEG",
            kinds="biu",
            arithmetic="keep",
        ),
    )
}


def common_dtype(name: str, dtypes: Iterable[np.dtype]) -> np.dtype:
    """
    Return the dtype that holds the pixels of all dtypes exactly.

    Parameters
    ----------
    name : str
        Name of the plane, for the error.
    dtypes : iterable of dtype
        Dtypes of the pixels.

    Raises
    ------
    ValueError
        If there is none, as for signed and unsigned integers of 64 bits.
    """
    dtypes = set(dtypes)
    dtype = np.result_type(*dtypes)
    wide = [d for d in dtypes if d.kind in "iu" and d.itemsize == 8]
    if dtype.kind not in "biu" and wide and len(dtypes) > 1:
        names = sorted(str(d) for d in dtypes)
        msg = f"{name} of the cutouts are {names}: no type of pixels holds all of them exactly"
        raise ValueError(msg)
    return dtype
