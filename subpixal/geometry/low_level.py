"""The one place that knows what kinds of WCS there are.

Everything else in the package sees a WCS as a `Transform`: forward and
inverse values that are smooth across the edge of the image. APE 14 leaves no
way to switch off the bounding box of a gwcs, and a bounding box turns the
half-pixel corners of an edge pixel into NaN, so it is avoided here.
"""

from __future__ import annotations

import warnings

import numpy as np
from astropy.wcs.wcsapi import BaseLowLevelWCS

__all__ = ["Transform", "is_gwcs", "low_level_wcs"]


def low_level_wcs(wcs) -> BaseLowLevelWCS:
    """
    Low-level APE 14 interface of any WCS.

    Parameters
    ----------
    wcs : object
        An APE 14 WCS, low or high level.

    Raises
    ------
    TypeError
        If ``wcs`` is neither.
    ValueError
        If it does not have two pixel axes.
    """
    low = wcs if isinstance(wcs, BaseLowLevelWCS) else getattr(wcs, "low_level_wcs", None)
    if not isinstance(low, BaseLowLevelWCS):
        msg = f"wcs must be an APE 14 WCS (low or high level), got {type(wcs).__name__}"
        raise TypeError(msg)
    if low.pixel_n_dim != 2:
        msg = f"wcs must have 2 pixel axes, got {low.pixel_n_dim}"
        raise ValueError(msg)
    return low


def is_gwcs(wcs: BaseLowLevelWCS) -> bool:
    """Whether a low-level WCS is a gwcs, without importing gwcs."""
    return any(c.__name__ == "WCS" and c.__module__.startswith("gwcs") for c in type(wcs).__mro__)


class Transform:
    """
    Forward and inverse values of a WCS, smooth across the edge of the image.

    Parameters
    ----------
    wcs : object
        An APE 14 WCS of two pixel axes, low or high level.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image; by default what the WCS knows of it.
    """

    def __init__(self, wcs, shape: tuple[int, int] | None = None) -> None:
        self.wcs = low_level_wcs(wcs)
        self.shape = tuple(shape) if shape is not None else self.wcs.array_shape
        if self.shape is None and self.wcs.pixel_bounds is not None:
            self.shape = tuple(int(np.ceil(high)) for _, high in self.wcs.pixel_bounds)[::-1]
        self._gwcs = is_gwcs(self.wcs)

    def to_world(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """World values of pixel positions: one float array for each world axis."""
        if self._gwcs:
            world = _plain(self.wcs(x, y, with_bounding_box=False), self.wcs.output_frame)
        else:
            world = self.wcs.pixel_to_world_values(x, y)
        return tuple(np.asarray(w, float) for w in world)

    def guess(self, *world: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """
        Pixel positions as the WCS's own inverse has them.

        Whatever it answers has to be verified. `None` if it has no usable
        inverse.
        """
        with warnings.catch_warnings():
            # A FITS WCS warns when its iteration diverges, and answers all the same.
            warnings.simplefilter("ignore")
            # What a broken inverse raises is the secret of its library
            # (gwcs: AttributeError, NotImplementedError, ValueError ...).
            try:
                x, y = self._inverse(*world)
            except Exception:  # noqa: BLE001
                return None
        return np.array(x, float), np.array(y, float)

    def _inverse(self, *world):
        if not self._gwcs:
            return self.wcs.world_to_pixel_values(*world)
        # Raises where there is none: the numerical inverse of gwcs is slow,
        # and wrong on rotated frames.
        _ = self.wcs.backward_transform
        return _plain(self.wcs.invert(*world, with_bounding_box=False), self.wcs.input_frame)


def _plain(values, frame):
    if not any(hasattr(v, "unit") for v in values):
        return values
    return tuple(v.to_value(unit) for v, unit in zip(values, frame.unit, strict=True))
