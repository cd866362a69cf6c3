"""Measurements of photutils on cutouts equal measurements on the image."""

from functools import cache, partial

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.nddata import (
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.table import QTable
from numpy.testing import assert_allclose, assert_array_equal
from photutils.aperture import (
    ApertureStats,
    CircularAnnulus,
    CircularAperture,
    EllipticalAperture,
    RectangularAperture,
    SkyCircularAnnulus,
    SkyCircularAperture,
    SkyEllipticalAperture,
    SkyRectangularAperture,
    aperture_photometry,
)
from photutils.background import Background2D
from photutils.centroids import centroid_2dg, centroid_com, centroid_quadratic, centroid_sources
from photutils.detection import DAOStarFinder
from photutils.psf import GaussianPRF, GaussianPSF, IterativePSFPhotometry, PSFPhotometry
from photutils.segmentation import SegmentationImage, SourceCatalog, detect_sources

from subpixal import Cutout, create_input_image_cutouts, create_primary_cutouts
from subpixal.datasets import make_scene

SCENE = make_scene(n_sources=20, shape=(256, 256), seed=5)
IMAGES = {"tan": SCENE.combined, **dict(zip(("sip", "lookup", "gwcs"), SCENE.exposures,
                                            strict=True))}  # fmt: skip
KINDS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}
UNIT = u.electron / u.s
RTOL = 1e-9

close = partial(assert_allclose, rtol=RTOL, atol=0)


@cache
def make_image(name, kind=StdDevUncertainty):
    """Return an NDData object with random errors and a random mask."""
    image = IMAGES[name]
    rng = np.random.default_rng(9)
    sigma = rng.uniform(0.01, 0.02, image.data.shape)
    return NDData(
        image.data.astype(float), wcs=image.wcs, unit=UNIT, mask=rng.random(sigma.shape) < 0.02,
        uncertainty=kind(sigma ** KINDS[kind]),
    )  # fmt: skip


@cache
def cut(name, kind=StdDevUncertainty, mode="strict"):
    """Cut all sources. Mask only the masked pixels of the image."""
    combined = SCENE.combined
    primary = create_primary_cutouts(
        SCENE.truth, SCENE.segmentation, combined.data, combined.wcs, size=27, mask_policy=None
    )
    image = make_image(name, kind)
    return create_input_image_cutouts(primary, image, None, pad=2, mode=mode)[0]


def get_sky_position(cutout):
    """Return the true position of the source of a cutout."""
    row = SCENE.truth[SCENE.truth["id"] == cutout.src_id][0]
    return SkyCoord(row["ra"], row["dec"], unit="deg")


PIXEL = (
    partial(CircularAperture, r=4.3),
    partial(CircularAnnulus, r_in=3, r_out=6.5),
    partial(EllipticalAperture, a=5, b=3.2, theta=0.7),
    partial(RectangularAperture, w=7, h=4.5, theta=0.3),
)
SKY = (
    partial(SkyCircularAperture, r=0.21 * u.arcsec),
    partial(SkyCircularAnnulus, r_in=0.1 * u.arcsec, r_out=0.25 * u.arcsec),
    partial(SkyEllipticalAperture, a=0.25 * u.arcsec, b=0.15 * u.arcsec, theta=40 * u.deg),
    partial(SkyRectangularAperture, w=0.3 * u.arcsec, h=0.2 * u.arcsec, theta=20 * u.deg),
)


def assert_same_photometry(cutout, image, aperture, aperture_in_image, box=(0, 0)):
    """Check that an aperture gives the same photometry and statistics on cutout and image."""
    part, whole = (
        aperture_photometry(data, placed_aperture)
        for data, placed_aperture in ((cutout, aperture), (image, aperture_in_image))
    )
    assert part["aperture_sum"].unit == UNIT
    close(part["aperture_sum"].value, whole["aperture_sum"].value)
    close(part["aperture_sum_err"].value, whole["aperture_sum_err"].value)
    for name, offset in zip("xy", box, strict=True):
        position = np.array([table[f"{name}_center"][0] for table in (part, whole)], float)
        assert_allclose(position[0] + offset, position[1], rtol=RTOL)
    part, whole = ApertureStats(cutout, aperture), ApertureStats(image, aperture_in_image)
    for name in ("sum", "sum_err", "mean", "median", "mad_std", "biweight_location", "fwhm"):
        close(getattr(part, name).value, getattr(whole, name).value, err_msg=name)
    assert_allclose(part.centroid + box, whole.centroid, rtol=RTOL)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", IMAGES)
