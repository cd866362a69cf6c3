"""Arithmetic of cutouts, with the functions of `astropy.nddata`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np
from astropy.nddata import NDData, NDDataRef
from astropy.utils import sharedmethod

from subpixal.image import (
    DATA_UNITS,
    PLANES,
    Plane,
    as_uncertainty,
    get_data_units,
    validate_kind,
)

from .properties import StoredCutout

__all__ = ["ArithmeticMixin"]


class ArithmeticMixin(StoredCutout):
    """
    The arithmetic of `~astropy.nddata.NDDataRef`.

    The class does not inherit the mixin of astropy, for two reasons. That mixin changes attributes
    of the operands. It also calls the constructor to make a result, but the constructor of a cutout
    cuts an image.
    """

    @sharedmethod
    def add(self, operand: Any, operand2: Any = None, **kwargs: Any) -> Any:
        """
        Return the sum of the cutout and another operand.

        `~astropy.nddata.NDDataRef` calculates data, mask, uncertainty and unit. Masks are combined
        by a logical or, and uncertainties are propagated. Flags are combined by a bitwise or. If
        both operands are cutouts, the first of them determines the position, WCS, source, image,
        exposure time and segmentation of the result. The result keeps the ``weight`` or the ``psf``
        of this cutout, unless the other operand has a different one.

        Parameters
        ----------
        operand : number, array, `~astropy.units.Quantity` or `~astropy.nddata.NDData`
            The other operand.
        operand2 : optional
            If given, the operation is ``operand + operand2``, and at least one of them must be a
            `Cutout`. The argument is required if the method is called on the class.
        **kwargs
            As in `~astropy.nddata.NDArithmeticMixin.add`:
            ``propagate_uncertainties``, ``handle_mask``, ``uncertainty_correlation``,
            ``handle_meta`` (by default, the result has the metadata of the cutout) and
            ``compare_wcs``. By default, WCSs are not compared. If ``compare_wcs`` is a callable, it
            is called with both WCSs, and the operation raises an error if it returns `False`.

        Returns
        -------
        Cutout
            A new cutout, which shares no pixels with the operands.
        """
        return _combine(self, "add", operand, operand2, kwargs)

    @sharedmethod
    def subtract(self, operand: Any, operand2: Any = None, **kwargs: Any) -> Any:
        """Return the cutout minus another operand; see `add`."""
        return _combine(self, "subtract", operand, operand2, kwargs)

    @sharedmethod
    def multiply(self, operand: Any, operand2: Any = None, **kwargs: Any) -> Any:
        """Return the product of the cutout and another operand; see `add`."""
        return _combine(self, "multiply", operand, operand2, kwargs)

    @sharedmethod
    def divide(self, operand: Any, operand2: Any = None, **kwargs: Any) -> Any:
        """Return the cutout divided by another operand; see `add`."""
        return _combine(self, "divide", operand, operand2, kwargs)

    def sum(self, **kwargs: Any) -> NDDataRef:
        """
        Return the sum of the pixels, as `~astropy.nddata.NDDataRef` calculates it.

        Parameters
        ----------
        **kwargs
            ``axis`` (0 along y, 1 along x, by default both), ``propagate_uncertainties`` and
            ``operation_ignores_mask``. With ``operation_ignores_mask=True``, masked pixels are left
            out. By default, a masked pixel masks the result. Astropy 8.0 propagates only standard
            deviations correctly.

        Returns
        -------
        `~astropy.nddata.NDDataRef`
            The result, without a WCS, because its pixels are not pixels of an image.
        """
        return _to_nddata_ref(self).sum(**kwargs)

    def mean(self, **kwargs: Any) -> NDDataRef:
        """Return the mean of the pixels; see `sum`."""
        return _to_nddata_ref(self).mean(**kwargs)

    def min(self, **kwargs: Any) -> NDDataRef:
        """Return the minimum of the pixels, by default without uncertainty; see `sum`."""
        return _to_nddata_ref(self).min(**kwargs)

    def max(self, **kwargs: Any) -> NDDataRef:
        """Return the maximum of the pixels, by default without uncertainty; see `sum`."""
        return _to_nddata_ref(self).max(**kwargs)


def _combine(self: Any, operation: str, operand: Any, operand2: Any, options: dict) -> Any:
    """Return the result of an operation of NDDataRef as a cutout. ``self`` may be the class."""
    cls = self if isinstance(self, type) else type(self)
    if operand2 is None:
        if self is cls:
            msg = f"{operation} needs two operands if it is called on the class"
            raise TypeError(msg)
        operand, operand2 = self, operand
    operands = operand, operand2
    cutouts = [one for one in operands if isinstance(one, ArithmeticMixin)]
    if not cutouts:
        kinds = " and ".join(type(one).__name__ for one in operands)
        msg = f"{operation} needs a Cutout among its operands, got {kinds}"
        raise TypeError(msg)
    _check_shapes(operation, operands)
    compare = options.get("compare_wcs")
    if callable(compare):
        grids = [getattr(one, "wcs", None) for one in operands]
        options["compare_wcs"] = lambda _, __, **kwargs: compare(*grids, **kwargs)
    result = getattr(NDDataRef, operation)(*map(_to_nddata_ref, operands), **options)
    others = [one for one in operands if one is not cutouts[0] and isinstance(one, NDData)]
    new = _with_pixels(cls, cutouts[0], result, own_meta="handle_meta" not in options)
    _keep_valid_planes(new, cutouts[0], others)
    return new


def _check_shapes(operation: str, operands: tuple[Any, Any]) -> None:
    """Raise an error if the shapes of operands differ and cannot be broadcast."""
    shapes = [np.shape(one.data if isinstance(one, NDData) else one) for one in operands]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        first, second = (
            f"{_describe(operand)} has shape {shape}"
            for operand, shape in zip(operands, shapes, strict=True)
        )
        msg = (
            f"{operation} needs operands of one shape: {first}, {second}; "
            "slices, or cutouts made with size=, have the same"
        )
        raise ValueError(msg) from None


def _describe(operand: Any) -> str:
    """Return a text that describes an operand in messages of errors."""
    if isinstance(operand, ArithmeticMixin):
        return f"the cutout of source {operand.src_id!r}"
    return f"the {type(operand).__name__}"


def _to_nddata_ref(operand: Any) -> Any:
    """Return a copy of an NDData without WCS and PSF. Return other operands unchanged."""
    if not isinstance(operand, NDData):
        return operand
    return NDDataRef(
        operand.data,
        uncertainty=operand.uncertainty,
        mask=operand.mask,
        unit=operand.unit,
        meta=operand.meta,
    )


def _with_pixels(cls: Any, cutout: Any, result: NDDataRef, *, own_meta: bool) -> Any:
    """Return a cutout with the position of another cutout and the pixels of a result."""
    store = cutout.store.extract(cutout.row, {})
    changes = {}
    if result.unit != cutout.unit:
        changes["unit"] = result.unit
        changes["data_units"] = get_data_units(result.unit) or cutout.data_units
    if not own_meta:
        changes["meta"] = result.meta
        store.overrides[0].meta = {}
    if changes:
        # Replace the record of the image only if it changes, because it contains a cached pixel
        # grid.
        store.image = replace(store.image, **changes)
    new = cls.from_store(store, 0)
    data_units = changes.get("data_units", cutout.data_units)
    new._columns["data_units"] = DATA_UNITS.index(data_units)
    new.data = result.data
    new.mask = None if result.mask is None else np.broadcast_to(result.mask, new.shape)
    uncertainty = as_uncertainty(result.uncertainty)
    if uncertainty is not None:
        uncertainty.array = np.broadcast_to(uncertainty.array, new.shape)
    new.uncertainty = uncertainty
    return new


def _keep_valid_planes(new: Any, cutout: Any, others: Sequence[Any]) -> None:
    """Set the planes and the PSF of a result, if they are valid for all operands."""
    for name, plane in PLANES.items():
        if plane.arithmetic == "or":
            setattr(new, name, _combine_bits(plane, [cutout, *others], new.shape))
        elif plane.arithmetic == "keep" or (
            plane.arithmetic == "keep if equal" and _is_shared(name, cutout, others)
        ):
            setattr(new, name, getattr(cutout, name))
    if not _is_shared("psf", cutout, others):
        new.psf = None


def _combine_bits(
    plane: Plane, operands: Sequence[Any], shape: tuple[int, int]
) -> np.ndarray | None:
    """Return the bitwise or of a plane of all operands, or `None` if no operand has it."""
    arrays = [getattr(operand, plane.name, None) for operand in operands]
    bits = [
        np.asarray(validate_kind(plane.name, array, plane.kinds))
        for array in arrays
        if array is not None
    ]
    return np.broadcast_to(reduce(_bitwise_or, bits), shape) if bits else None


def _is_shared(name: str, cutout: Any, others: Sequence[Any]) -> bool:
    """Return `True` if all operands that have an attribute have the value of the cutout."""
    own = getattr(cutout, name)
    values = [getattr(one, name, None) for one in others]
    return all(value is None or _is_same(own, value) for value in values)


def _bitwise_or(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    if np.promote_types(a.dtype, b.dtype).kind not in "iub":
        # NumPy would promote int64 and uint64 to floats. Convert both to uint64, which preserves
        # the bits.
        a, b = a.astype(np.uint64), b.astype(np.uint64)
    return a | b


def _is_same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, np.ndarray) and np.array_equal(a, b, equal_nan=True))
