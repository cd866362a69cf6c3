"""Columns of catalogs: labels, positions and weights from different types of tables."""

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import FK5, Galactic, SkyCoord
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal
from photutils.segmentation import SegmentationImage, SourceCatalog

from subpixal.cutout._create.catalog import parse_catalog
from subpixal.datasets import make_wcs
from subpixal.geometry import PixelGrid

X, Y = np.array([10.25, 30.5, 77.0]), np.array([5.125, 60.75, 41.0])
IDS = [4, 2, 9]


@pytest.fixture(scope="module")
def wcs():
    return make_wcs("sip", (80, 100))


@pytest.fixture(scope="module")
def image(wcs):
    return PixelGrid(wcs)


@pytest.fixture(scope="module")
def sky(wcs):
    return SkyCoord(*wcs.all_pix2world(X, Y, 0), unit="deg")


class FakeDataFrame(dict):
    """Object with the methods of pandas.DataFrame that this package uses."""

    class Series(list):
        def __array__(self, dtype=None, copy=None):
            return np.array(list(self), dtype)

    def __getitem__(self, name):
        return self.Series(super().__getitem__(name))


def assert_parsed(sources, tolerance=1e-12):
    """Check the ids and the pixel positions of parsed sources."""
    assert sources.ids.tolist() == IDS
    assert sources.ids.dtype == np.int64
    assert_allclose(sources.positions, np.stack([X, Y], axis=-1), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    "kind", [Table, QTable, dict, Table.as_array, FakeDataFrame, fits.FITS_rec]
)
@pytest.mark.parametrize("name", ["id", "label", "NUMBER"])
@pytest.mark.parametrize(
    ("names", "origin"),
    [
        (("x", "y"), 0),
        (("x_centroid", "y_centroid"), 0),
        (("xcentroid", "ycentroid"), 0),
        (("X_IMAGE", "Y_IMAGE"), 1),
    ],
)
def test_tables_of_all_kinds(kind, name, names, origin, image):
    """All types of tables are read, with the columns of photutils, JWST, Roman and SExtractor."""
    columns = dict(zip((name, *names), (IDS, X + origin, Y + origin), strict=True))
    if kind is Table.as_array:
        columns = Table(columns).as_array()
    elif kind is fits.FITS_rec:
        columns = fits.BinTableHDU(Table(columns)).data
    else:
        columns = kind(columns)
    assert_parsed(parse_catalog(columns, image))


@pytest.mark.parametrize("dtype", [">i4", "u8", "f4", "i1", object])
def test_ids_may_have_any_integral_type(dtype, image):
    """Labels may have any type if their values are whole numbers."""
    sources = parse_catalog({"id": np.array(IDS).astype(dtype), "x": X, "y": Y}, image)
    assert_parsed(sources)


def test_ids_are_exact_to_64_bits(image):
    """Labels of up to 64 bits are exact."""
    ids = [2**62 + 1, -5, 2_000_000_000]
    assert parse_catalog({"id": ids}, image).ids.tolist() == ids


def test_pixel_positions_have_priority(image, sky):
    """If a catalog has pixel positions and sky positions, the pixel positions are used."""
    assert_parsed(
        parse_catalog({"id": IDS, "x": X, "y": Y, "ra": sky.ra * 0, "dec": sky.dec}, image)
    )


@pytest.mark.parametrize(
    ("names", "unit"),
    [
        (("ra", "dec"), None),
        (("ra", "dec"), u.deg),
        (("RA", "DEC"), u.rad),
        (("ALPHA_J2000", "DELTA_J2000"), u.deg),
    ],
)
@pytest.mark.parametrize("kind", [Table, QTable])
def test_sky_columns_in_any_unit(names, unit, kind, image, sky):
    """Sky columns may have any unit of an angle. Columns without a unit are in degrees."""
    lon, lat = sky.ra.deg, sky.dec.deg
    if unit is not None:
        lon, lat = sky.ra.to(unit), sky.dec.to(unit)
    columns = kind(dict(zip(("id", *names), (IDS, lon, lat), strict=True)))
    assert_parsed(parse_catalog(columns, image), 1e-5)


@pytest.mark.parametrize("name", ["sky_centroid", "skycoord"])
@pytest.mark.parametrize("frame", ["icrs", FK5(equinox="J1975"), "galactic"])
def test_coordinates_in_any_frame(name, frame, image, sky):
    """Sky coordinates in any frame are transformed to the frame of the image."""
    table = QTable({"label": IDS, name: sky.transform_to(frame)})
    assert_parsed(parse_catalog(table, image), 1e-5)


