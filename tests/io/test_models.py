"""Files of Roman in their real layout, and open data models, without the missions' packages."""

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
    """What schema wfi_image-2.1.0 says, as far as anybody reads it."""
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
    """What schema wfi_mosaic-2.1.0 says, as far as anybody reads it."""
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
    # Under its own tag, a part of a tree would be refused where the mission's schemas are known.
    other = TAG.replace(b"roman", b"other")
    content = {"roman": TaggedDict(tree, other.decode() + tag)}
    asdf.AsdfFile(content).write_to(path, **options)
    path.write_bytes(path.read_bytes().replace(other, TAG))
    return path


def same_sky(found, expected):
    x, y = np.meshgrid(np.linspace(0, 29, 7), np.linspace(0, 19, 7))
    return np.array_equal(found(x, y), expected(x, y))


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_l2(compression, rng, tmp_path):
    """An exposure has its planes, flags by their names, and where it is from; with asdf alone."""
    tree = make_l2(rng)
    path = write_roman(
        tmp_path / "l2.asdf", tree, "wfi_image-2.1.0", all_array_compression=compression
    )
    image = read_image(path)
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.flags, tree["dq"])
    assert_array_equal(image.uncertainty.array, tree["err"])
    # Squares and sums of half precision would overflow.
    assert image.uncertainty.array.dtype == np.float32
    assert image.weight is None
    assert (image.unit, image.exptime, image.data_units) == (u.DN / u.s, 107.5, "rate")
    assert same_sky(image.image_wcs, tree["meta"]["wcs"])
    # Only DO_NOT_USE (1) and NON_SCIENCE (512) are bad.
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


def test_remote(rng, tmp_path):
    """A remote file gives what it gives where it is local, and is closed."""
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


def test_l3(rng, tmp_path):
    """A mosaic has weights, is calibrated, and belongs to no exposure."""
    tree = make_l3(rng)
    image = read_image(write_roman(tmp_path / "l3.asdf", tree, "wfi_mosaic-2.1.0"))
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.weight, tree["weight"])
    assert_array_equal(image.uncertainty.array, tree["err"])
    assert image.flags is None
    assert (image.unit, image.exptime) == (u.MJy / u.sr, 642)
    assert (image.meta["filter"], image.meta["date"]) == ("F158", "2027-06-01T01:02:03.000")
    assert "exposure" not in image.meta


def test_calibrated_l2(rng, tmp_path):
    """After the flux step an exposure is in MJy/sr, which only the step tells."""
    tree = make_l2(rng, flux="COMPLETE")
    path = write_roman(tmp_path / "l2.asdf", tree, "wfi_image-2.1.0")
    assert read_image(path).unit == u.MJy / u.sr


def test_mosaic_of_2024(rng, tmp_path):
    """Older files have quantities, and their facts elsewhere."""
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


def test_facts_that_are_missing(rng, tmp_path):
    """What Roman writes in place of what it does not know is not taken for a fact."""
    tree = make_l2(rng)
    tree["meta"]["exposure"] = {"exposure_time": -999999.0, "effective_exposure_time": -999999.0,
                                "start_time": "?"}  # fmt: skip
    tree["meta"]["observation"] = {"visit_id": "?", "exposure": -999999, "observation_id": "?"}
    image = read_image(write_roman(tmp_path / "l2.asdf", tree, "wfi_image-2.1.0"))
    assert image.exptime == 1
    assert not {"exposure", "date"} & set(image.meta)


def test_tables_of_the_wcs_outlive_the_file(rng, tmp_path):
    """A distortion that is a table in a block of the file is there after it was closed."""
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
def test_segmentation(tag, tmp_path):
    """Labels of Roman, which come without a WCS."""
    labels = np.arange(600, dtype="u4").reshape(SHAPE)
    tree = {"meta": {"telescope": "ROMAN"}, "data": labels}
    found = read_segmentation(write_roman(tmp_path / "x_segm.asdf", tree, tag))
    assert_array_equal(found.data, labels)
    assert found.wcs is None
    assert found.meta["name"] == "x_segm.asdf"


