"""Photometry with photutils on cutouts of real images."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.modeling.fitting import TRFLSQFitter
from astropy.nddata import NDData, StdDevUncertainty
from numpy.testing import assert_allclose
from photutils.aperture import (
    ApertureStats,
    CircularAperture,
    SkyCircularAperture,
    aperture_photometry,
)
from photutils.psf import CircularGaussianPRF, EPSFBuilder

from subpixal import CutoutCollection, create_cutouts, create_primary_cutouts
from subpixal.io import read_catalog, read_image, read_segmentation

ROMAN = "roman/r0000101001001001001_0001_wfi01_f158_cal.asdf"
JWST = [f"jwst_nircam_sim/{name}" for name in ("jw_i2d.fits.gz", "jw_segm.fits.gz", "jw_cat.ecsv")]
# For each mission: combined image, segmentation image and catalog, and exposures of the same sky.
SETS = {
    "hst": (
        [
            f"hst_wfc3ir_goodss/goodss_f140w_{name}"
            for name in ("drz.fits.gz", "seg.fits.gz", "cat.fits")
        ],
        [f"hst_wfc3ir_goodss/ib6o{name}_flt.fits.gz" for name in ("21qnq", "23rtq", "23s2q")],
    ),
    "jwst": (JWST, [f"jwst_nircam_sim/jw0000{n}_nrcb1_cal.fits.gz" for n in (0, 1)]),
    "ground": (
        [
            f"ground_tpv/tpv_{name}"
            for name in ("swarp_coadd.fits.gz", "sex_seg.fits.gz", "sex_cat.fits")
        ],
        ["ground_tpv/tpv_ctio_mosaic2.fits.gz"],
    ),
    # This exposure has no sources, and there is no combined image and no catalog.
    "roman": ([ROMAN, None, None], [ROMAN]),
}


def make_grid_of_sources(image):
    """Return a segmentation image and a catalog of 25 positions on a grid."""
    x, y = (p.ravel() for p in np.meshgrid(30.3 + 35 * np.arange(5), 25.4 + 35 * np.arange(5)))
    labels = np.zeros(image.shape, int)
    for k in range(25):
        labels[int(y[k]) - 3 : int(y[k]) + 4, int(x[k]) - 3 : int(x[k]) + 4] = k + 1
    return labels, {"id": np.arange(1, 26), "x": x, "y": y}


def cut_set(folder, name, **options):
    """Yield the combined image and each exposure of a mission, together with their cutouts."""
    (image, labels, catalog), exposures = SETS[name]
    combined = read_image(folder / image)
    if labels is None:
        labels, catalog = make_grid_of_sources(combined)
    else:
        labels, catalog = read_segmentation(folder / labels), read_catalog(folder / catalog)
    primary = create_primary_cutouts(catalog, labels, combined, None, **options)
    yield combined, primary
    for exposure in exposures:
        whole = read_image(folder / exposure)
        yield whole, create_cutouts(primary, labels, combined, None, whole, None)[0]


def measure(image, position, sky, radius, scale):
    """Yield sums, errors and statistics in two apertures: one in pixels and one on the sky."""
    apertures = [
        CircularAperture(position, radius),
        SkyCircularAperture(sky, radius * scale * u.deg),
    ]
    for aperture in apertures:
        table, found = aperture_photometry(image, aperture), ApertureStats(image, aperture)
        columns = [c for c in table.colnames if c.startswith("aperture_sum")]
        yield from (u.Quantity(table[c][0]).value for c in columns)
        yield from (u.Quantity(getattr(found, n)).value for n in ("median", "std", "max", "sum"))


@pytest.mark.parametrize("name", SETS)
def test_apertures_agree_on_cutouts_and_images(name, shared_data):
    """For 20 sources, measurements on cutouts and on images agree except for rounding."""
    for whole, cutouts in cut_set(shared_data, name, mask_policy=None, min_size=19):
        # Weights of 0 mask pixels of cutouts, but not of images.
        bad = whole.mask if whole.weight is None else whole.mask | (whole.weight == 0)
        error = None if whole.error is None else StdDevUncertainty(whole.error)
        image = NDData(
            whole.data, wcs=whole.image_wcs, mask=bad, unit=whole.unit, uncertainty=error
        )
        count = 0
        for cutout in cutouts:
            x, y = cutout.cutout_src_pos
            # The aperture must be completely inside the cutout.
            if not (5 < x < cutout.width - 6 and 5 < y < cutout.height - 6):
                continue
            sky = SkyCoord(*cutout.pix2world(x, y), unit="deg")
            where = sky, 4, cutout.pscale
            found = list(measure(cutout, (x, y), *where))
            expected = list(measure(image, cutout.src_pos, *where))
            # The result of astropy's inverse depends slightly on the pixel origin.
            assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
            assert len(found) == (10 if error is None else 12)
            count += np.isfinite(found).all()
            if count == 20:
                break
        assert count == 20


def fit_width(model, x, y, data):
    """Return the standard deviation of a Gaussian that is fitted to an ePSF."""
    model = model.copy()
    model.fwhm.fixed = False
    fitted = TRFLSQFitter()(model, x, y, data)
    # The integral of a Gaussian over each pixel is slightly wider than the Gaussian.
    return np.sqrt((fitted.fwhm.value / (8 * np.log(2)) ** 0.5) ** 2 + 1 / 12)


def test_effective_psf_has_the_width_of_the_stars(shared_data):
    """The ePSF from stars of both exposures has the width of the simulation, 1.2 pixels."""
    _, *exposures = cut_set(shared_data, "jwst", mask_policy=None)
    stars = CutoutCollection()
    for _, cutouts in exposures:
        stars += cutouts
    peak = np.array([np.nanmax(cutout.data) for cutout in stars])
    size = np.array([min(cutout.shape) for cutout in stars])
    # Blended stars have larger segments.
    stars = stars[(peak > np.median(peak)) & (size <= np.median(size))].copy()
    assert len(stars) > 15
    builder = EPSFBuilder(oversampling=2, maxiters=10, progress_bar=False)
    epsf, _ = builder(stars.to_epsf_stars())
    ny, nx = epsf.data.shape
    y, x = (np.mgrid[:ny, :nx] - np.reshape([ny - 1, nx - 1], (2, 1, 1)) / 2) / 2
    inner = np.hypot(x, y) < 5
    model = CircularGaussianPRF(flux=1, x_0=0, y_0=0, fwhm=3)
    width = fit_width(model, x[inner], y[inner], epsf.data[inner])
    assert width == pytest.approx(1.2, rel=0.02)
