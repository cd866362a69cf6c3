"""Files in the layout of Roman, and open data models, without packages of the missions."""

import sys
from types import SimpleNamespace

import asdf
import numpy as np
import pytest
from asdf.tagged import TaggedDict
from astropy import units as u
from astropy.modeling.models import Mapping, Tabular1D
from astropy.table import Table
from astropy.time import Time
from gwcs import WCS as GWCS
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.cli import main
from subpixal.datasets import make_wcs
from subpixal.io import read_catalog, read_image, read_images, read_segmentation

SHAPE = (20, 30)
TAG = b"asdf://stsci.edu/datamodels/roman/tags/"
ROMAN_L2 = "r0000101001001001001_0001_wfi01_f158_cal.asdf"


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def make_l2(rng, **cal_step):
    """Return the tree of an exposure: the parts of the schema wfi_image-2.1.0 that are read."""
    return {
        "meta": {
            "filename": "r0000101001001001001_0001_wfi01_f158_cal.asdf",
            "telescope": "ROMAN",
            "model_type": "ImageModel",
            "exposure": {
                "start_time": Time("2027-06-01T01:02:03.000", format="isot"),
                "exposure_time": 120.0,
                "effective_exposure_time": 107.5,
            },
            "instrument": {"name": "WFI", "detector": "WFI01", "optical_element": "F158"},
            "observation": {
                "observation_id": "00001010010010010010001",
                "visit_id": "0000101001001001001",
                "exposure": 1,
            },
            "cal_step": cal_step,
            "wcs": make_wcs("gwcs", SHAPE),
        },
        "data": rng.normal(1, 0.1, SHAPE).astype("f4"),
        "dq": rng.choice([0, 2, 4, 512, 2**31, 2**31 + 1], SHAPE).astype("u4"),
        "err": np.full(SHAPE, 0.125, "f2"),
        "var_poisson": np.full(SHAPE, 0.01, "f2"),
        "amp33": np.zeros((2, 3, 4), "u2"),
    }


def make_l3(rng):
    """Return the tree of a mosaic: the parts of the schema wfi_mosaic-2.1.0 that are read."""
    return {
        "meta": {
            "filename": "r00001_p_v01001001001001_r274dp63x31y81_f158_coadd.asdf",
            "telescope": "ROMAN",
            "model_type": "MosaicModel",
            "coadd_info": {
                "time_first": Time("2027-06-01T01:02:03.000", format="isot"),
                "exposure_time": 642.0,
            },
            "instrument": {"name": "WFI", "optical_element": "F158"},
            "observation": {"visit": 1, "exposure": None},
            "wcs": make_wcs("gwcs", SHAPE),
        },
        "data": rng.normal(1, 0.1, SHAPE).astype("f4"),
        "err": np.full(SHAPE, 0.125, "f4"),
        "weight": rng.random(SHAPE).astype("f4"),
        "context": np.ones((1, *SHAPE), "u4"),
    }


def write_roman(path, tree, tag, **options):
    """Write a tree with a tag of Roman. Return the path of the file."""
    # If the packages of the mission are installed, asdf would refuse this incomplete tree.
    other = TAG.replace(b"roman", b"other")
    content = {"roman": TaggedDict(tree, other.decode() + tag)}
    asdf.AsdfFile(content).write_to(path, **options)
    path.write_bytes(path.read_bytes().replace(other, TAG))
    return path


