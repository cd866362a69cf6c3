"""Images of FITS files: extensions, planes, units, metadata and damaged files."""

import gzip
import mmap
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from fits_files import (
    SHAPE,
    image_hdu,
    tan_header,
)

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.io import read_image, read_images, read_segmentation
from subpixal.io.paths import parse_image_name


def write_two_chips(path, *extra):
    """Write an exposure of two chips, with errors and flags. Return the path."""
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = 400.0
    hdus = [primary]
    for version in (1, 2):
        hdus += [
            image_hdu("SCI", version, 10 * version, CRVAL1=150.0 + version, BUNIT="ELECTRONS"),
            image_hdu("ERR", version, 10 * version + 1),
            image_hdu("DQ", version, 10 * version + 2, "i2"),
        ]
    fits.HDUList([*hdus, *extra]).writeto(path)
    return path


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("file.fits", ("file.fits", None)),
        ("file.fits[SCI,2]", ("file.fits", ("SCI", 2))),
        ("file.fits[ sci , 2 ]", ("file.fits", ("SCI", 2))),
        ("file.fits[1]", ("file.fits", 1)),
        ("file.fits[SCI]", ("file.fits", ("SCI", None))),
        (r"C:\data [old]\file.fits[0]", (r"C:\data [old]\file.fits", 0)),
        ("a[1]/file.fits", ("a[1]/file.fits", None)),
        (Path("file.fits.gz[1]"), ("file.fits.gz", 1)),
    ],
)
def test_name_is_split_into_file_and_extension(name, expected):
    """Brackets select an extension only if they are at the end of a name."""
    assert parse_image_name(name) == expected


@pytest.mark.parametrize("inside", ["", "SCI,", "SCI,x", ",1", "1:5,1:5", "SCI,1,2", "-1,-1"])
def test_brackets_without_an_extension_are_an_error(inside):
    """If the text in brackets is not a valid extension, the error contains a valid example."""
    with pytest.raises(ValueError, match="is not an extension like"):
        parse_image_name(f"file.fits[{inside}]")


def test_file_with_brackets_in_its_name_is_read(tmp_path):
    """If a file exists whose name contains the brackets, they do not select an extension."""
    path = tmp_path / "odd.fits[1]"
    fits.PrimaryHDU(np.ones(SHAPE), tan_header()).writeto(path)
    assert parse_image_name(path) == (str(path), None)
    assert read_image(path).image.name == "odd.fits[1][0]"
    assert read_image(f"{path}[0]").data.shape == SHAPE


def test_each_chip_has_its_own_planes(tmp_path):
    """Planes belong to the SCI extension with the same value of EXTVER."""
    path = write_two_chips(tmp_path / "two_flc.fits", image_hdu("WHT", 2, 5))
    first, second = read_images(path)
    assert [first.image.name, second.image.name] == ["two_flc.fits[SCI,1]", "two_flc.fits[SCI,2]"]
    for image, value in ((first, 10), (second, 20)):
        assert np.all(image.data == value)
        assert np.all(image.uncertainty.array == value + 1)
        assert np.all(image.dq == value + 2)
        assert image.dq.dtype.isnative
        assert image.image_wcs.wcs.crval[0] == 150 + value / 10
        assert image.image_wcs.pixel_shape == SHAPE[::-1]
        assert image.unit == u.electron
        assert image.exptime == 400
    assert first.weight is None
    assert np.all(second.weight == 5)


def test_name_of_an_image_reads_it_again(tmp_path):
    """Reading the name of an image gives the same image again."""
    path = write_two_chips(tmp_path / "two_flc.fits")
    for image in read_images(path):
        again = read_image(tmp_path / image.image.name)
        assert again.image.name == image.image.name
        assert again.data[0, 0] == image.data[0, 0]
        assert again.dq[0, 0] == image.dq[0, 0]


def test_number_or_name_selects_an_extension(tmp_path):
    """An extension is selected by number, by name, or by name and version, as in astropy."""
    path = write_two_chips(tmp_path / "two_flc.fits")
    assert read_image(f"{path}[4]").image.name == "two_flc.fits[SCI,2]"
    assert len(read_images(f"{path}[sci]")) == 2
    error = read_image(f"{path}[ERR,2]")
    assert (error.data[0, 0], error.uncertainty, error.dq) == (21, None, None)


def test_several_chips_without_a_selection_are_an_error(tmp_path):
    """If a file has several chips, the error lists their names."""
    path = write_two_chips(tmp_path / "two_flc.fits")
    match = r"select one of .two_flc.fits\[SCI,1\]., .two.*\[SCI,2\]."
    with pytest.raises(ValueError, match=match):
        read_image(path)


