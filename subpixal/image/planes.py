"""The planes that images and cutouts have."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from astropy.nddata import InverseVariance

__all__ = ["MASKING", "PLANES", "common_dtype", "fill_value", "plane_dtype"]

PLANES = ("data", "mask", "uncertainty", "flags", "weight", "segmentation")

# Planes that say which pixels are bad.
MASKING = ("data", "flags", "weight", "mask")


def fill_value(name: str, fillval, uncertainty_type: type | None = None):
    """Value of the pixels of a plane that lie outside the image."""
    if name == "uncertainty":
        return 0 if issubclass(uncertainty_type or object, InverseVariance) else np.nan
    return {"data": fillval, "mask": True}.get(name, 0)


def plane_dtype(name: str, dtype: np.dtype, *, promote: bool = False) -> np.dtype:
    """
    Type of the pixels of a plane when they are cut.

    In the byte order of the machine, which compiled libraries need.

    Parameters
    ----------
    name : str
        Name of the plane.
    dtype : dtype
        Of the image.
    promote : bool
        Whether integer data become floats.
    """
    if name == "mask":
        return np.dtype(bool)
    if name == "uncertainty" and dtype == np.float16:
        # Half precision is a way to store errors, not to calculate with them.
        return np.dtype(np.float32)
    if dtype.kind in "biu" and ((name == "data" and promote) or name == "uncertainty"):
        return np.dtype(np.float32 if dtype.itemsize <= 2 else np.float64)
    return dtype.newbyteorder("=")


def common_dtype(name: str, dtypes: Iterable[np.dtype]) -> np.dtype:
    """
    Type that holds the pixels of all types exactly.

    Raises
    ------
    ValueError
        If there is none, as for 64-bit integers, signed and unsigned.
    """
    dtypes = set(dtypes)
    dtype = np.result_type(*dtypes)
    wide = [d for d in dtypes if d.kind in "iu" and d.itemsize == 8]
    if dtype.kind not in "biu" and wide and len(dtypes) > 1:
        names = sorted(str(d) for d in dtypes)
        msg = f"{name} of the cutouts are {names}: no type of pixels holds all of them exactly"
        raise ValueError(msg)
    return dtype
