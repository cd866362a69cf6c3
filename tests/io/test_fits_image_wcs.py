"""WCSs of images in FITS files: distortions, lookup tables, gwcs and invalid headers."""

import io

import asdf
import astropy.units as u
import numpy as np
import pytest
from asdf.tagged import TaggedDict
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable, Sip
from fits_files import (
    SHAPE,
    asdf_bytes,
    image_hdu,
    make_gwcs,
    tan_header,
    write_jwst_file,
)
from gwcs import WCS as GWCS

from subpixal.io import read_image, read_images, read_segmentation


def make_lookup_wcs():
    """Return a WCS with SIP polynomials and all lookup tables."""
    wcs = WCS(tan_header(CTYPE1="RA---TAN-SIP", CTYPE2="DEC--TAN-SIP"))
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], b[0, 2] = 1e-3, -2e-3
    wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.cpdis1, wcs.cpdis2, wcs.det2im1, wcs.det2im2 = (
        DistortionLookupTable(np.full((4, 5), shift, "f4"), (1, 1), (1, 1), (10, 10))
        for shift in (0.25, -0.5, 0.75, 0.125)
    )
    return wcs


def write_lookup_file(path, *, without=()):
    """Write an image and its lookup tables. Omit the given tables. Return the path."""
    hdulist = make_lookup_wcs().to_fits(relax=True)
    science = fits.ImageHDU(np.zeros(SHAPE, "f4"), hdulist[0].header, name="SCI")
    tables = [hdu for hdu in hdulist[1:] if (hdu.name, hdu.ver) not in without]
    fits.HDUList([fits.PrimaryHDU(), science, *tables]).writeto(path)
    return path


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_primary_image_has_tpv_distortion(tmp_path, suffix):
    """An image in the primary extension has the distortion of its PV keywords."""
    header = tan_header(CTYPE1="RA---TPV", CTYPE2="DEC--TPV", BUNIT="adu", EXPTIME=30)
    header.update({"PV1_0": 0.0, "PV1_1": 1.01, "PV2_0": 0.0, "PV2_1": 1.01})
    path = tmp_path / f"plain.fits{suffix}"
    fits.PrimaryHDU(np.arange(600.0).reshape(SHAPE), header).writeto(path)
    image = read_image(path)
    assert image.image.name == f"plain.fits{suffix}[0]"
    assert image.data[1, 2] == 32
    assert (image.unit, image.exptime) == (u.adu, 30)
    sky = image.image_wcs.pixel_to_world_values(24.5, 9.5)
    x, _ = WCS(tan_header()).world_to_pixel_values(*sky)
    assert x == pytest.approx(14.5 + 10 * 1.01, abs=1e-6)


def test_sip_and_lookup_tables_give_the_sky_in_memory(tmp_path):
    """An image in a file with SIP, CPDIS and D2IM has the same sky as the WCS that was written."""
    wcs = read_image(write_lookup_file(tmp_path / "lookup.fits")).image_wcs
    x, y = np.meshgrid(np.linspace(0, 29, 5), np.linspace(0, 19, 5))
    expected = make_lookup_wcs().pixel_to_world_values(x, y)
    np.testing.assert_allclose(wcs.pixel_to_world_values(x, y), expected, rtol=0, atol=1e-12)
    plain = WCS(tan_header()).pixel_to_world_values(x, y)
    assert np.min(np.abs(np.subtract(expected, plain))) > 1e-6


@pytest.mark.parametrize(
    ("keyword", "table"), [("CPDIS2", ("WCSDVARR", 2)), ("D2IMDIS1", ("D2IMARR", 1))]
)
def test_missing_lookup_table_is_an_error(tmp_path, keyword, table):
    """If a header requires a table that is missing, the error names the file and the table."""
    path = write_lookup_file(tmp_path / "lookup.fits", without=[table])
    with pytest.raises(ValueError, match=rf"lookup.*{keyword} needs .*{table[0]},{table[1]}\]"):
        read_image(path)


@pytest.mark.parametrize(
    ("cards", "message"),
    [
        ({"AXISCORR": 1}, "AXISCORR needs the table"),
        ({"CPDIS1": "Polynomial"}, "'polynomial' is not supported"),
        ({"CDELT1": 0.0}, "the WCS cannot be read"),
        ({"CTYPE1": "LINEAR", "CTYPE2": "LINEAR"}, "has no celestial WCS"),
        ({"WCSAXES": 3, "CTYPE3": "WAVE"}, "has no celestial WCS of two axes"),
    ],
)
def test_header_without_a_usable_wcs_is_an_error(tmp_path, cards, message):
    """An error for an invalid WCS contains the file, the extension and the reason."""
    fits.PrimaryHDU(np.zeros(SHAPE), tan_header(**cards)).writeto(tmp_path / "bad.fits")
    with pytest.raises(ValueError, match=rf"bad\.fits\[0\].*{message}"):
        read_image(tmp_path / "bad.fits")


