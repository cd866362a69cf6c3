"""What the world axes of a WCS mean, and how two of them go together.

Sky positions are compared as unit vectors: there is no special case at
right ascension 0 or at the poles.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.wcs.wcsapi import BaseLowLevelWCS

from .low_level import physical_axes

__all__ = ["WorldAxes"]


class WorldAxes:
    """
    The world that a WCS maps to.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        A low-level WCS.

    Attributes
    ----------
    frame : `~astropy.coordinates.BaseCoordinateFrame` or None
        The celestial frame, `None` if the world is not just the sky.
    """

    def __init__(self, wcs: BaseLowLevelWCS) -> None:
        self.types, units, classes, components = physical_axes(wcs)
        self.units = [u.Unit(unit) for unit in units]
        self.frame = None
        keys = {component[0] for component in components}
        if len(keys) == 1 and len(components) == 2:
            self.frame = _instance(classes[keys.pop()][2].get("frame"))
        if self.frame is not None:
            # Where longitude and latitude stand among the world axes.
            order = [_axis(component[1], self.frame) for component in components]
            self._lonlat = order.index(0), order.index(1)
            self._radians = [self.units[i].to(u.rad) for i in self._lonlat]

    @property
    def is_sky(self) -> bool:
        """Whether the world is the sky and nothing else."""
        return self.frame is not None

    def lonlat(self, values) -> tuple[np.ndarray, np.ndarray]:
        """Longitude and latitude in radians from world values."""
        (i, j), (a, b) = self._lonlat, self._radians
        return np.multiply(values[i], a), np.multiply(values[j], b)

    def values(self, lon, lat) -> tuple[np.ndarray, np.ndarray]:
        """World values, in order and units of the WCS, from radians."""
        (i, j), (a, b) = self._lonlat, self._radians
        values = [None, None]
        values[i], values[j] = np.mod(lon, 2 * np.pi) / a, np.divide(lat, b)
        return tuple(values)

    def vectors(self, values) -> np.ndarray:
        """
        World values as points of a space in which distances mean something.

        Unit vectors of shape (3, N) for the sky, the plain values of shape
        (world axes, N) for any other world.
        """
        if not self.is_sky:
            return np.array(values, float)
        lon, lat = self.lonlat(values)
        points = np.empty((3, *np.shape(lon)))
        with np.errstate(invalid="ignore"):
            # Into one array: fresh memory would cost as much as the sines.
            np.cos(lon, out=points[0, ...])
            np.sin(lon, out=points[1, ...])
            np.sin(lat, out=points[2, ...])
            points[:2] *= np.cos(lat)
        return points

    def values_in(self, other: WorldAxes, values) -> tuple[np.ndarray, ...]:
        """
        World values of the same points in another world.

        Values of equal worlds are handed on as they are; between celestial
        frames there is one vectorised transformation.

        Raises
        ------
        ValueError
            If the worlds are not of the same kind.
        """
        if self.is_sky and other.is_sky:
            lon, lat = self.lonlat(values)
            if not self.frame.is_equivalent_frame(other.frame):
                lon, lat = _transform(lon, lat, self.frame, other.frame)
            return other.values(lon, lat)
        if self.is_sky or other.is_sky or self.types != other.types or self.units != other.units:
            msg = f"the WCSs do not describe the same world: {self!r} and {other!r}"
            if None in (*self.types, *other.types):
                msg += "; a FITS WCS without CTYPE says nothing of its axes"
            raise ValueError(msg)
        return tuple(values)

    def __repr__(self) -> str:
        axes = ", ".join(
            f"{kind or 'no physical type'} [{str(unit) or 'no unit'}]"
            for kind, unit in zip(self.types, self.units, strict=True)
        )
        return f"<{self.frame!r}: {axes}>" if self.is_sky else f"<{axes}>"


def _instance(frame):
    if not isinstance(frame, str):
        return frame
    from astropy.coordinates import SkyCoord

    return SkyCoord(0, 0, unit="deg", frame=frame).frame.replicate_without_data()


def _axis(argument, frame) -> int:
    if not isinstance(argument, str):
        return argument
    # A frame calls its longitude by a name of its own, such as ra, l, or az.
    return ("lon", "lat").index(frame.representation_component_names.get(argument, argument))


def _transform(lon, lat, frame_in, frame_out):
    from astropy.coordinates import UnitSphericalRepresentation

    good = np.isfinite(lon) & np.isfinite(lat)
    out = np.full((2, *np.shape(lon)), np.nan)
    sky = UnitSphericalRepresentation(lon[good] * u.rad, lat[good] * u.rad, copy=False)
    # Not by SkyCoord, which hands the equinox of the old frame on to the new one.
    new = frame_in.realize_frame(sky).transform_to(frame_out)
    new = new.represent_as(UnitSphericalRepresentation)
    out[:, good] = new.lon.rad, new.lat.rad
    return out
