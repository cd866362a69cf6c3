import gzip
import io
import mmap
from pathlib import Path

import asdf
import astropy.units as u
import numpy as np
import pytest
from asdf.tagged import TaggedDict
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling.models import (
    Mapping,
    Pix2Sky_TAN,
    RotateNative2Celestial,
    Scale,
    Shift,
    Tabular2D,
)
from astropy.wcs import WCS, DistortionLookupTable, Sip
from gwcs import WCS as GWCS
from gwcs import coordinate_frames

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.io import read_image, read_images, read_segmentation
from subpixal.io.paths import parse_image_name

SHAPE = (20, 30)


def tan_header(**cards):
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"] = 15.5, 10.5
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CDELT1"], header["CDELT2"] = -1e-5, 1e-5
    header["RADESYS"] = "ICRS"
    header.update(cards)
    return header


def image_hdu(name, version, value, dtype="f4", **cards):
    hdu = fits.ImageHDU(np.full(SHAPE, value, dtype), tan_header(**cards), name=name)
    hdu.ver = version
    return hdu


def two_chips(path, *extra):
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


def lookup_wcs():
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
    hdulist = lookup_wcs().to_fits(relax=True)
    science = fits.ImageHDU(np.zeros(SHAPE, "f4"), hdulist[0].header, name="SCI")
    tables = [hdu for hdu in hdulist[1:] if (hdu.name, hdu.ver) not in without]
    fits.HDUList([fits.PrimaryHDU(), science, *tables]).writeto(path)
    return path


def make_gwcs():
    """A TAN gwcs whose distortion is a table that ASDF writes as a binary block."""
    table = 100 + np.random.default_rng(7).random(SHAPE[::-1])
    bend = Mapping((0, 1, 0, 1)) | Tabular2D(lookup_table=table) & Mapping((1,), n_inputs=2)
    bend.inputs = ("x", "y")
    sky = Scale(1e-5) & Scale(1e-5) | Pix2Sky_TAN() | RotateNative2Celestial(150, 2, 180)
    detector = coordinate_frames.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = coordinate_frames.CelestialFrame(reference_frame=ICRS(), name="icrs")
    return GWCS([(detector, bend | Shift(-100) & Shift(-10) | sky), (world, None)])


def asdf_bytes(tree):
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    return buffer.getvalue()


def asdf_table(content):
    cell = np.frombuffer(content, "u1")[np.newaxis]
    column = fits.Column("ASDF_METADATA", format=f"{len(content)}B", array=cell)
    return fits.BinTableHDU.from_columns([column], name="ASDF")


def write_jwst_file(path, content, *, as_image=False, chips=1):
    hdus = [image_hdu("SCI", v + 1, 1.5, BUNIT="MJy/sr", XPOSURE=85.9) for v in range(chips)]
    hdus[0].header["CRVAL1"] = 33.0
    hdus += [image_hdu("ERR", 1, 0.5), image_hdu("WHT", 1, 4)]
    table = fits.ImageHDU(np.frombuffer(content, "u1"), name="ASDF")
    hdus.append(table if as_image else asdf_table(content))
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def read_labels(name):
    found = read_segmentation(name)
    return found.data, found.wcs, found.meta["name"]


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
    """Only the last brackets name an extension."""
    assert parse_image_name(name) == expected


@pytest.mark.parametrize("inside", ["", "SCI,", "SCI,x", ",1", "1:5,1:5", "SCI,1,2", "-1,-1"])
def test_brackets_without_an_extension_are_refused(inside):
    """What cannot be an extension is named in the error."""
    with pytest.raises(ValueError, match="is not an extension like"):
        parse_image_name(f"file.fits[{inside}]")


def test_existing_file_wins_over_extension(tmp_path):
    """A file whose real name ends in brackets can be read."""
    path = tmp_path / "odd.fits[1]"
    fits.PrimaryHDU(np.ones(SHAPE), tan_header()).writeto(path)
    assert parse_image_name(path) == (str(path), None)
    assert read_image(path).image.name == "odd.fits[1][0]"
    assert read_image(f"{path}[0]").data.shape == SHAPE