def test_old_headers_do_not_warn(tmp_path):
    """When astropy repairs an old header, there are no warnings."""
    header = tan_header(RADECSYS="FK5", EQUINOX=2000.0, AXISCORR=1, **{"DATE-OBS": "03/10/99"})
    del header["RADESYS"]
    table = fits.ImageHDU(np.full(30, 0.5, "f4"), name="D2IMARR")
    image = fits.PrimaryHDU(np.zeros(SHAPE), header)
    fits.HDUList([image, table]).writeto(tmp_path / "old.fits")
    wcs = read_image(tmp_path / "old.fits").image_wcs
    assert wcs.wcs.radesys == "FK5"
    assert wcs.det2im1.data[0, 0] == 0.5


@pytest.mark.parametrize("as_image", [False, True])
def test_gwcs_replaces_the_fits_approximation(tmp_path, as_image):
    """The WCS of an image is the gwcs in its ASDF extension, including tables in binary blocks."""
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}})
    image = read_image(write_jwst_file(tmp_path / "cal.fits", content, as_image=as_image))
    assert isinstance(image.image_wcs, GWCS)
    x, y = np.meshgrid(np.linspace(0, 29, 7), np.linspace(0, 19, 7))
    assert np.array_equal(image.image_wcs(x, y), make_gwcs()(x, y))
    assert image.image_wcs.pixel_shape == SHAPE[::-1]
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 85.9)
    assert (image.uncertainty.array[0, 0], image.weight[0, 0]) == (0.5, 4)


def test_unknown_tags_beside_the_gwcs_do_not_matter(tmp_path):
    """The gwcs is read even if the file has other, unknown tags and ASDF extensions."""
    exotic = TaggedDict({"a": 1}, "tag:stsci.edu:jwst_pipeline/exotic-1.0.0")
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}, "exotic": exotic})
    content = content.replace(b"astronomy/gwcs/extensions/gwcs", b"astronomy/gwcs/extensions/gxyz")
    image = read_image(write_jwst_file(tmp_path / "cal.fits", content))
    assert image.image_wcs(3, 4) == make_gwcs()(3, 4)


def test_fits_wcs_is_used_without_a_single_gwcs(tmp_path):
    """If a file has no gwcs, or several chips, the WCS comes from the FITS header."""
    path = write_jwst_file(tmp_path / "uncal.fits", asdf_bytes({"meta": {"model": "x"}}))
    assert read_image(path).image_wcs.wcs.crval[0] == 33
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}})
    path = write_jwst_file(tmp_path / "slits.fits", content, chips=2)
    assert all(isinstance(image.image_wcs, WCS) for image in read_images(path))


@pytest.mark.parametrize("telescope", [{"TELESCOP": "JWST"}, {}])
@pytest.mark.parametrize("extension", ["no", "without WCS", "with gwcs"])
def test_jwst_exposure_without_gwcs_is_an_error(extension, telescope, tmp_path):
    """
    A JWST exposure without a gwcs is an error that names the extension.

    A combined image needs no gwcs.
    """
    wcs = {"wcs": make_gwcs()} if extension == "with gwcs" else {}
    path = write_jwst_file(tmp_path / "a.fits", asdf_bytes({"meta": wcs}))
    with fits.open(path) as hdulist:
        hdulist[0].header.update(telescope, INSTRUME="MIRI")
        if extension == "no":
            del hdulist["ASDF"]
        hdulist.writeto(tmp_path / "i2d.fits")
        hdulist.append(image_hdu("DQ", 1, 0, "u4"))
        hdulist.writeto(tmp_path / "cal.fits")
    assert isinstance(read_image(tmp_path / "i2d.fits").image_wcs, GWCS if wcs else WCS)
    if wcs:
        assert isinstance(read_image(tmp_path / "cal.fits").image_wcs, GWCS)
        return
    reason = "is not in the file" if extension == "no" else r"has no meta\.wcs for it"
    with pytest.raises(ValueError, match=rf"cal\.fits\[SCI,1\] .*\[ASDF\], which {reason}"):
        read_image(tmp_path / "cal.fits")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content.replace(b"stsci.edu:gwcs/wcs-", b"stsci.edu:gxyz/wcs-"),
        lambda content: content.replace(b"#ASDF 1", b"#XSDF 1"),
        lambda content: content[: content.index(b"steps:") + 9],
        lambda _: asdf_bytes({"meta": {"wcs": {"name": "not a WCS"}}}),
    ],
    ids=["tag", "magic", "truncated", "dictionary"],
)
def test_unreadable_gwcs_is_an_error(tmp_path, spoil):
    """A damaged gwcs is an error. It is never replaced by the approximate FITS WCS."""
    content = spoil(asdf_bytes({"meta": {"wcs": make_gwcs()}}))
    path = write_jwst_file(tmp_path / "cal.fits", content)
    with pytest.raises(ValueError, match=r"cal\.fits\[SCI,1\]: .*\[ASDF\]"):
        read_image(path)


