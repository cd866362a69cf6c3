"""Functions that validate single arguments."""

from __future__ import annotations

import math
import numbers
import operator
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .lazy import ImageArray, LazyArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "check_fill",
    "describe_type",
    "refuse_name",
    "validate_finite",
    "validate_kind",
    "validate_meta",
    "validate_pad",
    "validate_pixel_pair",
    "validate_position",
]


def validate_meta(value: Any) -> Mapping:
    """Return the metadata of an image, or an empty dict for `None`."""
    if not isinstance(value, Mapping | None):
        msg = f"meta must be a mapping, got {type(value).__name__}"
        raise TypeError(msg)
    return {} if value is None else value


def validate_kind(name: str, value: ArrayLike | LazyArray, kinds: str) -> ImageArray:
    """
    Return an argument as an array, and check the kind of its dtype.

    Parameters
    ----------
    name : str
        Name of the argument, for the error message.
    value : array
        Value of the argument.
    kinds : str
        Codes of the allowed kinds of NumPy dtypes, such as ``'iu'``.

    Raises
    ------
    TypeError
        If the dtype is not of an allowed kind.
    """
    array = value if isinstance(value, LazyArray) else np.asarray(value)
    if array.dtype.kind not in kinds:
        allowed = "numbers" if "f" in kinds else "integers or booleans"
        msg = f"{name} must hold {allowed}, got {describe_type(array)}"
        raise TypeError(msg)
    return array


def check_fill(value: Any, dtype: np.dtype) -> None:
    """
    Raise an error if an array of a dtype cannot hold a fill value.

    Raises
    ------
    ValueError
        If the value is not a number, is too large for the dtype, or needs a dtype of another kind.
    """
    dtype = np.dtype(dtype)
    try:
        # Accept rounding, but not an overflow.
        with np.errstate(over="ignore"):
            held = dtype.type(value)
        floats = dtype.kind in "fc"
        good = np.isfinite(held) or not np.isfinite(value) if floats else held == value
    except (OverflowError, TypeError, ValueError):
        good = False
    good &= isinstance(value, numbers.Number | np.bool)
    if not good or (np.iscomplexobj(value) and dtype.kind != "c"):
        msg = f"fillval {value!r} cannot be held by pixels of {dtype}: choose another fillval"
        raise ValueError(msg)


def refuse_name(argument: str, must: str, value: object, reader: str) -> None:
    """
    Raise an error if an argument is the name of a file.

    Parameters
    ----------
    argument, must : str
        Name of the argument, and its requirement, such as ``'hold numbers'``, for the error
        message.
    value : object
        Value of the argument.
    reader : str
        Name of the function of `subpixal.io` that reads such a file.

    Raises
    ------
    TypeError
        If the value is a string or a path.
    """
    if isinstance(value, str | PathLike):
        msg = f"{argument} must {must}, got {value!r}; subpixal.io.{reader} reads files"
        raise TypeError(msg)


def describe_type(array: ImageArray) -> str:
    """Describe a value in an error: the dtype of an array, or the class of a single object."""
    if array.ndim:
        return f"an array of {array.dtype}"
    return type(np.asarray(array).item()).__name__


def validate_pixel_pair(value: Any, name: str) -> tuple[int, int]:
    """Return an argument as two integers ``(x, y)``."""
    try:
        x, y = value
        return operator.index(x), operator.index(y)
    except (TypeError, ValueError):
        msg = f"{name} must be two integers (x, y), got {value!r}"
        raise TypeError(msg) from None


def validate_position(value: Any, name: str) -> tuple[float, float]:
    """Return an argument as two finite numbers ``(x, y)``."""
    try:
        x, y = (validate_finite(name, number) for number in value)
    except (TypeError, ValueError):
        msg = f"{name} must be two finite numbers (x, y), got {value!r}"
        raise ValueError(msg) from None
    return x, y


def validate_finite(name: str, value: Any) -> float:
    """Return an argument as a finite number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        msg = f"{name} must be a finite number, got {value!r}"
        raise ValueError(msg)
    return number


def validate_pad(pad: Any) -> int:
    """Return the number of pixels to add on each side of a box as an integer."""
    number = float(pad) if isinstance(pad, numbers.Real) else math.nan
    if not 0 <= number < math.inf or number != int(number):
        msg = f"pad must be a number of pixels, 0 or more, got {pad!r}"
        raise ValueError(msg)
    return int(number)
