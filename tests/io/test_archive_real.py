"""Round trips of cutouts of real images through archives."""

import shutil

import asdf
import numpy as np
import pytest
from astropy.wcs import WCS
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.io import merge_archives, read_images
from subpixal.testing import assert_cutouts_equal

IMAGES = {
    "HST exposure, SIP": "hst_wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
    "HST combined, TAN": "hst_wfc3ir_goodss/goodss_f140w_drz.fits.gz",
    "ACS, SIP, NPOL and D2IM": "full_distortion_wcs/acs_wfc_full_wcs.fits.gz",
    "UVIS, SIP, NPOL and D2IM": "full_distortion_wcs/uvis_c6_full_wcs_IDC.fits.gz",
    "JWST exposure, gwcs": "jwst_nircam_sim/jw00000_nrcb1_cal.fits.gz",
    "JWST combined, gwcs": "jwst_nircam_sim/jw_i2d.fits.gz",
    "Roman exposure, gwcs": "roman/r0000101001001001001_0001_wfi01_f158_cal.asdf",
    "CTIO exposure, TPV": "ground_tpv/tpv_ctio_mosaic2.fits.gz",
    "SWarp coadd, TAN": "ground_tpv/tpv_swarp_coadd.fits.gz",
}
WCSS = [
    "stcal_nrcb5-wcs",
    "stcal_mosaic_long_i2d_gwcs",
    "siaf_nrca1_full_gwcs",
    "siaf_wfi01_full_gwcs",
]


def cut(image, number=12, size=25):
    """Return cutouts of an image with all planes. Some of them extend beyond the image."""
    rng = np.random.default_rng(3)
    ny, nx = image.shape
    corners = rng.uniform([-20, -20], [nx - 5, ny - 5], (number, 2)).astype(int).tolist()
    fillval = np.nan if image.data.dtype.kind == "f" else -1
    cutouts = [
        Cutout(image, None, (x, y), (x + size, y + size), mode="fill", fillval=fillval, src_id=k,
               src_pos=(x + 8.7, y + 9.1))
        for k, (x, y) in enumerate(corners)
    ]  # fmt: skip
    for cutout in cutouts:
        cutout.segmentation = rng.integers(0, 9, cutout.shape)
        cutout.dx, cutout.dy = rng.normal(size=2)
    return CutoutCollection(cutouts)


def check_wcs(found, wcs, shape):
    """Check that world values are equal. For FITS WCSs, the last bits can differ."""
    x, y = np.random.default_rng(1).uniform(-50, np.add(shape[::-1], 50), (1000, 2)).T
    if isinstance(wcs, WCS):
        values = (w.all_pix2world(x, y, 0) for w in (found, wcs))
    else:
        values = (w(x, y, with_bounding_box=False) for w in (found, wcs))
    maxulp = 4 if isinstance(wcs, WCS) else 0
    for one, other in zip(*values, strict=True):
        np.testing.assert_array_max_ulp(np.asarray(one), np.asarray(other), maxulp=maxulp)


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("compression", [None, "lz4"])
def test_real_images(name, compression, shared_data, tmp_path):
    """
    Archives preserve all planes of all chips bit for bit, also after a merge.

    Each image has one WCS.
    """
    parts, paths = [], []
    for chip, image in enumerate(read_images(shared_data / IMAGES[name])):
        cutouts = cut(image)
        path = tmp_path / f"{chip}.asdf"
        cutouts.write(path, compression=compression)
        found = CutoutCollection.read(path)
        assert {"data", "mask"} < set(found[0].planes)
        assert_cutouts_equal(found, cutouts)
        assert all(cutout.image_wcs is found[0].image_wcs for cutout in found)
        check_wcs(found[0].image_wcs, image.image_wcs, image.shape)
        cutouts[0].write(tmp_path / "one.asdf", overwrite=True, compression=compression)
        assert_cutouts_equal(Cutout.read(tmp_path / "one.asdf"), cutouts[0])
        parts.append(cutouts)
        paths.append(path)
    copies = [shutil.copy(path, path.with_suffix(".copy")) for path in paths]
    merge_archives([*paths, *copies], tmp_path / "all.asdf")
    found = CutoutCollection.read(tmp_path / "all.asdf")
    assert len(found.images) == len(parts)
    every = [cutout for cutouts in parts * 2 for cutout in cutouts]
    for a, b in zip(found, every, strict=True):
        assert_array_equal(a.data, b.data)


@pytest.mark.parametrize("name", WCSS)
def test_real_gwcs(name, shared_data, tmp_path):
    """Writing and reading a gwcs preserves its world values exactly."""
    with asdf.open(shared_data / "gwcs" / f"{name}.asdf", lazy_load=False) as file:
        wcs = file["wcs"]
    shape = (2048, 2048)
    cutout = Cutout(np.zeros(shape, np.float32), wcs, (3, 5), (40, 30), copy=False)
    CutoutCollection([cutout]).write(tmp_path / "c.asdf")
    found = CutoutCollection.read(tmp_path / "c.asdf")
    assert_cutouts_equal(found[0], cutout)
    check_wcs(found[0].image_wcs, wcs, shape)