def same_sky(found, expected):
    """Return `True` if two gwcs give the same world values on a grid of pixels."""
    x, y = np.meshgrid(np.linspace(0, 29, 7), np.linspace(0, 19, 7))
    return np.array_equal(found(x, y), expected(x, y))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_exposure_of_roman_has_planes_and_metadata(compression, rng, tmp_path):
    """An exposure has its planes, flag names and metadata. Only asdf is necessary to read it."""
    tree = make_l2(rng)
    path = write_roman(
        tmp_path / "l2.asdf", tree, "wfi_image-2.1.0", all_array_compression=compression
    )
    image = read_image(path)
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.flags, tree["dq"])
    assert_array_equal(image.uncertainty.array, tree["err"])
    # Squares and sums of numbers in half precision would overflow.
    assert image.uncertainty.array.dtype == np.float32
    assert image.weight is None
    assert (image.unit, image.exptime, image.data_units) == (u.DN / u.s, 107.5, "rate")
    assert same_sky(image.image_wcs, tree["meta"]["wcs"])
    # Only the flags DO_NOT_USE (1) and NON_SCIENCE (512) are bad.
    assert_array_equal(image.mask, np.isin(tree["dq"], [512, 2**31 + 1]))
    meta = dict(image.meta)
    assert meta.pop("flag_names")["GW_AFFECTED_DATA"] == 16
    assert meta == {
        "name": "l2.asdf",
        "filename": "l2.asdf",
        "telescope": "ROMAN",
        "instrument": "WFI",
        "detector": "WFI01",
        "filter": "F158",
        "exposure": "r0000101001001001001_0001",
        "date": "2027-06-01T01:02:03.000",
    }


def test_remote_file_equals_local_file(rng, tmp_path):
    """A remote file gives the same image and the same types of errors as a local file."""
    fsspec = pytest.importorskip("fsspec")
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    fsspec.filesystem("memory").pipe("/l2.asdf", path.read_bytes())
    image, local = read_image("memory://l2.asdf"), read_image(path)
    assert image.meta == local.meta
    for name in ("data", "mask", "dq", "error"):
        assert_array_equal(getattr(image, name), getattr(local, name))
    assert same_sky(image.image_wcs, local.image_wcs)
    with pytest.raises(FileNotFoundError, match="other"):
        read_image("memory://other.asdf")
    fsspec.filesystem("memory").pipe("/text.asdf", b"not an image")
    with pytest.raises(OSError, match=r"memory://text\.asdf: not an ASDF file, or damaged"):
        read_image("memory://text.asdf")


def test_mosaic_of_roman_has_weights_and_no_exposure(rng, tmp_path):
    """
    A mosaic has weights and a unit of surface brightness.

    It has no flags and no exposure name.
    """
    tree = make_l3(rng)
    image = read_image(write_roman(tmp_path / "l3.asdf", tree, "wfi_mosaic-2.1.0"))
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.weight, tree["weight"])
    assert_array_equal(image.uncertainty.array, tree["err"])
    assert image.flags is None
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 642)
    assert (image.meta["filter"], image.meta["date"]) == ("F158", "2027-06-01T01:02:03.000")
    assert "exposure" not in image.meta


def test_flux_step_changes_the_unit_of_an_exposure(rng, tmp_path):
    """If the metadata list the flux step as complete, the exposure is in MJy/sr."""
    tree = make_l2(rng, flux="COMPLETE")
    path = write_roman(tmp_path / "l2.asdf", tree, "wfi_image-2.1.0")
    assert read_image(path).unit == u.MJy / u.sr


def test_mosaic_of_schema_version_1_has_the_same_metadata(rng, tmp_path):
    """Files from 2024 give the same metadata, although they contain quantities and other keys."""
    tree = make_l3(rng)
    data = tree["data"].copy()
    for name in ("data", "err"):
        tree[name] = u.Quantity(tree[name], u.MJy / u.sr)
    basic = {"time_first_mjd": 61557.5, "mean_exposure_time": 300.0, "optical_element": "F106",
             "instrument": "WFI"}  # fmt: skip
    tree["meta"] = {"basic": basic, "telescope": "ROMAN", "wcs": tree["meta"]["wcs"]}
    image = read_image(write_roman(tmp_path / "l3.asdf", tree, "wfi_mosaic-1.0.0"))
    assert_array_equal(image.data, data)
    assert type(image.data) is np.ndarray
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 300)
    assert image.uncertainty.unit == u.MJy / u.sr
    assert (image.meta["filter"], image.meta["date"]) == ("F106", "2027-06-01T12:00:00.000")
    assert image.image.dqbitmask == ~513


