"""WCSs of real instruments. Most of these tests need files that are not in the repository."""

import functools
import io

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.data import get_pkg_data_filename
from astropy.wcs import WCS
from numpy.testing import assert_allclose

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap, whole_pixels

FITS_FILES = (
    "full_distortion_wcs/acs_wfc_full_wcs.fits.gz",
    "full_distortion_wcs/uvis_c6_full_wcs_IDC.fits.gz",
    "hst_wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o21qqq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o21r7q_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o21raq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o23rtq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o23rwq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o23rzq_flt.fits.gz",
    "hst_wfc3ir_goodss/ib6o23s2q_flt.fits.gz",
    "hst_wfc3ir_goodss/goodss_f140w_drz.fits.gz",
    "ground_tpv/tpv_ctio_mosaic2.fits.gz",
    "ground_tpv/tpv_swarp_coadd.fits.gz",
)
GWCS_FILES = (
    "gwcs/stcal_nrcb5-wcs.asdf",
    "gwcs/stcal_mosaic_long_i2d_gwcs.asdf",
    "gwcs/siaf_nrca1_full_gwcs.asdf",
    "gwcs/siaf_wfi01_full_gwcs.asdf",
)
JWST_FILES = (
    "jwst_nircam_sim/jw00000_nrcb1_cal.fits.gz",
    "jwst_nircam_sim/jw00001_nrcb1_cal.fits.gz",
    "jwst_nircam_sim/jw_i2d.fits.gz",
)
# astropy repairs dates in old headers, and asdf warns about schemas of old files.
pytestmark = [
    pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning"),
    pytest.mark.filterwarnings("ignore::asdf.exceptions.AsdfWarning"),
]


@functools.cache
def read_wcs(name):
    """Return all WCSs of a file."""
    if name.suffix == ".asdf":
        with asdf.open(name) as file:
            return [file["wcs"]]
    with fits.open(name) as hdus:
        if "ASDF" in hdus:
            stream = io.BytesIO(hdus["ASDF"].data["ASDF_METADATA"].tobytes())
            with asdf.open(stream) as file:
                return [file["meta"]["wcs"]]
        images = [h for h in hdus if h.is_image and "CTYPE1" in h.header and h.name != "WHT"]
        return [WCS(h.header, hdus) for h in images if h.name in {"SCI", "PRIMARY"}]


def positions(image, margin=100, n=5000):
    """Return random pixel positions on the image and in a margin around it."""
    ny, nx = image.shape
    t = np.random.default_rng(11).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


@pytest.mark.parametrize("name", FITS_FILES + GWCS_FILES + JWST_FILES)
def test_round_trip_is_accurate(shared_data, name):
    """Positions on the image and up to 100 pixels off it map to the sky and back."""
    found = read_wcs(shared_data / name)
    assert len(found) == (2 if "full_distortion" in name else 1)
    for wcs in found:
        image = PixelGrid(wcs)
        xy = positions(image)
        assert_allclose(image.to_pixel(*image.to_world(*xy)), xy, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("name", ["nircamwcs", "miriwcs"])
def test_round_trip_of_wcss_of_gwcs_is_accurate(name):
    """For the JWST WCSs in gwcs, positions map to the sky and back, even off bounding boxes."""
    pytest.importorskip("gwcs.tests")
    with asdf.open(get_pkg_data_filename(f"tests/data/{name}.asdf", package="gwcs")) as file:
        image = PixelGrid(file["wcs"])
        xy = positions(image)
        assert_allclose(image.to_pixel(*image.to_world(*xy)), xy, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("name", FITS_FILES + GWCS_FILES + JWST_FILES)
def test_sources_far_from_the_image_are_nan(shared_data, name):
    """Sources more than 1.5 degrees away from the center of the image give NaN."""
    rng = np.random.default_rng(12)
    lon, lat = rng.uniform(0, 2 * np.pi, 5000), np.arcsin(rng.uniform(-1, 1, 5000))
    for wcs in read_wcs(shared_data / name):
        image = PixelGrid(wcs)
        values = image.world.values(lon, lat)
        far = image.world.vectors(values).T @ image._control_points.footprint.center < np.cos(
            np.deg2rad(1.5)
        )
        assert far.sum() > 4900
        assert np.isnan(image.to_pixel(*values))[:, far].all()


@pytest.mark.parametrize("name", JWST_FILES[:2] + GWCS_FILES[:1])
def test_positions_are_better_than_the_inverse_of_the_wcs(shared_data, name):
    """The inverse of the WCS has errors of hundredths of a pixel. `PixelGrid` is accurate."""
    (wcs,) = read_wcs(shared_data / name)
    image = PixelGrid(wcs)
    xy = positions(image, margin=0)
    world = image.to_world(*xy)
    inverse = wcs.invert(*world, with_bounding_box=False)
    assert np.abs(inverse - xy).max() > 0.01
    assert_allclose(image.to_pixel(*world), xy, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize(
    ("combined", "exposure"),
    [
        ("hst_wfc3ir_goodss/goodss_f140w_drz.fits.gz", "hst_wfc3ir_goodss/ib6o23rtq_flt.fits.gz"),
        ("jwst_nircam_sim/jw_i2d.fits.gz", "jwst_nircam_sim/jw00001_nrcb1_cal.fits.gz"),
        ("ground_tpv/tpv_swarp_coadd.fits.gz", "ground_tpv/tpv_ctio_mosaic2.fits.gz"),
    ],
)
def test_boxes_of_a_combined_image_enclose_their_pixels(shared_data, combined, exposure):
    """If boxes of a combined image are mapped to the exposure, they contain their mapped pixels."""
    (wcs_in,), (wcs_out,) = read_wcs(shared_data / combined), read_wcs(shared_data / exposure)
    to_out = PixelMap(wcs_in, wcs_out)
    ny, nx = to_out.image_in.shape
    rng = np.random.default_rng(13)
    x, y = rng.integers(0.2 * nx, 0.8 * nx, 50), rng.integers(0.2 * ny, 0.8 * ny, 50)
    edges = np.array([x, y, x + rng.integers(1, 60, 50), y + rng.integers(1, 60, 50)]) - 0.5
    mapped = whole_pixels(to_out.boxes(edges)[0], tolerance=ACCURACY)
    for box, (x1, y1, x2, y2) in zip(mapped.T, edges.T, strict=True):
        pixels = np.meshgrid(np.arange(x1, x2 + 0.1, 0.5), np.arange(y1, y2 + 0.1, 0.5))
        u, v = to_out(*pixels)
        within = np.array([u.min(), v.min(), -u.max(), -v.max()])
        around = np.array([box[0] - 0.5, box[1] - 0.5, -box[2] - 0.5, -box[3] - 0.5])
        assert (within > around - 2 * ACCURACY).all()
