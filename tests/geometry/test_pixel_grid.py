"""Pixels to the sky and back, in one image."""

import warnings

import gwcs
import numpy as np
import pytest
from astropy import coordinates as coord
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from astropy.wcs.wcsapi import SlicedLowLevelWCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid
from subpixal.geometry.newton import jacobian, pseudo_inverse

FIXED = settings(derandomize=True, max_examples=40)
SHAPE = (300, 400)
# Right ascension 0 in the image, on its edge and just off it; the poles in it, in its corner, off.
POINTINGS = [
    (0.0, 0.0), (359.9985, -45.0), (0.00277, 60.0), (150.1, 2.2), (80.0, 89.997),
    (10.0, 90.0), (200.0, -90.0), (300.0, -89.99),
]  # fmt: skip
# An inverse by astropy iterates until the last point of a call is good to 1e-4 pixels, and may
# leave the others anywhere below; a chord step of ours leaves a hundredth of that.
BATCH_NOISE = 1e-7


def positions(shape=SHAPE, margin=100, n=200, seed=5):
    ny, nx = shape
    t = np.random.default_rng(seed).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


def edge_positions(shape=SHAPE):
    """Corners, middles and outer corners of the image."""
    ny, nx = shape
    x, y = np.meshgrid([-0.5, 0, nx / 2, nx - 1, nx - 0.5], [-0.5, 0, ny / 2, ny - 1, ny - 0.5])
    return np.array([x.ravel(), y.ravel()])


def assert_round_trip(image, xy, atol=ACCURACY):
    world = image.to_world(*xy)
    assert np.isfinite(world).all()
    assert_allclose(image.to_pixel(*world), xy, rtol=0, atol=atol)


def around(image, separation, angle):
    """World values at separations and angles, in rad, from the middle of an image."""
    ny, nx = image.shape or SHAPE
    lon, lat = image.world.lonlat(image.to_world((nx - 1) / 2, (ny - 1) / 2))
    middle = coord.SkyCoord(lon, lat, unit="rad")
    sky = middle.directional_offset_by(angle * u.rad, separation * u.rad)
    return image.world.values(sky.ra.rad, sky.dec.rad)


def make_header(projection="TAN", shape=SHAPE, scale=1e-5, center=(30.0, 20.0), **more):
    ny, nx = shape
    values = {
        "NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRVAL1": center[0], "CRVAL2": center[1],
        "CDELT1": -scale, "CDELT2": scale,
    }  # fmt: skip
    return fits.Header(values | more)


def make_folded(radius, shape=SHAPE, **more):
    """A TAN-SIP that folds over on a circle around its middle; what its radius is on the sky."""
    a = -1 / (3 * radius**2)
    sip = {"A_ORDER": 3, "B_ORDER": 3, "A_3_0": a, "A_1_2": a, "B_0_3": a, "B_2_1": a}
    return WCS(make_header("TAN-SIP", shape, **sip, **more)), np.deg2rad(1e-5 * radius * 2 / 3)


@pytest.mark.parametrize("center", POINTINGS)
def test_round_trip(build, kind, center):
    """Positions on the image and up to 100 pixels off it close, wherever it looks."""
    image = PixelGrid(build(kind, center=center, rotation=center[0]))
    assert_round_trip(image, positions())
    assert_round_trip(image, edge_positions())


@FIXED
@given(
    st.sampled_from(["sip", "gwcs", "gwcs-noinverse"]),
    st.tuples(st.floats(0, 360), st.floats(-90, 90)),
    st.floats(0.01, 20),
    st.floats(0, 360),
)
def test_round_trip_anywhere(build, made, center, scale, rotation):
    """Positions close for every pointing, pixel scale and rotation."""
    image = PixelGrid(build(made, center=center, scale=scale, rotation=rotation))
    assert_round_trip(image, positions())


@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-7, 1e-8])
def test_accuracy(build, kind, accuracy):
    """Positions are as accurate as is asked for."""
    image = PixelGrid(build(kind))
    xy = positions()
    found = image.to_pixel(*image.to_world(*xy), accuracy=accuracy)
    # What right ascensions of a degree are rounded to is 1e-11 pixels, of transforms 1e-9.
    assert_allclose(found, xy, rtol=0, atol=accuracy + 2e-9)


