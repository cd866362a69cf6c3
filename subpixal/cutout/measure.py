"""What a function finds on each cutout, as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from astropy import units as u

from .cutout import Cutout

__all__ = ["measure_cutouts"]

_OWN_COLUMNS = ("id", "image", "status", "message")


def measure_cutouts(collection, function: Callable, planes: tuple, named: Mapping):
    """Results of a function as a table; see `CutoutCollection.measure`."""
    from astropy.table import QTable

    _check_names([*planes, *named.values()])
    found = [_call(function, cutout, planes or ("data",), named) for cutout in collection]
    results, messages = zip(*found, strict=True) if found else ((), ())
    columns = _columns(_name_of(function), results)
    taken = [name for name in columns if name in _OWN_COLUMNS]
    if taken:
        msg = f"function must not return {taken}: the table has columns of these names"
        raise ValueError(msg)
    return QTable(
        {
            "id": collection.ids,
            "image": collection.image_numbers,
            "status": np.array(["error" if message else "ok" for message in messages], str),
            "message": np.array(messages, str),
            **columns,
        }
    )


def _check_names(names: Iterable) -> None:
    for name in names:
        known = isinstance(name, str) and not name.startswith("_")
        if not known or (name != "cutout" and not hasattr(Cutout, name)):
            msg = (
                "what a function is given must be an attribute of a cutout, such as 'data', "
                f"'mask' or 'error', or 'cutout', got {name!r}"
            )
            raise ValueError(msg)


def _call(function, cutout, planes, named) -> tuple[object, str]:
    """What a function returns, and what went wrong."""

    def get(name):
        return cutout if name == "cutout" else getattr(cutout, name)

    try:
        result = function(
            *(get(name) for name in planes), **{key: get(name) for key, name in named.items()}
        )
    except Exception as error:  # noqa: BLE001  (one bad source never stops a batch)
        return None, f"{type(error).__name__}: {error}"
    return result, ""


def _name_of(function) -> str:
    """Name of a function, also of a `functools.partial`, as the name of a column."""
    name = getattr(getattr(function, "func", function), "__name__", "")
    return name if name.isidentifier() and name not in _OWN_COLUMNS else "value"


def _columns(name: str, results) -> dict:
    there = [result for result in results if result is not None]
    if not there or not all(isinstance(result, Mapping) for result in there):
        return {name: _column(results)}
    keys = dict.fromkeys(key for result in there for key in result)
    return {str(key): _column([(result or {}).get(key) for result in results]) for key in keys}


def _column(values):
    """Values as an array with a row for each, NaN where there is `None`."""
    values = [_unmasked(value) for value in values]
    there = [value for value in values if value is not None]
    if there and all(isinstance(value, str) for value in there):
        return np.array([value or "" for value in values], str)
    unit = next((value.unit for value in there if isinstance(value, u.Quantity)), None)
    try:
        numbers = [np.asarray(value if unit is None else value.to_value(unit)) for value in there]
    except (AttributeError, ValueError, u.UnitsError):
        return _objects(values)
    if len({array.shape for array in numbers}) > 1 or any(
        array.dtype.kind not in "biufc" for array in numbers
    ):
        return _objects(values)
    column = _with_gaps(numbers, np.array([value is not None for value in values], bool))
    return column if unit is None else column << unit


def _unmasked(value):
    """NaN in place of what is masked."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "biufc":
        return value.astype(np.result_type(value.dtype, np.float32)).filled(np.nan)
    return value


def _with_gaps(numbers: list[np.ndarray], there: np.ndarray) -> np.ndarray:
    gaps = [] if there.all() else [np.dtype(np.float16)]
    dtype = np.result_type(*(array.dtype for array in numbers), *gaps) if numbers else float
    shape = numbers[0].shape if numbers else ()
    column = np.full((len(there), *shape), 0 if there.all() else np.nan, dtype)
    if numbers:
        column[there] = numbers
    return column


def _objects(values) -> np.ndarray:
    column = np.empty(len(values), object)
    for i, value in enumerate(values):
        column[i] = value
    return column
