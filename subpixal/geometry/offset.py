"""
Wrapper that moves the pixel origin of a WCS.

`astropy.wcs.WCS.slice` and `~astropy.wcs.wcsapi.SlicedLowLevelWCS` cannot describe a cutout that
extends beyond its image. They count a negative origin from the end, or they clip the cutout to the
image. If two axes share a lookup table, they move the table twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.wcs.wcsapi import BaseLowLevelWCS, SlicedLowLevelWCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    Bounds = Sequence[tuple[float, float] | None]

__all__ = ["OffsetLowLevelWCS", "shift_bounds", "unwrap"]


class OffsetLowLevelWCS(BaseWCSWrapper):
    """
    A low-level WCS that moves the pixel origin of another WCS.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The WCS of the image.
    offset : tuple of float
        Pixel position ``(x, y)`` in the image that corresponds to pixel (0, 0) of the new grid.
    shape : tuple of int, optional
        ``(ny, nx)`` of the new grid.
    """

    def __init__(
        self,
        wcs: BaseLowLevelWCS,
        offset: tuple[float, float],
        shape: tuple[int, int] | None = None,
    ) -> None:
        x, y = offset
        if isinstance(wcs, OffsetLowLevelWCS):
            x += wcs.offset[0]
            y += wcs.offset[1]
            wcs = wcs._wcs
        super().__init__(wcs)
        self.offset: tuple[float, float] = (float(x), float(y))
        self._shape = None if shape is None else tuple(shape)

    def pixel_to_world_values(self, *pixel_arrays: ArrayLike) -> Any:
        """Return the world values for pixel positions in the new grid."""
        moved = (np.add(p, o) for p, o in zip(pixel_arrays, self.offset, strict=True))
        return self._wcs.pixel_to_world_values(*moved)

    def world_to_pixel_values(self, *world_arrays: ArrayLike) -> tuple[Any, ...]:
        """Return the pixel positions in the new grid for world values."""
        pixels = self._wcs.world_to_pixel_values(*world_arrays)
        return tuple(np.subtract(p, o) for p, o in zip(pixels, self.offset, strict=True))

    @property
    def array_shape(self) -> tuple[int, ...] | None:
        """Shape ``(ny, nx)`` of the new grid, or `None` if the shape is unknown."""
        return self._shape

    @property
    def pixel_shape(self) -> tuple[int, ...] | None:
        """Size ``(nx, ny)`` of the new grid, or `None` if the shape is unknown."""
        return None if self._shape is None else self._shape[::-1]

    @property
    def pixel_bounds(self) -> Bounds | None:
        """Bounds of the WCS, as defined by APE 14, in pixels of the new grid."""
        bounds = self._wcs.pixel_bounds
        return None if bounds is None else shift_bounds(bounds, self.offset)


def shift_bounds(bounds: Bounds, offset: Sequence[float]) -> list[tuple[float, float] | None]:
    """Convert pixel bounds to a grid whose pixel (0, 0) is at ``offset``."""
    return [
        None if bound is None else (bound[0] - o, bound[1] - o)
        for bound, o in zip(bounds, offset, strict=True)
    ]


def unwrap(wcs: BaseLowLevelWCS) -> tuple[BaseLowLevelWCS, tuple[float, float]]:
    """
    Remove wrappers that only move the pixel origin.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        A low-level WCS with two pixel axes.

    Returns
    -------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The WCS inside the removed wrappers.
    origin : tuple of float
        Pixel position ``(x, y)`` in the inner WCS that corresponds to pixel (0, 0) of the outermost
        wrapper.
    """
    x, y = 0.0, 0.0
    while True:
        if isinstance(wcs, OffsetLowLevelWCS):
            dx, dy = wcs.offset
        elif _only_moves_origin(wcs):
            dx, dy = (float(s.start or 0) for s in wcs._slices_pixel)
        else:
            return wcs, (x, y)
        x += dx
        y += dy
        wcs = wcs._wcs


def _only_moves_origin(wcs: BaseLowLevelWCS) -> bool:
    """Return `True` for a slice that keeps all axes and uses the transforms of astropy."""
    if not isinstance(wcs, SlicedLowLevelWCS):
        return False
    inner = wcs._wcs
    base = SlicedLowLevelWCS
    return (
        type(wcs).pixel_to_world_values is base.pixel_to_world_values
        and type(wcs).world_to_pixel_values is base.world_to_pixel_values
        and inner.pixel_n_dim == 2
        and inner.world_n_dim == wcs.world_n_dim
    )