def test_accuracy_below_rounding(build):
    """More than the world values hold is not found, but nor is the position lost."""
    image = PixelGrid(build("sip", center=(300.0, 60.0)))
    xy = positions()
    found = image.to_pixel(*image.to_world(*xy), accuracy=1e-14)
    assert_allclose(found, xy, rtol=0, atol=2e-8)


def test_too_few_steps(build):
    """A position that has not closed after the allowed steps is NaN, not a guess."""
    image = PixelGrid(build("gwcs-noinverse"))
    xy = positions()
    few = np.array(image.to_pixel(*image.to_world(*xy), maxiter=1))
    good = np.isfinite(few).all(0)
    assert not good.all()
    assert_array_equal(np.isnan(few[0]), np.isnan(few[1]))
    assert_allclose(few[:, good], xy[:, good], rtol=0, atol=ACCURACY)


class Inverse(BaseWCSWrapper):
    """A WCS with an inverse of any quality."""

    def __init__(self, wcs, inverse):
        super().__init__(wcs)
        self.inverse = inverse

    @property
    def array_shape(self):
        return self._wcs.array_shape

    def pixel_to_world_values(self, *pixels):
        return self._wcs.pixel_to_world_values(*pixels)

    def world_to_pixel_values(self, *world):
        return self.inverse(*self._wcs.world_to_pixel_values(*world))


def warn(x, y):
    warnings.warn("The iteration diverges", UserWarning, stacklevel=1)
    return x, y


@pytest.mark.parametrize(
    "inverse",
    [
        lambda x, y: (x * np.nan, y),
        lambda x, y: (x + 30, y - 20),
        lambda x, y: (-260772.1 + 0 * x, -70686.8 + 0 * y),
        lambda x, y: (y, x),
        lambda x, y: (x + 1e150, y),
        lambda x, y: (np.where(x > 100, np.inf, x), y),
        lambda x, y: (x, y, x),
        lambda x, y: 1 / 0,  # noqa: ARG005
        warn,
    ],
    ids=["nan", "poor", "garbage", "swapped", "huge", "infinite", "three", "raises", "warns"],
)
def test_poor_inverse(build, inverse):
    """However poor the inverse of the WCS is, positions close, and without a warning."""
    assert_round_trip(PixelGrid(Inverse(build("sip"), inverse)), positions())


def test_far_sources(build, kind):
    """What is far from the image is NaN: elsewhere on the sky, and opposite."""
    image = PixelGrid(build(kind))
    # The image and 100 pixels around it are within 18 arcsec.
    separation = np.array([0.05, 0.5, 1, 3, 30, 60, 89.9, 90, 90.1, 120, 179, 179.999, 180])
    separation, angle = np.meshgrid(np.deg2rad(separation), np.linspace(0, 6, 13))
    found = image.to_pixel(*around(image, separation, angle))
    assert np.isnan(found).all()


def test_whole_sky(build, kind):
    """Nothing of 20,000 sources all over the sky is on an image of 20 arcsec."""
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(0, 2 * np.pi, 20_000), np.arcsin(rng.uniform(-1, 1, 20_000))
    image = PixelGrid(build(kind, center=(123.4, 56.7)))
    assert np.isnan(image.to_pixel(*image.world.values(lon, lat))).all()


def test_around_the_image(build, kind):
    """Between the image and nowhere, what is found is what the forward transform says."""
    image = PixelGrid(build(kind))
    rng = np.random.default_rng(9)
    world = around(image, np.deg2rad(10 ** rng.uniform(-3, 1, 500)), rng.uniform(0, 7, 500))
    x, y = image.to_pixel(*world)
    good = np.isfinite(x)
    assert_array_equal(good, np.isfinite(y))
    assert 20 < good.sum() < 480
    target = image.world.vectors(world)[:, good]
    back = image.world.vectors(image.to_world(x[good], y[good]))
    assert np.linalg.norm(target - back, axis=0).max() < ACCURACY * np.deg2rad(0.05 / 3600)


