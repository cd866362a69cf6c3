"""Maps from pixels to the sky and back: accuracy, limits, shapes and failures."""

import warnings

import gwcs
import numpy as np
import pytest
from astropy import coordinates as coord
from astropy import units as u
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid
from subpixal.geometry.newton import jacobian, pseudo_inverse

FIXED = settings(derandomize=True, max_examples=40)
SHAPE = (300, 400)
# Right ascension 0 or a pole is in these images, at their edges, or just outside.
POINTINGS = [
    (0.0, 0.0), (359.9985, -45.0), (0.00277, 60.0), (150.1, 2.2), (80.0, 89.997),
    (10.0, 90.0), (200.0, -90.0), (300.0, -89.99),
]  # fmt: skip
# Difference in pixels between results of a point in calls with different other points. The inverse
# of astropy iterates until all points of a call are accurate to 1e-4 pixels.
BATCH_NOISE = 1e-7


def positions(shape=SHAPE, margin=100, n=200, seed=5):
    """Return random pixel positions on the image and in a margin around it."""
    ny, nx = shape
    t = np.random.default_rng(seed).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


def edge_positions(shape=SHAPE):
    """Return centers and outer corners of the corner pixels, and points halfway between them."""
    ny, nx = shape
    x, y = np.meshgrid([-0.5, 0, nx / 2, nx - 1, nx - 0.5], [-0.5, 0, ny / 2, ny - 1, ny - 0.5])
    return np.array([x.ravel(), y.ravel()])


def assert_round_trip(image, xy, atol=ACCURACY):
    """Check that positions map to the sky and back to themselves."""
    world = image.to_world(*xy)
    assert np.isfinite(world).all()
    assert_allclose(image.to_pixel(*world), xy, rtol=0, atol=atol)


def world_around(image, separation, angle):
    """Return world values at given separations and angles, in rad, from the center of an image."""
    ny, nx = image.shape or SHAPE
    lon, lat = image.world.lonlat(image.to_world((nx - 1) / 2, (ny - 1) / 2))
    center = coord.SkyCoord(lon, lat, unit="rad")
    sky = center.directional_offset_by(angle * u.rad, separation * u.rad)
    return image.world.values(sky.ra.rad, sky.dec.rad)


def make_header(projection="TAN", shape=SHAPE, scale=1e-5, center=(30.0, 20.0), **more):
    """Return the header of an image. The reference point is the center of the image."""
    ny, nx = shape
    values = {
        "NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRVAL1": center[0], "CRVAL2": center[1],
        "CDELT1": -scale, "CDELT2": scale,
    }  # fmt: skip
    return fits.Header(values | more)


def make_folded(radius, shape=SHAPE, **more):
    """Return a TAN-SIP WCS whose distortion folds over, and the radius of the fold on the sky."""
    a = -1 / (3 * radius**2)
    sip = {"A_ORDER": 3, "B_ORDER": 3, "A_3_0": a, "A_1_2": a, "B_0_3": a, "B_2_1": a}
    return WCS(make_header("TAN-SIP", shape, **sip, **more)), np.deg2rad(1e-5 * radius * 2 / 3)


@pytest.mark.parametrize("center", POINTINGS)
def test_round_trip_is_accurate(build, kind, center):
    """Positions up to 100 pixels off the image map to the sky and back, at 0 h and at the poles."""
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
def test_round_trip_of_random_images_is_accurate(build, made, center, scale, rotation):
    """Positions map to the sky and back for every pointing, pixel scale and rotation."""
    image = PixelGrid(build(made, center=center, scale=scale, rotation=rotation))
    assert_round_trip(image, positions())


@pytest.mark.parametrize("accuracy", [1e-3, 1e-5, 1e-7, 1e-8])
def test_positions_have_the_given_accuracy(build, kind, accuracy):
    """The errors of positions are smaller than the argument ``accuracy``."""
    image = PixelGrid(build(kind))
    xy = positions()
    found = image.to_pixel(*image.to_world(*xy), accuracy=accuracy)
    # Rounding errors are 1e-11 pixels in right ascensions and 1e-9 pixels in transforms.
    assert_allclose(found, xy, rtol=0, atol=accuracy + 2e-9)