def test_apertures_on_pixels_and_on_the_sky(name, kind):
    """Apertures give the same sums on cutout and image, for all WCSs and types of uncertainty."""
    image, cutouts = make_image(name), cut(name, kind)
    assert len(cutouts) >= 5
    for cutout in cutouts[:4]:
        assert type(cutout.uncertainty) is kind
        # photutils accepts only standard deviations.
        cutout = cutout.copy()
        cutout.uncertainty = cutout.error
        for make in PIXEL:
            apertures = make(cutout.cutout_src_pos), make(cutout.src_pos)
            assert_same_photometry(cutout, image, *apertures, cutout.blc)
        for make in SKY:
            aperture = make(get_sky_position(cutout))
            assert_same_photometry(cutout, image, aperture, aperture, cutout.blc)


@pytest.mark.parametrize("kind", KINDS)
def test_apertures_on_arrays(kind):
    """Apertures on the arrays and the WCS of a cutout give the same sums as on the image."""
    image = make_image("sip")
    for cutout in cut("sip", kind)[:5]:
        aperture = SKY[0](get_sky_position(cutout))
        part = aperture_photometry(
            cutout.data, aperture, error=cutout.error, mask=cutout.mask, wcs=cutout.wcs
        )
        whole = aperture_photometry(image, aperture)
        close(part["aperture_sum"], whole["aperture_sum"].value)
        close(part["aperture_sum_err"], whole["aperture_sum_err"].value)


def test_photutils_drops_other_uncertainties():
    """
    Photutils ignores variances.

    If this test fails, this statement in the documentation must change.
    """
    cutout = cut("tan", VarianceUncertainty)[0]
    photometry = aperture_photometry(cutout, PIXEL[0](cutout.cutout_src_pos))
    assert "aperture_sum_err" not in photometry.colnames
    assert np.isnan(ApertureStats(cutout, PIXEL[0](cutout.cutout_src_pos)).sum_err)


@pytest.mark.parametrize("shift", [(2, -3), (0.3, -0.45)])
@pytest.mark.parametrize("name", IMAGES)
def test_sky_apertures_follow_the_displacement(name, shift):
    """If a cutout is displaced, an aperture on the sky moves by the same displacement."""
    image = make_image(name)
    for cutout in cut(name)[:5]:
        cutout = cutout.copy()
        cutout.dx, cutout.dy = shift
        sky = SKY[0](get_sky_position(cutout))
        pixels = sky.to_pixel(image.wcs)
        pixels.positions = pixels.positions + np.array(shift)
        part, whole = aperture_photometry(cutout, sky), aperture_photometry(image, pixels)
        close(part["aperture_sum"].value, whole["aperture_sum"].value)
        center = float(part["x_center"][0]), float(part["y_center"][0])
        # photutils uses the inverse of the gwcs, which is inaccurate.
        atol = 0.1 if name == "gwcs" else 1e-4
        assert_allclose(center, cutout.cutout_src_pos, rtol=0, atol=atol)


@pytest.mark.parametrize("name", ["tan", "sip", "lookup"])
def test_filled_pixels_do_not_count(name):
    """Filled pixels are masked. Apertures ignore them like pixels beyond the image."""
    image = make_image(name)
    filled = [cutout for cutout in cut(name, mode="fill") if cutout.status == "filled"]
    measured = 0
    for cutout in filled:
        x, y = cutout.src_pos
        if not (0 < x < image.data.shape[1] - 1 and 0 < y < image.data.shape[0] - 1):
            continue
        measured += 1
        for make in PIXEL:
            part = aperture_photometry(cutout, make(cutout.cutout_src_pos))
            whole = aperture_photometry(image, make(cutout.src_pos))
            close(part["aperture_sum"].value, whole["aperture_sum"].value)
            close(part["aperture_sum_err"].value, whole["aperture_sum_err"].value)
    assert measured