def test_error_for_many_images_lists_the_first_names(tmp_path):
    """If a file has 20 images, the error lists only the first names."""
    cutouts = [Cutout(np.zeros((9, 9)), make_wcs("tan", (9, 9)), (1, 1), (5, 5))] * 20
    CutoutCollection(cutouts).write(tmp_path / "c.fits")
    with pytest.raises(ValueError, match=r"has 20 images, .*, 'c\.fits\[SCI,8\]', \.\.\.$"):
        read_image(tmp_path / "c.fits")


@pytest.mark.parametrize("extension", ["[SCI,3]", "[0]", "[99]", "[VAR]"])
def test_error_for_a_missing_extension_lists_the_others(tmp_path, extension):
    """If an extension is missing, the error lists the extensions in the file."""
    path = write_two_chips(tmp_path / "two_flc.fits")
    with pytest.raises(ValueError, match=r"two_flc\.fits: .*\[SCI,1\], \[ERR,1\], \[DQ,1\]"):
        read_images(f"{path}{extension}")


def test_uncompressed_pixels_are_read_only_views_of_the_file(tmp_path):
    """
    Uncompressed pixels are a read-only memory map of the file.

    The pixels of a copy are writable.
    """
    path = write_two_chips(tmp_path / "two_flc.fits")
    image = read_image(f"{path}[SCI,1]")
    base = image.data
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0] = -1
    copied = image.copy()
    copied.data[0, 0] = -1
    assert read_image(f"{path}[SCI,1]").data[0, 0] == 10


def test_constant_plane_has_the_value_of_its_header(tmp_path):
    """
    A header with PIXVALUE and without pixels is a constant plane.

    An empty extension is no plane.
    """
    hdus = [fits.PrimaryHDU(), image_hdu("SCI", 1, 1)]
    hdus += [fits.ImageHDU(name="DQ"), fits.ImageHDU(name="ERR")]
    hdus[2].header["PIXVALUE"] = 4
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert image.dq.shape == SHAPE
    assert np.all(image.dq == 4)
    assert image.uncertainty is None


def test_planes_that_do_not_fit_are_errors(tmp_path):
    """Planes of another shape, flags of floats and two chips with one EXTVER are errors."""
    science = image_hdu("SCI", 1, 1)
    odd = fits.ImageHDU(np.zeros((3, 4)), name="ERR")
    cases = {
        r"\[ERR,1\] has shape \(3, 4\), SCI has \(20, 30\)": [science, odd],
        r"\[DQ,1\] must be integers": [science, image_hdu("DQ", 1, 0.5)],
        "2 SCI and 1 DQ have the EXTVER 1": [
            science,
            image_hdu("SCI", 1, 2),
            image_hdu("DQ", 1, 0),
        ],
    }
    for number, (message, hdus) in enumerate(cases.items()):
        path = tmp_path / f"{number}.fits"
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
        with pytest.raises(ValueError, match=message):
            read_images(path)


