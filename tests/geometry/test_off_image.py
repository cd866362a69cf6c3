"""
Selection of candidates, which are boxes that might overlap an image.

All boxes near the image must be selected.
"""

import numpy as np
import pytest
from astropy import coordinates as coord
from astropy.wcs import WCS, Sip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import PixelGrid, PixelMap

FEW = settings(max_examples=10)
HALF = np.array([[-0.5], [-0.5], [0.5], [0.5]])
SKY_SHAPE = (180, 360)


def make_fits(projection, center, scale, angle=0.0, shape=(300, 400)):
    """Return a FITS WCS. The center of its projection is the center of the image."""
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval, wcs.wcs.lonpole = center, 180
    wcs.wcs.crpix = (nx + 1) / 2, (ny + 1) / 2
    cos, sin = scale * np.cos(angle), scale * np.sin(angle)
    wcs.wcs.cd = [[-cos, sin], [sin, cos]]
    wcs.pixel_shape = nx, ny
    wcs.wcs.set()
    return wcs


def sample_sky(image, margin=0.0, count=81):
    """Return right ascensions and declinations on a grid of positions in an image."""
    ny, nx = image.shape
    x = np.linspace(-0.5 - margin, nx - 0.5 + margin, count)
    y = np.linspace(-0.5 - margin, ny - 0.5 + margin, count)
    lon, lat = image.world.lonlat(image.to_world(*np.meshgrid(x, y)))
    good = np.isfinite(lon) & np.isfinite(lat)
    sky = coord.SkyCoord(lon[good], lat[good], unit="rad", frame=image.world.frame).icrs
    return sky.ra.deg, sky.dec.deg