def test_each_chip_has_its_own_planes(tmp_path):
    """Planes go with the SCI of the same version, in every order of the file."""
    path = two_chips(tmp_path / "two_flc.fits", image_hdu("WHT", 2, 5))
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
    """The name that an image gets picks that image."""
    path = two_chips(tmp_path / "two_flc.fits")
    for image in read_images(path):
        again = read_image(tmp_path / image.image.name)
        assert again.image.name == image.image.name
        assert again.data[0, 0] == image.data[0, 0]
        assert again.dq[0, 0] == image.dq[0, 0]


def test_extension_is_picked_by_number_or_name(tmp_path):
    """Number, name and version, and name alone pick the same way as astropy."""
    path = two_chips(tmp_path / "two_flc.fits")
    assert read_image(f"{path}[4]").image.name == "two_flc.fits[SCI,2]"
    assert len(read_images(f"{path}[sci]")) == 2
    error = read_image(f"{path}[ERR,2]")
    assert (error.data[0, 0], error.uncertainty, error.dq) == (21, None, None)


def test_choice_between_chips_is_the_users(tmp_path):
    """Several chips and none picked is an error that names them."""
    path = two_chips(tmp_path / "two_flc.fits")
    match = r"select one of .two_flc.fits\[SCI,1\]., .two.*\[SCI,2\]."
    with pytest.raises(ValueError, match=match):
        read_image(path)


def test_many_images_are_not_all_named(tmp_path):
    """Of a file of cutouts, a few names show what may be picked."""
    cutouts = [Cutout(np.zeros((9, 9)), make_wcs("tan", (9, 9)), (1, 1), (5, 5))] * 20
    CutoutCollection(cutouts).write(tmp_path / "c.fits")
    with pytest.raises(ValueError, match=r"has 20 images, .*, 'c\.fits\[SCI,8\]', \.\.\.$"):
        read_image(tmp_path / "c.fits")


@pytest.mark.parametrize("extension", ["[SCI,3]", "[0]", "[99]", "[VAR]"])
def test_missing_extension_names_those_that_exist(tmp_path, extension):
    """The error lists what can be picked."""
    path = two_chips(tmp_path / "two_flc.fits")
    with pytest.raises(ValueError, match=r"two_flc\.fits: .*\[SCI,1\], \[ERR,1\], \[DQ,1\]"):
        read_images(f"{path}{extension}")


def test_uncompressed_pixels_are_mapped_and_private(tmp_path):
    """Pixels come from the file when they are used; only those of a copy can be written."""
    path = two_chips(tmp_path / "two_flc.fits")
    image = read_image(f"{path}[SCI,1]")
    base = image.data
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, mmap.mmap)
    with pytest.raises(ValueError, match="read-only"):
        image.data[0, 0] = -1
    own = image.copy()
    own.data[0, 0] = -1
    assert read_image(f"{path}[SCI,1]").data[0, 0] == 10


def test_plane_of_one_value_without_pixels(tmp_path):
    """HST writes a constant plane as PIXVALUE in a header, an empty one is no plane."""
    hdus = [fits.PrimaryHDU(), image_hdu("SCI", 1, 1)]
    hdus += [fits.ImageHDU(name="DQ"), fits.ImageHDU(name="ERR")]
    hdus[2].header["PIXVALUE"] = 4
    fits.HDUList(hdus).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert image.dq.shape == SHAPE
    assert np.all(image.dq == 4)
    assert image.uncertainty is None


def test_planes_that_do_not_fit_are_refused(tmp_path):
    """A plane of another shape, of fractions, or of an unclear chip is an error."""
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


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_primary_image_with_tpv(tmp_path, suffix):
    """A plain file is one image, with the distortion that its PV keywords give."""
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


def test_first_image_extension_of_a_file_without_sci(tmp_path):
    """Compressed image, no SCI: the first image HDU counts."""
    hdus = [fits.CompImageHDU(np.full(SHAPE, v, "i2"), tan_header()) for v in (3, 4)]
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / "a.fits")
    image = read_image(tmp_path / "a.fits")
    assert np.all(image.data == 3)
    assert image.image_wcs.wcs.crval[0] == 150