def test_placeholders_of_roman_are_no_metadata(rng, tmp_path):
    """The placeholders "?" and -999999 of Roman are not used as metadata."""
    tree = make_l2(rng)
    tree["meta"]["exposure"] = {"exposure_time": -999999.0, "effective_exposure_time": -999999.0,
                                "start_time": "?"}  # fmt: skip
    tree["meta"]["observation"] = {"visit_id": "?", "exposure": -999999, "observation_id": "?"}
    image = read_image(write_roman(tmp_path / "l2.asdf", tree, "wfi_image-2.1.0"))
    assert image.exptime == 1
    assert not {"exposure", "date"} & set(image.meta)


def test_tables_of_the_wcs_outlive_the_file(rng, tmp_path):
    """After the file is closed, a distortion table in one of its blocks still works."""
    tree = make_l2(rng)
    wcs = tree["meta"]["wcs"]
    bend = Tabular1D(np.arange(31) - 0.5, np.arange(31) + rng.random(31))
    frames = [wcs.input_frame, wcs.output_frame]
    bent = Mapping((0, 1)) | bend & Tabular1D(np.arange(31) - 0.5, np.arange(31) + rng.random(31))
    tree["meta"]["wcs"] = GWCS([(frames[0], bent | wcs.forward_transform), (frames[1], None)])
    path = write_roman(tmp_path / "l2.asdf", tree, "wfi_image-2.1.0")
    found = read_image(path).image_wcs
    assert found(12.25, 3.5) == tree["meta"]["wcs"](12.25, 3.5)


@pytest.mark.parametrize("tag", ["segmentation_map-2.2.0", "mosaic_segmentation_map-2.1.0"])
def test_segmentation_of_roman_has_no_wcs(tag, tmp_path):
    """A segmentation image of Roman has labels and a name but no WCS."""
    labels = np.arange(600, dtype="u4").reshape(SHAPE)
    tree = {"meta": {"telescope": "ROMAN"}, "data": labels}
    found = read_segmentation(write_roman(tmp_path / "x_segm.asdf", tree, tag))
    assert_array_equal(found.data, labels)
    assert found.wcs is None
    assert found.meta["name"] == "x_segm.asdf"


def test_image_as_segmentation_is_an_error(rng, tmp_path):
    """If an image of floats is read as a segmentation image, the error names file and type."""
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    with pytest.raises(ValueError, match=r"l2\.asdf must have 2-D data of integers.*float32"):
        read_segmentation(path)


def test_catalog_of_roman_keeps_units(rng, tmp_path):
    """A catalog in an ASDF file has units. A file without a catalog is an error."""
    table = Table({"label": [1, 2], "x_centroid": [3.5, 4.5]}, units={"x_centroid": "pix"})
    tree = {"meta": {}, "source_catalog": table}
    path = write_roman(tmp_path / "x_cat.asdf", tree, "image_source_catalog-2.2.0")
    found = read_catalog(path)
    assert found["x_centroid"].unit == u.pix
    assert list(found["x_centroid"]) == [3.5, 4.5]
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    with pytest.raises(ValueError, match=r"l2\.asdf: there is no source_catalog"):
        read_catalog(path)


def test_invalid_asdf_images_are_errors(rng, tmp_path):
    """The error for an invalid ASDF image names the file and the reason."""
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    with pytest.raises(ValueError, match=r"l2\.asdf is an ASDF file and has no extension"):
        read_image(f"{path}[1]")
    ramp = make_l2(rng) | {"data": np.zeros((2, *SHAPE), "u2")}
    with pytest.raises(ValueError, match=r"l1\.asdf must have a 2-D .* shape \(2, 20, 30\)"):
        read_image(write_roman(tmp_path / "l1.asdf", ramp, "wfi_science_raw-1.3.0"))
    blind = make_l2(rng)
    for wcs, got in ((None, "there is none"), ("TAN", "got 'TAN'")):
        blind["meta"]["wcs"] = wcs
        path = write_roman(tmp_path / "blind.asdf", blind, "wfi_image-2.1.0")
        with pytest.raises(ValueError, match=rf"blind\.asdf must .* as 'meta\.wcs', {got}"):
            read_image(path)
    asdf.AsdfFile({"mine": 1}).write_to(tmp_path / "mine.asdf")
    with pytest.raises(ValueError, match=r"mine\.asdf has no tree 'roman', only .*mine"):
        read_image(tmp_path / "mine.asdf")
    CutoutCollection().write(tmp_path / "cutouts.asdf")
    with pytest.raises(ValueError, match=r"cutouts\.asdf is an archive .* CutoutCollection\.read"):
        read_image(tmp_path / "cutouts.asdf")
    odd = make_l2(rng) | {"dq": np.zeros((3, 4), "u4")}
    with pytest.raises(ValueError, match=r"^odd\.asdf: dq has shape \(3, 4\)"):
        read_image(write_roman(tmp_path / "odd.asdf", odd, "wfi_image-2.1.0"))


