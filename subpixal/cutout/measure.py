"""Tables with the results of a function for each cutout."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from .cutout import Cutout

if TYPE_CHECKING:
    from astropy.table import QTable
    from numpy.typing import NDArray

    from .collection import CutoutCollection

__all__ = ["measure_cutouts"]

_COMMON_COLUMNS = ("id", "image", "status", "message")


def measure_cutouts(
    cutouts: CutoutCollection,
    function: Callable,
    planes: tuple[str, ...],
    named: Mapping[str, str],
) -> QTable:
    """Call a function for each cutout and return a table; see `CutoutCollection.measure`."""
    from astropy.table import QTable

    _check_names([*planes, *named.values()])
    results = []
    messages = []
    for cutout in cutouts:
        result, message = _call(function, cutout, planes or ("data",), named)
        results.append(result)
        messages.append(message)
    columns = _make_columns(_get_column_name(function), results)
    taken = [name for name in columns if name in _COMMON_COLUMNS]
    if taken:
        msg = f"function must not return {taken}: the table has columns of these names"
        raise ValueError(msg)
    return QTable(
        {
            "id": cutouts.ids,
            "image": cutouts.image_numbers,
            "status": np.array(["error" if message else "ok" for message in messages], str),
            "message": np.array(messages, str),
            **columns,
        }
    )


def _check_names(names: Iterable[Any]) -> None:
    for name in names:
        is_public = isinstance(name, str) and not name.startswith("_")
        if not is_public or (name != "cutout" and not hasattr(Cutout, name)):
            msg = (
                "an argument of function must be an attribute of a cutout, such as 'data', "
                f"'mask' or 'error', or 'cutout', got {name!r}"
            )
            raise ValueError(msg)


def _call(
    function: Callable, cutout: Cutout, planes: tuple[str, ...], named: Mapping[str, str]
) -> tuple[Any, str]:
    """Return the result of a function and an empty text, or `None` and the text of its error."""

    def get(name: str) -> Any:
        return cutout if name == "cutout" else getattr(cutout, name)

    try:
        positional = [get(name) for name in planes]
        return function(*positional, **{key: get(name) for key, name in named.items()}), ""
    except Exception as error:  # noqa: BLE001  (one bad source never stops a batch)
        return None, f"{type(error).__name__}: {error}"


def _get_column_name(function: Callable) -> str:
    """Return the name of a function or of the function in a `functools.partial`, or ``'value'``."""
    name = getattr(getattr(function, "func", function), "__name__", "")
    return name if name.isidentifier() and name not in _COMMON_COLUMNS else "value"


def _make_columns(name: str, results: Sequence[Any]) -> dict[str, Any]:
    """Return the column of the results. If all results are dicts, return a column for each key."""
    existing = [result for result in results if result is not None]
    if not existing or not all(isinstance(result, Mapping) for result in existing):
        return {name: _make_column(results)}
    keys = dict.fromkeys(key for result in existing for key in result)
    return {
        str(key): _make_column([None if result is None else result.get(key) for result in results])
        for key in keys
    }


def _make_column(values: Sequence[Any]) -> Any:
    """Return an array with a row for each value. NaN stands for `None` in arrays of numbers."""
    values = [_fill_masked(value) for value in values]
    existing = [value for value in values if value is not None]
    if existing and all(isinstance(value, str) for value in existing):
        return np.array([value or "" for value in values], str)
    unit = next((value.unit for value in existing if isinstance(value, u.Quantity)), None)
    arrays = _to_arrays(existing, unit)
    if arrays is None:
        column = np.empty(len(values), object)
        for i, value in enumerate(values):
            column[i] = value
        return column
    numbers = _stack_numbers(arrays, np.array([value is not None for value in values], bool))
    return numbers if unit is None else numbers << unit


def _fill_masked(value: Any) -> Any:
    """Replace masked numbers in a value with NaN."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in "biufc":
        return value.astype(np.result_type(value.dtype, np.float32)).filled(np.nan)  # type: ignore[attr-defined]
    return value


def _to_arrays(values: Sequence[Any], unit: u.UnitBase | None) -> list[np.ndarray] | None:
    """Convert values to arrays in a unit. Return `None` for texts or different shapes."""
    try:
        arrays = [np.asarray(value if unit is None else value.to_value(unit)) for value in values]
    except (AttributeError, ValueError, u.UnitsError):
        return None
    has_one_shape = len({array.shape for array in arrays}) <= 1
    are_numbers = all(array.dtype.kind in "biufc" for array in arrays)
    return arrays if has_one_shape and are_numbers else None


def _stack_numbers(arrays: list[np.ndarray], exists: NDArray[np.bool_]) -> np.ndarray:
    """Combine arrays of the same shape into one array, with rows of NaN for missing values."""
    if not arrays:
        return np.full(len(exists), np.nan)
    dtypes = [array.dtype for array in arrays]
    if not exists.all():
        # The column must have a float type, because it contains NaN.
        dtypes.append(np.dtype(np.float16))
    dtype = np.result_type(*dtypes)
    column = np.full((len(exists), *arrays[0].shape), 0 if exists.all() else np.nan, dtype)
    column[exists] = arrays
    return column