def test_sky_columns_for_a_galactic_image(sky):
    """Columns of right ascension and declination are ICRS, even if the WCS is galactic."""
    wcs = WCS({"CTYPE1": "GLON-TAN", "CTYPE2": "GLAT-TAN", "CRPIX1": 50.0, "CRPIX2": 40.0,
               "CRVAL1": sky[0].galactic.l.deg, "CRVAL2": sky[0].galactic.b.deg,
               "CD1_1": -1e-5, "CD2_2": 1e-5})  # fmt: skip
    image = PixelGrid(wcs, (80, 100))
    sources = parse_catalog({"id": IDS, "ra": sky.ra.deg, "dec": sky.dec.deg}, image)
    expected = wcs.wcs_world2pix(sky.transform_to(Galactic()).l, sky.galactic.b, 0)
    assert_allclose(sources.positions.T, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bad", [(np.nan, np.nan), (-99.0, -99.0), (1e30, 1e30), (np.inf, 0.0)])
def test_invalid_sky_position_becomes_nan(bad, image, sky):
    """An invalid sky position such as -99 becomes NaN. The other positions do not change."""
    lon, lat = np.array([sky.ra.deg, sky.dec.deg])
    lon[1], lat[1] = bad
    pos = parse_catalog({"id": IDS, "ra": lon, "dec": lat}, image).positions
    assert_allclose(pos[[0, 2]], np.stack([X, Y], axis=-1)[[0, 2]], rtol=0, atol=1e-5)
    assert np.isnan(pos[1]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, np.ma.masked])
def test_position_with_one_invalid_coordinate_becomes_nan(bad, image):
    """A position becomes NaN if one of its coordinates is NaN, infinite or masked."""
    x = MaskedColumn(X.copy())
    x[1] = bad
    pos = parse_catalog(Table({"id": IDS, "x": x, "y": Y}), image).positions
    assert np.isnan(pos[1]).all()
    assert pos[[0, 2]].tolist() == np.stack([X, Y], axis=-1)[[0, 2]].tolist()


@pytest.mark.parametrize("columns", [{}, {"x": X}, {"ra": X}, {"y": Y, "x_centroid": X}])
def test_positions_without_coordinates_are_nan(columns, image):
    """A catalog without a pair of coordinates gives NaN. The center of the box replaces NaN."""
    sources = parse_catalog({"id": IDS} | columns, image)
    assert np.isnan(sources.positions).all()
    assert np.isnan(sources.weight).all()
    assert sources.positions.shape == (3, 2)


def test_explicit_positions_override_the_catalog(image):
    """The argument `src_pos` replaces the positions of the catalog."""
    given = np.stack([X, Y], axis=-1)
    for src_pos in (given, given.tolist(), given * u.pix, np.ma.masked_array(given)):
        assert_parsed(parse_catalog({"id": IDS, "x": Y, "y": X}, image, src_pos=src_pos))


def test_weights_from_column_or_argument(image):
    """Weights come from the column src_weight, from another named column, or from an array."""
    table = Table({"id": IDS, "src_weight": [1, 2, 3], "flux": [4.0, 5.0, 6.0] * u.ct})

    def weight(src_weight=None):
        return parse_catalog(table, image, src_weight=src_weight).weight.tolist()

    assert weight() == [1, 2, 3]
    assert weight("flux") == [4, 5, 6]
    assert weight([7, 8, 9]) == [7, 8, 9]
    table["flux"] = MaskedColumn([1.0, 2.0, 3.0], mask=[False, True, False])
    assert_array_equal(weight("flux"), [1, np.nan, 3])


@pytest.fixture(scope="module")
def scene_catalog(wcs):
    y, x = np.mgrid[:80, :100]
    data = sum(np.exp(-((x - a) ** 2 + (y - b) ** 2) / 8) for a, b in zip(X, Y, strict=True))
    segmentation = SegmentationImage((data > 0.1) * (1 + (x > 20) + 2 * (x > 50)))
    return SourceCatalog(data, segmentation, wcs=wcs)


def test_source_catalog_gives_labels_and_centroids(scene_catalog, image):
    """A photutils catalog computes only the labels and the centroids of its sources."""
    sources = parse_catalog(scene_catalog, image)
    assert sources.ids.tolist() == [1, 2, 4]
    assert_allclose(sources.positions, np.stack([X, Y], axis=-1), atol=0.05)
    assert "kron_flux" not in scene_catalog.__dict__
    assert "sky_centroid" not in scene_catalog.__dict__