def contain(wcs_in, boxes, sky):
    """Return `True` for boxes that contain one of the positions, according to the exact inverse."""
    x, y = wcs_in.wcs_world2pix(*sky, 0)
    x1, y1, x2, y2 = (boxes + HALF)[..., None]
    return ((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).any(1)


def make_boxes_around(wcs_in, sky, rng, sizes=(0, 40), count=200):
    """Return boxes of all sizes, in the area of some positions and in a wide margin around it."""
    pixels = np.array(wcs_in.wcs_world2pix(*sky, 0))
    low, high = pixels.min(1, keepdims=True), pixels.max(1, keepdims=True)
    offset = rng.choice([0.5, 0.6, 1, 3], count) * rng.uniform(-1, 1, (2, count))
    size = rng.integers(*sizes, (2, count))
    low = np.rint((low + high) / 2 + offset * (high - low) - size / 2).astype(int)
    return np.concatenate([low, low + size])


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_boxes_near_the_image_are_candidates(build, kind, scale):
    """All boxes that contain a position on the image, or within ``reach`` of it, are candidates."""
    image = PixelGrid(build(kind))
    wcs_in = make_fits("TAN", (1.1, 0.7), scale / 3600, 0.4)
    pixel_map, rng = PixelMap(wcs_in, image), np.random.default_rng(1)
    boxes = make_boxes_around(wcs_in, sample_sky(image), rng, sizes=(1, round(5 / scale)))
    for reach in (0, 400):
        found, *_, candidate = pixel_map.boxes(boxes + HALF, reach=reach)
        touching = contain(wcs_in, boxes, sample_sky(image, reach))
        assert touching.sum() > 20
        assert candidate[touching].all()
        assert np.isfinite(found[:, touching]).all()


def test_boxes_far_from_the_image_are_no_candidates(build, kind):
    """A box is NaN and not a candidate if it is a quarter of the image size away from the image."""
    image = PixelGrid(build(kind))
    wcs_in = make_fits("TAN", (1.1, 0.7), 0.05 / 3600, 0.4)
    boxes = make_boxes_around(wcs_in, sample_sky(image), np.random.default_rng(2), sizes=(10, 15))
    far = ~contain(wcs_in, boxes, sample_sky(image, 100))
    found, x, _, candidate = PixelMap(wcs_in, image).boxes(boxes + HALF, *boxes[:2])
    assert 50 < far.sum() < 200
    assert not candidate[far].any()
    assert np.isnan(found[:, far]).all()
    assert np.isnan(x[far]).all()


@FEW
@given(
    whole=st.sampled_from(["CAR", "AIT", "ZEA", "ARC", "CEA"]),
    projection=st.sampled_from(["TAN", "SIN", "STG", "ARC", "ZEA", "CAR"]),
    center=st.tuples(st.floats(0, 360), st.floats(-90, 90)),
    field=st.floats(-3, 2).map(lambda t: 10**t),
    angle=st.floats(0, 7),
    seed=st.integers(0, 2**32 - 1),
)
def test_boxes_of_all_sky_images_are_candidates(whole, projection, center, field, angle, seed):
    """
    Boxes of an all-sky image are candidates if they overlap a smaller image.

    This includes boxes at the seam and the poles.
    """
    wcs_in = make_fits(whole, (40.0, 0.0), 0.97, shape=SKY_SHAPE if whole != "ZEA" else (360, 360))
    center = (center[0], 0.0) if projection == "CAR" else center
    wcs_out = make_fits(projection, center, field / 100, angle, (100, 80))
    image, rng = PixelGrid(wcs_out), np.random.default_rng(seed)
    sky = sample_sky(image, count=41)
    x, y = rng.integers(0, np.array(wcs_in.pixel_shape)[:, None], (2, 400))
    # Half of the boxes are anywhere on the sky. The other half are near the image.
    some = rng.integers(0, len(sky[0]), 200)
    near = np.nan_to_num(wcs_in.wcs_world2pix(*np.array(sky)[:, some], 0)).astype(int)
    x[200:], y[200:] = near + rng.integers(-3, 4, (2, 200))
    boxes = np.array([x, y, x + rng.integers(0, 20, 400), y + rng.integers(0, 20, 400)])
    corners = (boxes + HALF)[[0, 2, 2, 0]], (boxes + HALF)[[1, 1, 3, 3]]
    # If a box is not completely on the sky, it is NaN in every image.
    on_sky = np.isfinite(wcs_in.wcs_pix2world(*map(np.ravel, corners), 0)[0])
    touching = contain(wcs_in, boxes, sky) & on_sky.reshape(4, -1).all(0)
    *_, candidate = PixelMap(wcs_in, image).boxes(boxes + HALF)
    assert candidate[touching].all()


@pytest.mark.parametrize("radius", [150, 255, 300, 500])
def test_boxes_up_to_the_fold_of_a_distortion_map(radius):
    """Boxes map up to the radius where the distortion folds over, and are NaN beyond it."""
    wcs_in, wcs_out = (make_fits("TAN", (30.0, 20.0), 1e-5) for _ in range(2))
    cubic = np.zeros((4, 4))
    cubic[3, 0] = cubic[1, 2] = -1 / (3 * radius**2)
    wcs_out.sip = Sip(cubic, cubic.T, None, None, wcs_out.wcs.crpix)
    wcs_out.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    rng = np.random.default_rng(3)
    center = np.array([[199.5], [149.5]])
    low = np.rint(center + rng.uniform(-500, 500, (2, 600)))
    boxes = np.concatenate([low, low + rng.integers(0, 20, (2, 600))])
    found, *_, candidate = PixelMap(wcs_in, wcs_out).boxes(boxes + HALF)
    corners = (boxes + HALF)[[0, 2, 2, 0]], (boxes + HALF)[[1, 1, 3, 3]]
    distance = np.hypot(corners[0] - 199.5, corners[1] - 149.5)
    # In the undistorted image, this radius limits the sky of the distorted image.
    limit = radius * 2 / 3
    assert np.isnan(found[:, distance.min(0) > limit * 1.001]).all()
    x, y = np.meshgrid(np.linspace(-0.5, 399.5, 121), np.linspace(-0.5, 299.5, 121))
    good = np.hypot(x - 199.5, y - 149.5) < radius
    touching = contain(wcs_in, boxes, wcs_out.all_pix2world(x[good], y[good], 0))
    assert touching.sum() > 20
    assert candidate[touching].all()
    assert np.isfinite(found[:, touching & (distance.max(0) < 0.97 * limit)]).all()


@pytest.mark.parametrize(("square", "cubic"), [(1e-4, 5e-7), (5e-4, 5e-8), (1e-3, 1e-7)])
def test_boxes_on_a_bent_image_are_candidates(square, cubic):
    """Boxes on a bent image of one row are candidates, also where it bulges the most."""
    wcs_in, wcs_out = (make_fits("TAN", (30.0, 20.0), 1e-5, shape=(1, 2000)) for _ in range(2))
    coefficients = np.zeros((4, 4))
    coefficients[2, 0], coefficients[3, 0] = square, cubic
    wcs_out.sip = Sip(np.zeros((4, 4)), coefficients, None, None, wcs_out.wcs.crpix)
    wcs_out.wcs.ctype = ["RA---TAN-SIP", "DEC--TAN-SIP"]
    x, y = wcs_in.all_world2pix(*wcs_out.all_pix2world(np.arange(2000), 0, 0), 0)
    *_, candidate = PixelMap(wcs_in, wcs_out).boxes(np.array([x, y, x, y]) + 0.3 * HALF)
    assert candidate.all()


def test_boxes_that_surround_the_image_are_candidates():
    """A box that surrounds the whole image is a candidate, and all its edges map."""
    image = PixelGrid(make_fits("TAN", (30.0, 80.0), 1e-4, 0.3))
    wcs_in = make_fits("TAN", (30.0, 80.0), 0.01)
    size = np.arange(3, 120, 13)
    boxes = np.array([199 - size, 149 - size, 200 + size, 150 + size])
    found, *_, candidate = PixelMap(wcs_in, image).boxes(boxes + HALF)
    assert candidate.all()
    assert np.isfinite(found).all()


def test_position_far_away_maps_with_its_box():
    """If a box touches the image, its position maps, even if it is far from the image."""
    wcs_in, wcs_out = make_fits("TAN", (30.0, 20.0), 1e-5), make_fits("TAN", (30.0, 20.0), 1e-5)
    low, size = np.array([[379.5], [149.5]]), np.array([[600, 1200, 3000]])
    edges = np.concatenate([low + 0 * size, low + size])
    found, *position, candidate = PixelMap(wcs_in, wcs_out).boxes(edges, *(low + size / 2))
    assert candidate.all()
    assert_allclose(found, edges, rtol=0, atol=1e-5)
    assert_allclose(position, low + size / 2, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("nx", "ny"), [(3, 3), (2, 1), (0, 2)])
def test_number_of_positions_must_equal_number_of_boxes(build, nx, ny):
    """Each box needs one position, or no box has a position. Other numbers are errors."""
    pixel_map = PixelMap(build("tan"), build("sip"))
    edges = np.array([[9.5, 99.5], [9.5, 99.5], [20.5, 105.5], [20.5, 105.5]])
    with pytest.raises(ValueError, match=f"must have 2 positions or none, got {nx} and {ny}"):
        pixel_map.boxes(edges, np.zeros(nx), np.zeros(ny))


def test_boxes_that_are_not_finite_are_no_candidates(build):
    """Boxes with NaN or infinite edges are not candidates and do not affect other boxes."""
    pixel_map = PixelMap(build("tan"), build("sip"))
    edges = np.tile([[9.5], [9.5], [20.5], [20.5]], 40)
    edges[0, :20:2], edges[3, 1:20:2] = np.nan, np.inf
    found, _, _, candidate = pixel_map.boxes(edges)
    assert_array_equal(candidate, np.arange(40) >= 20)
    assert_array_equal(np.isfinite(found).all(0), candidate)
