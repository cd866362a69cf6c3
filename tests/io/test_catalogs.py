"""Catalogs in ECSV, FITS, Parquet and text files."""

import gzip
from importlib.util import find_spec

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, QTable, Table
from astropy.table.meta import get_yaml_from_table as get_yaml

from subpixal import create_primary_cutouts
from subpixal.datasets import make_wcs
from subpixal.io import read_catalog

SEXTRACTOR = """\
#   1 NUMBER                 Running object number
#   2 X_IMAGE                Object position along x               [pixel]
#   3 MAG_APER               Fixed aperture magnitude vector       [mag]
#   5 FLAGS                  Extraction flags
"""


def make_table():
    """Return a table with integers, a unit, a masked value and metadata."""
    flux = MaskedColumn([1.5, 2.5, 3.5], mask=[False, True, False], unit="ct / s")
    return Table({"id": [7, 8, 9], "x": [1.0, 2.0, 3.0], "flux": flux}, meta={"run": "abc"})


def make_table_hdu(number=3, name="OBJECTS", tdisp="I10"):
    """Return a FITS table. Its second column has a display format."""
    columns = [
        fits.Column("NUMBER", "1J", array=np.arange(1, number + 1), disp="I10"),
        fits.Column("X_IMAGE", "1E", array=np.arange(number) + 0.5, unit="pixel", disp="F11.4"),
    ]
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header["TDISP2"] = tdisp
    return hdu


def test_ecsv_keeps_types_units_masks_and_meta(tmp_path):
    """The catalog in an ECSV file has the types, units, masks and metadata of the table."""
    make_table().write(tmp_path / "cat.ecsv")
    table = read_catalog(tmp_path / "cat.ecsv")
    assert table["id"].dtype.kind == "i"
    assert list(table["flux"].mask) == [False, True, False]
    assert table["flux"].unit == "ct / s"
    assert table.meta["run"] == "abc"


@pytest.mark.parametrize("suffix", [".fits", ".fits.gz", ".cat"])
def test_fits_table_is_read_under_every_name(tmp_path, suffix):
    """A FITS table is recognized by its content under any file name. Masked values stay masked."""
    path = tmp_path / f"cat{suffix}"
    make_table().write(path, format="fits")
    table = read_catalog(path)
    assert list(table["id"]) == [7, 8, 9]
    assert list(table["flux"].mask) == [False, True, False]


@pytest.mark.parametrize("tdisp", ["I10", "F11.4", "Z8", "%8d"])
def test_wrong_display_formats_do_not_matter(tmp_path, tdisp):
    """A display format for another type causes no errors while reading or printing a table."""
    fits.HDUList([fits.PrimaryHDU(), make_table_hdu(tdisp=tdisp)]).writeto(
        tmp_path / "cat.fits", output_verify="ignore"
    )
    table = read_catalog(tmp_path / "cat.fits")
    assert list(table["X_IMAGE"]) == [0.5, 1.5, 2.5]
    assert "1.5" in str(table)
    assert "2.5" in str(QTable(table))
    assert "1.5" in str(table["NUMBER"] * 1.5)


def test_unknown_units_are_kept(tmp_path):
    """If astropy does not recognize a unit, the column keeps it without a warning."""
    hdu = make_table_hdu()
    hdu.header["TUNIT1"] = "furlongs"
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "cat.fits")
    table = read_catalog(tmp_path / "cat.fits")
    assert str(table["NUMBER"].unit) == "furlongs"


def test_ldac_catalog_has_the_rows_of_ldac_objects(tmp_path):
    """
    The catalog in an LDAC file is the table LDAC_OBJECTS.

    It is not LDAC_IMHEAD, which contains the image header.
    """
    text = np.array([b"SIMPLE  = T".ljust(160)])
    header = fits.Column("Field Header Card", "160A", array=text)
    hdus = [
        fits.PrimaryHDU(),
        fits.BinTableHDU.from_columns([header], name="LDAC_IMHEAD"),
        make_table_hdu(name="LDAC_OBJECTS"),
    ]
    fits.HDUList(hdus).writeto(tmp_path / "ldac.fits")
    assert list(read_catalog(tmp_path / "ldac.fits")["NUMBER"]) == [1, 2, 3]


def test_brackets_select_a_table(tmp_path):
    """
    Brackets after the file name select one of several tables.

    A name without brackets is an error, which lists all tables.
    """
    hdus = [
        fits.PrimaryHDU(),
        make_table_hdu(2, "BLUE"),
        make_table_hdu(4, "RED"),
        make_table_hdu(5, "ASDF"),
    ]
    path = tmp_path / "cats.fits"
    fits.HDUList(hdus).writeto(path)
    assert len(read_catalog(f"{path}[red]")) == 4
    assert len(read_catalog(f"{path}[1]")) == 2
    with pytest.raises(ValueError, match=r"cats.fits: several .*: \[1\] BLUE, \[2\] RED$"):
        read_catalog(path)
    with pytest.raises(ValueError, match=r"cats.fits: no table .*GREEN"):
        read_catalog(f"{path}[GREEN]")