@pytest.mark.parametrize("made", ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"])
def test_far_sources_where_the_shape_is_unknown(build, made):
    """Without a shape there is no footprint, but still no wrong position."""
    wcs = build(made)
    if "gwcs" in made:
        wcs.bounding_box = None
    wcs.pixel_shape = None
    image = PixelGrid(wcs)
    assert image.shape is None
    assert_round_trip(image, positions())
    rng = np.random.default_rng(8)
    world = around(image, np.arccos(rng.uniform(-1, 1, 1000)), rng.uniform(0, 7, 1000))
    x, y = image.to_pixel(*world)
    good = np.isfinite(x)
    # A polynomial grows faster than linearly, and may cover all that a TAN does.
    assert np.hypot(x[good], y[good]).min() > 5000
    target = image.world.vectors(world)[:, good]
    base = image.to_vectors(x[good], y[good])
    # Pixels are much larger there than on the image.
    inverse, _ = pseudo_inverse(jacobian(image.to_vectors, x[good], y[good], base))
    step = (inverse * (target - base)).sum(1)
    # Near the horizon of a TAN the last bit of a right ascension is many pixels.
    rounded = np.linalg.norm(target - base, axis=0) < 4e-15
    assert (rounded | (np.hypot(*step) < ACCURACY)).all()
    assert np.isnan(image.to_pixel(*around(image, np.pi, 0.0))).all()


@pytest.mark.parametrize("radius", [255, 300, 500, 900])
@pytest.mark.parametrize("bare", [False, True], ids=["inverse", "no inverse"])
def test_polynomial_that_folds_over(radius, bare):
    """Of two positions of a point the one is found that hangs together with the image."""
    wcs, limit = make_folded(radius)
    image = PixelGrid(Inverse(wcs, lambda *_: None) if bare else wcs)
    assert_round_trip(image, positions(margin=0))
    rng = np.random.default_rng(10)
    separation = rng.uniform(0, 3, 2000) * limit
    x, y = image.to_pixel(*around(image, separation, rng.uniform(0, 7, 2000)))
    found = np.hypot(x - 199.5, y - 149.5)
    assert (found[np.isfinite(found)] <= radius).all()
    assert np.isnan(found[separation > limit * (1 + 1e-9)]).all()
    # A point where the fold is on the image or near it is not lost to it.
    inside = separation < 0.97 * limit * min(1, 300 / radius)
    assert np.isfinite(found[inside]).all()


@pytest.mark.parametrize("projection", ["TAN", "STG", "ARC", "ZEA", "SIN"])
@pytest.mark.parametrize("field", [20, 60, 100, 120])
@pytest.mark.parametrize("bare", [False, True], ids=["inverse", "no inverse"])
def test_wide_field(projection, field, bare):
    """Images of up to 120 degrees close too; a scale that varies is no trouble."""
    half = np.deg2rad(field / 2)
    radius = {"TAN": np.tan(half), "STG": 2 * np.tan(half / 2), "SIN": np.sin(half)}
    radius |= {"ARC": half, "ZEA": 2 * np.sin(half / 2)}
    scale = np.rad2deg(radius[projection]) / 200
    wcs = WCS(make_header(projection, (400, 400), scale, center=(30.0, 80.0)))
    image = PixelGrid(Inverse(wcs, lambda *_: None) if bare else wcs)
    x, y = positions((400, 400), margin=0, n=1000)
    x, y = np.compress(np.hypot(x - 199.5, y - 199.5) < 195, [x, y], axis=1)
    assert_round_trip(image, (x, y))
    if projection in {"TAN", "SIN"}:  # the others show the other half of the sky too
        assert np.isnan(image.to_pixel(*around(image, np.pi, 0.0))).all()


@pytest.mark.parametrize("projection", ["AIT", "MOL", "CAR"])
def test_whole_sky_image(projection):
    """An image of all the sky, with pixels that look nowhere, closes."""
    wcs = WCS(make_header(projection, (200, 400), 0.95, center=(30.0, 0.0)))
    image = PixelGrid(wcs)
    xy = positions((200, 400), margin=0, n=2000)
    world = image.to_world(*xy)
    good = np.isfinite(world[0]) & (np.abs(xy[0] - 199.5) < 180) & (np.abs(xy[1] - 99.5) < 90)
    assert good.sum() > 1000
    assert_allclose(np.array(image.to_pixel(*world))[:, good], xy[:, good], rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("ratio", [0.01, 0.1, 10, 100])
def test_pixels_that_are_not_square(ratio):
    """Long pixels have their 100 pixels off the image in both directions."""
    wcs = WCS(make_header(shape=(40, 50), CDELT2=1e-5 * ratio))
    assert_round_trip(PixelGrid(wcs), positions((40, 50)))


def test_pixels_that_are_sheared():
    """Where the axes are nearly parallel a residual is more pixels than it seems."""
    wcs = WCS(make_header(CD1_1=-1e-5, CD1_2=1e-5, CD2_1=0.0, CD2_2=2e-7))
    assert_round_trip(PixelGrid(Inverse(wcs, lambda x, y: (x + 3e-5, y + 4e-5))), positions())


@pytest.mark.parametrize("made", ["sip", "gwcs", "low"])
@pytest.mark.parametrize("shape", [(10, 2000), (2000, 10), (1, 1)])
def test_images_of_any_shape(build, made, shape):
    """Long and tiny images close."""
    image = PixelGrid(build(made, shape=(2000, 2000)), shape)
    assert_round_trip(image, positions(shape))
    assert np.isnan(image.to_pixel(*around(image, np.deg2rad(3), 0.0))).all()


def test_pixel_bounds_do_not_cut(build):
    """The half-pixel corners and what is off the image map, whatever the bounds of the WCS."""
    wcs = build("sip")
    expected = PixelGrid(build("sip")).to_world(*positions())
    for bounds in ([(0, 399), (0, 299)], [None, (0, 299)]):
        wcs.pixel_bounds = bounds
        assert_round_trip(PixelGrid(wcs), positions())
        assert_array_equal(PixelGrid(wcs).to_world(*positions()), expected)
        assert wcs.pixel_bounds == bounds


def test_shape_of_the_image(build):
    """The shape is what is said, else what the WCS knows, else what its bounds tell."""
    wcs = build("gwcs")
    assert PixelGrid(wcs, (20, 30)).shape == (20, 30)
    assert PixelGrid(wcs).shape == SHAPE
    wcs.pixel_shape = None
    assert PixelGrid(wcs).shape == SHAPE
    wcs.bounding_box = None
    assert PixelGrid(wcs).shape is None
    wcs = build("sip")
    wcs.pixel_shape = None
    wcs.pixel_bounds = [None, (-0.5, 299.5)]
    assert PixelGrid(wcs).shape is None
    assert_round_trip(PixelGrid(wcs), positions())


def test_order_of_points(build, kind):
    """Points in another order, many times or a few at a time come out where they were."""
    image = PixelGrid(build(kind))
    world = np.array(image.to_world(*positions()))
    expected = np.array(image.to_pixel(*world))
    order = np.random.default_rng(1).permutation(200)
    assert_allclose(image.to_pixel(*world[:, order]), expected[:, order], rtol=0, atol=1e-9)
    assert_allclose(image.to_pixel(*np.tile(world, 3)), np.tile(expected, 3), rtol=0, atol=1e-9)
    parts = [image.to_pixel(*part) for part in np.split(world, [1, 9, 70], axis=1)]
    assert_allclose(np.concatenate(parts, axis=1), expected, rtol=0, atol=BATCH_NOISE)
    if "gwcs" in kind:
        assert_allclose(np.concatenate(parts, axis=1), expected, rtol=0, atol=1e-9)


def test_points_that_do_not_map_among_others(build, kind):
    """Far and lost points change nothing for the others."""
    image = PixelGrid(build(kind))
    world = np.array(image.to_world(*positions()))
    expected = image.to_pixel(*world)
    far = around(image, np.deg2rad([0.02, 0.3, 3, 90, 180]), np.arange(5.0))
    lost = np.concatenate([far, [[np.nan, 0, np.inf], [0, np.nan, 0]]], axis=1)
    found = np.array(image.to_pixel(*np.concatenate([lost, world], axis=1)))
    assert np.isnan(found[:, :8]).all()
    assert_allclose(found[:, 8:], expected, rtol=0, atol=BATCH_NOISE)


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3), (2, 1, 3)])
def test_shapes_of_arrays(build, kind, shape):
    """Answers have the shape of the question, one number included."""
    image = PixelGrid(build(kind))
    x, y = np.full(shape, 12.5), np.full(shape, 40.25)
    world = image.to_world(x, y)
    assert [w.shape for w in world] == [shape, shape]
    found = image.to_pixel(*world)
    assert [f.shape for f in found] == [shape, shape]
    assert_allclose(found, [x, y], rtol=0, atol=ACCURACY)


