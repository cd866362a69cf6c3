"""
One interface to the WCSs of all libraries.

The adapters call the methods of each library directly, because the APE 14 interface cannot switch
off the bounding box of a gwcs or the bounds of a FITS WCS. A bounding box or bounds would turn
positions in the outer half of the pixels at the edge of an image into NaN.

To support another kind of WCS, write a subclass of `WCSAdapter` and add the subclass to `ADAPTERS`.
To write the WCS to pickles and archives, its class also needs pickle support and an ASDF converter.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from astropy.wcs import WCS, Sip
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSWrapper

from .array_types import BoolArray, FloatArray
from .offset import OffsetLowLevelWCS, shift_bounds, unwrap
from .world_axes import WorldAxes

__all__ = ["FITSAdapter", "GWCSAdapter", "WCSAdapter", "adapt", "low_level_wcs", "offset_wcs"]


class WCSAdapter:
    """
    Adapter for any APE 14 WCS with two pixel axes.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The WCS, without any wrapper that only moves the pixel origin.
    origin : tuple of float
        Pixel position ``(x, y)`` in ``wcs`` that corresponds to pixel (0, 0) of the adapter.
    """

    def __init__(self, wcs: Any, origin: tuple[float, float]) -> None:
        self.wcs = wcs
        self.origin = origin

    @staticmethod
    def handles(wcs: BaseLowLevelWCS) -> bool:
        """Return `True` if the adapter supports a WCS."""
        return isinstance(wcs, BaseLowLevelWCS)

    @property
    def reference(self) -> tuple[float, float] | None:
        """Reference position ``(x, y)``; `None` for a kind of WCS without a reference pixel."""
        return None

    def make_world_axes(self) -> WorldAxes:
        """Return the physical types, units and celestial frame of the world axes."""
        wcs = self.wcs
        return WorldAxes(
            wcs.world_axis_physical_types,
            wcs.world_axis_units,
            wcs.world_axis_object_classes,
            wcs.world_axis_object_components,
        )

    def to_world(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, ...]:
        """
        Return the world values of pixel positions inside and outside the bounds of the WCS.

        Parameters
        ----------
        x, y : array
            0-based pixel positions; both arrays have the same shape.

        Returns
        -------
        tuple of array
            World values, one array for each world axis.
        """
        values = self._pixel_to_world(x + self.origin[0], y + self.origin[1])
        return tuple(np.asarray(v, float) for v in values)

    def guess_pixel(self, *world: FloatArray) -> tuple[FloatArray, FloatArray] | None:
        """
        Return unverified pixel positions from the inverse of the WCS.

        The caller must verify the positions.

        Parameters
        ----------
        *world : array
            World values, one array for each world axis; all arrays have the same shape.

        Returns
        -------
        tuple of array or None
            0-based pixel positions x and y; `None` if the WCS has no usable inverse.
        """
        with warnings.catch_warnings():
            # Some inverse transforms issue a warning for positions at which they diverge. The
            # warnings are not needed, because the caller verifies all positions.
            warnings.simplefilter("ignore")
            # Catch all exceptions, because libraries raise undocumented ones here. For example,
            # gwcs raises AttributeError, NotImplementedError and ValueError.
            try:
                x, y = self._world_to_pixel(*world)
            except Exception:  # noqa: BLE001
                return None
        return np.asarray(x, float) - self.origin[0], np.asarray(y, float) - self.origin[1]

    def offset(self, offset: tuple[float, float], shape: tuple[int, int]) -> Any:
        """
        Return a high-level WCS for the pixels of a rectangle.

        Parameters
        ----------
        offset : tuple of float
            Pixel position ``(x, y)`` in the adapter that corresponds to pixel (0, 0) of the
            rectangle.
        shape : tuple of int
            ``(ny, nx)`` of the rectangle.
        """
        x, y = (float(o) for o in np.add(offset, self.origin))
        ny, nx = shape
        return self._offset((x, y), (ny, nx))

    # Subclasses may override the following methods. All pixel positions refer to `self.wcs`, not to
    # the adapter.

    def _pixel_to_world(self, x: FloatArray, y: FloatArray) -> Iterable[Any]:
        return self.wcs.pixel_to_world_values(x, y)

    def _world_to_pixel(self, *world: FloatArray) -> Iterable[Any]:
        return self.wcs.world_to_pixel_values(*world)

    def _offset(self, offset: tuple[float, float], shape: tuple[int, int]) -> Any:
        return HighLevelWCSWrapper(OffsetLowLevelWCS(self.wcs, offset, shape))


class FITSAdapter(WCSAdapter):
    """Adapter for an `astropy.wcs.WCS`. The transforms ignore ``pixel_bounds``."""

    @staticmethod
    def handles(wcs: BaseLowLevelWCS) -> bool:
        """Return `True` for an `astropy.wcs.WCS`, unless a subclass overrides the transforms."""
        methods = ("pixel_to_world_values", "world_to_pixel_values")
        return isinstance(wcs, WCS) and all(
            getattr(type(wcs), m) is getattr(WCS, m) for m in methods
        )

    @property
    def reference(self) -> tuple[float, float]:
        """0-based position ``(x, y)`` of the reference pixel, from ``CRPIX``."""
        x, y = self.wcs.wcs.crpix - 1 - self.origin
        return float(x), float(y)

    def _pixel_to_world(self, x: FloatArray, y: FloatArray) -> Iterable[Any]:
        return self.wcs.all_pix2world(x, y, 0)

    def _world_to_pixel(self, *world: FloatArray) -> Iterable[Any]:
        return self.wcs.all_world2pix(*world, 0, quiet=True)

    def _offset(self, offset: tuple[float, float], shape: tuple[int, int]) -> WCS:
        new = self.wcs.deepcopy()
        new.wcs.crpix = new.wcs.crpix - offset
        if new.sip is not None:
            sip = new.sip
            new.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix - offset)
        names = ("cpdis1", "cpdis2", "det2im1", "det2im2")
        # Two axes may share one table. Move a shared table only once.
        tables = {id(table): table for table in (getattr(new, name) for name in names) if table}
        for table in tables.values():
            table.crval = tuple(np.subtract(table.crval, offset))
        if new.pixel_bounds is not None:
            new.pixel_bounds = shift_bounds(self.wcs.pixel_bounds, offset)
        new.pixel_shape = shape[::-1]
        return new


class GWCSAdapter(WCSAdapter):
    """
    Adapter for a `gwcs.wcs.WCS`.

    The transforms ignore the bounding box and return plain numbers without units.
    """

    @staticmethod
    def handles(wcs: BaseLowLevelWCS) -> bool:
        """Return `True` for a `gwcs.wcs.WCS`. The method does not import gwcs."""
        names = ((c.__name__, c.__module__.partition(".")[0]) for c in type(wcs).__mro__)
        return ("WCS", "gwcs") in names

    def make_world_axes(self) -> WorldAxes:
        """Return the physical types, units and celestial frame of the world axes."""
        wcs = self.wcs
        if wcs.output_frame is not None:
            return super().make_world_axes()
        # If the output frame is only a name, gwcs has no description of the world axes. It would
        # raise an error.
        types = [f"custom:{wcs.available_frames[-1]}"] * wcs.world_n_dim
        return WorldAxes(types, [""] * len(types))

    def _pixel_to_world(self, x: FloatArray, y: FloatArray) -> Iterable[Any]:
        try:
            values = self.wcs(x, y, with_bounding_box=False)
        except ValueError:
            # A lookup table may raise an error for positions beyond the table. Return NaN for all
            # positions outside the bounds instead.
            inside = self._is_inside_bounds(x, y)
            if inside.all():
                raise
            values = np.full((self.wcs.world_n_dim, *np.shape(x)), np.nan)
            if inside.any():
                values[:, inside] = list(self._pixel_to_world(x[inside], y[inside]))
            return values
        return _remove_units(values, self.wcs.output_frame)

    def _is_inside_bounds(self, x: FloatArray, y: FloatArray) -> BoolArray:
        bounds = self.wcs.pixel_bounds
        if bounds is None:
            return np.ones(np.shape(x), bool)
        (x1, x2), (y1, y2) = bounds
        return (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)

    def _world_to_pixel(self, *world: FloatArray) -> Iterable[Any]:
        # This property raises an error if the WCS has no analytic inverse. Do not use the numerical
        # inverse of gwcs, because it is slow, and wrong for rotated frames.
        _ = self.wcs.backward_transform
        pixels = self.wcs.invert(*world, with_bounding_box=False)
        return _remove_units(pixels, self.wcs.input_frame)

    def _offset(self, offset: tuple[float, float], shape: tuple[int, int]) -> Any:
        import gwcs
        from astropy import units as u
        from astropy.modeling.models import Shift

        wcs = self.wcs
        unit = u.pix if wcs.forward_transform.uses_quantity else 1
        move = Shift(offset[0] * unit) & Shift(offset[1] * unit)
        name = "cutout"
        while name in wcs.available_frames:
            name += "_"
        frame = gwcs.Frame2D(name=name, unit=(u.pix, u.pix))
        new = gwcs.WCS([gwcs.wcs.Step(frame, move), *wcs.pipeline], name=wcs.name or None)
        new.pixel_shape = shape[::-1]
        return new


def _remove_units(values: Iterable[Any], frame: Any) -> Iterable[Any]:
    """Return values as plain numbers in the units of a gwcs frame."""
    values = tuple(values)
    if not any(hasattr(v, "unit") for v in values):
        return values
    units = [v.unit for v in values] if frame is None else frame.unit
    return tuple(v.to_value(unit) for v, unit in zip(values, units, strict=True))


# For each WCS, `adapt` uses the first of these classes that supports the WCS.
ADAPTERS: tuple[type[WCSAdapter], ...] = (GWCSAdapter, FITSAdapter, WCSAdapter)


def low_level_wcs(wcs: Any) -> BaseLowLevelWCS:
    """
    Return the low-level APE 14 interface of any WCS.

    Parameters
    ----------
    wcs : object
        A low-level or high-level APE 14 WCS.

    Raises
    ------
    TypeError
        If ``wcs`` is not an APE 14 WCS.
    ValueError
        If ``wcs`` does not have two pixel axes.
    """
    low = wcs if isinstance(wcs, BaseLowLevelWCS) else getattr(wcs, "low_level_wcs", None)
    if not isinstance(low, BaseLowLevelWCS):
        msg = f"wcs must be an APE 14 WCS (low or high level), got {type(wcs).__name__}"
        raise TypeError(msg)
    if FITSAdapter.handles(low):
        # This call sets the units of a WCS that was made without a header, attribute by attribute.
        low.wcs.set()
    if low.pixel_n_dim != 2:
        msg = f"wcs must have 2 pixel axes, got {low.pixel_n_dim}"
        raise ValueError(msg)
    return low


def adapt(wcs: Any) -> WCSAdapter:
    """
    Return an adapter for any WCS.

    Parameters
    ----------
    wcs : object
        A low-level or high-level APE 14 WCS with two pixel axes. If a slice or an
        `OffsetLowLevelWCS` wraps another WCS, the adapter uses the wrapped WCS and an origin.
    """
    inner, origin = unwrap(low_level_wcs(wcs))
    adapter_class = next(adapter for adapter in ADAPTERS if adapter.handles(inner))
    return adapter_class(inner, origin)


def offset_wcs(wcs: Any, offset: tuple[float, float], shape: tuple[int, int]) -> Any:
    """
    Make the WCS for a rectangle of an image.

    Parameters
    ----------
    wcs : object
        Low-level or high-level APE 14 WCS of the image.
    offset : tuple of float
        Pixel position ``(x, y)`` in the image that corresponds to pixel (0, 0) of the rectangle.
        The values may be fractional, and they may lie outside the image.
    shape : tuple of int
        ``(ny, nx)`` of the rectangle.

    Returns
    -------
    object
        A high-level APE 14 WCS. If ``wcs`` is an `astropy.wcs.WCS` or a slice of one, the result is
        an `astropy.wcs.WCS`. If ``wcs`` is a `gwcs.wcs.WCS`, the result is a `gwcs.wcs.WCS` with
        the same transforms and without a bounding box. For any other WCS, the result is a wrapper
        around ``wcs``.
    """
    return adapt(wcs).offset(offset, shape)
