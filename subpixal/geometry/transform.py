"""Forward and inverse values of any WCS.

APE 14 leaves no way to switch off the bounding box of a gwcs or the bounds of
a FITS WCS, and they turn the half-pixel corners of an edge pixel into NaN. So
the values of these two are taken from their own methods, also where they are
inside a wrapper.
"""

from __future__ import annotations

import warnings

import numpy as np

from .low_level import is_gwcs, is_plain_fits, low_level_wcs
from .offset import unwrap

__all__ = ["Transform"]


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
        self.shape = _known_shape(self.wcs) if shape is None else tuple(shape)
        self._inner, self._origin = unwrap(self.wcs)
        self._gwcs, self._fits = is_gwcs(self._inner), is_plain_fits(self._inner)

    @property
    def reference(self) -> tuple[float, float] | None:
        """Position ``(x, y)`` of the reference point of a FITS WCS, `None` for others."""
        if not self._fits:
            return None
        x, y = self._inner.wcs.crpix - 1 - self._origin
        return float(x), float(y)

    def to_world(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
        """World values of pixel positions: one float array for each world axis."""
        x, y = x + self._origin[0], y + self._origin[1]
        if self._gwcs:
            world = self._gwcs_values(x, y)
        elif self._fits:
            world = self._inner.all_pix2world(x, y, 0)
        else:
            world = self._inner.pixel_to_world_values(x, y)
        return tuple(np.asarray(w, float) for w in world)

    def _gwcs_values(self, x, y):
        try:
            values = self._inner(x, y, with_bounding_box=False)
        except ValueError:
            # A table may refuse what is beyond it; that is where the image ends.
            bounds = self._inner.pixel_bounds
            if bounds is None:
                raise
            (x1, x2), (y1, y2) = bounds
            inside = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
            if np.all(inside):
                raise
            some = self._gwcs_values(x[inside], y[inside]) if np.any(inside) else ()
            values = [np.full(np.shape(x), np.nan) for _ in range(self.wcs.world_n_dim)]
            for whole, part in zip(values, some, strict=False):
                whole[inside] = part
            return values
        return _plain(values, self._inner.output_frame)

    def guess(self, *world: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """
        Pixel positions as the WCS's own inverse has them.

        Whatever it answers has to be verified. `None` if it has no usable
        inverse.
        """
        with warnings.catch_warnings():
            # Many an inverse warns where it diverges, and answers all the same.
            warnings.simplefilter("ignore")
            # What a broken inverse raises is the secret of its library
            # (gwcs: AttributeError, NotImplementedError, ValueError ...).
            try:
                x, y = self._inverse(*world)
            except Exception:  # noqa: BLE001
                return None
        return np.asarray(x, float) - self._origin[0], np.asarray(y, float) - self._origin[1]

    def _inverse(self, *world):
        if self._fits:
            return self._inner.all_world2pix(*world, 0, quiet=True)
        if not self._gwcs:
            return self._inner.world_to_pixel_values(*world)
        # Raises where there is none: the numerical inverse of gwcs is slow,
        # and wrong on rotated frames.
        _ = self._inner.backward_transform
        pixels = self._inner.invert(*world, with_bounding_box=False)
        return _plain(pixels, self._inner.input_frame)


def _known_shape(wcs):
    if wcs.array_shape is not None:
        return tuple(wcs.array_shape)
    bounds = wcs.pixel_bounds
    if bounds is None or None in bounds:
        return None
    # Bounds are those of pixels or of their centres.
    return tuple(max(1, int(np.floor(high)) + 1) for _, high in bounds)[::-1]


def _plain(values, frame):
    if not any(hasattr(v, "unit") for v in values):
        return values
    units = [v.unit for v in values] if frame is None else frame.unit
    return tuple(v.to_value(unit) for v, unit in zip(values, units, strict=True))