@pytest.mark.parametrize("name", ["test.cat", "noname", "test.cat.gz"])
def test_sextractor_text_has_its_columns(tmp_path, name):
    """
    The ASCII_HEAD header identifies a SExtractor text file. The columns of a vector get numbers.

    Elements of vectors are numbered columns.
    """
    content = (SEXTRACTOR + "  3  10.5  20.1  20.2  0\n  5  11.5  21.1  21.2  4\n").encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    table = read_catalog(tmp_path / name)
    assert table.colnames == ["NUMBER", "X_IMAGE", "MAG_APER", "MAG_APER_1", "FLAGS"]
    assert list(table["NUMBER"]) == [3, 5]
    assert list(table["FLAGS"]) == [0, 4]
    assert table["X_IMAGE"].unit == "pix"


def test_csv_and_plain_text_have_their_columns(tmp_path):
    """Missing values in a CSV file are masked. The names of text columns can be in a comment."""
    (tmp_path / "cat.csv").write_text("id,x,name\n1,,a\n2,3.5,b\n")
    table = read_catalog(tmp_path / "cat.csv")
    assert list(table["x"].mask) == [True, False]
    (tmp_path / "cat.txt").write_text("# id x y\n1 2.5 3.5\n2 4.5 5.5\n")
    assert list(read_catalog(tmp_path / "cat.txt")["y"]) == [3.5, 5.5]


def test_votable_is_read(tmp_path):
    """Reading a VOTable gives the rows that were written."""
    make_table().write(tmp_path / "cat.xml", format="votable")
    assert list(read_catalog(tmp_path / "cat.xml")["id"]) == [7, 8, 9]


def test_catalogs_without_rows_have_columns(tmp_path):
    """In each format, a catalog without sources is a table with columns and without rows."""
    make_table()[:0].write(tmp_path / "a.ecsv")
    (tmp_path / "b.cat").write_text(SEXTRACTOR)
    (tmp_path / "c.csv").write_text("id,x\n")
    fits.HDUList([fits.PrimaryHDU(), make_table_hdu(0)]).writeto(tmp_path / "d.fits")
    for name, column in {
        "a.ecsv": "id",
        "b.cat": "NUMBER",
        "c.csv": "id",
        "d.fits": "NUMBER",
    }.items():
        table = read_catalog(tmp_path / name)
        assert len(table) == 0
        assert table.colnames[0] == column


def test_parquet_is_read_or_names_its_extra(tmp_path):
    """A Parquet catalog is read, or the error names the extra that is not installed."""
    path = tmp_path / "cat.parquet"
    if find_spec("pyarrow") and find_spec("pandas"):
        make_table().write(path)
        assert list(read_catalog(path)["id"]) == [7, 8, 9]
    else:
        path.write_bytes(b"PAR1")
        with pytest.raises(ImportError, match=r"cat\.parquet: .*subpixal\[parquet\]"):
            read_catalog(path)


def test_parquet_of_roman_has_units_and_can_be_cut(tmp_path):
    """The columns of a Roman catalog in Parquet have units. Its sources can be cut."""
    arrow = pytest.importorskip("pyarrow")
    pytest.importorskip("pandas")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = Table({"label": np.arange(1, 4, dtype="i4")})
    table["x_centroid"] = np.array([5.25, 10.5, 20.75], "f4")
    table["y_centroid"] = np.array([6.25, 11.5, 7.75], "f4")
    table["x_centroid"].unit = table["y_centroid"].unit = "pix"
    meta = {"roman.meta.telescope": "ROMAN", "table_meta_yaml": "\n".join(get_yaml(table))}
    fields = [arrow.field(n, arrow.from_numpy_dtype(table[n].dtype)) for n in table.colnames]
    columns = [np.array(table[name]) for name in table.colnames]
    content = arrow.Table.from_arrays(columns, schema=arrow.schema(fields, metadata=meta))
    parquet.write_table(content, tmp_path / "x_cat.parquet")
    found = read_catalog(tmp_path / "x_cat.parquet")
    assert found["x_centroid"].unit == "pix"
    labels = np.zeros((30, 30), int)
    for row in table:
        x, y = round(row["x_centroid"]), round(row["y_centroid"])
        labels[y - 1 : y + 2, x - 1 : x + 2] = row["label"]
    wcs = make_wcs("tan", labels.shape)
    cutouts = create_primary_cutouts(found, labels, labels + 1.0, wcs)
    np.testing.assert_array_equal(cutouts.table["src_pos"][1], [10.5, 11.5])