def test_file_without_sci_has_its_first_image(tmp_path):
    """If a file has no SCI extension, the first image extension is read."""
    hdus = [fits.CompImageHDU(np.full(SHAPE, v, "i2"), tan_header()) for v in (3, 4)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert np.all(image.data == 3)
    assert image.image_wcs.wcs.crval[0] == 150


def test_harmless_faults_of_a_file_do_not_warn(tmp_path):
    """A BLANK card for floats, and missing padding at the end, give no warning."""
    path = tmp_path / "blank.fits"
    fits.PrimaryHDU(np.ones(SHAPE, "f4"), tan_header()).writeto(path)
    content = path.read_bytes()
    card = "BLANK   =               -32768".ljust(80).encode()
    content = content.replace(b"END".ljust(80), card + b"END".ljust(80), 1).replace(
        b" " * 80, b"", 1
    )
    path.write_bytes(content[:-100])
    assert np.all(read_image(path).data == 1)


@pytest.mark.parametrize(
    ("bunit", "unit"),
    [
        ("ELECTRONS/S", u.electron / u.s),
        ("erg/s/cm2/Angstrom", u.erg / u.s / u.cm**2 / u.AA),
        ("10.0*nanoJansky", 10 * u.nJy),
        ("electron s-1", u.electron / u.s),
        ("e-/sec", u.electron / u.s),
        ("COUNTS", u.ct),
        ("Counts per second", u.ct / u.s),
        ("cps", u.ct / u.s),
        ("DN/S", u.DN / u.s),
        ("ADU", u.adu),
        ("photon s**(-1)", u.photon / u.s),
        ("MJy/sr", u.MJy / u.sr),
        ("mJy/sr", u.mJy / u.sr),
        ("10**(-20) erg/s/cm**2", u.Unit("1e-20 erg / (s cm2)")),
        ("erg/cm2/s/A", None),
        ("furlongs", None),
        ("", None),
    ],
)
def test_common_spellings_of_units_are_known(tmp_path, bunit, unit):
    """Common spellings of units are recognized. Others are never misread: S is not siemens."""
    fits.PrimaryHDU(np.zeros(SHAPE), tan_header(BUNIT=bunit)).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert image.unit == unit
    assert image.meta.get("bunit", "") == bunit


@pytest.mark.parametrize(
    ("primary", "science", "expected"),
    [
        ({"EXPTIME": 10}, {"EXPTIME": 20}, 20),
        ({"EXPTIME": 10}, {"XPOSURE": 20}, 10),
        ({"EFFEXPTM": 10}, {"XPOSURE": 20}, 20),
        ({"TEXPTIME": 10}, {"EXPTIME": 0.0}, 10),
        ({"EXPTIME": "unknown"}, {}, 1),
    ],
)
def test_exposure_time_is_the_first_positive_keyword(tmp_path, primary, science, expected):
    """The first keyword with a positive value is the exposure time. The default is 1."""
    first = fits.PrimaryHDU()
    first.header.update(primary)
    fits.HDUList([first, image_hdu("SCI", 1, 1, **science)]).writeto(tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits").exptime == expected


def test_metadata_have_filter_and_iso_date(tmp_path):
    """Metadata contain the filter, without clear ones, and one ISO date with the time."""
    first = fits.PrimaryHDU()
    first.header.update(TELESCOP="HST", INSTRUME="ACS", DETECTOR="WFC", FILTER1="CLEAR1L")
    first.header.update(FILTER2="F814W", ROOTNAME="j94f05bgq")
    first.header.update({"DATE-OBS": "2005-03-07", "TIME-OBS": "06:51:26"})
    fits.HDUList([first, image_hdu("SCI", 1, 1)]).writeto(tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits").meta == {
        "telescope": "HST",
        "instrument": "ACS",
        "detector": "WFC",
        "filter": "F814W",
        "date": "2005-03-07T06:51:26",
        "exposure": "j94f05bgq",
        "filename": "a.fits",
        "extension": "SCI,1",
        "name": "a.fits[SCI,1]",
    }


def test_metadata_have_the_filter_of_wfpc2(tmp_path):
    """The filter of WFPC2 is in the keyword FILTNAM1 or FILTNAM2. The other keyword is empty."""
    hdulist = fits.HDUList([fits.PrimaryHDU(), image_hdu("SCI", 1, 1)])
    hdulist[0].header.update(INSTRUME="WFPC2", DETECTOR=3, FILTNAM1="F814W", FILTNAM2="")
    hdulist.writeto(tmp_path / "c0m.fits")
    meta = read_image(tmp_path / "c0m.fits").meta
    assert (meta["filter"], meta["detector"]) == ("F814W", "3")


def test_invalid_files_are_errors(tmp_path):
    """Errors for missing, foreign, damaged and empty files name the file."""
    (tmp_path / "text.fits").write_text("not an image\n")
    (tmp_path / "empty.fits").touch()
    whole = write_two_chips(tmp_path / "whole.fits").read_bytes()
    (tmp_path / "short.fits").write_bytes(whole[:24920])
    (tmp_path / "short.fits.gz").write_bytes(gzip.compress(whole)[:-500])
    fits.PrimaryHDU().writeto(tmp_path / "nothing.fits")
    with pytest.raises(FileNotFoundError, match="no_such"):
        read_image(tmp_path / "no_such.fits[SCI,1]")
    for name in ("text.fits", "empty.fits", "short.fits", "short.fits.gz"):
        with pytest.raises(OSError, match=f"{name}: not a FITS file, or damaged"):
            read_images(tmp_path / name)
    for read in (read_image, read_segmentation):
        with pytest.raises(ValueError, match=r"nothing.fits: there is no 2-D image .* none"):
            read(tmp_path / "nothing.fits")


HST_EXPOSURES = [
    f"ib6o{v}q_flt" for v in ("23rt", "23rw", "23rz", "23s2", "21qn", "21qq", "21r7", "21ra")
]


@pytest.mark.parametrize("exposure", HST_EXPOSURES)
def test_real_hst_exposures_lie_on_their_combined_image(shared_data, exposure):
    """In GOODS-S, the centers of the WFC3/IR exposures are on the combined image."""
    image = read_image(shared_data / "hst_wfc3ir_goodss" / f"{exposure}.fits.gz")
    combined = read_image(shared_data / "hst_wfc3ir_goodss" / "goodss_f140w_drz.fits.gz")
    sky = image.image_wcs.pixel_to_world_values(506.5, 506.5)
    x, y = combined.image_wcs.world_to_pixel_values(*sky)
    assert 0 < x < 1700
    assert 0 < y < 1500
    assert image.image_wcs.sip is not None
    assert image.unit == u.electron / u.s
    assert image.exptime == pytest.approx(202.932922)
    assert image.dq.shape == image.data.shape == (1014, 1014)
    f140w = "o23" in exposure
    assert bool(np.any(image.dq & 4096)) == f140w
    assert image.meta["filter"] == ("F140W" if f140w else "F098M")
    assert image.meta["date"].startswith("2009-10-03T1")
