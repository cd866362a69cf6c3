"""Catalogues: identifiers, positions and weights of sources, whoever made them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from subpixal.geometry import PixelGrid
from subpixal.image import refuse_name

__all__ = ["CatalogColumns", "parse_catalog"]

ID_COLUMNS = ("id", "label", "NUMBER", "SEGMENTATION_MAP_ID", "segmentation_map_id")

# Names of position columns, and what they call the centre of the first pixel.
PIXEL_COLUMNS = (
    ("x", "y", 0),
    ("x_centroid", "y_centroid", 0),
    ("xcentroid", "ycentroid", 0),
    ("X_IMAGE", "Y_IMAGE", 1),
)

COORDINATE_COLUMNS = ("sky_centroid", "skycoord", "sky")

SKY_COLUMNS = (
    ("ra", "dec"),
    ("RA", "DEC"),
    ("ra_centroid", "dec_centroid"),
    ("ALPHA_J2000", "DELTA_J2000"),
    ("ALPHA_SKY", "DELTA_SKY"),
    ("RIGHT_ASCENSION", "DECLINATION"),
    ("right_ascension", "declination"),
)


class CatalogColumns(NamedTuple):
    """
    Columns of a catalogue that cutting needs.

    Attributes
    ----------
    ids : array of int, shape (N,)
    pos : array of float, shape (N, 2)
        Positions, 0-based; NaN where there is none.
    weight : array of float, shape (N,)
        NaN where there is none.
    astray : array of bool, shape (N,)
        Where there is a position on the sky, and it is nowhere near the image.
    """

    ids: np.ndarray
    pos: np.ndarray
    weight: np.ndarray
    astray: np.ndarray


def parse_catalog(catalog, image: PixelGrid, *, src_pos=None, src_weight=None) -> CatalogColumns:
    """
    Identifiers, positions and weights of the sources of a catalogue.

    Parameters
    ----------
    catalog : table, mapping or `photutils.segmentation.SourceCatalog`
        With a column ``id``, ``label`` or ``NUMBER``; see the module for the
        names of positions.
    image : `~subpixal.geometry.PixelGrid`
        Grid of the positions.
    src_pos : array of shape (N, 2), optional
        Positions that stand in for those of the catalogue.
    src_weight : array of shape (N,) or str, optional
        Weights, or the name of their column; by default ``src_weight`` if the
        catalogue has it.

    Returns
    -------
    Sources

    Raises
    ------
    ValueError
        If there is no column of identifiers, or a column or an argument does not
        hold one number for each source; identifiers must be integers.
    """
    columns = _Columns(catalog)
    ids = _ids(columns)
    if src_pos is None:
        pos, astray = _positions(columns, image, len(ids))
    else:
        pos, astray = _numbers(src_pos, "src_pos", (len(ids), 2)), np.zeros(len(ids), bool)
    # One coordinate alone is no position.
    pos = np.where(np.isfinite(pos).all(1, keepdims=True), pos, np.nan)
    if src_weight is None and "src_weight" in columns:
        src_weight = "src_weight"
    if isinstance(src_weight, str):
        weight = columns.numbers(src_weight, ids.shape)
    elif src_weight is None:
        weight = np.full(ids.shape, np.nan)
    else:
        weight = _numbers(src_weight, "src_weight", ids.shape)
    return CatalogColumns(ids, pos, weight, astray)


class _Columns:
    """Columns of whatever serves as a catalogue, by name."""

    def __init__(self, catalog) -> None:
        refuse_name("catalog", "be a table", catalog, "read_catalog")
        self._get = getattr(catalog, "__getitem__", None)
        if hasattr(catalog, "to_table"):
            # A SourceCatalog computes each column when it is asked for.
            self.names = {*dir(type(catalog)), *vars(catalog)}
            self._get = lambda name: np.atleast_1d(getattr(catalog, name))
        elif hasattr(catalog, "colnames"):
            self.names = catalog.colnames
        elif getattr(getattr(catalog, "dtype", None), "names", None):
            self.names = catalog.dtype.names
        elif hasattr(catalog, "keys"):
            self.names = list(catalog.keys())
        else:
            msg = f"catalog must be a table, got {type(catalog).__name__}"
            raise TypeError(msg)

    def __contains__(self, name) -> bool:
        return name in self.names

    def __getitem__(self, name):
        if name not in self:
            msg = f"catalog has no column {name!r}"
            raise ValueError(msg)
        return self._get(name)

    def numbers(self, name, shape) -> np.ndarray:
        return _numbers(self[name], f"column {name!r} of catalog", shape)

    def degrees(self, name, shape) -> np.ndarray:
        numbers, unit = self.numbers(name, shape), getattr(self[name], "unit", None)
        is_angle = unit is not None and u.Unit(unit).is_equivalent(u.deg)
        return u.Quantity(numbers, unit).to_value(u.deg) if is_angle else numbers


def _ids(columns) -> np.ndarray:
    name = next((name for name in ID_COLUMNS if name in columns), None)
    if name is None:
        msg = f"catalog must have a column {', '.join(ID_COLUMNS)}, it has {columns.names}"
        raise ValueError(msg)
    values = columns[name]
    values = np.ma.asarray(getattr(values, "value", values))
    if np.ma.is_masked(values):
        msg = f"column {name!r} of catalog has masked values"
        raise ValueError(msg)
    if values.ndim != 1:
        msg = f"column {name!r} of catalog must have one dimension, got shape {values.shape}"
        raise ValueError(msg)
    # An array of objects may well hold integers.
    ids = np.array(values.tolist()) if values.dtype == object else values.data
    with np.errstate(invalid="ignore"):
        integers = ids.astype(np.int64) if ids.dtype.kind in "iuf" else None
    if integers is None or not np.array_equal(integers, ids):
        msg = f"column {name!r} of catalog must hold integers, the labels of the segmentation"
        raise ValueError(msg)
    return integers


def _positions(columns, image, count) -> tuple[np.ndarray, np.ndarray]:
    """Positions, and which of them are on the sky but not near the image."""
    for x, y, origin in PIXEL_COLUMNS:
        if x in columns and y in columns:
            pair = [columns.numbers(name, (count,)) for name in (x, y)]
            return np.stack(pair, axis=-1) - origin, np.zeros(count, bool)
    pos, astray = np.full((count, 2), np.nan), np.zeros(count, bool)
    sky = _sky(columns, count) if image.world.is_sky else None
    if sky is not None:
        good, sky = sky
        sky = sky.transform_to(image.world.frame).spherical
        world = image.world.values(sky.lon.rad, sky.lat.rad)
        pos[good] = np.stack(image.to_pixel(*world), axis=-1)
        astray[good] = np.isnan(pos[good]).any(1)
    return pos, astray


def _sky(columns, count):
    """Which sources have a position on the sky, and these."""
    for name in COORDINATE_COLUMNS:
        if name in columns:
            sky = SkyCoord(columns[name])
            lonlat = _numbers([sky.spherical.lon.deg, sky.spherical.lat.deg], name, (2, count))
            good = np.isfinite(lonlat).all(0)
            return good, sky[good]
    for names in SKY_COLUMNS:
        if all(name in columns for name in names):
            lon, lat = (columns.degrees(name, (count,)) for name in names)
            # Values such as -99 say that there is none.
            good = np.isfinite(lon) & (np.abs(lat) <= 90)
            return good, SkyCoord(lon[good], lat[good], unit="deg", frame="icrs")
    return None


def _numbers(values, what, shape) -> np.ndarray:
    """Floats of a given shape, NaN where they are masked."""
    values = getattr(values, "value", values)
    try:
        if hasattr(values, "filled"):
            values = values.astype(float).filled(np.nan)
        values = np.asarray(values, float)
    except (TypeError, ValueError):
        msg = f"{what} must hold numbers"
        raise ValueError(msg) from None
    if values.shape != shape:
        msg = f"{what} must have shape {shape}, one row for each source, got {values.shape}"
        raise ValueError(msg)
    return values