@pytest.mark.parametrize("kept", [2000, 0.5, 0.9])
def test_truncated_file_is_an_error(kept, rng, tmp_path):
    """If a file is truncated at any byte, the error names the file."""
    whole = write_roman(tmp_path / "whole.asdf", make_l2(rng), "wfi_image-2.1.0").read_bytes()
    path = tmp_path / "part.asdf"
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(OSError, match=r"part\.asdf: .*damaged"):
        read_image(path)


def test_command_create_accepts_files_of_roman(rng, tmp_path, capsys):
    """The command ``create`` accepts images, segmentation images and catalogs of Roman."""
    mosaic = write_roman(tmp_path / "l3.asdf", make_l3(rng), "wfi_mosaic-2.1.0")
    exposure = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    labels = np.zeros(SHAPE, "u4")
    labels[4:8, 5:9], labels[10:14, 18:23] = 3, 8
    tree = {"meta": {"telescope": "ROMAN"}, "data": labels}
    segmentation = write_roman(tmp_path / "segm.asdf", tree, "mosaic_segmentation_map-2.1.0")
    table = Table({"label": [3, 8], "x_centroid": [6.5, 20.0], "y_centroid": [5.5, 11.5]})
    tree = {"meta": {}, "source_catalog": table}
    catalog = write_roman(tmp_path / "cat.asdf", tree, "mosaic_source_catalog-2.2.0")
    output = tmp_path / "out.asdf"
    command = ["create", mosaic, exposure, "--catalog", catalog, "--segmentation", segmentation,
               "--output", output, "--dqbitmask", "~NON_SCIENCE"]  # fmt: skip
    assert main([str(word) for word in command]) == 0
    found = CutoutCollection.read(output)
    assert found.ids.tolist() == [3, 8] * 3
    assert [image.unit for image in found.images[:2]] == [u.MJy / u.sr, u.DN / u.s]
    np.testing.assert_allclose(found[2].src_pos, (6.5, 5.5), atol=1e-6)
    assert found[2].meta["exposure"] == "r0000101001001001001_0001"
    assert_array_equal(found[2].mask, found[2].flags & 512 != 0)
    capsys.readouterr()


def test_file_compressed_with_lz4_needs_lz4(rng, tmp_path, monkeypatch):
    """If a file needs lz4, the error names the extra that installs it."""
    pytest.importorskip("lz4")
    path = write_roman(
        tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0", all_array_compression="lz4"
    )
    assert read_image(path).shape == SHAPE
    for name in ("lz4", "lz4.block"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=r"l2\.asdf is compressed.*subpixal\[lz4\]"):
        read_image(path)


class Node(SimpleNamespace):
    """Part of a data model. Its own parts are attributes."""


def as_nodes(tree):
    """Return a tree of nodes for a tree of dictionaries."""
    parts = {k: as_nodes(v) if isinstance(v, dict) else v for k, v in tree.items()}
    return Node(**parts)


def test_open_model_is_an_image(rng):
    """An open model with attributes gives an image with the same WCS object."""
    tree = make_l2(rng)
    (image,) = read_images(as_nodes(tree))
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.flags, tree["dq"])
    assert image.image_wcs is tree["meta"]["wcs"]
    assert image.image.name == tree["meta"]["filename"]
    assert image.meta["exposure"] == "r0000101001001001001_0001"


