"""Cutting and mapping of real images of HST, JWST, Roman and ground-based telescopes."""

import numpy as np
import pytest
from astropy.coordinates import Angle, SkyCoord
from astropy.nddata import InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.testing import assert_allclose
from photutils.aperture import ApertureStats, SkyCircularAperture, aperture_photometry

from subpixal import (
    Cutout,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.datasets import make_wcs
from subpixal.datasets.scenes import _find_positions
from subpixal.io import read_catalog, read_image, read_images, read_segmentation

GOODSS_EXPOSURES = ["21qnq", "21qqq", "21r7q", "21raq", "23rtq", "23rwq", "23rzq", "23s2q"]


class Field:
    """Combined image with its catalog and its primary cutouts."""

    def __init__(self, folder, image, segmentation, catalog):
        self.image = read_image(folder / image)
        self.segmentation = read_segmentation(folder / segmentation).data
        self.catalog = read_catalog(folder / catalog)
        image = self.image
        self.primary = create_primary_cutouts(
            self.catalog,
            self.segmentation,
            image.data,
            image.image_wcs,
            image.dq,
            image.weight,
            exptime=image.exptime,
            uncertainty=image.uncertainty,
        )

    def cut(self, exposure, **options):
        """Return the cutouts of an exposure, and the primary cutouts of the same sources."""
        return create_input_image_cutouts(
            self.primary,
            exposure.data,
            exposure.image_wcs,
            exposure.dq,
            exposure.weight,
            exptime=exposure.exptime,
            uncertainty=exposure.uncertainty,
            **options,
        )


@pytest.fixture(scope="module")
def goodss(shared_data):
    folder = shared_data / "hst_wfc3ir_goodss"
    names = (f"goodss_f140w_{name}.fits" for name in ("drz", "seg", "cat"))
    drz, seg, cat = names
    return Field(folder, f"{drz}.gz", f"{seg}.gz", cat)


@pytest.fixture(scope="module", params=GOODSS_EXPOSURES)
def goodss_exposure(request, shared_data):
    return read_image(shared_data / "hst_wfc3ir_goodss" / f"ib6o{request.param}_flt.fits.gz")


@pytest.fixture(scope="module")
def jwst(shared_data):
    return Field(
        shared_data / "jwst_nircam_sim", "jw_i2d.fits.gz", "jw_segm.fits.gz", "jw_cat.ecsv"
    )


@pytest.fixture(scope="module", params=["00000", "00001"])
def jwst_exposure(request, shared_data):
    return read_image(shared_data / "jwst_nircam_sim" / f"jw{request.param}_nrcb1_cal.fits.gz")


@pytest.fixture(scope="module")
def ground(shared_data):
    folder = shared_data / "ground_tpv"
    return Field(folder, "tpv_swarp_coadd.fits.gz", "tpv_sex_seg.fits.gz", "tpv_sex_cat.fits")


@pytest.fixture(scope="module")
def ground_exposure(shared_data):
    return read_image(shared_data / "ground_tpv" / "tpv_ctio_mosaic2.fits.gz")


def map_independently(wcs_in, xy, wcs_out):
    """Map positions with the methods of astropy. For a gwcs, use a separate Newton iteration."""
    is_fits = isinstance(wcs_in, WCS)
    world = wcs_in.all_pix2world(xy, 0).T if is_fits else wcs_in(*xy.T, with_bounding_box=False)
    sky = SkyCoord(*world, unit="deg", frame=get_frame(wcs_in)).transform_to(get_frame(wcs_out))
    world = np.stack([sky.spherical.lon.deg, sky.spherical.lat.deg])
    if isinstance(wcs_out, WCS):
        return wcs_out.all_world2pix(world.T, 0, tolerance=1e-8, maxiter=50)
    return _find_positions(wcs_out, *world)[0]


def get_frame(wcs):
    if isinstance(wcs, WCS):
        return wcs_to_celestial_frame(wcs)
    return wcs.output_frame.reference_frame


def get_edges(cutouts):
    """Return the outer edges xmin, ymin, xmax and ymax of cutouts, with shape (4, N)."""
    return np.array([[*c.blc, *c.trc] for c in cutouts]) + np.array([-0.5, -0.5, 0.5, 0.5])


def check_mapping(cutouts, sources, wcs_in, wcs_out, pad=1):
    """Check that positions are exact to 1e-4 pixels and that boxes enclose the mapped boxes."""
    assert cutouts.ids.tolist() == sources.ids.tolist()
    expected = map_independently(wcs_in, np.array([c.src_pos for c in sources]), wcs_out)
    assert_allclose([c.src_pos for c in cutouts], expected, rtol=0, atol=1e-4)
    inner = get_edges(cutouts) + pad * np.array([1, 1, -1, -1])
    x1, y1, x2, y2 = get_edges(sources).T
    for u, v in np.random.default_rng(1).integers(0, 3, (40, 2)) / 2:
        corner = np.stack([x1 + u * (x2 - x1), y1 + v * (y2 - y1)], axis=-1)
        mapped = map_independently(wcs_in, corner, wcs_out)
        assert np.all(mapped >= inner[:, :2] - 1e-4)
        assert np.all(mapped <= inner[:, 2:] + 1e-4)


def check_complete(cutouts, ids):
    """Check that each source is either cut or dropped, exactly once."""
    assert sorted([*cutouts.ids, *cutouts.dropped["id"]]) == sorted(ids)


def measure_centroid(cutout, sigma, iterations):
    """Return the centroid of a symmetric source. The Gaussian weight follows the source."""
    y, x = np.mgrid[: cutout.height, : cutout.width]
    xc, yc = cutout.cutout_src_pos
    good = np.isfinite(cutout.data)
    around = good & (np.hypot(x - xc, y - yc) > 5 * sigma)
    data = np.where(good, cutout.data - np.median(cutout.data[around]), 0).astype(float)
    for _ in range(iterations):
        window = data * np.exp(-((x - xc) ** 2 + (y - yc) ** 2) / (2 * sigma**2))
        xc += 2 * (window * (x - xc)).sum() / window.sum()
        yc += 2 * (window * (y - yc)).sum() / window.sum()
    return xc, yc


def measure_offsets(cutouts, sigma, iterations=20):
    """Return the differences between centroids and positions."""
    centroids = np.array([measure_centroid(c, sigma, iterations) for c in cutouts])
    return centroids - [c.cutout_src_pos for c in cutouts]


def measure_flux(cutout, radius=3):
    """Return the sum of the unmasked pixels in a circle."""
    y, x = np.mgrid[: cutout.height, : cutout.width]
    xc, yc = cutout.cutout_src_pos
    return cutout.data[~cutout.mask & (np.hypot(x - xc, y - yc) < radius)].sum()


def find_distance_to_next(cutouts):
    """Return the distance of each source to its nearest neighbor, in pixels."""
    x, y = np.array([c.src_pos for c in cutouts]).T
    distance = np.hypot(x[:, None] - x, y[:, None] - y)
    np.fill_diagonal(distance, np.inf)
    return distance.min(0)


def test_goodss_sources_are_at_their_catalog_positions(goodss):
    """
    All 97 sources in the SExtractor catalog are cut.

    Their centroids equal the catalog positions.
    """
    assert len(goodss.primary) == len(goodss.catalog) == 97
    assert goodss.primary.ids.tolist() == goodss.catalog["NUMBER"].tolist()
    offsets = []
    for cutout in goodss.primary:
        y, x = np.mgrid[: cutout.height, : cutout.width]
        good = (goodss.segmentation == cutout.src_id) & np.isfinite(goodss.image.data)
        assert (~cutout.mask).sum() == (good & (goodss.image.weight > 0)).sum()
        flux = np.where(cutout.mask, 0, cutout.data).astype(float)
        centroid = np.array([(flux * x).sum(), (flux * y).sum()]) / flux.sum()
        offsets.append(centroid - cutout.cutout_src_pos)
    # If positions counted from 1 and not from 0, the offset would be one pixel.
    assert np.abs(np.median(offsets, axis=0)).max() < 0.02
    assert np.median(np.hypot(*np.transpose(offsets))) < 0.1


@pytest.mark.parametrize("mode", ["strict", "fill"])
def test_goodss_mapping_agrees_with_astropy(mode, goodss, goodss_exposure):
    """Positions and boxes in SIP exposures equal those of astropy. All 97 sources are listed."""
    cutouts, sources = goodss.cut(goodss_exposure, mode=mode)
    assert len(cutouts) >= 81
    check_complete(cutouts, goodss.primary.ids)
    check_mapping(cutouts, sources, goodss.image.image_wcs, goodss_exposure.image_wcs)


def test_goodss_dropped_sources_are_off_the_exposure(goodss, goodss_exposure):
    """According to astropy, all dropped sources are off the exposure or on its border."""
    cutouts, _ = goodss.cut(goodss_exposure)
    ny, nx = goodss_exposure.data.shape
    everything = dict(zip(goodss.primary.ids, goodss.primary, strict=True))
    for source, status in zip(cutouts.dropped["id"], cutouts.dropped["status"], strict=True):
        x1, y1, x2, y2 = get_edges([everything[source]])[0]
        corners = np.array([(x1, y1), (x1, y2), (x2, y2), (x2, y1)])
        mapped = map_independently(goodss.image.image_wcs, corners, goodss_exposure.image_wcs)
        low, high = mapped.min(0), mapped.max(0)
        if status == "all_masked":
            # The box is on the exposure. Therefore, flags must have masked all pixels.
            box = np.rint(np.concatenate([low, high])).astype(int)
            assert (goodss_exposure.dq[box[1] : box[3] + 1, box[0] : box[2] + 1] != 0).all()
            continue
        touching = np.all(high > -0.5) and np.all(low < np.array([nx, ny]) - 0.5)
        near = np.all(high > -2) and np.all(low < np.array([nx, ny]) + 1)
        assert status == ("partial_overlap" if touching or near else "no_overlap")


def test_goodss_centroids_agree_with_mapped_positions(goodss, goodss_exposure):
    """Centroids of bright sources differ from positions by known WCS errors of 25 to 90 mas."""
    cutouts, _ = goodss.cut(goodss_exposure, pad=4)
    # Pixels are rounded to whole electrons per second, so faint sources have no signal.
    cutouts = [c for c in cutouts if measure_flux(c) > 60 and c.mask.mean() < 0.3]
    assert len(cutouts) >= 10
    for cutout in cutouts:
        cutout.data[cutout.mask] = np.nan
    # Galaxies are not symmetric. With more steps, the Gaussian could leave the source.
    x, y = np.median(measure_offsets(cutouts, 2.0, 3), axis=0)
    assert np.hypot(x, y) * cutouts[0].pscale * 3600 < 0.12


def test_goodss_mapping_back_restores_positions(goodss, goodss_exposure):
    """If sources are mapped back to the combined image, they have their original positions."""
    image, exposure = goodss.image, goodss_exposure
    flt, drz = create_cutouts(
        goodss.primary,
        goodss.segmentation,
        image.data,
        image.image_wcs,
        exposure.data,
        exposure.image_wcs,
        drz_weight=image.weight,
        flt_dq=exposure.dq,
    )
    check_complete(flt, goodss.primary.ids)
    check_mapping(drz, flt, exposure.image_wcs, image.image_wcs, pad=2)
    assert {row["stage"] for row in flt.dropped} == {"input_image"}
    before = dict(zip(goodss.primary.ids, goodss.primary, strict=True))
    for cutout in drz:
        source = before[cutout.src_id]
        assert_allclose(cutout.src_pos, source.src_pos, rtol=0, atol=3e-5)
        assert source.box in cutout.box
        # Neither of the masks contains the pixels of the segment.
        assert (~cutout.mask).sum() == (~source.mask).sum()


def test_goodss_exposures_map_back_in_one_call(goodss, shared_data):
    """One call maps cutouts of all eight exposures back."""
    exposures = [
        read_image(shared_data / "hst_wfc3ir_goodss" / f"ib6o{name}_flt.fits.gz")
        for name in GOODSS_EXPOSURES
    ]
    flts = [goodss.cut(exposure)[0] for exposure in exposures]
    everything = flts[0]
    for flt in flts[1:]:
        everything = everything + flt
    data, wcs = goodss.image.data, goodss.image.image_wcs
    drz, valid = drz_from_input_cutouts(everything, goodss.segmentation, data, wcs)
    assert len(drz) == len(valid) == sum(map(len, flts))
    assert len(valid.images) == 8


def test_goodss_cores_are_not_masked_by_default(goodss, shared_data):
    """
    By default, few cores of sources are masked.

    If all flags were bad, a fifth would be masked.
    """

    def count_masked(dqbitmask):
        masked = []
        for name in GOODSS_EXPOSURES[4:]:
            path = shared_data / "hst_wfc3ir_goodss" / f"ib6o{name}_flt.fits.gz"
            exposure = read_image(path, dqbitmask=dqbitmask)
            cutouts, _ = create_input_image_cutouts(goodss.primary, exposure, None)
            for cutout in cutouts:
                x, y = np.rint(cutout.cutout_src_pos).astype(int)
                masked.append(cutout.mask[y - 1 : y + 2, x - 1 : x + 2].any())
        return np.mean(masked)

    assert count_masked(0) > 0.2
    assert count_masked("mission") < 0.1
    assert count_masked("~BADPIX") < 0.02


@pytest.mark.parametrize("power", [1, 2, -2])
@pytest.mark.parametrize("name", ["drz", "21qnq", "23rtq"])
def test_goodss_photometry_agrees_on_cutouts_and_image(name, power, goodss, shared_data):
    """Measurements of photutils on cutouts and on the image are equal to 1e-9."""
    drz = name == "drz"
    path = shared_data / "hst_wfc3ir_goodss" / f"ib6o{name}_flt.fits.gz"
    image = goodss.image if drz else read_image(path)
    bad = image.mask | ((image.weight == 0) if drz else (image.dq & 512 != 0))
    sigma = np.random.default_rng(2).uniform(0.01, 0.02, image.shape)
    kind = {1: StdDevUncertainty, 2: VarianceUncertainty, -2: InverseVariance}[power]
    nd = NDData(image.data, wcs=image.image_wcs, mask=bad, unit=image.unit)
    nd.uncertainty = kind(sigma**power)
    primary = create_primary_cutouts(
        goodss.catalog, goodss.segmentation, goodss.image, None, mask_policy=None, min_size=31
    )
    cutouts, _ = create_input_image_cutouts(primary, nd, None)
    assert len(cutouts) >= 60
    whole = NDData(nd, uncertainty=StdDevUncertainty(sigma))
    places = SkyCoord([c.pix2world(*c.cutout_src_pos) for c in cutouts[::4]], unit="deg")
    errors = 0
    for cutout, place in zip(cutouts[::4], places, strict=True):
        assert type(cutout.uncertainty) is kind
        cutout.uncertainty = cutout.error
        sky = SkyCircularAperture(place, Angle(0.4, "arcsec"))
        pixels = sky.to_pixel(image.image_wcs)
        in_cutout = sky.to_pixel(cutout.wcs)
        assert_allclose(in_cutout.positions + cutout.blc, pixels.positions, rtol=1e-12)
        for aperture, known in ((sky, sky), (in_cutout, pixels)):
            part, expected = (
                aperture_photometry(cutout, aperture),
                aperture_photometry(whole, known),
            )
            for column in ("aperture_sum", "aperture_sum_err"):
                assert_allclose(part[column].value, expected[column].value, rtol=1e-9)
            errors += np.isfinite(expected["aperture_sum_err"].value).sum()
            statistics = [ApertureStats(*both) for both in ((cutout, aperture), (whole, known))]
            for value in ("median", "std", "sum_err", "max"):
                found, known_value = (getattr(s, value).value for s in statistics)
                assert_allclose(found, known_value, rtol=1e-9)
    assert errors >= len(places)


def test_jwst_mapping_is_more_exact_than_the_inverse_of_gwcs(jwst, jwst_exposure):
    """
    Positions are exact to 1e-4 pixels.

    The inverse of the gwcs has errors of up to 0.1 pixels.
    """
    assert len(jwst.primary) == len(jwst.catalog) == 42
    cutouts, sources = jwst.cut(jwst_exposure)
    assert len(cutouts) == 42
    check_mapping(cutouts, sources, jwst.image.image_wcs, jwst_exposure.image_wcs)
    world = np.array([c.pix2world(*c.cutout_src_pos) for c in cutouts])
    own = np.transpose(jwst_exposure.image_wcs.invert(*world.T, with_bounding_box=False))
    assert np.abs(own - [c.src_pos for c in cutouts]).max() > 0.01


def test_jwst_centroids_agree_with_mapped_positions(jwst, jwst_exposure):
    """Centroids of isolated stars equal the mapped positions to 0.005 pixels."""
    cutouts, _ = jwst.cut(jwst_exposure, pad=3)
    catalog = jwst.catalog
    # Blended stars have larger semimajor axes than single stars.
    star = (catalog["semimajor_axis"].value < 1.7) & (catalog["max_value"] > 5)
    alone = find_distance_to_next(jwst.primary) > 15
    chosen = np.isin(cutouts.ids, catalog["label"][star & alone])
    assert np.count_nonzero(chosen) >= 30
    offsets = measure_offsets(cutouts[chosen], 1.2)
    assert np.abs(np.median(offsets, axis=0)).max() < 0.002
    assert np.median(np.abs(offsets), axis=0).max() < 0.005
    assert np.abs(offsets).max() < 0.02


def test_ground_mapping_and_centroids(ground, ground_exposure):
    """A TPV exposure and its SWarp coadd agree in positions, boxes, counts and centroids."""
    assert len(ground.catalog) == 26
    check_complete(ground.primary, ground.catalog["NUMBER"])
    assert set(ground.primary.dropped["status"]) == {"edge_of_segmentation"}
    cutouts, sources = ground.cut(ground_exposure, mode="fill")
    check_complete(cutouts, ground.primary.ids)
    check_mapping(cutouts, sources, ground.image.image_wcs, ground_exposure.image_wcs)
    cutouts, _ = ground.cut(ground_exposure, pad=6)
    bright = np.argsort([-np.nanmax(c.data) for c in cutouts])[:12]
    offsets = measure_offsets(cutouts[bright], 2.0)
    assert np.abs(np.median(offsets, axis=0)).max() < 0.1


def scatter_cutouts(wcs, center, shape, n=60):
    """Yield random cutouts of an undistorted image that covers the sky of another image."""
    scale = 3600 * np.sqrt(np.abs(np.linalg.det(wcs.pixel_scale_matrix)))
    tan = make_wcs("tan", shape, center, scale)
    rng = np.random.default_rng(11)
    image = np.zeros(shape, np.float32)
    for i in range(n):
        x, y = (int(rng.uniform(0.1, 0.9) * size) for size in shape[::-1])
        width, height = rng.integers(0, 200, 2)
        yield Cutout(
            image,
            tan,
            (x, y),
            (x + width, y + height),
            src_id=i,
            mode="fill",
            src_pos=(x + rng.random(), y + rng.random()),
        )


@pytest.mark.parametrize("name", ["acs_wfc_full_wcs", "uvis_c6_full_wcs_IDC"])
@pytest.mark.parametrize("chip", [0, 1])
def test_all_fits_distortions_map_as_in_astropy(name, chip, shared_data):
    """Both directions agree with astropy for ACS images with SIP, NPOL and D2IM tables in FK5."""
    exposure = read_images(shared_data / "full_distortion_wcs" / f"{name}.fits.gz")[chip]
    wcs, shape = exposure.image_wcs, exposure.data.shape
    assert wcs.cpdis1 is not None
    middle = wcs.all_pix2world([[shape[1] / 2, shape[0] / 2]], 0)[0]
    sources = list(scatter_cutouts(wcs, middle, shape))
    cutouts, valid = create_input_image_cutouts(sources, exposure.data + 1.0, wcs, mode="fill")
    assert len(cutouts) > 40
    check_mapping(cutouts, valid, sources[0].image_wcs, wcs)
    big = np.ones(shape, np.float32)
    back, flt = drz_from_input_cutouts(
        cutouts, big.astype(int), big, sources[0].image_wcs, mask_policy=None
    )
    check_mapping(back, flt, wcs, sources[0].image_wcs)


def test_roman_mapping(shared_data):
    """Positions and boxes on a Roman exposure agree with a separate inversion of its gwcs."""
    name = "r0000101001001001001_0001_wfi01_f158_cal.asdf"
    exposure = read_image(shared_data / "roman" / name, dqbitmask=None)
    ny, nx = exposure.shape
    middle = exposure.image_wcs(nx / 2, ny / 2, with_bounding_box=False)
    tan = make_wcs("tan", (ny, nx), tuple(float(m) for m in middle), 0.11)
    rng = np.random.default_rng(4)
    y, x = rng.uniform(40, 160, (2, 20))
    catalog = Table({"id": np.arange(20), "x": x, "y": y})
    sources = [
        Cutout(
            exposure.data,
            tan,
            (int(x) - 4, int(y) - 3),
            (int(x) + 5, int(y) + 6),
            src_id=i,
            src_pos=(x, y),
        )
        for i, x, y in catalog
    ]
    cutouts, valid = create_input_image_cutouts(sources, exposure, None, mode="fill")
    assert len(cutouts) > 10
    check_mapping(cutouts, valid, tan, exposure.image_wcs)