def test_accuracy_below_rounding_errors_gives_positions(build):
    """If ``accuracy`` is smaller than rounding errors, positions are still finite."""
    image = PixelGrid(build("sip", center=(300.0, 60.0)))
    xy = positions()
    found = image.to_pixel(*image.to_world(*xy), accuracy=1e-14)
    assert_allclose(found, xy, rtol=0, atol=2e-8)


def test_positions_without_convergence_are_nan(build):
    """A position is NaN if it has not converged after ``maxiter`` steps."""
    image = PixelGrid(build("gwcs-noinverse"))
    xy = positions()
    found = np.array(image.to_pixel(*image.to_world(*xy), maxiter=1))
    good = np.isfinite(found).all(0)
    assert not good.all()
    assert_array_equal(np.isnan(found[0]), np.isnan(found[1]))
    assert_allclose(found[:, good], xy[:, good], rtol=0, atol=ACCURACY)


class WCSWithInverse(BaseWCSWrapper):
    """WCS whose inverse is a given function."""

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
    """Return the arguments and give a warning."""
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
def test_poor_inverse_does_not_affect_positions(build, inverse):
    """Even if the inverse of the WCS is poor, positions are accurate without a warning."""
    assert_round_trip(PixelGrid(WCSWithInverse(build("sip"), inverse)), positions())


def test_sources_far_from_the_image_are_nan(build, kind):
    """Sources at a distance of 0.05 to 180 degrees from the image give NaN."""
    image = PixelGrid(build(kind))
    # The image and 100 pixels around it lie within 18 arcsec.
    separation = np.array([0.05, 0.5, 1, 3, 30, 60, 89.9, 90, 90.1, 120, 179, 179.999, 180])
    separation, angle = np.meshgrid(np.deg2rad(separation), np.linspace(0, 6, 13))
    found = image.to_pixel(*world_around(image, separation, angle))
    assert np.isnan(found).all()


def test_sources_all_over_the_sky_are_nan(build, kind):
    """All of 20,000 random sources are off an image of 20 arcsec and give NaN."""
    rng = np.random.default_rng(8)
    lon, lat = rng.uniform(0, 2 * np.pi, 20_000), np.arcsin(rng.uniform(-1, 1, 20_000))
    image = PixelGrid(build(kind, center=(123.4, 56.7)))
    assert np.isnan(image.to_pixel(*image.world.values(lon, lat))).all()


def test_positions_near_the_image_are_exact_or_nan(build, kind):
    """In a wide area, all finite positions of sources are correct by the forward transform."""
    image = PixelGrid(build(kind))
    rng = np.random.default_rng(9)
    world = world_around(image, np.deg2rad(10 ** rng.uniform(-3, 1, 500)), rng.uniform(0, 7, 500))
    x, y = image.to_pixel(*world)
    good = np.isfinite(x)
    assert_array_equal(good, np.isfinite(y))
    assert 20 < good.sum() < 480
    target = image.world.vectors(world)[:, good]
    back = image.world.vectors(image.to_world(x[good], y[good]))
    assert np.linalg.norm(target - back, axis=0).max() < ACCURACY * np.deg2rad(0.05 / 3600)


