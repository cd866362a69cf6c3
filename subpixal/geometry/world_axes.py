"""
World axes of a WCS: physical types, units and celestial frame, and conversion of world values.

Sky positions are compared as unit vectors. Right ascension 0 and the poles therefore need no
special treatment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.coordinates import BaseCoordinateFrame, SkyCoord, UnitSphericalRepresentation

from .array_types import FloatArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


__all__ = ["WorldAxes", "is_celestial"]


class WorldAxes:
    """
    World axes of a WCS, described by properties of the APE 14 interface.

    Parameters
    ----------
    types : sequence of str or None
        The property ``world_axis_physical_types``.
    units : sequence of str
        The property ``world_axis_units``.
    classes : mapping
        The property ``world_axis_object_classes``.
    components : sequence
        The property ``world_axis_object_components``.

    Attributes
    ----------
    types : list of str or None
        Physical types of the axes.
    units : list of `~astropy.units.Unit`
        Units of the axes.
    frame : `~astropy.coordinates.BaseCoordinateFrame` or None
        The celestial frame if the axes are longitude and latitude on the sky, otherwise `None`.
    """

    def __init__(
        self,
        types: Sequence[str | None],
        units: Sequence[str],
        classes: Mapping[str, Any] | None = None,
        components: Sequence[Any] = (),
    ) -> None:
        self.types = list(types)
        self.units = [u.Unit(unit) for unit in units]
        self.frame: BaseCoordinateFrame | None = None
        keys = {component[0] for component in components}
        if classes and len(keys) == 1 and len(components) == 2:
            self.frame = _to_frame(classes[keys.pop()][2].get("frame"))
        if self.frame is not None:
            # Indices of longitude and latitude among the world axes.
            order = [_axis_number(component[1], self.frame) for component in components]
            self._lonlat = order.index(0), order.index(1)
            self._radians = [self.units[i].to(u.rad) for i in self._lonlat]

    @property
    def is_sky(self) -> bool:
        """`True` if the axes are longitude and latitude on the sky."""
        return self.frame is not None

    def lonlat(self, values: Sequence[ArrayLike]) -> tuple[FloatArray, FloatArray]:
        """Return the longitudes and latitudes of world values, in radians."""
        i, j = self._lonlat
        lon_unit, lat_unit = self._radians
        return np.multiply(values[i], lon_unit), np.multiply(values[j], lat_unit)

    def values(self, lon: ArrayLike, lat: ArrayLike) -> tuple[FloatArray, ...]:
        """Return world values, in the order and units of the WCS, from angles in radians."""
        lon_unit, lat_unit = self._radians
        pair = np.mod(lon, 2 * np.pi) / lon_unit, np.divide(lat, lat_unit)
        return pair if self._lonlat == (0, 1) else pair[::-1]

    def vectors(self, values: Sequence[ArrayLike]) -> FloatArray:
        """
        Convert world values to vectors.

        The straight distance between two vectors is a meaningful distance.

        Parameters
        ----------
        values : sequence of array
            World values, one array for each world axis; all arrays have the same shape.

        Returns
        -------
        array
            If the world is the sky, unit vectors of shape (3, N). Otherwise, the world values, of
            shape (world axes, N).
        """
        if not self.is_sky:
            return np.array(values, float)
        lon, lat = self.lonlat(values)
        points = np.empty((3, *np.shape(lon)))
        with np.errstate(invalid="ignore"):
            # Write into one array, because new arrays would take as much time as the sines.
            np.cos(lon, out=points[0, ...])
            np.sin(lon, out=points[1, ...])
            np.sin(lat, out=points[2, ...])
            points[:2] *= np.cos(lat)
        return points

    def values_in(self, other: WorldAxes, values: Sequence[FloatArray]) -> tuple[FloatArray, ...]:
        """
        Convert world values to the world axes of another WCS.

        If the celestial frames differ, one vectorized transformation converts all sky positions.

        Parameters
        ----------
        other : WorldAxes
            World axes of the other WCS.
        values : sequence of array
            World values, in the order and units of the world axes of this WCS.

        Returns
        -------
        tuple of array
            World values of the same points, in the order and units of ``other``.

        Raises
        ------
        ValueError
            If the world axes of the two WCSs are not of the same kind.
        """
        if self.frame is not None and other.frame is not None:
            lon, lat = self.lonlat(values)
            if not self.frame.is_equivalent_frame(other.frame):
                lon, lat = _transform(lon, lat, self.frame, other.frame)
            return other.values(lon, lat)
        if self.is_sky or other.is_sky or self.types != other.types or self.units != other.units:
            msg = f"the WCSs must have the same kind of world axes, got {self!r} and {other!r}"
            if None in (*self.types, *other.types):
                msg += "; give the axes of a FITS WCS a CTYPE"
            raise ValueError(msg)
        return tuple(values)

    def __repr__(self) -> str:
        axes = ", ".join(
            f"{kind or 'no physical type'} [{str(unit) or 'no unit'}]"
            for kind, unit in zip(self.types, self.units, strict=True)
        )
        return f"<{self.frame!r}: {axes}>" if self.is_sky else f"<{axes}>"


def is_celestial(wcs: Any) -> bool:
    """Return `True` if a WCS maps two pixel axes to sky positions and to no further axes."""
    classes = [kind[0] for kind in wcs.world_axis_object_classes.values()]
    return SkyCoord in classes and wcs.pixel_n_dim == wcs.world_n_dim == 2


def _to_frame(frame: Any) -> Any:
    """Return the frame object for a frame or for the name of a frame."""
    if not isinstance(frame, str):
        return frame
    return SkyCoord(0, 0, unit="deg", frame=frame).frame.replicate_without_data()


def _axis_number(argument: str | int, frame: BaseCoordinateFrame) -> int:
    """Return 0 for longitude and 1 for latitude."""
    if not isinstance(argument, str):
        return argument
    # Each frame has its own names for longitude and latitude, such as ra and dec, or l and b.
    return ("lon", "lat").index(frame.representation_component_names.get(argument, argument))


def _transform(
    lon: FloatArray, lat: FloatArray, frame_in: BaseCoordinateFrame, frame_out: BaseCoordinateFrame
) -> FloatArray:
    """Return longitude and latitude in another frame, in radians, of shape (2, ...)."""
    good = np.isfinite(lon) & np.isfinite(lat)
    lonlat = np.full((2, *np.shape(lon)), np.nan)
    sky = UnitSphericalRepresentation(lon[good] * u.rad, lat[good] * u.rad, copy=False)
    # Do not use SkyCoord, because it would copy the equinox of the old frame to the new frame.
    new = frame_in.realize_frame(sky).transform_to(frame_out)
    new = new.represent_as(UnitSphericalRepresentation)
    lonlat[:, good] = new.lon.rad, new.lat.rad
    return lonlat