def test_invalid_catalogs_are_errors(tmp_path):
    """The error for an invalid catalog names the file and the reason."""
    with pytest.raises(FileNotFoundError, match=r"none\.ecsv: there is no such file"):
        read_catalog(tmp_path / "none.ecsv")
    for name, content in {
        "a.ecsv": "# %ECSV 1.0\n# ---\n# datatype: [\n",
        "b.csv": 'id,x\n1,2,3,4\n"',
        "c.bin": "\x00\x01\x02",
        "d.txt": "all sorts of words,\nand no table\n",
        "e.ecsv": "",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(ValueError, match=rf"{name}: the catalog cannot be read"):
            read_catalog(tmp_path / name)
    with pytest.raises(ValueError, match=r"b\.csv is not a FITS file and has no extension"):
        read_catalog(tmp_path / "b.csv[1]")


@pytest.mark.parametrize("name", ["test.cat", "test.csv", "test.txt", "test.cat.gz"])
@pytest.mark.parametrize("rows", ["1 10.5 -2e-5\n2 11.5 3.25\n", "1 1 1\n2 2 2\n", "7 8 9\n"])
def test_text_without_column_names_is_an_error(rows, name, tmp_path):
    """A text file without column names is an error. The error suggests a SExtractor setting."""
    content = (rows.replace(" ", ",") if name.endswith("csv") else rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    with pytest.raises(ValueError, match=rf"{name}: .* no header; .* CATALOG_TYPE ASCII_HEAD"):
        read_catalog(tmp_path / name)


def test_skycat_text_is_an_error(tmp_path):
    """The format ASCII_SKYCAT is an error, because its column names differ from SExtractor's."""
    (tmp_path / "test.cat").write_text(
        "QueryResult\n\n# Config entry for original catalog server:\nserv_type: catalog\n"
        "# End config entry\n\nid\tra\tdec\tmag\n------------------\n1\t2.5\t3.5\t4\n[EOD]\n"
    )
    with pytest.raises(ValueError, match=r"test\.cat: ASCII_SKYCAT .* CATALOG_TYPE ASCII_HEAD"):
        read_catalog(tmp_path / "test.cat")


def test_remote_catalog_is_an_error():
    """The error for the URL of a catalog asks for a local file."""
    with pytest.raises(ValueError, match=r"s3://bucket/cat\.fits: a catalog must be a local"):
        read_catalog("s3://bucket/cat.fits")


def test_damaged_and_empty_fits_files_are_errors(tmp_path):
    """
    A file without a complete table raises ValueError.

    A damaged compressed file raises OSError.
    """
    fits.PrimaryHDU(np.zeros((3, 3))).writeto(tmp_path / "image.fits")
    with pytest.raises(ValueError, match=r"image\.fits: no table; its tables are: none"):
        read_catalog(tmp_path / "image.fits")
    fits.HDUList([fits.PrimaryHDU(), make_table_hdu(2000)]).writeto(tmp_path / "cat.fits")
    content = (tmp_path / "cat.fits").read_bytes()
    (tmp_path / "short.fits").write_bytes(content[:12000])
    with pytest.raises(ValueError, match=r"short\.fits\[OBJECTS\]: the catalog cannot be read"):
        read_catalog(tmp_path / "short.fits")
    (tmp_path / "cut.fits.gz").write_bytes(gzip.compress(content)[:-500])
    with pytest.raises(OSError, match=r"cut\.fits\.gz: not a FITS file, or damaged"):
        read_catalog(tmp_path / "cut.fits.gz")


@pytest.mark.parametrize(
    ("name", "rows"),
    [("hst_wfc3ir_goodss/goodss_f140w_cat.fits", 97), ("ground_tpv/tpv_sex_cat.fits", 26)],
)
def test_real_sextractor_catalogs_fit_their_labels(shared_data, name, rows):
    """Each NUMBER in the catalog is a label, and a QTable of the catalog can be printed."""
    table = read_catalog(shared_data / name)
    labels = fits.getdata(shared_data / name.replace("_cat.fits", "_seg.fits.gz"))
    assert len(table) == rows
    assert set(table["NUMBER"]) == set(np.unique(labels)) - {0}
    printed = QTable(table).pformat(max_lines=-1, max_width=-1)
    assert f" {table['XMIN_IMAGE'][0]}.0 " in printed[3]
    row = table[np.argmax(table["ISOAREA_IMAGE"])]
    box = labels[
        row["YMIN_IMAGE"] - 1 : row["YMAX_IMAGE"], row["XMIN_IMAGE"] - 1 : row["XMAX_IMAGE"]
    ]
    assert np.count_nonzero(box == row["NUMBER"]) >= row["ISOAREA_IMAGE"]


def test_real_jwst_catalog_has_labels_and_positions(shared_data):
    """The ECSV catalog of the JWST pipeline has labels, centroids and sky positions."""
    table = read_catalog(shared_data / "jwst_nircam_sim" / "jw_cat.ecsv")
    assert {"label", "x_centroid", "y_centroid", "ra", "dec"} <= set(table.colnames)
    assert len(np.unique(table["label"])) == len(table) == 42