def test_arrays_that_are_broadcast(build, kind):
    """A row and a column make a mesh, both ways."""
    image = PixelGrid(build(kind))
    x, y = np.arange(0.0, 40, 10), np.arange(0.0, 30, 10)[:, None]
    world = image.to_world(x, y)
    assert world[0].shape == (3, 4)
    for found, expected in zip(image.to_pixel(*world), (x, y), strict=True):
        assert_allclose(found, np.broadcast_to(expected, (3, 4)), rtol=0, atol=ACCURACY)
    assert image.to_pixel(world[0], world[1][0, 0])[0].shape == (3, 4)
    assert_array_equal(image.to_world([1, 2], 3), image.to_world([1.0, 2.0], [3.0, 3.0]))


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_no_points(build, kind, shape):
    """No points in, none out."""
    image = PixelGrid(build(kind))
    world = image.to_world(np.empty(shape), np.empty(shape))
    assert [w.shape for w in world] == [shape, shape]
    assert [p.shape for p in image.to_pixel(*world)] == [shape, shape]


def test_nan(build, kind):
    """NaN in, NaN out, on both axes and without a warning."""
    image = PixelGrid(build(kind))
    x, y = np.array([1.0, np.nan, 3.0, np.nan]), np.array([1.0, 2.0, np.nan, np.nan])
    world = np.array(image.to_world(x, y))
    assert_array_equal(np.isnan(world), [[False, True, True, True]] * 2)
    found = image.to_pixel(*world)
    assert_array_equal(np.isnan(found), [[False, True, True, True]] * 2)
    half = image.to_pixel(np.where(np.isnan(world[0]), world[0][0], world[0]), world[1])
    assert np.isnan([h[1:] for h in half]).all()


