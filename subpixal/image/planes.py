"""
Table of the planes that an image may have.

A plane is an array with the shape of an image. The planes are data, mask, uncertainty, flags,
weight and segmentation. To add a plane, add a row to `PLANES`. The code for images, cutouts,
stacks, arithmetic, archives and FITS files uses this table.
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

# Kinds of NumPy dtypes for numbers, booleans included.
NUMBERS = "biufc"

# For each class of uncertainty: name of the FITS extension, and value of pixels outside the image.
UNCERTAINTIES = {
    StdDevUncertainty: ("ERR", np.nan),
    VarianceUncertainty: ("VAR", np.nan),
    InverseVariance: ("IVAR", 0),
}


@dataclass(frozen=True)
class Plane:
    """
    Name and rules of a plane.

    Attributes
    ----------
    name : str
        Name of the plane. A `~subpixal.cutout.Cutout` has an attribute with this name.
    doc : str
        Description of the plane.
    fits_name : str
        Name of the extension for the plane in FITS files.
    kinds : str
        Kinds of dtypes that the plane may have.
    fill : scalar or None
        Value of pixels outside the image; `None` if the caller chooses the value.
    masks : bool
        `True` if values of the plane can mask a pixel.
    integers : {'keep', 'promote', 'convert'}
        Rule for integers. With 'keep', they stay integers. With 'promote', they become floats if
        the caller requests it. With 'convert', they always become floats.
    arithmetic : {'keep if equal', 'keep', 'or', 'nddata'}
        Rule for the result of an arithmetic operation on cutouts. With 'keep', the result has the
        plane of the first cutout. With 'keep if equal', it has this plane only if no other operand
        has a different plane. With 'or', it has the bitwise or of the planes of all operands. With
        'nddata', `~astropy.nddata.NDDataRef` calculates the plane.
    argument : str
        Name of the argument that takes the plane, without the prefix of the image. By default,
        the name of the plane.
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
        """Return the rules of the plane if the uncertainty of the image is of a given class."""
        if self.name == "uncertainty" and uncertainty_type is not None:
            for known, (fits_name, fill) in UNCERTAINTIES.items():
                if issubclass(uncertainty_type, known):
                    return replace(self, fits_name=fits_name, fill=fill)
        return self

    def fill_value(self, fillval: object) -> object:
        """Return the value outside the image: ``fillval`` if the caller chooses the value."""
        return fillval if self.fill is None else self.fill

    def cut_dtype(self, dtype: np.dtype, *, promote: bool = False) -> np.dtype:
        """
        Return the dtype of the plane of a cutout.

        The dtype has the byte order of the machine, because compiled libraries need this order.

        Parameters
        ----------
        dtype : dtype
            Dtype of the plane of the image.
        promote : bool
            If `True`, integers become floats in a plane with the rule 'promote'.
        """
        if self.kinds == "b":
            return np.dtype(bool)
        to_float = self.integers == "convert" or (promote and self.integers == "promote")
        if to_float and dtype.kind in "biu":
            return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
        if self.integers == "convert" and dtype == np.float16:
            # Files may store errors in half precision. Calculations need single precision.
            return np.dtype(np.float32)
        return dtype.newbyteorder("=")


# The planes by name. Lists, files and checksums contain the planes in this order.
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
    Return a dtype that represents the values of several dtypes exactly.

    Parameters
    ----------
    name : str
        Name of the plane, for the error message.
    dtypes : iterable of dtype
        The dtypes.

    Raises
    ------
    ValueError
        If there is no such dtype. There is none for signed and unsigned integers of 64 bits.
    """
    dtypes = set(dtypes)
    dtype = np.result_type(*dtypes)
    wide = [d for d in dtypes if d.kind in "iu" and d.itemsize == 8]
    if dtype.kind not in "biu" and wide and len(dtypes) > 1:
        names = sorted(str(d) for d in dtypes)
        msg = f"{name} of the cutouts are {names}: no type of pixels holds all of them exactly"
        raise ValueError(msg)
    return dtype
