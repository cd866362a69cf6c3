"""Catalogues: identifiers, positions and weights of sources, whoever made them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from subpixal.geometry import SkyImage

__all__ = ["Sources", "read_catalog_columns"]

ID_COLUMNS = ("id", "label", "NUMBER")

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
)


class Sources(NamedTuple):
    """Columns of a catalogue that cutting needs."""

    ids: np.ndarray
    pos: np.ndarray
    weight: np.ndarray


def read_catalog_columns(catalog, image: SkyImage, *, src_pos=None, src_weight=None) -> Sources:
    """
    Identifiers, positions and weights of the sources of a catalogue.

    Parameters
    ----------
    catalog : table, mapping or `photutils.segmentation.SourceCatalog`
        With a column ``id``, ``label`` or ``NUMBER``; see the module for the
        names of positions.
    image : `~subpixal.geometry.SkyImage`
        Grid of the positions.
    src_pos : array of shape (N, 2), optional
        Positions that stand in for those of the catalogue.
    src_weight : array of shape (N,) or str, optional
        Weights, or the name of their column; by default ``src_weight`` if the
        catalogue has it.

    Returns
    -------
    Sources
        Positions are 0-based, of shape (N, 2), NaN where there is none; a
        weight that there is not is NaN.

    Raises
    ------
    ValueError
        If there is no column of identifiers, or they are not integers.
    """
    columns = _Columns(catalog)
    ids = _ids(columns)
    if src_pos is None:
        pos = _positions(columns, image, len(ids))
    else:
        pos = _shaped(src_pos, (len(ids), 2), "src_pos")
    if src_weight is None and "src_weight" in columns:
        src_weight = "src_weight"
    if isinstance(src_weight, str):
        src_weight = columns.floats(src_weight)
    weight = np.full(len(ids), np.nan) if src_weight is None else src_weight
    return Sources(ids, pos, _shaped(weight, ids.shape, "src_weight"))


class _Columns:
    """Columns of whatever serves as a catalogue, by name."""

    def __init__(self, catalog) -> None:
        self._get = getattr(catalog, "__getitem__", None)
        if hasattr(catalog, "to_table"):
            # A SourceCatalog computes each column when it is asked for.
            self.names = [n for n in dir(type(catalog)) if n in _KNOWN]
            self._get = lambda name: np.atleast_1d(getattr(catalog, name))
        elif hasattr(catalog, "colnames"):
            self.names = list(catalog.colnames)
        elif getattr(getattr(catalog, "dtype", None), "names", None):
            self.names = list(catalog.dtype.names)
        elif hasattr(catalog, "keys"):
            self.names = list(catalog.keys())
        else:
            msg = f"catalog must be a table, got {type(catalog).__name__}"
            raise TypeError(msg)

    def __contains__(self, name) -> bool:
        return name in self.names

    def __getitem__(self, name):
        if name not in self:
            msg = f"catalog has no column {name!r}, only {self.names}"
            raise ValueError(msg)
        return self._get(name)

    def floats(self, name) -> np.ndarray:
        values = self[name]
        values = getattr(values, "value", values)
        return np.ma.filled(np.ma.asarray(values, float), np.nan)


_KNOWN = {
    *ID_COLUMNS,
    *(name for x, y, _ in PIXEL_COLUMNS for name in (x, y)),
    *COORDINATE_COLUMNS,
    "src_weight",
}


def _ids(columns) -> np.ndarray:
    for name in ID_COLUMNS:
        if name in columns:
            values = columns[name]
            break
    else:
        msg = f"catalog must have a column {', '.join(ID_COLUMNS)}, it has {columns.names}"
        raise ValueError(msg)
    values = np.ma.asarray(getattr(values, "value", values))
    if np.ma.is_masked(values):
        msg = f"column {name!r} of catalog has masked values"
        raise ValueError(msg)
    ids = values.filled()
    with np.errstate(invalid="ignore"):
        integers = ids.astype(np.int64) if ids.dtype.kind in "iuf" else None
    if integers is None or not np.array_equal(integers, ids):
        msg = f"column {name!r} of catalog must hold integers, the labels of the segmentation"
        raise ValueError(msg)
    return integers


def _positions(columns, image, count) -> np.ndarray:
    for x, y, origin in PIXEL_COLUMNS:
        if x in columns and y in columns:
            return np.stack([columns.floats(x), columns.floats(y)], axis=-1) - origin
    pos = np.full((count, 2), np.nan)
    sky = _sky(columns)
    if sky is not None and image.world.is_sky:
        sky = sky.transform_to(image.world.frame)
        lonlat = sky.spherical.lon.rad, sky.spherical.lat.rad
        pos[:] = np.stack(image.to_pixel(*image.world.values(*lonlat)), axis=-1)
    return pos


def _sky(columns):
    from astropy.coordinates import SkyCoord

    for name in COORDINATE_COLUMNS:
        if name in columns:
            return SkyCoord(columns[name])
    for lon, lat in SKY_COLUMNS:
        if lon in columns and lat in columns:
            return SkyCoord(columns.floats(lon), columns.floats(lat), unit="deg", frame="icrs")
    return None


def _shaped(values, shape, name) -> np.ndarray:
    values = np.asarray(values, float)
    if values.shape != shape:
        msg = f"{name} must have shape {shape}, one row for each source, got {values.shape}"
        raise ValueError(msg)
    return values