@pytest.mark.parametrize("made", ["inverse", "no inverse"])
def test_number_of_calls(build, plain_low_level, made):
    """Ten thousand points cost as many calls of the WCS as ten."""
    calls = []
    wcs = build("sip") if made == "inverse" else Inverse(build("sip"), lambda *_: None)
    for repeat in (1, 1000):
        counted = plain_low_level(wcs)
        image = PixelGrid(counted)
        xy = np.repeat(positions(n=10), repeat, axis=1)
        world = image.to_world(*xy)
        assert counted.calls == ["forward"]
        image.to_pixel(*world)
        image.to_pixel(*world)
        calls.append(counted.calls)
    assert calls[0] == calls[1]
    assert len(calls[0]) < 40


def test_frame_that_is_only_a_name():
    """A gwcs that does not say what its world is has plain values, which close."""
    wcs = make_nameless("sky")
    image = PixelGrid(wcs)
    assert not image.world.is_sky
    assert_round_trip(image, positions())
    assert_allclose(image.to_world(10.0, 20.0), wcs(10.0, 20.0), rtol=1e-14)


def make_nameless(name):
    turn = models.Rotation2D(20) | models.Scale(1e-5) & models.Scale(2e-5)
    return gwcs.WCS(turn, input_frame="detector", output_frame=name)