def test_an_image_is_no_segmentation(rng, tmp_path):
    """Pixels that are no integers are refused."""
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    with pytest.raises(ValueError, match=r"l2\.asdf must have 2-D data of integers.*float32"):
        read_segmentation(path)


def test_catalog(rng, tmp_path):
    """A catalog is read from ASDF, too; an image has none."""
    table = Table({"label": [1, 2], "x_centroid": [3.5, 4.5]}, units={"x_centroid": "pix"})
    tree = {"meta": {}, "source_catalog": table}
    path = write_roman(tmp_path / "x_cat.asdf", tree, "image_source_catalog-2.2.0")
    found = read_catalog(path)
    assert found["x_centroid"].unit == u.pix
    assert list(found["x_centroid"]) == [3.5, 4.5]
    path = write_roman(tmp_path / "l2.asdf", make_l2(rng), "wfi_image-2.1.0")
    with pytest.raises(ValueError, match=r"l2\.asdf: there is no source_catalog"):
        read_catalog(path)


def test_files_that_are_no_images(rng, tmp_path):
    """Each error names the file and what is wrong with it."""
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
def test_damaged_file(kept, rng, tmp_path):
    """Whatever part of a file is there, the error names it."""
    whole = write_roman(tmp_path / "whole.asdf", make_l2(rng), "wfi_image-2.1.0").read_bytes()
    path = tmp_path / "part.asdf"
    path.write_bytes(whole[: int(kept if kept > 1 else kept * len(whole))])
    with pytest.raises(OSError, match=r"part\.asdf: .*damaged"):
        read_image(path)


def test_chain_on_files_of_roman(rng, tmp_path, capsys):
    """The command takes a mosaic, an exposure, a segmentation and a catalog, all of Roman."""
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


def test_compressed_without_lz4(rng, tmp_path, monkeypatch):
    """Real files are compressed with lz4; without it, the error says what to install."""
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
    """A model whose parts are attributes."""


def as_nodes(tree):
    parts = {k: as_nodes(v) if isinstance(v, dict) else v for k, v in tree.items()}
    return Node(**parts)


def test_open_model(rng):
    """A model with attributes is an image; its WCS is the very one."""
    tree = make_l2(rng)
    (image,) = read_images(as_nodes(tree))
    assert_array_equal(image.data, tree["data"])
    assert_array_equal(image.flags, tree["dq"])
    assert image.image_wcs is tree["meta"]["wcs"]
    assert image.image.name == tree["meta"]["filename"]
    assert image.meta["exposure"] == "r0000101001001001001_0001"


class JwstModel:
    """As models of stdatamodels, it makes planes that are asked for and missing."""

    def __init__(self, instance):
        self.instance = instance

    def __getattr__(self, name):
        return np.zeros(SHAPE)


def test_open_model_of_jwst(rng):
    """A calibrated image of JWST, in its own words; a plane that is missing stays so."""
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
def test_what_is_neither_name_nor_model(source):
    """The error says what is allowed."""
    for read in (read_image, read_images, read_segmentation):
        with pytest.raises(TypeError, match="must be a file name or a data model, got"):
            read(source)


def test_real_roman_exposure(shared_data):
    """What roman_datamodels wrote is read without it."""
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


def test_roman_datamodels(rng, tmp_path):
    """Open models, and files where the mission's tags are known, give the same."""
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


def test_stdatamodels(shared_data):
    """An open model of JWST gives what its file gives."""
    models = pytest.importorskip("stdatamodels.jwst.datamodels")
    path = shared_data / "jwst_nircam_sim" / "jw00000_nrcb1_cal.fits.gz"
    expected = read_image(path)
    with models.ImageModel(str(path)) as model:
        image = read_image(model)
        assert_array_equal(image.data, expected.data)
        assert_array_equal(image.mask, expected.mask)
        assert image.image_wcs(5, 6) == expected.image_wcs(5, 6)
        assert (image.unit, image.exptime) == (expected.unit, expected.exptime)