def test_slices_and_nested_cutouts():
    """Apertures give the same sums on slices of cutouts and on cutouts of cutouts."""
    image = make_image("lookup")
    for cutout in cut("lookup")[:5]:
        aperture = SKY[0](get_sky_position(cutout))
        inner = Cutout(cutout, None, (2, 3), (cutout.width - 3, cutout.height - 2))
        for part in (cutout[2:-1, 3:-2], inner):
            assert_same_photometry(part, image, aperture, aperture, part.blc)


def make_fixed():
    """Return a PSF model whose position is not fitted."""
    model = GaussianPRF(x_fwhm=3, y_fwhm=3)
    model.x_0.fixed = model.y_0.fixed = True
    return model


# Without analytic derivatives, the fit takes steps that depend on the pixel coordinates.
MODELS = {
    "derivatives": (partial(GaussianPSF, x_fwhm=3, y_fwhm=3), RTOL),
    "fixed": (make_fixed, RTOL),
    "numerical": (partial(GaussianPRF, x_fwhm=3, y_fwhm=3), 1e-5),
}


@pytest.mark.parametrize("iterative", [False, True])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("kind", KINDS)
def test_psf_photometry_with_all_uncertainties(kind, model, iterative):
    """PSF fits give the same results on cutout and image, for all types of uncertainty."""
    make_model, rtol = MODELS[model]
    options = {"fit_shape": (7, 7), "aperture_radius": 3}
    if iterative:
        # All sources are given. The high threshold prevents the detection of others.
        options |= {"finder": DAOStarFinder(1e6 * UNIT, 3.0), "mode": "new", "maxiters": 1}
    measure = (IterativePSFPhotometry if iterative else PSFPhotometry)(make_model(), **options)
    for name in ("tan", "gwcs"):
        for cutout in cut(name, kind)[:3]:
            (x, y), (dx, dy) = cutout.cutout_src_pos, cutout.blc
            part = measure(cutout, init_params=QTable({"x": [x], "y": [y]}))
            residual = measure.make_residual_image(cutout)
            init = QTable({"x": [x + dx], "y": [y + dy]})
            whole = measure(make_image(name, kind), init_params=init)
            for column, offset in (("flux_fit", 0), ("flux_err", 0), ("x_fit", dx), ("y_fit", dy)):
                values = [getattr(t[column], "value", t[column]) for t in (part, whole)]
                assert_allclose(values[0] + offset, values[1], rtol=rtol)
            assert isinstance(residual, Cutout)
            assert np.ptp(residual.data[5:-5, 5:-5]) < np.ptp(cutout.data[5:-5, 5:-5])


@pytest.mark.filterwarnings("ignore::astropy.utils.exceptions.AstropyUserWarning")
@pytest.mark.parametrize("centroid", [centroid_com, centroid_quadratic, centroid_2dg])
def test_centroids(centroid):
    """Centroids of a cutout equal centroids of the same box of the image."""
    image, cutouts = make_image("sip"), cut("sip")
    table = cutouts.measure(centroid, "data", mask="mask")
    assert set(table["status"]) == {"ok"}
    for cutout, found in zip(cutouts, table[centroid.__name__], strict=True):
        box = cutout.box.slices
        assert_array_equal(found, centroid(image.data[box], mask=image.mask[box]))
        (x, y), (dx, dy) = cutout.cutout_src_pos, cutout.blc
        options = {"box_size": 9, "centroid_func": centroid}
        part = centroid_sources(cutout.data, x, y, mask=cutout.mask, **options)
        whole = centroid_sources(image.data, x + dx, y + dy, mask=image.mask, **options)
        assert_allclose(np.ravel(part) + cutout.blc, np.ravel(whole), rtol=RTOL)


def test_background_keeps_the_unit():
    """Background2D measures a cutout with its unit. The mask is a separate argument."""
    image = make_image("tan")
    for cutout in cut("tan")[:3]:
        box = cutout.box.slices
        cutout.data[cutout.mask] = 1e5
        expected = Background2D(image.data[box], 9, mask=image.mask[box], exclude_percentile=50)
        found = Background2D(cutout, 9, mask=cutout.mask, exclude_percentile=50)
        assert found.background.unit == UNIT
        assert_allclose(found.background.value, expected.background, rtol=RTOL)
        assert_allclose(found.background_rms.value, expected.background_rms, rtol=RTOL)