class JwstModel:
    """Data model that creates missing planes on access, like models of stdatamodels."""

    def __init__(self, instance):
        self.instance = instance

    def __getattr__(self, name):
        return np.zeros(SHAPE)


def test_open_model_of_jwst_has_its_metadata(rng):
    """
    An open model of JWST gives its unit, metadata and flag names.

    Missing planes stay missing.
    """
    tree = make_l2(rng)
    del tree["err"]
    tree["wht"] = rng.random(SHAPE)
    tree["meta"] = {
        "filename": "jw01345001001_02101_00001_nrcb1_cal.fits",
        "telescope": "JWST",
        "bunit_data": "MJy/sr",
        "instrument": {"name": "NIRCAM", "detector": "NRCB1", "filter": "F200W", "pupil": "CLEAR"},
        "exposure": {"exposure_time": 85.9, "start_time": 60500.0},
        "observation": {"date_beg": "2024-07-10T00:00:01.5", "visit_id": "01345001001"},
        "wcs": tree["meta"]["wcs"],
    }
    image = read_image(JwstModel(tree))
    assert image.uncertainty is None
    assert_array_equal(image.weight, tree["wht"])
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 85.9)
    assert (image.meta["filter"], image.meta["date"]) == ("F200W", "2024-07-10T00:00:01.5")
    assert image.meta["flag_names"]["OUTLIER"] == 16


@pytest.mark.parametrize("source", [None, 3, np.zeros(SHAPE)])
def test_objects_that_are_no_model_are_an_error(source):
    """If an object is not a data model, the error lists the allowed types."""
    for read in (read_image, read_images, read_segmentation):
        with pytest.raises(TypeError, match="must be a file name or a data model, got"):
            read(source)


def test_real_roman_exposure_equals_its_tree(shared_data):
    """
    A file that roman_datamodels wrote can be read without this package.

    Pixels and metadata are right.
    """
    path = shared_data / "roman" / ROMAN_L2
    image = read_image(path)
    known = {"ignore_missing_extensions": True, "ignore_unrecognized_tag": True}
    with asdf.open(path, lazy_tree=True, **known) as file:
        expected = np.array(file.tree["roman"]["data"])
    assert_array_equal(image.data, expected)
    assert (image.unit, image.meta["detector"]) == (u.DN / u.s, "WFI01")
    assert image.flags.dtype == np.uint32
    cutout = Cutout(image, None, (10, 20), (30, 50), dqbitmask="SATURATED+JUMP_DET")
    assert cutout.image.dqbitmask == 6


def test_open_models_of_roman_datamodels_equal_files(rng, tmp_path):
    """An open model of roman_datamodels gives the same image as its file."""
    models = pytest.importorskip("roman_datamodels.datamodels")
    model = models.ImageModel.create_fake_data(shape=SHAPE)
    model.data, model.dq = make_l2(rng)["data"], make_l2(rng)["dq"]
    model.save(tmp_path / "l2.asdf")
    with models.open(tmp_path / "l2.asdf") as model:
        for source in (model, tmp_path / "l2.asdf"):
            image = read_image(source)
            assert_array_equal(image.data, model.data)
            assert_array_equal(image.flags, model.dq)
            assert (image.unit, image.meta["instrument"]) == (u.DN / u.s, "WFI")


def test_open_models_of_stdatamodels_equal_files(shared_data):
    """An open model of stdatamodels gives the same image as its file."""
    models = pytest.importorskip("stdatamodels.jwst.datamodels")
    path = shared_data / "jwst_nircam_sim" / "jw00000_nrcb1_cal.fits.gz"
    expected = read_image(path)
    with models.ImageModel(str(path)) as model:
        image = read_image(model)
        assert_array_equal(image.data, expected.data)
        assert_array_equal(image.mask, expected.mask)
        assert image.image_wcs(5, 6) == expected.image_wcs(5, 6)
        assert (image.unit, image.exptime) == (expected.unit, expected.exptime)
