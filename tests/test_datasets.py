"""Simulated WCSs, scenes and segmentation images."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.datasets import Scene, make_scene, make_segmentation, make_wcs
from subpixal.datasets.scenes import _find_positions

KINDS = ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"]
DISTORTED = KINDS[1:]
POINTINGS = [(150.1, 2.2), (0.0, -45.0), (359.99999, 60.0), (80.0, 89.999), (10.0, 90.0)]


def map_to_sky(wcs, x, y):
    """Return sky positions. Ignore the bounding box of a gwcs."""
    if isinstance(wcs, WCS):
        return SkyCoord(*wcs.all_pix2world(x, y, 0), unit="deg")
    return SkyCoord(*wcs(x, y, with_bounding_box=False), unit="deg")


def sample_image(shape, n=9):
    """Return positions on a grid that includes the centers of the corner pixels."""
    y, x = np.meshgrid(*(np.linspace(0, size - 1, n) for size in shape), indexing="ij")
    return x.ravel(), y.ravel()


@pytest.fixture(scope="module")
def scene():
    return make_scene(exposures=KINDS)


@pytest.fixture(scope="module")
def noiseless():
    return make_scene(exposures=KINDS, noise=False)


def list_images(scene):
    """Return the combined image and the exposures of a scene."""
    return [scene.combined, *scene.exposures]


@pytest.mark.parametrize("center", POINTINGS)
@pytest.mark.parametrize("kind", ["tpv", "gwcs", "gwcs-noinverse"])
def test_kinds_give_the_same_sky(kind, center):
    """The TPV WCS and the gwcs agree with the SIP WCS to 1e-6 pixels."""
    arguments = {"shape": (300, 400), "center": center, "scale": 0.05, "rotation": 33.0}
    x, y = sample_image((300, 400))
    expected = map_to_sky(make_wcs("sip", **arguments), x, y)
    actual = map_to_sky(make_wcs(kind, **arguments), x, y)
    assert actual.separation(expected).arcsec.max() < 1e-6 * 0.05


@pytest.mark.parametrize("kind", DISTORTED)
def test_distortion_has_the_documented_size(kind):
    """The distortion moves corners of 1024 x 1024 pixels by up to 15 pixels, but not the center."""
    tan = make_wcs("tan", (1024, 1024))
    x, y = np.array([0, 1023, 0, 1023]), np.array([0, 0, 1023, 1023])
    sky = map_to_sky(make_wcs(kind, (1024, 1024)), x, y)
    moved = np.hypot(*(tan.all_world2pix(sky.ra.deg, sky.dec.deg, 0) - np.stack([x, y])))
    assert 1 < moved.min() < 3
    assert 13 < moved.max() < 17
    center = map_to_sky(make_wcs(kind, (1024, 1024)), 511.5, 511.5)
    limit = 0.5 if kind == "lookup" else 1e-6
    assert center.separation(SkyCoord(150.1, 2.2, unit="deg")).arcsec < limit * 0.05


@pytest.mark.parametrize("kind", DISTORTED)
def test_distortion_scales_with_the_image(kind):
    """An image of a quarter of the size has about a quarter of the distortion in pixels."""
    sky = map_to_sky(make_wcs(kind, (256, 256)), 255, 0)
    x, y = make_wcs("tan", (256, 256)).all_world2pix(sky.ra.deg, sky.dec.deg, 0)
    assert np.hypot(x - 255, y) == pytest.approx(15.3 / 4, abs=0.5)


@pytest.mark.parametrize(
    ("names", "lower", "upper"),
    [(["cpdis1", "cpdis2"], 0.2, 0.45), (["det2im1", "det2im2"], 0.03, 0.08)],
)
def test_lookup_tables_move_positions(names, lower, upper):
    """Each pair of lookup tables moves positions by its amplitude. All tables differ."""
    complete, bare = make_wcs("lookup", (1024, 1000)), make_wcs("lookup", (1024, 1000))
    for name in names:
        setattr(bare, name, None)
    x, y = sample_image((1024, 1000), 30)
    moved = map_to_sky(complete, x, y).separation(map_to_sky(bare, x, y)).arcsec / 0.05
    assert lower < moved.max() < upper
    tables = [complete.cpdis1, complete.cpdis2, complete.det2im1, complete.det2im2]
    assert len({table.data.tobytes() for table in tables}) == 4


def test_lookup_tables_cover_the_image():
    """The first and the last nodes of a table are at the first and the last pixels."""
    wcs = make_wcs("lookup", (300, 400))
    for node, pixel in ((0, (0, 0)), (-1, (399, 299))):
        shift = wcs.p4_pix2foc([pixel], 0)[0] - pixel
        expected = wcs.cpdis1.data[node, node], wcs.cpdis2.data[node, node]
        assert_allclose(shift, expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_wcs_has_shape_scale_and_rotation(kind):
    """The WCS has the given shape. Its axes have the given directions and scales on the sky."""
    wcs = make_wcs(kind, (200, 300), center=(30.0, 50.0), scale=0.1, rotation=30.0)
    assert tuple(wcs.pixel_shape) == (300, 200)
    assert tuple(wcs.array_shape) == (200, 300)
    center = SkyCoord(30.0, 50.0, unit="deg")
    up = map_to_sky(wcs, 149.5, 109.5)
    assert center.position_angle(up).deg == pytest.approx(30.0, abs=1.0)
    assert center.separation(up).arcsec == pytest.approx(1.0, rel=0.02)
    right = map_to_sky(wcs, 159.5, 99.5)
    assert center.position_angle(right).deg == pytest.approx(300.0, abs=1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_reference_pixel_is_at_the_center(kind):
    """The reference pixel ``crpix`` counts from 1. Its sky position is ``center``."""
    wcs = make_wcs(kind, (200, 300), center=(30.0, 50.0), crpix=(41.0, 161.0))
    limit = 0.5 if kind == "lookup" else 1e-6
    separation = map_to_sky(wcs, 40, 160).separation(SkyCoord(30.0, 50.0, unit="deg"))
    assert separation.arcsec < limit * 0.05


def test_inverse_of_gwcs_is_approximate():
    """The inverse of the gwcs has errors of a few 0.01 pixels, like a JWST WCS."""
    wcs = make_wcs("gwcs", (1024, 1024), rotation=40.0)
    x, y = sample_image((1024, 1024), 30)
    back = wcs.invert(*wcs(x, y, with_bounding_box=False), with_bounding_box=False)
    error = np.hypot(back[0] - x, back[1] - y)
    assert 0.01 < error.max() < 0.1


def test_gwcs_without_inverse_has_none():
    """A gwcs of the kind 'gwcs-noinverse' has a bounding box but no inverse."""
    wcs = make_wcs("gwcs-noinverse", (100, 120))
    with pytest.raises(NotImplementedError, match="inverse"):
        wcs.backward_transform  # noqa: B018
    assert wcs.bounding_box.bounding_box(order="F") == ((-0.5, 119.5), (-0.5, 99.5))


def test_unknown_kind_is_refused():
    """If a kind is unknown, the error names it and the allowed kinds."""
    with pytest.raises(ValueError, match=r"kind must be one of \('tan', .*, got 'zea'"):
        make_wcs("zea", (10, 10))


def test_positions_are_exact(scene):
    """The forward transform maps the positions to the true sky positions within 1e-6 pixels."""
    truth = SkyCoord(scene.truth["ra"], scene.truth["dec"])
    for image in list_images(scene):
        assert np.isfinite(image.positions).all()
        sky = map_to_sky(image.wcs, *image.positions.T)
        assert sky.separation(truth).arcsec.max() < 1e-6 * 0.04, image.name


@pytest.mark.parametrize("center", POINTINGS)
def test_positions_are_exact_at_all_pointings(center):
    """Positions are exact at right ascension 0 and at the poles."""
    scene = make_scene(20, (200, 200), center=center, exposures=["sip", "gwcs"])
    truth = SkyCoord(scene.truth["ra"], scene.truth["dec"])
    for image in list_images(scene):
        sky = map_to_sky(image.wcs, *image.positions.T)
        assert sky.separation(truth).arcsec.max() < 1e-6 * 0.04, image.name
        x, y = image.positions.T
        assert np.sum((abs(x - 100) < 100) & (abs(y - 100) < 100)) > 10


@pytest.mark.parametrize("kind", KINDS)
def test_far_positions_are_nan(kind):
    """A point has a position only within 141 pixels of the center, the length of the diagonal."""
    wcs = make_wcs(kind, (100, 100), center=(10.0, 0.0), scale=0.05)
    ra = 10.0 + np.array([0.0, 100.0, 138.0, 145.0, 20_000.0]) * 0.05 / 3600
    positions, _ = _find_positions(wcs, np.append(ra, 190.0), np.zeros(6))
    assert_array_equal(np.isnan(positions), [[False] * 2] * 3 + [[True] * 2] * 3)
    assert positions[1, 0] == pytest.approx(49.5 - 100.0, abs=5.0)


def test_centroids_of_stars_are_their_positions():
    """The centroid of an isolated star equals its position to 0.01 pixels."""
    scene = make_scene(25, exposures=KINDS, noise=False)
    for image in list_images(scene):
        ny, nx = image.data.shape
        reach = 13 + 5 * scene.truth["sigma"] / (0.04 if image is scene.combined else 0.06)
        checked = 0
        for kind, (x, y) in zip(scene.truth["kind"], image.positions, strict=True):
            touched = np.sum(np.hypot(*(image.positions - (x, y)).T) < reach) > 1
            if kind != "star" or touched or not (9 < x < nx - 10 and 9 < y < ny - 10):
                continue
            checked += 1
            rows, columns = np.mgrid[round(y) - 9 : round(y) + 10, round(x) - 9 : round(x) + 10]
            pixels = image.data[rows, columns].astype(float)
            measured = [np.sum(pixels * a) / pixels.sum() for a in (columns, rows)]
            assert_allclose(measured, (x, y), atol=0.01, rtol=0, err_msg=image.name)
        assert checked >= 3, image.name


@pytest.mark.parametrize("kind", KINDS)
def test_moments_are_those_of_the_sources(kind):
    """Measured fluxes, sizes, axis ratios and position angles equal those in the catalog."""
    scene = make_scene(8, (400, 400), exposures=[kind], noise=False)
    for image in list_images(scene):
        scale = image.exptime if image.unit == "electron" else 1.0
        ny, nx = image.data.shape
        rows, columns = np.indices(image.data.shape)
        sky = map_to_sky(image.wcs, columns, rows)
        checked = 0
        for source, (x, y) in zip(scene.truth, image.positions, strict=True):
            others = np.sort(np.hypot(*(image.positions - (x, y)).T))[1]
            if not (30 < x < nx - 30 and 30 < y < ny - 30 and others > 60):
                continue
            checked += 1
            box = np.s_[round(y) - 29 : round(y) + 30, round(x) - 29 : round(x) + 30]
            pixels = image.data[box].astype(float) / scale
            assert pixels.sum() == pytest.approx(source["flux"], rel=1e-3)
            center = SkyCoord(source["ra"], source["dec"], unit="deg")
            east, north = (a.arcsec for a in center.spherical_offsets_to(sky[box]))
            pixel = 0.04 if image is scene.combined else 0.06
            covariance = [
                [np.sum(pixels * a * b) / pixels.sum() for b in (east, north)]
                for a in (east, north)
            ]
            values, vectors = np.linalg.eigh(covariance - np.eye(2) * pixel**2 / 12)
            major, minor = np.sqrt(values[::-1])
            assert major == pytest.approx(source["sigma"], rel=5e-3)
            assert minor / major == pytest.approx(source["axis_ratio"], rel=1e-2)
            if source["axis_ratio"] < 0.8:
                angle = np.rad2deg(np.arctan2(*vectors[:, 1])) - source["theta"]
                assert abs((angle + 90) % 180 - 90) < 1
        assert checked > 0


def test_noise_has_the_given_deviation(scene, noiseless):
    """In pixels without flags, the noise has the given standard deviation and a mean of 0."""
    for image, model in zip(list_images(scene), list_images(noiseless), strict=True):
        pull = ((image.data - model.data) / image.error)[image.dq == 0]
        assert pull.mean() == pytest.approx(0, abs=5 / np.sqrt(pull.size))
        assert pull.std() == pytest.approx(1, abs=0.01)
        assert_array_equal(model.positions, image.positions)


def test_flagged_pixels_are_bad(scene, noiseless):
    """Exposures have two types of flags, only on bad pixels. Combined images have no flags."""
    assert not scene.combined.dq.any()
    for image, model in zip(scene.exposures, noiseless.exposures, strict=True):
        assert set(np.unique(image.dq)) <= {0, 16, 4096, 16 | 4096}
        assert np.any(image.dq & 16)
        assert np.any(image.dq & 4096)
        assert not model.dq.any()
        pull = (image.data - model.data) / image.error
        assert np.median(pull[image.dq > 0]) > 50
        assert np.mean(pull[image.dq > 0] > 3) > 0.95
        assert pull[image.dq == 0].max() < 7


def test_planes_have_types_shapes_and_units(scene):
    """Planes have the documented types, shapes and units."""
    for image in list_images(scene):
        assert image.data.dtype == image.error.dtype == np.float32
        assert image.data.shape == image.error.shape == image.dq.shape == image.wcs.array_shape
        assert (image.weight is None) == (image.unit == "electron")
        assert isinstance(image.exptime, float)
        assert image.dq.dtype == (np.uint16 if isinstance(image.wcs, WCS) else np.uint32)
    weight = scene.combined.weight
    assert weight.dtype == np.float32
    assert weight.max() == pytest.approx(scene.combined.exptime, rel=1e-4)
    assert scene.combined.exptime == sum(image.exptime for image in scene.exposures)
    assert len({image.name for image in list_images(scene)}) == 7


def test_sources_are_apart_and_some_are_on_borders(scene):
    """Sources have a minimum distance. Some are on the borders of images or outside."""
    x, y = scene.combined.positions.T
    distance = np.hypot(x[:, None] - x, y[:, None] - y) + 1000 * np.eye(len(x))
    assert distance.min() > 0.5 * 512 / np.sqrt(60)
    edge = np.minimum.reduce([abs(x + 0.5), abs(y + 0.5), abs(x - 511.5), abs(y - 511.5)])
    assert np.sum(edge < 6.5) >= 6
    for image in scene.exposures:
        ny, nx = image.data.shape
        x, y = image.positions.T
        inside = (x > -0.5) & (x < nx - 0.5) & (y > -0.5) & (y < ny - 0.5)
        assert 30 < inside.sum() < 60
        edge = np.minimum.reduce([x, y, nx - 1 - x, ny - 1 - y])
        assert np.any(abs(edge) < 12)


def test_exposures_are_rotated_and_dithered(scene):
    """All exposures have different orientations and centers. None is aligned with north."""
    angles, centers = [], []
    for image in scene.exposures:
        ny, nx = image.data.shape
        low, high = (map_to_sky(image.wcs, nx / 2, ny / 2 + d) for d in (0, 20))
        angles.append(low.position_angle(high).deg)
        centers.append(low)
    offsets = (np.subtract.outer(angles, angles) + 180) % 360 - 180
    assert np.all(abs(offsets[~np.eye(len(angles), dtype=bool)]) > 10)
    assert np.all(np.array(angles) % 90 > 5)
    for i, center in enumerate(centers[1:]):
        assert center.separation(SkyCoord(centers[: i + 1])).arcsec.min() > 0.5


def test_segments_of_scenes_cover_their_sources(scene):
    """Each segment contains the center of its source. Segments cover all bright pixels."""
    segmentation = scene.segmentation
    assert segmentation.dtype == np.int32
    assert segmentation.shape == scene.combined.data.shape
    assert set(np.unique(segmentation)) <= {0, *scene.truth["id"]}
    ny, nx = segmentation.shape
    count = 0
    for number, (x, y) in zip(scene.truth["id"], scene.combined.positions, strict=True):
        if 0 <= round(x) < nx and 0 <= round(y) < ny:
            count += 1
            assert segmentation[round(y), round(x)] == number
    assert count > 50
    detected = scene.combined.data > 6 * scene.combined.error
    assert np.all(segmentation[detected] > 0)


def test_seed_determines_the_scene():
    """Equal seeds give equal scenes, and other seeds give others. Noise does not move sources."""
    first, second = (make_scene(15, (150, 150), seed=4) for _ in range(2))
    other, clean = make_scene(15, (150, 150), seed=5), make_scene(15, (150, 150), 4, noise=False)
    assert isinstance(first, Scene)
    for a, b in zip(list_images(first), list_images(second), strict=True):
        for plane in ("data", "error", "dq", "positions"):
            assert_array_equal(getattr(a, plane), getattr(b, plane))
    for name in first.truth.colnames:
        assert_array_equal(first.truth[name], second.truth[name])
        assert_array_equal(first.truth[name], clean.truth[name])
    assert not np.any(first.truth["ra"] == other.truth["ra"])
    assert not np.any(first.combined.data == other.combined.data)
    assert not np.array_equal(first.exposures[0].dq, other.exposures[0].dq)


@pytest.mark.parametrize(
    ("shape", "n_sources"), [((500, 700), 200), ((700, 100), 97), ((60, 60), 25), ((40, 40), 1)]
)
def test_segments_are_whole_ellipses(shape, n_sources):
    """
    Each segment is an ellipse of 10 to 30 pixels in each direction.

    The table contains its centroid.
    """
    segmentation, catalog = make_segmentation(shape, n_sources, seed=3)
    assert segmentation.dtype == np.int32
    assert segmentation.shape == shape
    assert_array_equal(np.unique(segmentation[segmentation > 0]), catalog["id"])
    for number, x, y in catalog:
        rows, columns = np.nonzero(segmentation == number)
        assert_allclose((columns.mean(), rows.mean()), (x, y), atol=0.3)
        size = np.array([np.ptp(columns), np.ptp(rows)]) + 1
        assert size.min() >= 10
        assert size.max() <= 30
        assert rows.size == pytest.approx(np.pi / 4 * size.prod(), rel=0.15)


def test_segmentation_depends_on_the_seed_and_is_uniform():
    """
    Equal seeds give equal images.

    Each sixth of an image contains about a sixth of the sources.
    """
    first, catalog = make_segmentation((1000, 1500), 900)
    second, _ = make_segmentation((1000, 1500), 900)
    third, _ = make_segmentation((1000, 1500), 900, seed=2)
    assert_array_equal(first, second)
    assert not np.array_equal(first, third)
    counts, _, _ = np.histogram2d(
        catalog["x"], catalog["y"], bins=(3, 2), range=((0, 1500), (0, 1000))
    )
    assert_allclose(counts, 150, atol=15)


def test_too_many_sources_are_refused():
    """If the sources do not fit into the image, the error contains their number."""
    with pytest.raises(ValueError, match=r"n_sources must .* got 100 "):
        make_segmentation((100, 100), 100)