@pytest.mark.parametrize("name", ["jw00000_nrcb1_cal", "jw00001_nrcb1_cal", "jw_i2d"])
def test_real_jwst_images_have_the_gwcs_of_asdf(shared_data, name):
    """The gwcs of an image equals the gwcs that asdf reads from the extension."""
    path = shared_data / "jwst_nircam_sim" / f"{name}.fits.gz"
    image = read_image(path)
    with fits.open(path) as hdulist:
        content = hdulist["ASDF"].data["ASDF_METADATA"].tobytes()
        expected = hdulist["ERR"].data
    with asdf.open(io.BytesIO(content)) as file:
        assert image.image_wcs(0, 0) == file["meta"]["wcs"](0, 0)
    assert image.unit == u.MJy / u.sr
    assert np.array_equal(image.uncertainty.array, expected, equal_nan=True)
    assert (image.weight is None, image.dq is None) == ("cal" in name, "i2d" in name)
    assert image.exptime == (400 if "i2d" in name else 100)
    assert image.meta["filter"] == "F200W"


@pytest.mark.parametrize(
    ("name", "shape"), [("acs_wfc_full_wcs", (2048, 4096)), ("uvis_c6_full_wcs_IDC", (2051, 4096))]
)
def test_real_lookup_tables_move_positions(shared_data, name, shape):
    """
    The NPOL and D2IM tables move positions by more than 0.05 pixels.

    Each chip has its own tables.
    """
    images = read_images(shared_data / "full_distortion_wcs" / f"{name}.fits.gz")
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(5, 4096, 200), np.arange(5, 2048, 100)))
    shifts = []
    for image in images:
        assert image.data.shape == shape
        wcs = image.image_wcs
        with_tables = wcs.wcs_pix2world(np.transpose(wcs.pix2foc(x, y, 0)), 0)
        np.testing.assert_allclose(
            with_tables.T, wcs.pixel_to_world_values(x, y), rtol=0, atol=1e-10
        )
        shifts.append(np.array(wcs.pix2foc(x, y, 0)) - wcs.sip_pix2foc(x, y, 0))
    assert len(images) == 2
    assert all(np.abs(shift).max() > 0.05 for shift in shifts)
    assert np.abs(shifts[0] - shifts[1]).max() > 0.01


def test_real_tpv_exposure_has_the_stars_of_the_coadd(shared_data):
    """Positions of stars in the coadd map to the same stars in the TPV exposure."""
    frame = read_image(shared_data / "ground_tpv" / "tpv_ctio_mosaic2.fits.gz")
    coadd = read_image(shared_data / "ground_tpv" / "tpv_swarp_coadd.fits.gz")
    segmentation = read_segmentation(shared_data / "ground_tpv" / "tpv_sex_seg.fits.gz")
    assert frame.data.shape == (512, 512)
    assert segmentation.data.shape == coadd.data.shape
    assert segmentation.wcs.wcs.compare(coadd.image_wcs.wcs, 0, 1e-12)
    assert frame.exptime == coadd.exptime == 420
    assert frame.meta["date"] == "2007-10-11T04:28:14.1"
    catalog = fits.getdata(shared_data / "ground_tpv" / "tpv_sex_cat.fits", 1)
    sky = coadd.image_wcs.pixel_to_world_values(catalog["X_IMAGE"] - 1.0, catalog["Y_IMAGE"] - 1.0)
    sources = np.transpose(frame.image_wcs.world_to_pixel_values(*sky))
    sources = sources[np.all((sources > 5) & (sources < 506), axis=1)]
    offsets, background = [], np.median(frame.data)
    for column, row in np.round(sources).astype(int):
        flux = np.clip(frame.data[row - 4 : row + 5, column - 4 : column + 5] - background, 0, None)
        grid = np.mgrid[row - 4 : row + 5, column - 4 : column + 5]
        offsets.append(np.sum(flux * grid[::-1], axis=(1, 2)) / np.sum(flux))
    # Without the distortion, the mapped positions would be wrong by 5 to 12 pixels.
    assert np.all(np.abs(np.median(offsets - sources, axis=0)) < 0.5)