def test_table_of_a_source_catalog_gives_the_same(scene_catalog, image):
    """A photutils catalog and its table give the same sources."""
    expected = parse_catalog(scene_catalog, image)
    actual = parse_catalog(scene_catalog.to_table(), image)
    assert actual.ids.tolist() == expected.ids.tolist()
    assert actual.positions.tolist() == expected.positions.tolist()
    table = scene_catalog.to_table(columns=["label", "sky_centroid"])
    assert_allclose(parse_catalog(table, image).positions, expected.positions, rtol=0, atol=1e-5)


def test_source_catalog_of_one_source(scene_catalog, image):
    """A photutils catalog of a single source is accepted."""
    sources = parse_catalog(scene_catalog[1], image)
    assert sources.ids.tolist() == [2]
    assert sources.positions.shape == (1, 2)


def test_weight_from_a_source_catalog(scene_catalog, image):
    """Each property of a photutils catalog can be used as the weight."""
    sources = parse_catalog(scene_catalog, image, src_weight="segment_flux")
    assert sources.weight.tolist() == scene_catalog.segment_flux.tolist()
    with pytest.raises(ValueError, match="no column 'flux_of_nothing'"):
        parse_catalog(scene_catalog, image, src_weight="flux_of_nothing")


def test_empty_catalog(image):
    """A catalog without rows gives arrays of length zero."""
    for catalog in (Table({"id": [], "x": [], "y": []}), {"id": [], "ra": [], "dec": []}):
        sources = parse_catalog(catalog, image)
        assert sources.ids.shape == (0,)
        assert sources.positions.shape == (0, 2)
        assert sources.weight.shape == (0,)


@pytest.mark.parametrize(
    ("catalog", "error", "match"),
    [
        (None, TypeError, "catalog must be a table, got NoneType"),
        ([1, 2], TypeError, "catalog must be a table, got list"),
        (np.arange(3), TypeError, "catalog must be a table, got ndarray"),
        ("cat.ecsv", TypeError, "catalog must be a table"),
        ({"x": X, "y": Y}, ValueError, "catalog must have a column id, label, NUMBER"),
        ({"id": ["a", "b"]}, ValueError, "column 'id' of catalog must hold integers"),
        ({"id": [1.5, 2]}, ValueError, "column 'id' of catalog must hold integers"),
        ({"id": [1, np.nan]}, ValueError, "column 'id' of catalog must hold integers"),
        ({"id": [1, 2**63]}, ValueError, "column 'id' of catalog must hold integers"),
        ({"id": [True, False]}, ValueError, "column 'id' of catalog must hold integers"),
        ({"id": 3}, ValueError, r"column 'id' of catalog .* one dimension.*\(\)"),
        ({"id": [[1, 2]]}, ValueError, r"column 'id' of catalog .* one dimension.*\(1, 2\)"),
        ({"id": np.ma.masked_equal([1, 2], 2)}, ValueError, "column 'id' .* masked values"),
        ({"id": [1, 2], "x": [1.0], "y": [1.0]}, ValueError, r"'x' of catalog .*\(2,\).*\(1,\)"),
        ({"id": [1], "x": ["a"], "y": [1.0]}, ValueError, "'x' of catalog must hold numbers"),
        ({"id": [1, 2], "ra": [1.0], "dec": [1.0]}, ValueError, r"'ra' of catalog .*\(2,\)"),
    ],
)
def test_invalid_catalogs_are_errors(catalog, error, match, image):
    """The error for an invalid catalog names the catalog and the column."""
    with pytest.raises(error, match=match):
        parse_catalog(catalog, image)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"src_pos": [1, 2]}, r"src_pos must have shape \(3, 2\)"),
        ({"src_pos": np.zeros((2, 3))}, r"src_pos must have shape \(3, 2\).*\(2, 3\)"),
        ({"src_pos": "center"}, "src_pos must hold numbers"),
        ({"src_pos": [[1, 2], [3]]}, "src_pos must hold numbers"),
        ({"src_weight": 1.0}, r"src_weight must have shape \(3,\)"),
        ({"src_weight": [1.0]}, r"src_weight must have shape \(3,\).*\(1,\)"),
        ({"src_weight": ["a", "b", "c"]}, "src_weight must hold numbers"),
        ({"src_weight": "flux"}, "catalog has no column 'flux'"),
    ],
)
def test_invalid_positions_and_weights_are_errors(given, match, image):
    """The error names the invalid argument: the positions or the weights."""
    with pytest.raises(ValueError, match=match):
        parse_catalog({"id": IDS}, image, **given)
