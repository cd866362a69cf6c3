"""Reading FITS images as cutouts of the whole image: planes, metadata and good flags."""

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from subpixal import io


def write_exposure(path, instrument, detector, dtype="i2"):
    """Write an exposure with all planes. Return the planes and the flags."""
    rng = np.random.default_rng(1)
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CDELT1"], header["CDELT2"] = -1e-5, 1e-5
    header["BUNIT"] = "ELECTRONS/S"
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 80.0
    primary.header["INSTRUME"], primary.header["DETECTOR"] = instrument, detector
    shape = (8, 9)
    planes = {"SCI": rng.random(shape), "ERR": rng.random(shape), "WHT": rng.random(shape)}
    flags = np.zeros(shape, dtype)
    flags[2, 3], flags[4, 5], flags[6, 7] = 4, 64, 1
    hdus = [fits.ImageHDU(p, header.copy(), name=n) for n, p in planes.items()]
    fits.HDUList([primary, *hdus, fits.ImageHDU(flags, name="DQ")]).writeto(path)
    return planes, flags


def test_image_has_planes_and_metadata(tmp_path):
    """The cutout has all planes, the unit, the exposure time and the metadata of the file."""
    planes, flags = write_exposure(tmp_path / "f_flt.fits", "WFC3", "IR")
    image = io.read_image(tmp_path / "f_flt.fits")
    assert_array_equal(image.data, planes["SCI"])
    assert_array_equal(image.uncertainty.array, planes["ERR"])
    assert_array_equal(image.weight, planes["WHT"])
    assert_array_equal(image.flags, flags)
    assert (image.blc, image.shape) == ((0, 0), flags.shape)
    assert (str(image.unit), image.data_units, image.exptime) == ("electron / s", "rate", 80.0)
    assert image.meta["instrument"] == "WFC3"
    assert image.image.name == "f_flt.fits[SCI,1]"


@pytest.mark.parametrize(
    ("instrument", "detector", "dqbitmask", "bad"),
    [
        # Warm pixels (64) of WFC3/IR are good, bad detector pixels (4) are not.
        ("WFC3", "IR", "mission", [(2, 3), (6, 7)]),
        # For JWST and Roman, only the flags DO_NOT_USE (1) and NON_SCIENCE (512) are bad.
        ("WFI", "WFI01", "mission", [(6, 7)]),
        ("MOSAIC", "", "mission", [(2, 3), (4, 5), (6, 7)]),
        ("WFI", "WFI01", 0, [(2, 3), (4, 5), (6, 7)]),
        ("WFC3", "IR", None, []),
    ],
)
def test_mask_uses_good_flags_of_mission_or_argument(
    instrument, detector, dqbitmask, bad, tmp_path
):
    """Good flags of the mission do not mask pixels. The argument ``dqbitmask`` can replace them."""
    write_exposure(tmp_path / "f.fits", instrument, detector)
    image = io.read_image(tmp_path / "f.fits", dqbitmask=dqbitmask)
    assert [tuple(p) for p in np.argwhere(image.mask).tolist()] == bad
    # A cutout of this cutout has the same mask.
    assert_array_equal(type(image)(image, None).mask, image.mask)


@pytest.mark.parametrize("dtype", ["i2", "u2", "i4", "u4", "u1"])
def test_good_flags_work_for_all_integer_types(dtype, tmp_path):
    """All flags of Roman except two are good. This works for each type of integer in the file."""
    write_exposure(tmp_path / "f.fits", "WFI", "WFI01", dtype)
    image = io.read_image(tmp_path / "f.fits")
    assert [tuple(p) for p in np.argwhere(image.mask).tolist()] == [(6, 7)]
    assert image.image.dqbitmask == ~(1 + 512)


def test_one_of_several_chips_must_be_selected(tmp_path):
    """A file of two chips is an error, unless the name selects a chip."""
    write_exposure(tmp_path / "f.fits", "ACS", "WFC")
    with fits.open(tmp_path / "f.fits") as one:
        second = [hdu.copy() for hdu in one[1:]]
        for hdu in second:
            hdu.ver = 2
        fits.HDUList([*one, *second]).writeto(tmp_path / "g.fits")
    assert len(io.read_images(tmp_path / "g.fits")) == 2
    with pytest.raises(ValueError, match="select one of"):
        io.read_image(tmp_path / "g.fits")
    assert io.read_image(f"{tmp_path}/g.fits[SCI,2]").image.name == "g.fits[SCI,2]"
