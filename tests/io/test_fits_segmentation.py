"""Segmentation images of FITS files."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from fits_files import (
    SHAPE,
    asdf_bytes,
    asdf_table,
    image_hdu,
    make_gwcs,
    tan_header,
)
from gwcs import WCS as GWCS

from subpixal.io import read_image, read_segmentation


def read_labels(name):
    """Return the labels, the WCS and the name of a segmentation image."""
    found = read_segmentation(name)
    return found.data, found.wcs, found.meta["name"]


@pytest.mark.parametrize("dtype", [">i4", "<i4", "i2", "u4", "u1", "i8", "f4", "f8"])
def test_labels_are_exact_for_every_type(tmp_path, dtype):
    """Labels are integers with the values in the file, even if the file contains floats."""
    expected = np.zeros(SHAPE, int)
    expected[3:5, 6:9] = 100
    fits.PrimaryHDU(expected.astype(dtype), tan_header()).writeto(tmp_path / "seg.fits")
    labels, wcs, name = read_labels(tmp_path / "seg.fits")
    assert labels.dtype.kind in "iu"
    assert np.array_equal(labels, expected)
    assert wcs.wcs.crval[0] == 150
    assert name == "seg.fits[0]"


def test_exposure_as_segmentation_is_an_error(tmp_path):
    """An exposure is an error as a segmentation image, although its flags are integers."""
    fits.HDUList(
        [fits.PrimaryHDU(), image_hdu("SCI", 1, 0.5), image_hdu("DQ", 1, 4, "i2")]
    ).writeto(tmp_path / "flt.fits")
    with pytest.raises(ValueError, match=r"flt\.fits\[SCI,1\] is an image with"):
        read_labels(tmp_path / "flt.fits")
    assert read_labels(tmp_path / "flt.fits[DQ,1]")[0][0, 0] == 4


@pytest.mark.parametrize("value", [0.5, np.nan, 1e30])
def test_labels_that_are_no_integers_are_an_error(tmp_path, value):
    """Labels that are fractions, NaN, or beyond int64 are errors."""
    fits.PrimaryHDU(np.full(SHAPE, value)).writeto(tmp_path / "seg.fits")
    with pytest.raises(ValueError, match=r"seg\.fits\[0\] must be integers"):
        read_labels(tmp_path / "seg.fits")


def test_segmentation_is_the_first_integer_image(tmp_path):
    """The first integer image is read, with or without a WCS. A name can select another image."""
    hdus = [fits.PrimaryHDU(np.ones(SHAPE)), fits.ImageHDU(np.full(SHAPE, 2), name="SEG")]
    fits.HDUList(hdus).writeto(tmp_path / "seg.fits")
    labels, wcs, name = read_labels(tmp_path / "seg.fits")
    assert (labels[0, 0], wcs, name) == (2, None, "seg.fits[SEG,1]")
    assert read_labels(tmp_path / "seg.fits[0]")[0][0, 0] == 1


def test_segmentation_of_the_jwst_pipeline_is_in_sci(tmp_path):
    """The labels are in the SCI extension. If the file has a gwcs, it is the WCS."""
    for name, meta in (("a", {}), ("b", {"wcs": make_gwcs()})):
        hdus = [
            fits.PrimaryHDU(),
            image_hdu("SCI", 1, 7, "i4"),
            asdf_table(asdf_bytes({"meta": meta})),
        ]
        fits.HDUList(hdus).writeto(tmp_path / f"{name}_segm.fits")
        labels, wcs, label = read_labels(tmp_path / f"{name}_segm.fits")
        assert (labels[0, 0], label) == (7, f"{name}_segm.fits[SCI,1]")
        assert isinstance(wcs, GWCS if meta else WCS)


def test_real_hst_combined_image_has_the_grid_of_its_labels(shared_data):
    """Combined image and segmentation image have the same WCS. The image has a weight."""
    folder = shared_data / "hst_wfc3ir_goodss"
    image = read_image(folder / "goodss_f140w_drz.fits.gz")
    assert image.exptime == pytest.approx(811.731688)
    assert image.weight.shape == image.data.shape
    assert image.uncertainty is image.dq is None
    labels, wcs, _ = read_labels(folder / "goodss_f140w_seg.fits.gz")
    assert labels.max() == 97
    assert wcs.wcs.compare(image.image_wcs.wcs, 0, 1e-12)


def test_real_jwst_segmentation_has_no_wcs(shared_data):
    """The segmentation image that photutils wrote has labels and no WCS."""
    labels, wcs, name = read_labels(shared_data / "jwst_nircam_sim" / "jw_segm.fits.gz")
    assert labels.shape == (669, 662)
    assert labels.max() == 42
    assert (wcs, name) == (None, "jw_segm.fits.gz[0]")