def test_plain_world():
    """A WCS that is not of the sky closes in its own units, far off the image too."""
    header = {"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300, "CRPIX1": 7.0, "CRVAL1": 1e5, "CD1_1": 3.0}
    wcs = WCS(fits.Header(header | {"CD1_2": 1.0, "CD2_1": -0.5, "CD2_2": 2.0}))
    image = PixelGrid(wcs)
    assert not image.world.is_sky
    assert_round_trip(image, positions(margin=5000))
    assert image.pixel_area(10.0, 20.0) == pytest.approx([6.5])


def test_pixel_area_of_tan():
    """The area at the reference point is that of the matrix; a TAN shrinks with cos^3 from it."""
    for more in ({}, {"CD1_1": -1e-5, "CD1_2": 4e-6, "CD2_1": 3e-6, "CD2_2": 2e-5}):
        wcs = WCS(make_header(**more))
        image = PixelGrid(wcs)
        expected = proj_plane_pixel_area(wcs)
        assert image.pixel_area(*image.reference) == pytest.approx([expected], rel=1e-8)
    wide = WCS(make_header(scale=0.05, shape=(1000, 1000)))
    x = np.linspace(0, 999, 7)
    theta = np.arctan(np.deg2rad(0.05) * np.abs(x - 499.5))
    found = PixelGrid(wide).pixel_area(x, np.full(7, 499.5))
    assert_allclose(found, 0.05**2 * np.cos(theta) ** 3, rtol=1e-5)


def test_pixel_area_of_every_kind(build, kind):
    """A pixel has the area of the four triangles that its corners and its centre make."""
    image = PixelGrid(build(kind))
    x, y = positions(n=50)
    corners = [(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)]
    points = [image.world.vectors(image.to_world(*corner)) for corner in corners]
    diagonals = np.cross(points[2] - points[0], points[3] - points[1], axis=0)
    expected = np.linalg.norm(diagonals, axis=0) / 2 * np.rad2deg(1) ** 2
    assert_allclose(image.pixel_area(x, y), expected, rtol=2e-4)
    assert image.pixel_area(3.0, 4.0).shape == (1,)


@pytest.mark.parametrize("center", POINTINGS)
def test_jacobian(build, kind, center):
    """Offsets to the east and to the north are those that SkyCoord has for a small step."""
    image = PixelGrid(build(kind, center=center, rotation=30))
    x, y = positions(n=20)
    found = image.jacobian(x, y)
    assert found.shape == (20, 2, 2)
    lon, lat = np.rad2deg(image.world.lonlat(image.to_world(x, y)))
    here = SkyCoord(lon, lat, unit="deg", frame=image.world.frame)
    for column, (dx, dy) in enumerate([(0.5, 0), (0, 0.5)]):
        ends = [image.world.lonlat(image.to_world(x + s * dx, y + s * dy)) for s in (-1, 1)]
        there = [SkyCoord(*end, unit="rad", frame=image.world.frame) for end in ends]
        east, north = (
            np.subtract(*(here.spherical_offsets_to(end)[axis].deg for end in there[::-1]))
            for axis in (0, 1)
        )
        # A FITS WCS with lookup tables has kinks.
        size = np.hypot(east, north).max()
        assert_allclose(found[:, 0, column], east, rtol=0, atol=1e-5 * size)
        assert_allclose(found[:, 1, column], north, rtol=0, atol=1e-5 * size)
    area = np.abs(np.linalg.det(found))
    assert_allclose(image.pixel_area(x, y), area, rtol=1e-3)
    assert_allclose(image.pixel_scale(x, y), np.sqrt(image.pixel_area(x, y)))


def test_jacobian_of_a_plain_world():
    """Without a sky, the Jacobian has derivatives of the world values."""
    matrix = [[3.0, 1.0], [-0.5, 2.0]]
    header = {f"CD{i}_{j}": matrix[i - 1][j - 1] for i in (1, 2) for j in (1, 2)}
    image = PixelGrid(WCS(fits.Header({"NAXIS": 2, "NAXIS1": 40, "NAXIS2": 30} | header)))
    assert_allclose(image.jacobian([1.0, 7], [2.0, 9]), [matrix, matrix], rtol=1e-9)


def test_degree_pixels():
    """Pixels of a degree, in a field of 100 degrees."""
    wcs = WCS(make_header(shape=(100, 100), scale=1.0, center=(0.0, 85.0)))
    image = PixelGrid(wcs)
    x, y = np.random.default_rng(3).uniform(-0.5, 99.5, (2, 500))
    assert_allclose(image.to_pixel(*image.to_world(x, y)), (x, y), rtol=0, atol=ACCURACY)


def test_reference(build):
    """The reference is CRPIX of a FITS WCS, counted from 0, and otherwise the centre."""
    for made in ("tan", "sip", "tpv"):
        assert PixelGrid(build(made, crpix=(11.0, 33.5))).reference == (10.0, 32.5)
    for made in ("gwcs", "low", "high", "radian"):
        assert PixelGrid(build(made, crpix=(11.0, 33.5))).reference == (199.5, 149.5)
    assert PixelGrid(make_nameless("sky")).reference == (0.0, 0.0)


@pytest.mark.parametrize("made", ["tan", "sip", "gwcs-noinverse"])
def test_image_of_one_pixel(build, made):
    """An image of a single pixel has surroundings, too."""
    image = PixelGrid(build(made, shape=(2000, 2000)), (1, 1))
    assert_round_trip(image, positions(shape=(1, 1)))


def test_reference_of_a_slice():
    """A sliced FITS WCS has the reference point, and the scale, of the whole one."""
    wcs = WCS(make_header(scale=0.02, shape=(1000, 1000)))
    part = PixelGrid(SlicedLowLevelWCS(wcs, (slice(900, 1000), slice(800, 1000))))
    whole = PixelGrid(wcs)
    assert part.reference == pytest.approx((whole.reference[0] - 800, whole.reference[1] - 900))
    assert part.pixel_scale(*part.reference) == pytest.approx(whole.pixel_scale(*whole.reference))


@pytest.mark.parametrize(("size", "radius"), [(4000, 250), (8000, 600)])
def test_image_of_which_little_is_sky(size, radius):
    """Where only a small part of the pixels has a sky, all of that is found."""
    scale = np.rad2deg(1 / radius)
    image = PixelGrid(WCS(make_header("SIN", shape=(size, size), scale=scale)))
    rng = np.random.default_rng(5)
    r, phi = radius * np.sqrt(rng.uniform(0, 0.98, 500)), rng.uniform(0, 7, 500)
    x, y = (size - 1) / 2 + r * np.cos(phi), (size - 1) / 2 + r * np.sin(phi)
    assert_allclose(image.to_pixel(*image.to_world(x, y)), (x, y), rtol=0, atol=ACCURACY)


def test_table_that_refuses_what_is_beyond_it(build):
    """A gwcs with a table that raises off the image is mapped on the image."""
    wcs = build("gwcs")
    nx, ny = wcs.pixel_shape
    points = np.arange(-1.0, nx + 2), np.arange(-1.0, ny + 2)
    lookup = points[0][:, None] + 0.1 * np.sin(points[1] / 30)
    table = models.Tabular2D(points=points, lookup_table=lookup, bounds_error=True)
    transform = wcs.forward_transform.copy()
    transform.bounding_box = None
    transform = models.Mapping((0, 1, 1)) | (table & models.Identity(1)) | transform
    new = gwcs.WCS([(wcs.input_frame, transform), (wcs.output_frame, None)])
    new.bounding_box = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    with pytest.raises(ValueError, match="out of bounds"):
        new(-50.0, 3.0, with_bounding_box=False)
    image = PixelGrid(new)
    x, y = np.random.default_rng(1).uniform(0, 1, (2, 200)) * [[nx - 1], [ny - 1]]
    assert_allclose(image.to_pixel(*image.to_world(x, y)), (x, y), rtol=0, atol=ACCURACY)
    assert np.isnan(image.to_world(-50.0, 3.0)).all()