def test_sip_and_lookup_tables_are_found(tmp_path):
    """SIP, CPDIS and D2IM in the file give the same sky as in memory."""
    wcs = read_image(write_lookup_file(tmp_path / "lookup.fits")).image_wcs
    x, y = np.meshgrid(np.linspace(0, 29, 5), np.linspace(0, 19, 5))
    expected = lookup_wcs().pixel_to_world_values(x, y)
    np.testing.assert_allclose(wcs.pixel_to_world_values(x, y), expected, rtol=0, atol=1e-12)
    plain = WCS(tan_header()).pixel_to_world_values(x, y)
    assert np.min(np.abs(np.subtract(expected, plain))) > 1e-6


@pytest.mark.parametrize(
    ("keyword", "table"), [("CPDIS2", ("WCSDVARR", 2)), ("D2IMDIS1", ("D2IMARR", 1))]
)
def test_missing_lookup_table_is_an_error(tmp_path, keyword, table):
    """A WCS without the tables that its header asks for would be wrong in silence."""
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
def test_header_without_a_usable_wcs(tmp_path, cards, message):
    """The error names file, extension and cause."""
    fits.PrimaryHDU(np.zeros(SHAPE), tan_header(**cards)).writeto(tmp_path / "bad.fits")
    with pytest.raises(ValueError, match=rf"bad\.fits\[0\].*{message}"):
        read_image(tmp_path / "bad.fits")


def test_old_headers_do_not_warn(tmp_path):
    """What astropy repairs in old headers is no news for the user."""
    header = tan_header(RADECSYS="FK5", EQUINOX=2000.0, AXISCORR=1, **{"DATE-OBS": "03/10/99"})
    del header["RADESYS"]
    table = fits.ImageHDU(np.full(30, 0.5, "f4"), name="D2IMARR")
    image = fits.PrimaryHDU(np.zeros(SHAPE), header)
    fits.HDUList([image, table]).writeto(tmp_path / "old.fits")
    wcs = read_image(tmp_path / "old.fits").image_wcs
    assert wcs.wcs.radesys == "FK5"
    assert wcs.det2im1.data[0, 0] == 0.5


def test_harmless_faults_of_a_file_do_not_warn(tmp_path):
    """A BLANK card on floats and a missing last padding leave every pixel as it is."""
    path = tmp_path / "blank.fits"
    fits.PrimaryHDU(np.ones(SHAPE, "f4"), tan_header()).writeto(path)
    content = path.read_bytes()
    card = "BLANK   =               -32768".ljust(80).encode()
    content = content.replace(b"END".ljust(80), card + b"END".ljust(80), 1).replace(
        b" " * 80, b"", 1
    )
    path.write_bytes(content[:-100])
    assert np.all(read_image(path).data == 1)


@pytest.mark.parametrize("as_image", [False, True])
def test_gwcs_replaces_the_fits_approximation(tmp_path, as_image):
    """The gwcs of the ASDF extension, its binary blocks included, is what comes back."""
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}})
    image = read_image(write_jwst_file(tmp_path / "cal.fits", content, as_image=as_image))
    assert isinstance(image.image_wcs, GWCS)
    x, y = np.meshgrid(np.linspace(0, 29, 7), np.linspace(0, 19, 7))
    assert np.array_equal(image.image_wcs(x, y), make_gwcs()(x, y))
    assert image.image_wcs.pixel_shape == SHAPE[::-1]
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 85.9)
    assert (image.uncertainty.array[0, 0], image.weight[0, 0]) == (0.5, 4)


def test_unknown_tags_beside_the_gwcs_do_not_matter(tmp_path):
    """Neither tags nor extensions of a mission's data models are needed."""
    exotic = TaggedDict({"a": 1}, "tag:stsci.edu:jwst_pipeline/exotic-1.0.0")
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}, "exotic": exotic})
    content = content.replace(b"astronomy/gwcs/extensions/gwcs", b"astronomy/gwcs/extensions/gxyz")
    image = read_image(write_jwst_file(tmp_path / "cal.fits", content))
    assert image.image_wcs(3, 4) == make_gwcs()(3, 4)