@pytest.mark.parametrize("made", ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"])
def test_positions_without_a_shape_are_exact_or_nan(build, made):
    """If no shape is given, positions of sources far away are NaN or correct."""
    wcs = build(made)
    if "gwcs" in made:
        wcs.bounding_box = None
    wcs.pixel_shape = None
    image = PixelGrid(wcs)
    assert image.shape is None
    assert_round_trip(image, positions())
    rng = np.random.default_rng(8)
    world = world_around(image, np.arccos(rng.uniform(-1, 1, 1000)), rng.uniform(0, 7, 1000))
    x, y = image.to_pixel(*world)
    good = np.isfinite(x)
    # A polynomial grows faster than a linear map. It can reach every position of a TAN.
    assert np.hypot(x[good], y[good]).min() > 5000
    target = image.world.vectors(world)[:, good]
    base = image.to_vectors(x[good], y[good])
    # Pixels are much larger there than on the image, so compare positions in pixels.
    inverse, _ = pseudo_inverse(jacobian(image.to_vectors, x[good], y[good], base))
    step = (inverse * (target - base)).sum(1)
    # Near the horizon of a TAN, rounding errors of right ascensions are many pixels.
    rounded = np.linalg.norm(target - base, axis=0) < 4e-15
    assert (rounded | (np.hypot(*step) < ACCURACY)).all()
    assert np.isnan(image.to_pixel(*world_around(image, np.pi, 0.0))).all()


@pytest.mark.parametrize("radius", [255, 300, 500, 900])
@pytest.mark.parametrize("bare", [False, True], ids=["inverse", "no inverse"])
def test_position_is_on_the_image_side_of_a_fold(radius, bare):
    """If a source has two positions, the result is inside the fold, on the side of the image."""
    wcs, limit = make_folded(radius)
    image = PixelGrid(WCSWithInverse(wcs, lambda *_: None) if bare else wcs)
    assert_round_trip(image, positions(margin=0))
    rng = np.random.default_rng(10)
    separation = rng.uniform(0, 3, 2000) * limit
    x, y = image.to_pixel(*world_around(image, separation, rng.uniform(0, 7, 2000)))
    found = np.hypot(x - 199.5, y - 149.5)
    assert (found[np.isfinite(found)] <= radius).all()
    assert np.isnan(found[separation > limit * (1 + 1e-9)]).all()
    # Sources inside the fold have positions, even if the fold is near or on the image.
    inside = separation < 0.97 * limit * min(1, 300 / radius)
    assert np.isfinite(found[inside]).all()


@pytest.mark.parametrize("projection", ["TAN", "STG", "ARC", "ZEA", "SIN"])
@pytest.mark.parametrize("field", [20, 60, 100, 120])
@pytest.mark.parametrize("bare", [False, True], ids=["inverse", "no inverse"])
def test_round_trip_of_wide_fields_is_accurate(projection, field, bare):
    """Positions map to the sky and back in fields of up to 120 degrees with varying scale."""
    half = np.deg2rad(field / 2)
    radius = {"TAN": np.tan(half), "STG": 2 * np.tan(half / 2), "SIN": np.sin(half)}
    radius |= {"ARC": half, "ZEA": 2 * np.sin(half / 2)}
    scale = np.rad2deg(radius[projection]) / 200
    wcs = WCS(make_header(projection, (400, 400), scale, center=(30.0, 80.0)))
    image = PixelGrid(WCSWithInverse(wcs, lambda *_: None) if bare else wcs)
    x, y = positions((400, 400), margin=0, n=1000)
    x, y = np.compress(np.hypot(x - 199.5, y - 199.5) < 195, [x, y], axis=1)
    assert_round_trip(image, (x, y))
    if projection in {"TAN", "SIN"}:  # The other projections cover the whole sky.
        assert np.isnan(image.to_pixel(*world_around(image, np.pi, 0.0))).all()


@pytest.mark.parametrize("projection", ["AIT", "MOL", "CAR"])
def test_round_trip_of_all_sky_images_is_accurate(projection):
    """Positions map to the sky and back in an all-sky image, where some pixels have no sky."""
    wcs = WCS(make_header(projection, (200, 400), 0.95, center=(30.0, 0.0)))
    image = PixelGrid(wcs)
    xy = positions((200, 400), margin=0, n=2000)
    world = image.to_world(*xy)
    good = np.isfinite(world[0]) & (np.abs(xy[0] - 199.5) < 180) & (np.abs(xy[1] - 99.5) < 90)
    assert good.sum() > 1000
    assert_allclose(np.array(image.to_pixel(*world))[:, good], xy[:, good], rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("ratio", [0.01, 0.1, 10, 100])
def test_round_trip_of_rectangular_pixels_is_accurate(ratio):
    """Positions map to the sky and back if the sides of pixels are unequal."""
    wcs = WCS(make_header(shape=(40, 50), CDELT2=1e-5 * ratio))
    assert_round_trip(PixelGrid(wcs), positions((40, 50)))


def test_round_trip_of_sheared_pixels_is_accurate():
    """Positions map to the sky and back if the axes are almost parallel."""
    wcs = WCS(make_header(CD1_1=-1e-5, CD1_2=1e-5, CD2_1=0.0, CD2_2=2e-7))
    assert_round_trip(
        PixelGrid(WCSWithInverse(wcs, lambda x, y: (x + 3e-5, y + 4e-5))), positions()
    )


@pytest.mark.parametrize("made", ["sip", "gwcs", "low"])
@pytest.mark.parametrize("shape", [(10, 2000), (2000, 10), (1, 1)])
def test_round_trip_of_long_and_tiny_images_is_accurate(build, made, shape):
    """Positions map to the sky and back on long and tiny images. Sources far away are NaN."""
    image = PixelGrid(build(made, shape=(2000, 2000)), shape)
    assert_round_trip(image, positions(shape))
    assert np.isnan(image.to_pixel(*world_around(image, np.deg2rad(3), 0.0))).all()


def test_pixel_bounds_do_not_limit_positions(build):
    """Positions outside the pixel bounds of the WCS are mapped. The bounds do not change."""
    wcs = build("sip")
    expected = PixelGrid(build("sip")).to_world(*positions())
    for bounds in ([(0, 399), (0, 299)], [None, (0, 299)]):
        wcs.pixel_bounds = bounds
        assert_round_trip(PixelGrid(wcs), positions())
        assert_array_equal(PixelGrid(wcs).to_world(*positions()), expected)
        assert wcs.pixel_bounds == bounds


def test_shape_is_argument_or_pixel_shape_or_bounds(build):
    """The shape comes from the argument, else from the pixel shape, else from the bounding box."""
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


def test_positions_do_not_depend_on_the_order(build, kind):
    """Positions are the same in another order, with repetitions, and in several calls."""
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


def test_points_that_do_not_map_do_not_affect_others(build, kind):
    """Points far away and NaN do not affect the positions of other points."""
    image = PixelGrid(build(kind))
    world = np.array(image.to_world(*positions()))
    expected = image.to_pixel(*world)
    far = world_around(image, np.deg2rad([0.02, 0.3, 3, 90, 180]), np.arange(5.0))
    invalid = np.concatenate([far, [[np.nan, 0, np.inf], [0, np.nan, 0]]], axis=1)
    found = np.array(image.to_pixel(*np.concatenate([invalid, world], axis=1)))
    assert np.isnan(found[:, :8]).all()
    assert_allclose(found[:, 8:], expected, rtol=0, atol=BATCH_NOISE)


@pytest.mark.parametrize("shape", [(), (1,), (6,), (2, 3), (2, 1, 3)])
def test_results_have_the_shape_of_the_arguments(build, kind, shape):
    """Results have the same shape as the arguments. Single numbers give single numbers."""
    image = PixelGrid(build(kind))
    x, y = np.full(shape, 12.5), np.full(shape, 40.25)
    world = image.to_world(x, y)
    assert [w.shape for w in world] == [shape, shape]
    found = image.to_pixel(*world)
    assert [f.shape for f in found] == [shape, shape]
    assert_allclose(found, [x, y], rtol=0, atol=ACCURACY)


def test_arguments_broadcast(build, kind):
    """In both directions, a row and a column of coordinates give a two-dimensional result."""
    image = PixelGrid(build(kind))
    x, y = np.arange(0.0, 40, 10), np.arange(0.0, 30, 10)[:, None]
    world = image.to_world(x, y)
    assert world[0].shape == (3, 4)
    for found, expected in zip(image.to_pixel(*world), (x, y), strict=True):
        assert_allclose(found, np.broadcast_to(expected, (3, 4)), rtol=0, atol=ACCURACY)
    assert image.to_pixel(world[0], world[1][0, 0])[0].shape == (3, 4)
    assert_array_equal(image.to_world([1, 2], 3), image.to_world([1.0, 2.0], [3.0, 3.0]))


@pytest.mark.parametrize("shape", [(0,), (0, 3)])
def test_empty_arguments_give_empty_results(build, kind, shape):
    """Empty arrays give empty arrays of the same shape."""
    image = PixelGrid(build(kind))
    world = image.to_world(np.empty(shape), np.empty(shape))
    assert [w.shape for w in world] == [shape, shape]
    assert [p.shape for p in image.to_pixel(*world)] == [shape, shape]


def test_nan_gives_nan(build, kind):
    """If one coordinate is NaN, both results are NaN, without a warning."""
    image = PixelGrid(build(kind))
    x, y = np.array([1.0, np.nan, 3.0, np.nan]), np.array([1.0, 2.0, np.nan, np.nan])
    world = np.array(image.to_world(x, y))
    assert_array_equal(np.isnan(world), [[False, True, True, True]] * 2)
    found = image.to_pixel(*world)
    assert_array_equal(np.isnan(found), [[False, True, True, True]] * 2)
    half = image.to_pixel(np.where(np.isnan(world[0]), world[0][0], world[0]), world[1])
    assert np.isnan([h[1:] for h in half]).all()


@pytest.mark.parametrize("made", ["inverse", "no inverse"])
def test_number_of_calls_does_not_depend_on_points(build, plain_low_level, made):
    """Ten points and ten thousand points need the same number of calls of the WCS."""
    calls = []
    wcs = build("sip") if made == "inverse" else WCSWithInverse(build("sip"), lambda *_: None)
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


def test_gwcs_without_a_frame_object_has_plain_world():
    """If the output frame of a gwcs is only a name, its world values are plain numbers."""
    wcs = make_gwcs_without_frame("sky")
    image = PixelGrid(wcs)
    assert not image.world.is_sky
    assert_round_trip(image, positions())
    assert_allclose(image.to_world(10.0, 20.0), wcs(10.0, 20.0), rtol=1e-14)


def make_gwcs_without_frame(name):
    """Return a gwcs whose output frame is only a name."""
    turn = models.Rotation2D(20) | models.Scale(1e-5) & models.Scale(2e-5)
    return gwcs.WCS(turn, input_frame="detector", output_frame=name)


def test_round_trip_of_a_plain_world_is_accurate():
    """Positions map to a world without a sky and back, even far off the image."""
    header = {"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300, "CRPIX1": 7.0, "CRVAL1": 1e5, "CD1_1": 3.0}
    wcs = WCS(fits.Header(header | {"CD1_2": 1.0, "CD2_1": -0.5, "CD2_2": 2.0}))
    image = PixelGrid(wcs)
    assert not image.world.is_sky
    assert_round_trip(image, positions(margin=5000))
    assert image.pixel_area(10.0, 20.0) == pytest.approx([6.5])


def test_round_trip_of_pixels_of_a_degree_is_accurate():
    """Positions map to the sky and back for pixels of one degree near a pole."""
    wcs = WCS(make_header(shape=(100, 100), scale=1.0, center=(0.0, 85.0)))
    image = PixelGrid(wcs)
    x, y = np.random.default_rng(3).uniform(-0.5, 99.5, (2, 500))
    assert_allclose(image.to_pixel(*image.to_world(x, y)), (x, y), rtol=0, atol=ACCURACY)


def test_reference_is_crpix_or_the_center(build):
    """The reference is CRPIX of a FITS WCS minus 1. For other WCSs, it is the image center."""
    for made in ("tan", "sip", "tpv"):
        assert PixelGrid(build(made, crpix=(11.0, 33.5))).reference == (10.0, 32.5)
    for made in ("gwcs", "low", "high", "radian"):
        assert PixelGrid(build(made, crpix=(11.0, 33.5))).reference == (199.5, 149.5)
    assert PixelGrid(make_gwcs_without_frame("sky")).reference == (0.0, 0.0)


@pytest.mark.parametrize("made", ["tan", "sip", "gwcs-noinverse"])
def test_round_trip_around_one_pixel_is_accurate(build, made):
    """Positions map to the sky and back up to 100 pixels off an image of one pixel."""
    image = PixelGrid(build(made, shape=(2000, 2000)), (1, 1))
    assert_round_trip(image, positions(shape=(1, 1)))


@pytest.mark.parametrize(("size", "radius"), [(4000, 250), (8000, 600)])
def test_round_trip_with_little_sky_in_the_image(size, radius):
    """Positions map to the sky and back if only a small part of the image has a sky."""
    scale = np.rad2deg(1 / radius)
    image = PixelGrid(WCS(make_header("SIN", shape=(size, size), scale=scale)))
    rng = np.random.default_rng(5)
    r, phi = radius * np.sqrt(rng.uniform(0, 0.98, 500)), rng.uniform(0, 7, 500)
    x, y = (size - 1) / 2 + r * np.cos(phi), (size - 1) / 2 + r * np.sin(phi)
    assert_allclose(image.to_pixel(*image.to_world(x, y)), (x, y), rtol=0, atol=ACCURACY)


def test_gwcs_that_raises_off_the_image_maps_on_the_image(build):
    """If the table of a gwcs raises an error off the image, positions there are NaN."""
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
