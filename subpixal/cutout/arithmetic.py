"""Arithmetic of cutouts, which NDData does."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import numpy as np
from astropy.nddata import NDData, NDDataRef
from astropy.utils import sharedmethod

from subpixal.image import DATA_UNITS, PLANES, as_uncertainty, get_data_units, validate_kind

__all__ = ["ArithmeticMixin"]


class ArithmeticMixin:
    """
    The arithmetic of `~astropy.nddata.NDDataRef`.

    Not its mixin: that makes results by the constructor, which cuts, and sets
    attributes of its operands while it works.
    """

    @sharedmethod
    def add(self, operand, operand2=None, **kwargs):
        """
        The sum of the cutout and another operand.

        Data, mask, uncertainty and unit are those that `~astropy.nddata.NDDataRef`
        gives; masks are or-ed, uncertainties propagated. The flags of both operands
        are or-ed bit by bit. Everything else is that of the cutout, of the first
        if there are two: its place and WCS, source, image, exposure time and
        segmentation. Where it has a ``weight`` or a ``psf``, and the other operand
        has a different one, the result has none: neither holds for both.

        Parameters
        ----------
        operand : number, array, `~astropy.units.Quantity` or `~astropy.nddata.NDData`
            What is added to the cutout.
        operand2 : optional
            If it is given, the operation is ``operand + operand2``, of which at
            least one is a `Cutout`; necessary where the method is called on the
            class.
        **kwargs
            As in `~astropy.nddata.NDArithmeticMixin.add`:
            ``propagate_uncertainties``, ``handle_mask``, ``uncertainty_correlation``,
            ``handle_meta`` (by default, the result has the metadata of the cutout)
            and ``compare_wcs`` (by default, places are not compared; a callable is
            given both WCSs, and the operation is refused if it returns `False`).

        Returns
        -------
        Cutout
            With pixels of its own.
        """
        return _combine(self, "add", operand, operand2, kwargs)

    @sharedmethod
    def subtract(self, operand, operand2=None, **kwargs):
        """The cutout minus another operand; see `add`."""
        return _combine(self, "subtract", operand, operand2, kwargs)

    @sharedmethod
    def multiply(self, operand, operand2=None, **kwargs):
        """The product of the cutout and another operand; see `add`."""
        return _combine(self, "multiply", operand, operand2, kwargs)

    @sharedmethod
    def divide(self, operand, operand2=None, **kwargs):
        """The cutout divided by another operand; see `add`."""
        return _combine(self, "divide", operand, operand2, kwargs)

    def sum(self, **kwargs) -> NDDataRef:
        """
        Sum of the pixels, as `~astropy.nddata.NDDataRef` has it.

        Parameters
        ----------
        **kwargs
            ``axis`` (0 along y, 1 along x, by default both),
            ``propagate_uncertainties``, and ``operation_ignores_mask``: if it is
            true, masked pixels are left out; by default, a masked pixel makes the
            result masked. Of the uncertainties, astropy 8.0 collapses only standard
            deviations rightly.

        Returns
        -------
        `~astropy.nddata.NDDataRef`
            It has no WCS, as its pixels are none of an image.
        """
        return _bare(self).sum(**kwargs)

    def mean(self, **kwargs) -> NDDataRef:
        """Mean of the pixels; see `sum`."""
        return _bare(self).mean(**kwargs)

    def min(self, **kwargs) -> NDDataRef:
        """Smallest of the pixels, by default without uncertainty; see `sum`."""
        return _bare(self).min(**kwargs)

    def max(self, **kwargs) -> NDDataRef:
        """Largest of the pixels, by default without uncertainty; see `sum`."""
        return _bare(self).max(**kwargs)


def _combine(self, operation, operand, operand2, options):
    """Result of an operation of NDDataRef as a cutout; ``self`` may be the class."""
    cls = self if isinstance(self, type) else type(self)
    if operand2 is None:
        if self is cls:
            msg = f"{operation} needs two operands where it is called on the class"
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
    result = getattr(NDDataRef, operation)(*(_bare(one) for one in operands), **options)
    others = [one for one in operands if one is not cutouts[0] and isinstance(one, NDData)]
    new = _with_pixels(cls, cutouts[0], result, own_meta="handle_meta" not in options)
    _keep_what_holds(new, cutouts[0], others)
    return new


def _check_shapes(operation, operands) -> None:
    """Refuse operands of which the pixels do not belong together."""
    shapes = [np.shape(one.data if isinstance(one, NDData) else one) for one in operands]
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        kinds = [
            f"the cutout of source {one.src_id!r}" if isinstance(one, ArithmeticMixin)
            else f"the {type(one).__name__}" for one in operands
        ]  # fmt: skip
        msg = (
            f"{operation} needs operands of one shape: {kinds[0]} has shape {shapes[0]}, "
            f"{kinds[1]} {shapes[1]}; slices, or cutouts made with size=, have the same"
        )
        raise ValueError(msg) from None


def _bare(operand):
    """The part of an NDData that takes part in arithmetic, without WCS and PSF."""
    if not isinstance(operand, NDData):
        return operand
    return NDDataRef(
        operand.data,
        uncertainty=operand.uncertainty,
        mask=operand.mask,
        unit=operand.unit,
        meta=operand.meta,
    )


def _with_pixels(cls, cutout, result, *, own_meta):
    """A cutout of the place of another, with the pixels of a result."""
    store = cutout.store.extract(cutout.row, {})
    changed = {}
    if result.unit != cutout.unit:
        changed["unit"] = result.unit
        changed["data_units"] = get_data_units(result.unit) or cutout.data_units
    if not own_meta:
        changed["meta"] = result.meta
        store.overrides[0].meta = {}
    if changed:
        # Otherwise it stays the very record, which knows the sky.
        store.image = replace(store.image, **changed)
    new = cls.from_store(store, 0)
    new._columns["data_units"] = DATA_UNITS.index(changed.get("data_units", cutout.data_units))
    new.data = result.data
    new.mask = None if result.mask is None else np.broadcast_to(result.mask, new.shape)
    uncertainty = as_uncertainty(result.uncertainty)
    if uncertainty is not None:
        uncertainty.array = np.broadcast_to(uncertainty.array, new.shape)
    new.uncertainty = uncertainty
    return new


def _keep_what_holds(new, cutout, others) -> None:
    """Give a result the planes and the PSF that still hold."""
    for plane in PLANES.values():
        if plane.arithmetic == "or":
            setattr(new, plane.name, _combine_bits(plane, [cutout, *others], new.shape))
        elif plane.arithmetic == "keep" or (
            plane.arithmetic == "keep if equal" and _holds(plane.name, cutout, others)
        ):
            setattr(new, plane.name, getattr(cutout, plane.name))
    if not _holds("psf", cutout, others):
        new.psf = None


def _combine_bits(plane, operands, shape):
    """Return the bitwise or of a plane of all operands, `None` if none has the plane."""
    arrays = [getattr(operand, plane.name, None) for operand in operands]
    arrays = [
        validate_kind(plane.name, array, plane.kinds) for array in arrays if array is not None
    ]
    return np.broadcast_to(reduce(_bitwise_or, arrays), shape) if arrays else None


def _holds(name, cutout, others) -> bool:
    """Whether no other operand has something different under a name."""
    mine, theirs = getattr(cutout, name), [getattr(one, name, None) for one in others]
    return all(one is None or _is_same(mine, one) for one in theirs)


def _bitwise_or(a, b):
    kind = np.promote_types(a.dtype, b.dtype)
    if kind.kind not in "iub":
        # No signed integer holds 64 bits and a sign; the bits are the same.
        a, b = a.astype(np.uint64), b.astype(np.uint64)
    return a | b


def _is_same(a, b) -> bool:
    return a is b or (isinstance(a, np.ndarray) and np.array_equal(a, b, equal_nan=True))