def test_asdf_extension_without_wcs_leaves_the_fits_wcs(tmp_path):
    """Before assign_wcs, and with several chips, the FITS WCS is what there is."""
    path = write_jwst_file(tmp_path / "uncal.fits", asdf_bytes({"meta": {"model": "x"}}))
    assert read_image(path).image_wcs.wcs.crval[0] == 33
    content = asdf_bytes({"meta": {"wcs": make_gwcs()}})
    path = write_jwst_file(tmp_path / "slits.fits", content, chips=2)
    assert all(isinstance(image.image_wcs, WCS) for image in read_images(path))


@pytest.mark.parametrize("telescope", [{"TELESCOP": "JWST"}, {}])
@pytest.mark.parametrize("extension", ["no", "without WCS", "with gwcs"])
def test_jwst_exposures_need_their_gwcs(extension, telescope, tmp_path):
    """The error says what was looked for and where; combined images have an exact header."""
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
    """A JWST file never falls back to the approximate WCS in silence."""
    content = spoil(asdf_bytes({"meta": {"wcs": make_gwcs()}}))
    path = write_jwst_file(tmp_path / "cal.fits", content)
    with pytest.raises(ValueError, match=r"cal\.fits\[SCI,1\]: .*\[ASDF\]"):
        read_image(path)


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
def test_units_in_the_spellings_of_the_field(tmp_path, bunit, unit):
    """A unit is understood or unknown, never siemens for seconds; the text is kept."""
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
def test_exposure_time(tmp_path, primary, science, expected):
    """The first positive number in the order of the keywords, the extension first, or 1."""
    first = fits.PrimaryHDU()
    first.header.update(primary)
    fits.HDUList([first, image_hdu("SCI", 1, 1, **science)]).writeto(tmp_path / "a.fits")
    assert read_image(tmp_path / "a.fits").exptime == expected


def test_provenance_is_plain(tmp_path):
    """Filters that are none are left out; the start is one ISO date."""
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


def test_filters_of_wfpc2(tmp_path):
    """They have keywords of their own, of which the empty ones say nothing."""
    hdulist = fits.HDUList([fits.PrimaryHDU(), image_hdu("SCI", 1, 1)])
    hdulist[0].header.update(INSTRUME="WFPC2", DETECTOR=3, FILTNAM1="F814W", FILTNAM2="")
    hdulist.writeto(tmp_path / "c0m.fits")
    meta = read_image(tmp_path / "c0m.fits").meta
    assert (meta["filter"], meta["detector"]) == ("F814W", "3")


def test_files_that_are_no_images(tmp_path):
    """Missing, foreign, damaged and empty files give one error with the file in it."""
    (tmp_path / "text.fits").write_text("not an image\n")
    (tmp_path / "empty.fits").touch()
    whole = two_chips(tmp_path / "whole.fits").read_bytes()
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


@pytest.mark.parametrize("dtype", [">i4", "<i4", "i2", "u4", "u1", "i8", "f4", "f8"])
def test_segmentation_is_exact_in_every_type(tmp_path, dtype):
    """Labels are integers equal to those in the file."""
    expected = np.zeros(SHAPE, int)
    expected[3:5, 6:9] = 100
    fits.PrimaryHDU(expected.astype(dtype), tan_header()).writeto(tmp_path / "seg.fits")
    labels, wcs, name = read_labels(tmp_path / "seg.fits")
    assert labels.dtype.kind in "iu"
    assert np.array_equal(labels, expected)
    assert wcs.wcs.crval[0] == 150
    assert name == "seg.fits[0]"


def test_flags_are_not_taken_for_labels(tmp_path):
    """An exposure is no segmentation image, although its flags are integers."""
    fits.HDUList(
        [fits.PrimaryHDU(), image_hdu("SCI", 1, 0.5), image_hdu("DQ", 1, 4, "i2")]
    ).writeto(tmp_path / "flt.fits")
    with pytest.raises(ValueError, match=r"flt\.fits\[SCI,1\] is an image with"):
        read_labels(tmp_path / "flt.fits")
    assert read_labels(tmp_path / "flt.fits[DQ,1]")[0][0, 0] == 4


@pytest.mark.parametrize("value", [0.5, np.nan, 1e30])
def test_segmentation_is_never_rounded(tmp_path, value):
    """Values that are no integers are refused."""
    fits.PrimaryHDU(np.full(SHAPE, value)).writeto(tmp_path / "seg.fits")
    with pytest.raises(ValueError, match=r"seg\.fits\[0\] must be integers"):
        read_labels(tmp_path / "seg.fits")