def test_sources_detected_in_a_cutout():
    """Sources that are detected in a cutout have the same properties as in the image."""
    image = make_image("sip")
    for cutout in cut("sip")[:3]:
        segmentation = detect_sources(cutout.data, 0.05, 5, mask=cutout.mask)
        planes = {"error": cutout.error, "mask": cutout.mask, "wcs": cutout.wcs}
        part = SourceCatalog(cutout.data, segmentation, **planes)
        labels = np.zeros(image.data.shape, int)
        labels[cutout.box.slices] = segmentation.data
        whole = SourceCatalog(
            image.data, SegmentationImage(labels), error=image.uncertainty.array,
            mask=image.mask, wcs=image.wcs,
        )  # fmt: skip
        close(part.segment_flux, whole.segment_flux)
        close(part.segment_flux_err, whole.segment_flux_err)
        assert_allclose(part.centroid + cutout.blc, whole.centroid, rtol=RTOL)
        separation = part.sky_centroid.separation(whole.sky_centroid)
        assert separation.max() < 1e-6 * u.arcsec


@pytest.mark.parametrize("kind", KINDS)
def test_sums_of_segments_equal_a_source_catalog(kind):
    """Sums of unmasked pixels of cutouts equal the fluxes of a photutils catalog."""
    image, converted = make_image("tan", kind), make_image("tan")
    segmentation = detect_sources(image.data, 0.05, 8, mask=image.mask)
    catalog = SourceCatalog(
        image.data, segmentation, error=converted.uncertainty.array, mask=image.mask, wcs=image.wcs
    )
    cutouts = create_primary_cutouts(catalog, segmentation, image, None)
    assert len(cutouts) > 10

    def measure_flux(data, mask, error):
        good = ~mask
        return {"flux": data[good].sum(), "flux_err": np.sqrt((error[good] ** 2).sum())}

    table = cutouts.measure(measure_flux, "data", mask="mask", error="error")
    rows = catalog.select_labels(cutouts.ids)
    close(table["flux"], rows.segment_flux)
    close(table["flux_err"], rows.segment_flux_err)
    assert_allclose([c.src_pos for c in cutouts], rows.centroid, rtol=RTOL)
    # The table of the catalog gives the same cutouts, also with column names of older versions.
    current = catalog.to_table(columns=["label", "x_centroid", "y_centroid"])
    older = {
        "label": current["label"],
        "xcentroid": current["x_centroid"],
        "ycentroid": current["y_centroid"],
    }
    for same in (current, older):
        again = create_primary_cutouts(same, segmentation.data, image, None)
        assert again.ids.tolist() == cutouts.ids.tolist()
        assert_array_equal(again.table["src_pos"], cutouts.table["src_pos"])


@pytest.mark.parametrize("unit", [None, u.Jy, u.dimensionless_unscaled])
@pytest.mark.parametrize("kind", KINDS)
def test_error_is_a_standard_deviation(kind, unit):
    """The attribute `error` contains standard deviations in the unit of the data."""
    sigma = np.random.default_rng(1).uniform(1, 2, (5, 6))
    wcs = SCENE.combined.wcs
    cutout = Cutout(sigma, wcs, uncertainty=kind(sigma ** KINDS[kind]), unit=unit)
    assert_allclose(cutout.error, sigma, rtol=1e-15)
    assert type(cutout.error) is np.ndarray
    if unit == u.Jy:
        power = KINDS[kind]
        finer = kind((1000 * sigma) ** power, unit=u.mJy**power)
        cutout = Cutout(sigma, wcs, uncertainty=finer, unit=unit)
        assert_allclose(cutout.error, sigma, rtol=1e-15)
    cutout.uncertainty = cutout.error
    assert type(cutout.uncertainty) is StdDevUncertainty
    assert cutout.uncertainty.unit == unit


def test_error_without_standard_deviation():
    """Without an uncertainty, the error is None. Inverse variances of 0 give infinite errors."""
    wcs, ones = SCENE.combined.wcs, np.ones((2, 3))
    assert Cutout(ones, wcs).error is None
    assert np.isinf(Cutout(ones, wcs, uncertainty=InverseVariance(0 * ones)).error).all()
    cutout = Cutout(ones, wcs, uncertainty=UnknownUncertainty(ones))
    with pytest.raises(TypeError, match="UnknownUncertainty cannot be converted"):
        _ = cutout.error
