"""A WCS seen from another origin.

A cutout keeps the WCS of the image it was cut from; only who asks for the WCS
of the cutout's own pixels gets one of these. `astropy.wcs.WCS.slice` and
`~astropy.wcs.wcsapi.SlicedLowLevelWCS` do not serve: they count negative
origins from the end, clip to the image, or move a shared table twice.
"""

from __future__ import annotations

import numpy as np
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSWrapper, SlicedLowLevelWCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from .low_level import is_gwcs, is_plain_fits, low_level_wcs

__all__ = ["OffsetLowLevelWCS", "offset_wcs", "unwrap"]


def offset_wcs(wcs, offset: tuple[float, float], shape: tuple[int, int]):
    """
    WCS of a rectangle of an image.

    Parameters
    ----------
    wcs : object
        APE 14 WCS of the image, low or high level.
    offset : tuple of float
        Position ``(x, y)`` in the image of pixel (0, 0) of the rectangle;
        it may be negative, off the image, and not whole.
    shape : tuple of int
        ``(ny, nx)`` of the rectangle.

    Returns
    -------
    object
        A high-level APE 14 WCS: an `astropy.wcs.WCS` for one, a `gwcs.WCS` for
        one (sharing its transforms, without bounding box), otherwise a wrapper.
        A slice of one of them counts as one of them.
    """
    inner, origin = unwrap(low_level_wcs(wcs))
    offset = tuple(float(o) for o in np.add(offset, origin))
    shape = tuple(shape)
    if is_gwcs(inner):
        return _offset_gwcs(inner, offset, shape)
    if is_plain_fits(inner):
        return _offset_fits(inner, offset, shape)
    return HighLevelWCSWrapper(OffsetLowLevelWCS(inner, offset, shape))


def unwrap(wcs: BaseLowLevelWCS) -> tuple[BaseLowLevelWCS, tuple[float, float]]:
    """
    WCS inside wrappers that do nothing but move its origin.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        A low-level WCS of two pixel axes.

    Returns
    -------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The innermost WCS of two pixel axes.
    origin : tuple of float
        Position ``(x, y)`` in it of pixel (0, 0) of the wrapper.
    """
    if isinstance(wcs, OffsetLowLevelWCS):
        step = wcs.offset
    elif _only_moves(wcs):
        step = tuple(s.start or 0 for s in wcs._slices_pixel)
    else:
        return wcs, (0.0, 0.0)
    inner, origin = unwrap(wcs._wcs)
    return inner, tuple(np.add(step, origin).tolist())


def _only_moves(wcs) -> bool:
    if not isinstance(wcs, SlicedLowLevelWCS):
        return False
    inner, base = wcs._wcs, SlicedLowLevelWCS
    return (
        type(wcs).pixel_to_world_values is base.pixel_to_world_values
        and type(wcs).world_to_pixel_values is base.world_to_pixel_values
        and inner.pixel_n_dim == 2
        and inner.world_n_dim == wcs.world_n_dim
    )


def _offset_fits(wcs, offset, shape):
    from astropy.wcs import Sip

    new = wcs.deepcopy()
    new.wcs.crpix = new.wcs.crpix - offset
    if new.sip is not None:
        sip = new.sip
        new.sip = Sip(sip.a, sip.b, sip.ap, sip.bp, sip.crpix - offset)
    names = ("cpdis1", "cpdis2", "det2im1", "det2im2")
    tables = {id(table): table for table in (getattr(new, name) for name in names) if table}
    for table in tables.values():
        table.crval = tuple(np.subtract(table.crval, offset))
    if new.pixel_bounds is not None:
        new.pixel_bounds = _shifted_bounds(wcs.pixel_bounds, offset)
    new.pixel_shape = shape[::-1]
    return new


def _offset_gwcs(wcs, offset, shape):
    from astropy import units as u
    from astropy.modeling.models import Shift
    from gwcs import WCS, coordinate_frames
    from gwcs.wcs import Step

    unit = u.pix if wcs.forward_transform.uses_quantity else 1
    move = Shift(offset[0] * unit) & Shift(offset[1] * unit)
    name = "cutout"
    while name in wcs.available_frames:
        name += "_"
    frame = coordinate_frames.Frame2D(name=name, unit=(u.pix, u.pix))
    new = WCS([Step(frame, move), *wcs.pipeline], name=wcs.name or None)
    new.pixel_shape = shape[::-1]
    return new


def _shifted_bounds(bounds, offset):
    return [
        None if bound is None else (bound[0] - o, bound[1] - o)
        for bound, o in zip(bounds, offset, strict=True)
    ]


class OffsetLowLevelWCS(BaseWCSWrapper):
    """
    A low-level WCS with another pixel origin.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        The WCS of the image.
    offset : tuple of float
        Position ``(x, y)`` in the image of the new pixel (0, 0).
    shape : tuple of int, optional
        ``(ny, nx)`` of the new grid.
    """

    def __init__(
        self,
        wcs: BaseLowLevelWCS,
        offset: tuple[float, float],
        shape: tuple[int, int] | None = None,
    ) -> None:
        if isinstance(wcs, OffsetLowLevelWCS):
            offset = tuple(np.add(offset, wcs.offset))
            wcs = wcs._wcs
        super().__init__(wcs)
        self.offset = tuple(float(o) for o in offset)
        self._shape = None if shape is None else tuple(shape)

    def pixel_to_world_values(self, *pixel_arrays):
        """World values of pixel positions in the new grid."""
        moved = (np.add(p, o) for p, o in zip(pixel_arrays, self.offset, strict=True))
        return self._wcs.pixel_to_world_values(*moved)

    def world_to_pixel_values(self, *world_arrays):
        """Pixel positions in the new grid of world values."""
        pixels = self._wcs.world_to_pixel_values(*world_arrays)
        return tuple(np.subtract(p, o) for p, o in zip(pixels, self.offset, strict=True))

    @property
    def array_shape(self):
        """``(ny, nx)`` of the new grid, `None` if not known."""
        return self._shape

    @property
    def pixel_shape(self):
        """``(nx, ny)`` of the new grid, `None` if not known."""
        return None if self._shape is None else self._shape[::-1]

    @property
    def pixel_bounds(self):
        """Where the WCS is defined, as in APE 14, in the new grid."""
        bounds = self._wcs.pixel_bounds
        return None if bounds is None else _shifted_bounds(bounds, self.offset)