def test_segmentation_prefers_integers(tmp_path):
    """The first integer image is taken, unless another one is picked; a WCS may be missing."""
    hdus = [fits.PrimaryHDU(np.ones(SHAPE)), fits.ImageHDU(np.full(SHAPE, 2), name="SEG")]
    fits.HDUList(hdus).writeto(tmp_path / "seg.fits")
    labels, wcs, name = read_labels(tmp_path / "seg.fits")
    assert (labels[0, 0], wcs, name) == (2, None, "seg.fits[SEG,1]")
    assert read_labels(tmp_path / "seg.fits[0]")[0][0, 0] == 1


def test_segmentation_of_the_jwst_pipeline(tmp_path):
    """Labels are in SCI, beside an ASDF extension that has no use for a WCS, or has one."""
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


HST_EXPOSURES = [
    f"ib6o{v}q_flt" for v in ("23rt", "23rw", "23rz", "23s2", "21qn", "21qq", "21r7", "21ra")
]


@pytest.mark.parametrize("exposure", HST_EXPOSURES)
def test_real_hst_exposures(shared_data, exposure):
    """WFC3/IR exposures of GOODS-S land on the field of the drizzled image."""
    image = read_image(shared_data / "hst_wfc3ir_goodss" / f"{exposure}.fits.gz")
    drizzled = read_image(shared_data / "hst_wfc3ir_goodss" / "goodss_f140w_drz.fits.gz")
    sky = image.image_wcs.pixel_to_world_values(506.5, 506.5)
    x, y = drizzled.image_wcs.world_to_pixel_values(*sky)
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


def test_real_hst_drizzled_image(shared_data):
    """The weight belongs to the drizzled image, whose segmentation has its grid."""
    folder = shared_data / "hst_wfc3ir_goodss"
    image = read_image(folder / "goodss_f140w_drz.fits.gz")
    assert image.exptime == pytest.approx(811.731688)
    assert image.weight.shape == image.data.shape
    assert image.uncertainty is image.dq is None
    labels, wcs, _ = read_labels(folder / "goodss_f140w_seg.fits.gz")
    assert labels.max() == 97
    assert wcs.wcs.compare(image.image_wcs.wcs, 0, 1e-12)


@pytest.mark.parametrize("name", ["jw00000_nrcb1_cal", "jw00001_nrcb1_cal", "jw_i2d"])
def test_real_jwst_products(shared_data, name):
    """The gwcs gives the sky that opening the ASDF extension directly gives."""
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


def test_real_jwst_segmentation_has_no_wcs(shared_data):
    """The segmentation image of photutils has labels only."""
    labels, wcs, name = read_labels(shared_data / "jwst_nircam_sim" / "jw_segm.fits.gz")
    assert labels.shape == (669, 662)
    assert labels.max() == 42
    assert (wcs, name) == (None, "jw_segm.fits.gz[0]")


@pytest.mark.parametrize(
    ("name", "shape"), [("acs_wfc_full_wcs", (2048, 4096)), ("uvis_c6_full_wcs_IDC", (2051, 4096))]
)
def test_real_lookup_tables_move_positions(shared_data, name, shape):
    """NPOL and D2IM move positions by more than 0.05 px, otherwise on each chip."""
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


def test_real_tpv_frame_and_coadd(shared_data):
    """The stars of the coadd are where the TPV frame has them, not where TAN would."""
    frame = read_image(shared_data / "ground_tpv" / "tpv_ctio_mosaic2.fits.gz")
    coadd = read_image(shared_data / "ground_tpv" / "tpv_swarp_coadd.fits.gz")
    labels, wcs, _ = read_labels(shared_data / "ground_tpv" / "tpv_sex_seg.fits.gz")
    assert frame.data.shape == (512, 512)
    assert labels.shape == coadd.data.shape
    assert wcs.wcs.compare(coadd.image_wcs.wcs, 0, 1e-12)
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
    # A TAN of the same header misses them by 5 to 12 px.
    assert np.all(np.abs(np.median(offsets - sources, axis=0)) < 0.5)
