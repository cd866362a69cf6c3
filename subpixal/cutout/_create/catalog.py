"""Read identifiers, positions and weights of the sources in a catalog."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from subpixal.geometry import PixelGrid
from subpixal.image import refuse_name

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    BoolArray = NDArray[np.bool_]
    FloatArray = NDArray[np.float64]
    IntArray = NDArray[np.int64]

__all__ = ["CatalogColumns", "parse_catalog"]

ID_COLUMNS = ("id", "label", "NUMBER", "SEGMENTATION_MAP_ID", "segmentation_map_id")

# Names of columns of positions, with the coordinate of the center of the first pixel.
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
    Columns of a catalog that are needed to cut its sources.

    Attributes
    ----------
    ids : array of int, shape (N,)
        Identifiers, which are the labels of the segmentation image.
    positions : array of float, shape (N, 2)
        Positions ``(x, y)``, 0-based. NaN stands for a source without a position.
    weight : array of float, shape (N,)
        Weights. NaN stands for a source without a weight.
    off_image : array of bool, shape (N,)
        `True` for sources whose position on the sky is far from the image.
    """

    ids: IntArray
    positions: FloatArray
    weight: FloatArray
    off_image: BoolArray


def parse_catalog(
    catalog: Any,
    image: PixelGrid,
    *,
    src_pos: ArrayLike | None = None,
    src_weight: ArrayLike | str | None = None,
) -> CatalogColumns:
    """
    Return identifiers, positions and weights of the sources of a catalog.

    Parameters
    ----------
    catalog : table, mapping or `photutils.segmentation.SourceCatalog`
        A catalog with a column of identifiers. Constants of this module contain the names of the
        columns that are read.
    image : `~subpixal.geometry.PixelGrid`
        Pixel grid on which the positions are returned.
    src_pos : array of shape (N, 2), optional
        Positions that replace those of the catalog.
    src_weight : array of shape (N,) or str, optional
        Weights, or the name of a column of the catalog with weights. The default is the column
        ``src_weight``, if it exists.

    Raises
    ------
    ValueError
        If there is no column of identifiers, if identifiers are not integers, or if a column
        or an argument does not contain one number for each source.
    """
    columns = _Columns(catalog)
    ids = _parse_ids(columns)
    if src_pos is None:
        positions, off_image = _parse_positions(columns, image, len(ids))
    else:
        positions = _parse_numbers(src_pos, "src_pos", (len(ids), 2))
        off_image = np.zeros(len(ids), bool)
    # If one coordinate is missing, set both to NaN.
    positions = np.where(np.isfinite(positions).all(1, keepdims=True), positions, np.nan)
    if src_weight is None and "src_weight" in columns:
        src_weight = "src_weight"
    if isinstance(src_weight, str):
        weight = columns.numbers(src_weight, ids.shape)
    elif src_weight is None:
        weight = np.full(ids.shape, np.nan)
    else:
        weight = _parse_numbers(src_weight, "src_weight", ids.shape)
    return CatalogColumns(ids, positions, weight, off_image)


class _Columns:
    """Access by name to the columns of a catalog of any class."""

    def __init__(self, catalog: Any) -> None:
        refuse_name("catalog", "be a table", catalog, "read_catalog")
        self.names = _column_names(catalog)
        # A SourceCatalog of photutils computes a column at the first access.
        self._is_computed = hasattr(catalog, "to_table")
        self._catalog = catalog

    def __contains__(self, name: str) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            msg = f"catalog has no column {name!r}"
            raise ValueError(msg)
        if self._is_computed:
            return np.atleast_1d(getattr(self._catalog, name))
        return self._catalog[name]

    def numbers(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a column as an array of numbers."""
        return _parse_numbers(self[name], f"column {name!r} of catalog", shape)

    def degrees(self, name: str, shape: tuple[int, ...]) -> FloatArray:
        """Return a column of angles in degrees. A column without a unit contains degrees."""
        numbers = self.numbers(name, shape)
        unit = getattr(self[name], "unit", None)
        is_angle = unit is not None and u.Unit(unit).is_equivalent(u.deg)
        return u.Quantity(numbers, unit).to_value(u.deg) if is_angle else numbers


def _column_names(catalog: Any) -> Collection[str]:
    if hasattr(catalog, "to_table"):
        return {*dir(type(catalog)), *vars(catalog)}
    if hasattr(catalog, "colnames"):
        return catalog.colnames
    names = getattr(getattr(catalog, "dtype", None), "names", None)
    if names:
        return names
    if hasattr(catalog, "keys"):
        return list(catalog.keys())
    msg = f"catalog must be a table, got {type(catalog).__name__}"
    raise TypeError(msg)


def _parse_ids(columns: _Columns) -> IntArray:
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
    # The elements of an array of objects may be integers.
    ids = np.array(values.tolist()) if values.dtype == object else values.data
    with np.errstate(invalid="ignore"):
        integers = ids.astype(np.int64) if ids.dtype.kind in "iuf" else None
    if integers is None or not np.array_equal(integers, ids):
        msg = f"column {name!r} of catalog must hold integers, the labels of the segmentation"
        raise ValueError(msg)
    return integers


def _parse_positions(
    columns: _Columns, image: PixelGrid, count: int
) -> tuple[FloatArray, BoolArray]:
    """Return positions, and a boolean array of sources whose sky position is far from the image."""
    for x, y, origin in PIXEL_COLUMNS:
        if x in columns and y in columns:
            pair = [columns.numbers(name, (count,)) for name in (x, y)]
            return np.stack(pair, axis=-1) - origin, np.zeros(count, bool)
    positions = np.full((count, 2), np.nan)
    off_image = np.zeros(count, bool)
    found = _parse_sky(columns, count) if image.world.is_sky else None
    if found is not None:
        has_sky, sky = found
        sky = sky.transform_to(image.world.frame).spherical
        world = image.world.values(sky.lon.rad, sky.lat.rad)
        positions[has_sky] = np.stack(image.to_pixel(*world), axis=-1)
        off_image[has_sky] = np.isnan(positions[has_sky]).any(1)
    return positions, off_image


def _parse_sky(columns: _Columns, count: int) -> tuple[BoolArray, SkyCoord] | None:
    """Return a boolean array of the sources with a position on the sky, and these positions."""
    for name in COORDINATE_COLUMNS:
        if name in columns:
            sky = SkyCoord(columns[name])
            degrees = [sky.spherical.lon.deg, sky.spherical.lat.deg]
            has_sky = np.all(np.isfinite(_parse_numbers(degrees, name, (2, count))), axis=0)
            return has_sky, sky[has_sky]
    for names in SKY_COLUMNS:
        if all(name in columns for name in names):
            lon, lat = (columns.degrees(name, (count,)) for name in names)
            # Catalogs contain values such as -99 for sources without a position.
            has_sky = np.isfinite(lon) & (np.abs(lat) <= 90)
            return has_sky, SkyCoord(lon[has_sky], lat[has_sky], unit="deg", frame="icrs")
    return None


def _parse_numbers(values: Any, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Return an array of floats of a given shape, with NaN for masked values."""
    values = getattr(values, "value", values)
    try:
        if hasattr(values, "filled"):
            values = values.astype(float).filled(np.nan)
        values = np.asarray(values, float)
    except (TypeError, ValueError):
        msg = f"{name} must hold numbers"
        raise ValueError(msg) from None
    if values.shape != shape:
        msg = f"{name} must have shape {shape}, one row for each source, got {values.shape}"
        raise ValueError(msg)
    return values
