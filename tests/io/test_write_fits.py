"""Writing cutouts to FITS files: pixels, headers, tables, metadata and options."""

import gzip
from functools import partial

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.io.registry import IORegistryError
from astropy.nddata import (
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.wcs import WCS
from fits_cutouts import (
    DQ,
    IMAGE,
    SHAPE,
    WEIGHT,
    make_cutout,
    read_row,
    write_fits,
)
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection, create_primary_cutouts
from subpixal.datasets import make_scene, make_wcs
from subpixal.errors import SubpixalWarning
from subpixal.io import merge_archives, read_asdf
from subpixal.io.paths import FITS_SUFFIXES, check_archive

EXTENSIONS = {"SCI": "data", "DQ": "flags", "WHT": "weight", "SEG": "segmentation"}


def assert_same_pixels(found, expected):
    """Check that pixels have the same bits."""
    assert found.shape == expected.shape
    assert_array_equal(found.astype(expected.dtype).tobytes(), expected.tobytes())


@pytest.mark.parametrize(
    ("dtype", "flags"),
    [(np.float32, np.uint32), (np.float64, np.uint8), (">f8", np.int16), (np.int16, np.uint16),
     (np.uint16, np.int32), (np.int64, np.uint64), (np.uint8, np.int64)],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["images", "table"])
def test_pixels_are_exact_for_every_type(tmp_path, dtype, flags, layout):
    """Planes in the file have the same type and bits. Writing does not change the cutouts."""
    image = np.nan_to_num(IMAGE * 100, nan=7).astype(dtype) if dtype != np.float32 else IMAGE
    dq = DQ.astype(flags)
    dq[8, 9] = np.iinfo(flags).max
    cutouts = [
        make_cutout(image=image, dq=dq),
        make_cutout(blc=(7, 8), trc=(7, 9), image=image, dq=dq),
    ]
    before = [cutout.copy() for cutout in cutouts]
    with write_fits(CutoutCollection(cutouts), tmp_path / "c.fits", layout=layout) as hdus:
        for number, cutout in enumerate(before):
            for name, plane in EXTENSIONS.items():
                images = layout == "images"
                found = hdus[name, number + 1].data if images else read_row(hdus, number, name)
                assert found.dtype.newbyteorder("=") == getattr(cutout, plane).dtype
                assert_same_pixels(found, getattr(cutout, plane))
            mask = hdus["MASK", number + 1].data if images else read_row(hdus, number, "MASK")
            assert_array_equal(mask, cutout.mask)
            error = hdus["ERR", number + 1].data if images else read_row(hdus, number, "ERR")
            assert_same_pixels(error, cutout.uncertainty.array)
    for cutout, copy in zip(cutouts, before, strict=True):
        assert_same_pixels(cutout.data, copy.data)


def test_pixels_of_views_and_filled_cutouts_are_exact(tmp_path):
    """Views of an image and cutouts across its edge have exact pixels in the file."""
    view = Cutout(IMAGE, make_wcs("tan", SHAPE), (3, 4), (9, 9), copy=False)
    filled = make_cutout(blc=(-3, -4), trc=(9, 9))
    with write_fits(CutoutCollection([view, filled]), tmp_path / "c.fits") as hdus:
        assert_same_pixels(hdus["SCI", 1].data, IMAGE[4:10, 3:10].copy())
        assert_same_pixels(hdus["SCI", 2].data, filled.data)
        assert hdus["SCI", 2].header["STATUS"] == "filled"
        assert ("DQ", 1) not in hdus
    assert_array_equal(view.data, IMAGE[4:10, 3:10])


def test_half_floats_are_written_and_complex_is_an_error(tmp_path):
    """
    Floats of 16 bits are written with the same values.

    Complex numbers are an error that names the plane.
    """
    image = IMAGE.astype(np.float16)
    cutout = make_cutout(image=image)
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        assert_array_equal(hdus["SCI"].data, cutout.data)
    with pytest.raises(ValueError, match=r"data .*complex128"):
        write_fits(make_cutout(image=IMAGE.astype(complex)), tmp_path / "c.fits", overwrite=True)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_extension_of_an_uncertainty_shows_its_type(tmp_path, layout):
    """The type of an uncertainty determines the name of its extension and its unit."""
    kinds = {
        "ERR": StdDevUncertainty, "VAR": VarianceUncertainty,
        "IVAR": InverseVariance, "UNC": UnknownUncertainty,
    }  # fmt: skip
    cutouts = CutoutCollection(
        make_cutout(uncertainty=kind(WEIGHT * (k + 1)), unit=u.electron / u.s)
        for k, kind in enumerate(kinds.values())
    )
    units = ["electron s-1", "electron2 s-2", "s2 electron-2", ""]
    with write_fits(cutouts, tmp_path / "c.fits", layout=layout) as hdus:
        for number, (name, unit) in enumerate(zip(kinds, units, strict=True)):
            expected = cutouts[number].uncertainty.array
            if layout == "table":
                row = hdus["CUTOUTS"].data[number]
                present = [other for other in kinds if row[f"start_{other}"] >= 0]
                found = [row["bunit"], row["bunit_uncertainty"]]
                assert_same_pixels(read_row(hdus, number, name), expected)
            else:
                present = [other for other in kinds if (other, number + 1) in hdus]
                headers = [hdus[other, number + 1].header for other in ("SCI", name)]
                found = [header.get("BUNIT", "") for header in headers]
                assert_same_pixels(hdus[name, number + 1].data, expected)
            assert present == [name]
            assert [u.Unit(text) for text in found] == [u.electron / u.s, u.Unit(unit)]


def test_units_that_are_not_in_the_fits_standard_are_kept(tmp_path):
    """BUNIT can contain the unit DN/s, although the FITS standard does not define it."""
    with write_fits(make_cutout(unit=u.DN / u.s), tmp_path / "c.fits") as hdus:
        assert u.Unit(hdus["SCI"].header["BUNIT"]) == u.DN / u.s


def test_headers_contain_the_attributes_of_cutouts(tmp_path):
    """Headers contain the id, box, position, unit and metadata. LTV is the offset to the image."""
    cutout = make_cutout(
        src_id=7, exptime=12.5, src_pos=(9.25, 8.5), src_weight=0.5, unit=u.electron,
        meta={"FILENAME": "j.fits", "FILTER": "F140W"},
    )  # fmt: skip
    cutout.dx, cutout.dy = 0.25, -1.5
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK", "ERR", "DQ", "WHT", "SEG"]
        assert hdus[0].data is None
        header = hdus["SCI"].header
        assert header["DATAUNIT"] == "counts"
        assert hdus["DQ"].header["SRCID"] == 7
    expected = {
        "SRCID": 7, "STATUS": "ok", "IMAGE": "j.fits", "BLC1": 5, "BLC2": 6, "TRC1": 16,
        "TRC2": 14, "DX": 0.25, "DY": -1.5, "SRCX": 9.25, "SRCY": 8.5, "EXPTIME": 12.5,
        "SRCWT": 0.5, "BUNIT": "electron", "FILTER": "F140W", "FILENAME": "j.fits",
    }  # fmt: skip
    assert {name: header[name] for name in expected} == expected
    # LTV converts image positions to cutout positions. Both are counted from 1.
    assert 10 + header["LTV1"] == cutout.cutout_src_pos[0] + 10 - 9.25
    assert 10 + header["LTV2"] == cutout.cutout_src_pos[1] + 10 - 8.5


def test_missing_source_weight_has_no_keyword(tmp_path):
    """If a cutout has no source weight, its header has no keyword SRCWT."""
    with write_fits(make_cutout(), tmp_path / "c.fits") as hdus:
        assert "SRCWT" not in hdus["SCI"].header


@pytest.mark.parametrize(
    ("src_id", "text"),
    [(5, 5), (2**63, 2**63), (-1.5, -1.5), ("M31 V1", "M31 V1"), ("x" * 300, "x" * 300),
     ("naïve\n", "na\\xefve\\n"), (np.int64(3), 3)],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["images", "table"])
def test_ids_are_numbers_or_text(tmp_path, src_id, text, layout):
    """Ids can be large numbers and long texts. Characters that FITS does not allow are escaped."""
    with write_fits(make_cutout(src_id=src_id), tmp_path / "c.fits", layout=layout) as hdus:
        images = layout == "images"
        found = hdus["SCI"].header["SRCID"] if images else hdus["CUTOUTS"].data["id"][0]
        assert found == text


@pytest.mark.parametrize("src_id", [("a", 1), float("nan")])
def test_ids_of_other_types_become_text_with_a_warning(tmp_path, src_id):
    """A warning reports ids such as tuples and NaN, which images and tables contain as text."""
    with pytest.warns(SubpixalWarning, match="ids, which become text"):
        hdus = write_fits(make_cutout(src_id=src_id), tmp_path / "c.fits")
    with hdus:
        assert hdus["SCI"].header["SRCID"] == str(src_id)
    cutouts = CutoutCollection([make_cutout(src_id=("a", 1)), make_cutout(src_id=2)])
    with pytest.warns(SubpixalWarning, match="ids, which become text"):
        hdus = write_fits(cutouts, tmp_path / "t.fits", layout="table")
    with hdus:
        assert hdus["CUTOUTS"].data["id"].tolist() == ["('a', 1)", "2"]


META = {
    "filter": "F140W", "a long key": 3, "text": "y" * 200, "none": None, "flag": np.True_,
    "number": np.float32(0.5), "NAXIS1": 5, "CRVAL1": 99.0, "PV1_1": 3.0, "extname": "X",
}  # fmt: skip


@pytest.mark.parametrize("layout", ["images", "table"])
def test_headers_contain_metadata(tmp_path, layout):
    """Metadata are written as keywords, except keywords of the file structure or of the WCS."""
    with write_fits(make_cutout(meta=META), tmp_path / "c.fits", layout=layout) as hdus:
        if layout == "images":
            header = hdus["SCI"].header
            assert (header["NAXIS1"], header["EXTNAME"]) == (12, "SCI")
        else:
            header = fits.Header.fromstring(hdus["IMAGES"].data["header"][0])
        assert header["FILTER"] == "F140W"
        assert header["a long key"] == 3
        assert header["TEXT"] == "y" * 200
        assert header["NUMBER"] == 0.5
        assert header["FLAG"] is True
        assert header["NONE"] is None
        assert header["CRVAL1"] == 150.1
        assert "PV1_1" not in header


def test_warning_lists_values_that_fits_cannot_contain(tmp_path):
    """A warning lists metadata and PSFs that cannot be written to the file."""
    lost = {"nan": np.nan, "list": [1, 2], "dict": {"a": 1}, "k" * 90: 1, "status": "mine"}
    cutout = make_cutout(meta=META | lost, psf=np.eye(3))
    names = "dict, k+, list, nan, status; PSFs: ndarray"
    with pytest.warns(SubpixalWarning, match=rf"leaves out .*\(metadata: {names}\)") as caught:
        cutout.write(tmp_path / "c.fits")
    assert caught[0].filename == __file__
    assert fits.getheader(tmp_path / "c.fits", "SCI")["STATUS"] == "ok"


def test_warning_counts_metadata_that_a_table_omits(tmp_path):
    """The layout "table" omits metadata of single cutouts. A warning gives their number."""
    cutouts = CutoutCollection([make_cutout(), make_cutout()])
    cutouts[1].meta["note"] = "blend"
    with pytest.warns(SubpixalWarning, match="metadata of single cutouts: those of 1 cutouts"):
        cutouts.write(tmp_path / "c.fits", layout="table")


@pytest.fixture(scope="module")
def primary():
    """Primary cutouts of a simulated scene."""
    scene = make_scene(n_sources=30, shape=(256, 256), seed=3)
    drz = scene.combined
    return create_primary_cutouts(
        scene.truth, scene.segmentation, drz.data, drz.wcs, imweight=drz.weight,
        exptime=drz.exptime, data_units="rate",
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["images", "table"])
def test_dropped_sources_are_in_the_file(tmp_path, primary, layout):
    """The extension DROPPED contains the table of rejected sources."""
    with write_fits(primary, tmp_path / "c.fits", layout=layout) as hdus:
        found, expected = hdus["DROPPED"].data, primary.dropped
        assert len(found) > 0
        for name in expected.colnames:
            assert_array_equal(found[name], expected[name])


def test_table_equals_the_collection(tmp_path, primary):
    """The table CUTOUTS contains cutouts and their pixels. The table IMAGES contains images."""
    other = make_cutout("gwcs", src_id=77)
    other.flags = None
    cutouts = primary[::-1] + CutoutCollection([other])
    cutouts[3].dx = 0.75
    with write_fits(cutouts, tmp_path / "c.fits", layout="table") as hdus:
        found = hdus["CUTOUTS"].data
        for name in cutouts.table.colnames:
            assert_array_equal(found[name], cutouts.table[name])
        for number, cutout in enumerate(cutouts):
            row = found[number]
            assert (row["width"], row["height"]) == cutout.naxis
            assert tuple(row["origin"]) == cutout.origin
            np.testing.assert_allclose(row["cutout_src_pos"], cutout.cutout_src_pos)
            assert_same_pixels(read_row(hdus, number), cutout.data)
            present = cutout.segmentation is not None
            assert (read_row(hdus, number, "SEG") is not None) == present
        images = hdus["IMAGES"].data
        assert images["name"].tolist() == [image.name for image in cutouts.images]
        assert images["exptime"].tolist() == [image.exptime for image in cutouts.images]
        header = fits.Header.fromstring(images["header"][0])
        assert WCS(header).pixel_shape == (256, 256)
        assert "DQ" not in hdus


def test_planes_without_a_common_type_are_an_error(tmp_path):
    """
    In a table, each plane needs one type for all cutouts.

    The error names types without a common type.
    """
    cutouts = CutoutCollection(make_cutout(dq=DQ.astype(dtype)) for dtype in (np.int64, np.uint64))
    with pytest.raises(ValueError, match=r"flags of the cutouts are .'int64', 'uint64'."):
        cutouts.write(tmp_path / "c.fits", layout="table")
    mixed = CutoutCollection([make_cutout(), make_cutout(image=IMAGE.astype(float) / 3)])
    with write_fits(mixed, tmp_path / "c.fits", layout="table") as hdus:
        for number, cutout in enumerate(mixed):
            assert_array_equal(read_row(hdus, number), cutout.data)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_empty_collection_is_a_file_without_cutouts(tmp_path, layout):
    """In both layouts, an empty collection gives a file with NCUTOUTS = 0."""
    with write_fits(CutoutCollection(), tmp_path / "c.fits", layout=layout) as hdus:
        assert hdus[0].header["NCUTOUTS"] == 0


@pytest.mark.parametrize("name", ["c.fits", "c.FITS", "c.fit", "c.fits.gz"])
def test_suffix_of_the_file_selects_the_format(tmp_path, name):
    """The suffix of a FITS file selects the format FITS, and the suffix gz compresses the file."""
    make_cutout().write(tmp_path / name)
    with fits.open(tmp_path / name) as hdus:
        assert hdus[0].header["LAYOUT"] == "images"
        assert [hdu.verify_checksum() for hdu in hdus]
        hdus.verify("exception")
    if name.endswith("gz"):
        with gzip.open(tmp_path / name) as file:
            assert file.read(6) == b"SIMPLE"


def test_existing_file_needs_overwrite(tmp_path):
    """Only ``overwrite=True`` replaces an existing file. Errors do not change the file."""
    path = tmp_path / "c.fits"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already; overwrite=True replaces it"):
        make_cutout().write(path)
    with pytest.raises(ValueError, match=r"layout must be one of .*, got 'meds'"):
        make_cutout().write(path, layout="meds", overwrite=True)
    assert path.read_bytes() == b"precious"
    make_cutout().write(path, overwrite=True)
    assert fits.getdata(path, "SCI").shape == (9, 12)


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz", "c.dat"])
@pytest.mark.parametrize("cls", [Cutout, CutoutCollection])
def test_reading_cutouts_from_fits_is_an_error(tmp_path, cls, name):
    """If cutouts are read from a FITS file, under any name, the error suggests `read_image`."""
    path = tmp_path / name
    make_cutout().write(path, format="fits")
    match = rf"{name} cannot be read .*: the file is a FITS file .*read_image"
    with pytest.raises(OSError, match=match):
        cls.read(path)
    with pytest.raises(IORegistryError, match="No reader defined for format 'fits'"):
        cls.read(path, format="fits")
    opener = gzip.open if name.endswith("gz") else open
    with opener(path, "rb") as file, pytest.raises(OSError, match="the file is a FITS file"):
        cls.read(file)


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz"])
def test_fits_file_as_archive_is_an_error(tmp_path, name):
    """Each function that reads archives raises an error for a FITS file."""
    path = tmp_path / name
    make_cutout().write(path)
    for read in (read_asdf, partial(Cutout.read, format="asdf")):
        with pytest.raises(OSError, match=r"c\.fits.* .*: the file is a FITS file"):
            read(path)
    with pytest.raises(OSError, match=r"c\.fits.* .*: the file is a FITS file"):
        merge_archives([path], tmp_path / "all.asdf")


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("c.fits", "compression", "only overwrite, layout"),
        ("c.asdf", "layout", "only overwrite, compression"),
    ],
)
def test_options_of_another_format_are_errors(tmp_path, name, option, known):
    """If an option belongs to another format, the error lists the options of the chosen format."""
    message = f"{option} is no option of the format '{name[2:]}', {known}$"
    with pytest.raises(TypeError, match=message):
        make_cutout().write(tmp_path / name, **{option: "zlib"})
    assert not list(tmp_path.iterdir())


def test_unknown_options_of_reading_are_errors(tmp_path):
    """If ``read`` gets an unknown option, the error lists the options of the format."""
    make_cutout().write(tmp_path / "c.asdf")
    with pytest.raises(TypeError, match="lazy is no option of the format 'asdf', which has none"):
        Cutout.read(tmp_path / "c.asdf", lazy=False)
    with pytest.raises(TypeError, match="mode is no option of the format 'asdf', only lazy"):
        CutoutCollection.read(tmp_path / "c.asdf", mode="r")


@pytest.mark.parametrize("suffix", FITS_SUFFIXES)
def test_all_fits_suffixes_select_fits_and_never_archives(suffix, tmp_path):
    """Each suffix of a FITS file selects the format FITS. For archives, it is an error."""
    path = tmp_path / f"c{suffix}"
    with pytest.raises(ValueError, match="must not be named as a FITS file"):
        check_archive(path, overwrite=False)
    make_cutout().write(path)
    with fits.open(path) as hdus:
        assert hdus[1].name == "SCI"
