"""Boxes of one image that are mapped to the pixels of another image."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelMap, whole_pixels

FIXED = settings(derandomize=True, max_examples=30)
SHAPE = (300, 400)


@FIXED
@given(
    st.lists(st.tuples(*(st.integers(0, n) for n in (360, 260, 39, 39))), min_size=1, max_size=4),
    st.floats(0, 360),
    st.sampled_from(["sip", "lookup", "gwcs"]),
)
def test_mapped_boxes_contain_all_mapped_pixels(build, boxes, rotation, made):
    """A mapped box contains the mapped centers and corners of its pixels and is hardly larger."""
    to_out = PixelMap(
        build("sip", rotation=20.0), build(made, rotation=rotation, center=(1.1003, 0.7002))
    )
    x, y, width, height = np.transpose(boxes)
    edges = np.array([x, y, x + width + 1, y + height + 1]) - 0.5
    found, u, v, candidate = to_out.boxes(edges, x, y, reach=300)
    assert candidate.all()
    assert_allclose([u, v], to_out(x, y), rtol=0, atol=ACCURACY)
    mapped = whole_pixels(found, tolerance=ACCURACY)
    for box, inner, (x1, y1, x2, y2) in zip(mapped.T, found.T, edges.T, strict=True):
        pixels = np.meshgrid(np.arange(x1, x2 + 0.1, 0.5), np.arange(y1, y2 + 0.1, 0.5))
        u, v = to_out(*pixels)
        assert (u.min(), v.min()) >= tuple(box[:2] - 0.5 - 2 * ACCURACY)
        within = np.array([u.min(), v.min(), -u.max(), -v.max()])
        around = np.array([box[0] - 0.5, box[1] - 0.5, -box[2] - 0.5, -box[3] - 0.5])
        assert (within > around - 2 * ACCURACY).all()
        # The box is hardly larger than necessary.
        assert np.abs(within - inner * [1, 1, -1, -1]).max() < 0.05


def test_boxes_on_the_same_grid_do_not_change(build):
    """A box maps to itself if both WCSs have the same pixel grid."""
    blc, trc = np.array([[-10, 5, 390], [3, 7, 250]]), np.array([[20, 5, 420], [30, 8, 310]])
    edges = np.concatenate([blc - 0.5, trc + 0.5])
    for kind_in, kind_out in (("sip", "gwcs"), ("gwcs-noinverse", "tpv"), ("lookup", "lookup")):
        found, x, y, _ = PixelMap(build(kind_in), build(kind_out)).boxes(edges)
        assert_allclose(found, edges, rtol=0, atol=3 * ACCURACY)
        assert_array_equal(whole_pixels(found, tolerance=1e-4), whole_pixels(edges))
        assert x.size == y.size == 0


def test_box_much_larger_than_the_image_maps(build):
    """All of a box that surrounds a small image is mapped."""
    to_out = PixelMap(build("tan", shape=(4000, 4000)), build("tan"))
    found = to_out.boxes(np.array([[-0.5], [-0.5], [3999.5], [3999.5]]))[0][:, 0]
    assert_allclose(found, [-1800.5, -1850.5, 2199.5, 2149.5], rtol=0, atol=1e-4)


def test_boxes_need_one_call_of_the_wcs(build, plain_low_level):
    """One call of the WCS of the first image maps all boxes and positions."""
    counted = plain_low_level(build("sip"))
    to_out = PixelMap(counted, build("gwcs"))
    to_out.boxes(np.tile([[0.0], [0], [9], [9]], 500), np.arange(500.0), np.arange(500.0))
    assert counted.calls == ["forward"]


def test_box_that_leaves_the_sky_is_nan(build):
    """A box is NaN if a part of it has no position in the other image. Other boxes stay finite."""
    to_out = PixelMap(build("tan", scale=50.0), build("sip"))
    edges = np.array([[199.0, 0, 199.4], [149, 0, 149.4], [200, 10, 199.6], [150, 10, 149.6]])
    found, x, y, _ = to_out.boxes(edges, [199.5, 0.0, 199.5], [149.5, 0.0, 149.5])
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, 2]).all()
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan([x[1], y[1]]).all()
    found, x, y, _ = to_out.boxes(np.empty((4, 0)))
    assert found.shape == (4, 0)
    assert x.shape == y.shape == (0,)


WIDE = [
    ("TAN", "STG", 60, 0.1),
    ("ARC", "TAN", 60, 0.1),
    ("SIN", "ARC", 100, 1),
    ("TAN", "ZEA", 90, 1),
]


@pytest.mark.parametrize(("one", "other", "field", "scale"), WIDE)
def test_boxes_of_wide_fields_are_tight(one, other, field, scale):
    """
    A box contains its curved edges.

    On each side, it is less than a pixel larger than necessary.
    """
    to_out = PixelMap(make_wide(one, field, 1.0), make_wide(other, field, scale))
    rng = np.random.default_rng(4)
    low = rng.uniform(0.1 * field, 0.5 * field, (2, 60))
    edges = np.concatenate([low, low + rng.uniform(1, 0.35 * field, (2, 60))])
    found, *_ = to_out.boxes(edges)
    assert np.isfinite(found).all()
    for k, (x1, y1, x2, y2) in enumerate(edges.T):
        t = np.linspace(0, 1, 4001)
        x = np.concatenate([x1 + t * (x2 - x1), x1 + t * (x2 - x1), 0 * t + x1, 0 * t + x2])
        y = np.concatenate([0 * t + y1, 0 * t + y2, y1 + t * (y2 - y1), y1 + t * (y2 - y1)])
        u, v = to_out(x, y)
        tight = np.array([u.min(), v.min(), u.max(), v.max()])
        outward = (found[:, k] - tight) * [-1, -1, 1, 1]
        assert outward.min() > -1e-4
        assert outward.max() < 1


def make_wide(projection, field, scale):
    """Return the WCS of a square image with a width of ``field`` degrees."""
    size = int(field / scale)
    header = {
        "NAXIS": 2, "NAXIS1": size, "NAXIS2": size, "CDELT1": -scale, "CDELT2": scale,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2, "CRVAL1": 10.0, "CRVAL2": 40.0,
    }  # fmt: skip
    return WCS(fits.Header(header))


@pytest.mark.parametrize(
    ("projection", "center"),
    [
        ("CAR", (30.0, 90.0)), ("CAR", (180.0, 10.0)), ("CEA", (77.0, -90.0)),
        ("CEA", (179.0, -40.0)), ("AIT", (180.0, 10.0)), ("SFL", (180.0, -10.0)),
    ],
)  # fmt: skip
def test_boxes_across_the_seam_of_an_all_sky_image_are_nan(projection, center):
    """A box is NaN exactly if the seam of an all-sky image passes through it."""
    header = {
        "NAXIS": 2, "NAXIS1": 720, "NAXIS2": 360, "CDELT1": -0.5, "CDELT2": 0.5,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": 360.5, "CRPIX2": 180.5,
    }  # fmt: skip
    source = make_wide("TAN", 4, 0.02)
    source.wcs.crval, source.wcs.lonpole = center, 180
    low = np.random.default_rng(8).integers(0, 180, (2, 60))
    edges = np.concatenate([low - 0.5, low + 20.5])
    found, *_, candidate = PixelMap(source, WCS(fits.Header(header))).boxes(edges)
    assert candidate.all()
    on_seam = []
    for x1, y1, x2, y2 in edges.T:
        grid = np.meshgrid(np.linspace(x1, x2, 85), np.linspace(y1, y2, 85))
        beyond = source.pixel_to_world_values(*grid)[0] - 180
        # The seam is at a right ascension of 180 degrees. The right ascension 0 is not at a seam.
        near = np.abs(beyond) < 90
        on_seam.append(
            ((np.diff(np.sign(beyond)) != 0) & near[:, 1:]).any()
            | ((np.diff(np.sign(beyond), axis=0) != 0) & near[1:]).any()
        )
    assert 0 < sum(on_seam) < 60
    assert_array_equal(np.isnan(found).any(0), on_seam)


def test_positions_near_the_end_of_the_sky_are_exact():
    """Positions are exact at a pole of CEA, where derivatives exist only on one side."""
    header = {
        "NAXIS": 2, "NAXIS1": 720, "NAXIS2": 360, "CDELT1": -0.5, "CDELT2": 0.5,
        "CTYPE1": "RA---CEA", "CTYPE2": "DEC--CEA", "CRPIX1": 360.5, "CRPIX2": 180.5,
    }  # fmt: skip
    source = make_wide("TAN", 4, 0.02)
    source.wcs.crval, source.wcs.lonpole = (30.0, 90.0), 180
    x, y = np.random.default_rng(9).uniform(0, 199, (2, 500))
    found = PixelMap(source, WCS(fits.Header(header)))(x, y)
    # The y coordinate of the cylindrical equal-area projection is the sine of the latitude.
    lon, lat = source.pixel_to_world_values(x, y)
    expected = (
        359.5 - (lon + 180) % 360 / 0.5 + 360,
        179.5 + np.rad2deg(np.sin(np.deg2rad(lat))) / 0.5,
    )
    assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_boxes_of_rough_lookup_tables_are_finite(build):
    """If a lookup table varies from pixel to pixel, boxes become larger and stay finite."""
    rng = np.random.default_rng(3)
    rough, plain = build("tan"), build("tan")
    rough.cpdis2 = DistortionLookupTable(
        np.float32(rng.normal(0, 0.1, SHAPE)), (1, 1), (1, 1), (1, 1)
    )
    rough.wcs.set()
    low, size = rng.integers(10, 200, (2, 200)), rng.integers(8, 30, (2, 200))
    edges = np.concatenate([low, low + size]) - 0.5
    found, *_ = PixelMap(rough, plain).boxes(edges)
    assert np.isfinite(found).all()
    assert np.abs(found - edges).max() < 1.3


def test_accuracy_does_not_shrink_boxes(build):
    """Boxes do not become smaller if positions are less accurate."""
    to_out = PixelMap(build("tan"), build("tan", rotation=20.0))
    edges = np.array([[10.0], [20.0], [30.0], [50.0]]) - 0.5
    exact, *_ = to_out.boxes(edges)
    rough, *_ = to_out.boxes(edges, accuracy=0.1)
    assert_allclose(rough, exact, rtol=0, atol=0.1)
    with pytest.raises(ValueError, match="accuracy must be a positive number"):
        to_out.boxes(edges, accuracy=np.inf)
