"""Round trips through archives: the cutouts that are read equal the cutouts that were written."""

import os

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import (
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection, create_cutouts, create_primary_cutouts
from subpixal.datasets import make_scene, make_wcs
from subpixal.testing import assert_cutouts_equal

pytestmark = pytest.mark.usefixtures("strict_asdf")

SHAPE = (30, 40)
KINDS = ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"]
PLANES = ("data", "mask", "flags", "weight", "segmentation")
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty]


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_sources=30, shape=(256, 256), seed=3)


@pytest.fixture(scope="module")
def chain(scene):
    """Return cutouts of a combined image and of two exposures. Some sources are dropped."""
    drz = scene.combined
    primary = create_primary_cutouts(
        scene.truth, scene.segmentation, drz.data, drz.wcs, imweight=drz.weight
    )
    everything = primary
    for flt in (scene.exposures[0], scene.exposures[2]):
        pair = create_cutouts(
            primary, scene.segmentation, drz.data, drz.wcs, flt.data, flt.wcs,
            flt_dq=flt.dq, flt_uncertainty=flt.error, flt_exptime=flt.exptime, mode="fill",
        )  # fmt: skip
        everything = everything + pair[0]
    return everything


def make_cutout(kind="tan", **options):
    """Return a cutout with all planes that extends beyond its image."""
    rng = np.random.default_rng(5)
    image = rng.normal(size=SHAPE).astype(np.float32)
    image[4, 6] = np.nan
    cutout = Cutout(
        image, make_wcs(kind, SHAPE), (-3, 2), (8, 9), mode="fill",
        dq=rng.integers(0, 2**15, SHAPE).astype(np.uint16), weight=rng.random(SHAPE),
        **{"src_id": 7, "exptime": 12.5, "src_pos": (1.23, 4.56), "src_weight": 0.5} | options,
    )  # fmt: skip
    cutout.segmentation = rng.integers(0, 2**31, cutout.shape)
    cutout.dx, cutout.dy = 0.1, -0.25
    return cutout


def reopen(tree, path):
    asdf.AsdfFile(tree).write_to(path)
    with asdf.open(path, lazy_load=False, memmap=False) as file:
        return dict(file.tree)


@pytest.mark.parametrize("kind", KINDS)
def test_cutout(kind, tmp_path):
    """Writing and reading a cutout preserves all planes, numbers and positions."""
    cutout = make_cutout(kind)
    found = reopen({"c": cutout}, tmp_path / "c.asdf")["c"]
    assert_cutouts_equal(found, cutout)
    x, y = np.meshgrid([-5.0, 0.25, 50.0], [-7.0, 12.5])
    for a, b in zip(found.pix2world(x, y), cutout.pix2world(x, y), strict=True):
        # Archives preserve all digits of world values. Header cards round them to 1e-12 degrees.
        np.testing.assert_array_max_ulp(a, b, maxulp=4)


@pytest.mark.parametrize("uncertainty", UNCERTAINTIES)
@pytest.mark.parametrize("unit", [None, "electron / s", "MJy / sr", "DN"])
def test_uncertainties_and_units(uncertainty, unit, tmp_path):
    """Writing and reading preserves the class and the unit of each uncertainty."""
    values = np.random.default_rng(2).random(SHAPE).astype(np.float32)
    cutout = make_cutout(unit=unit, uncertainty=uncertainty(values))
    assert_cutouts_equal(reopen({"c": cutout}, tmp_path / "c.asdf")["c"], cutout)


@pytest.mark.parametrize("src_id", [0, "NGC 1234", None, 2**40])
def test_ids(src_id, tmp_path):
    """Identifiers can have any value that ASDF supports."""
    found = reopen({"c": make_cutout(src_id=src_id)}, tmp_path / "c.asdf")["c"]
    assert found.src_id == src_id
    assert type(found.src_id) is type(src_id)


@pytest.mark.parametrize("src_id", [2**63, -(2**63), -(2**63) + 1, (1, 2**64)])
@pytest.mark.parametrize("alone", [True, False])
def test_ids_that_are_too_large(src_id, alone, tmp_path):
    """An error contains the integer if ASDF supports an integer id only in arrays."""
    one = make_cutout(src_id=src_id)
    other = one.copy()
    other.src_id = "a"
    held = one if alone else CutoutCollection([one, other])
    with pytest.raises(ValueError, match=rf"the id {np.ravel(src_id)[-1]} cannot be written"):
        held.write(tmp_path / "c.asdf")


@pytest.mark.parametrize("ids", [(2**63, 2**64 - 1), (-(2**63), 2**63 - 1)])
def test_ids_in_arrays(ids, tmp_path):
    """Writing and reading preserves signed and unsigned integers of 64 bits in arrays."""
    one = make_cutout(src_id=ids[0])
    other = one.copy()
    other.src_id = ids[1]
    held = CutoutCollection([one, other])
    held.write(tmp_path / "c.asdf")
    assert CutoutCollection.read(tmp_path / "c.asdf").ids.tolist() == list(ids)


def test_bit_mask_that_is_too_large(tmp_path):
    """The error for a bit mask that is too large for ASDF contains an equivalent bit mask."""
    flags = np.full(SHAPE, 2**63, np.uint64)
    cutout = Cutout(np.zeros(SHAPE), make_wcs("tan", SHAPE), dq=flags, dqbitmask=2**63)
    with pytest.raises(ValueError, match=f"dqbitmask {2**63} .*{-(2**63)} has the same bits"):
        cutout.write(tmp_path / "c.asdf")


@pytest.mark.parametrize("as_collection", [False, True])
def test_pixels_that_are_too_long(as_collection, tmp_path):
    """
    Pixels of a type without an ASDF equivalent are an error.

    The error names the plane and the type.
    """
    cutout = make_cutout()
    cutout.weight = np.ones(cutout.shape, np.longdouble)
    if cutout.weight.dtype.itemsize == 8:
        pytest.skip("long doubles are doubles here")
    held = CutoutCollection([cutout]) if as_collection else cutout
    with pytest.raises(ValueError, match="plane 'weight' has pixels of float128"):
        held.write(tmp_path / "c.asdf")


def test_meta(tmp_path):
    """Writing and reading preserves the metadata of the image and of the cutout separately."""
    cutout = make_cutout(meta={"filter": "F140W", "n": np.int64(3)})
    cutout.meta["note"] = "blended"
    found = reopen({"c": cutout}, tmp_path / "c.asdf")["c"]
    assert dict(found.meta) == {"filter": "F140W", "n": 3, "note": "blended"}
    assert dict(found.image.meta) == {"filter": "F140W", "n": 3}


def test_header_as_meta(tmp_path):
    """A FITS header is written as keywords with the comments of its cards."""
    header = fits.Header([("EXPTIME", 12.5, "seconds"), ("NOTHING", None)])
    found = reopen({"c": make_cutout(meta=header)}, tmp_path / "c.asdf")["c"]
    assert found.meta["EXPTIME"] == 12.5
    assert found.meta["comments"] == {"EXPTIME": "seconds"}


def test_one_wcs(tmp_path):
    """Cutouts of one image share one WCS, both in the file and after reading."""
    wcs = make_wcs("lookup", SHAPE)
    image = np.zeros(SHAPE)
    cutouts = [Cutout(image, wcs, (i, i), (i + 3, i + 3)) for i in range(5)]
    path = tmp_path / "c.asdf"
    found = reopen({"cutouts": cutouts, "collection": CutoutCollection(cutouts)}, path)
    assert len({id(c.image_wcs) for c in (*found["cutouts"], *found["collection"])}) == 1
    assert path.read_bytes().count(b"!<asdf://subpixal.org/tags/fits_wcs-1.0.0>") == 1


@pytest.mark.parametrize("kind", ["tan", "sip", "lookup", "tpv"])
def test_wcs_of_two_images(kind, tmp_path):
    """If several images share a FITS WCS with its shape and bounds, they share it after reading."""
    wcs = make_wcs(kind, SHAPE)
    wcs.pixel_shape, wcs.pixel_bounds = (40, 30), [(-0.5, 39.5), (1, 2)]
    cutouts = CutoutCollection([Cutout(np.zeros(SHAPE), wcs, exptime=k + 1) for k in range(2)])
    cutouts.write(tmp_path / "c.asdf")
    # Read the file with this package, and then with asdf.
    with asdf.open(tmp_path / "c.asdf") as file:
        both = CutoutCollection.read(tmp_path / "c.asdf"), file["cutouts"]
    for found in both:
        assert found[0].image_wcs is found[1].image_wcs
        new = found[0].image_wcs
        assert (new.pixel_shape, new.pixel_bounds) == (wcs.pixel_shape, wcs.pixel_bounds)
        x, y = np.meshgrid([-5.0, 0.25, 50.0], [-7.0, 12.5])
        assert_array_equal(new.wcs_pix2world(x, y, 0), wcs.wcs_pix2world(x, y, 0))
        assert vars(new).keys() == vars(both[0][0].image_wcs).keys()


def test_cutouts_made_one_by_one(tmp_path):
    """Cutouts of one image share arrays in the file, even if they were cut one by one."""
    image, wcs = np.random.default_rng(1).random(SHAPE), make_wcs("sip", SHAPE)
    counts = []
    for number in (10, 25):
        cutouts = CutoutCollection(
            [Cutout(image, wcs, (i, i), (i + 3, i + 2), src_id=i) for i in range(number)]
        )
        cutouts[1].flags = np.full((3, 4), 7)
        cutouts[2].weight = np.ones((3, 4), np.float32)
        path = tmp_path / f"{number}.asdf"
        cutouts.write(path)
        assert_cutouts_equal(CutoutCollection.read(path), cutouts)
        counts.append(path.read_bytes().count(b"\xd3BLK"))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("as_collection", [False, True])
def test_cutout_of_a_cutout(as_collection, tmp_path):
    """After reading a cutout of a cutout, its filled pixels are still marked as filled."""
    parent = Cutout(np.zeros(SHAPE), make_wcs("tan", SHAPE), (5, 5), (14, 14))
    cutout = Cutout(parent, None, (-2, 3), (4, 6), mode="fill")
    assert cutout.insertion_slice == (slice(0, 4), slice(2, 7))
    held = CutoutCollection([cutout]) if as_collection else cutout
    found = reopen({"c": held}, tmp_path / "c.asdf")["c"]
    assert_cutouts_equal(found[0] if as_collection else found, cutout)


@pytest.mark.parametrize("wrap", [HighLevelWCSWrapper, lambda w: w], ids=["high", "low"])
def test_wrapped_wcs(wrap, tmp_path):
    """Writing and reading preserves WCSs in wrappers."""
    low = SlicedLowLevelWCS(make_wcs("tan", (50, 60)), (slice(5, 35), slice(7, 47)))
    cutout = Cutout(np.zeros(SHAPE), wrap(low), (1, 2), (5, 5))
    found = reopen({"c": cutout}, tmp_path / "c.asdf")["c"]
    np.testing.assert_allclose(found.pix2world(1, 2), cutout.pix2world(1, 2), rtol=1e-14)


def test_collection(chain, tmp_path):
    """
    Writing and reading preserves the order of cutouts of several images.

    It also preserves the dropped sources.
    """
    path = tmp_path / "c.asdf"
    chain.write(path, format="asdf")
    found = CutoutCollection.read(path, format="asdf")
    assert len(found) == len(chain) > 50
    assert_cutouts_equal(found, chain)
    assert len(found.dropped) == len(chain.dropped) > 0
    assert [image.stage for image in found.images] == ["primary", "input_image", "input_image"]


@pytest.mark.parametrize("compression", ["zlib", "bzp2", "lz4"])
def test_compression(chain, compression, tmp_path):
    """Compression changes only the size of the file, not its content."""
    chain.write(tmp_path / "plain.asdf")
    chain.write(tmp_path / "small.asdf", compression=compression)
    found = CutoutCollection.read(tmp_path / "small.asdf")
    assert all(a.data.tobytes() == b.data.tobytes() for a, b in zip(found, chain, strict=True))
    sizes = [(tmp_path / f"{name}.asdf").stat().st_size for name in ("small", "plain")]
    assert sizes[0] < sizes[1]


def test_set_attributes_are_written(chain, tmp_path):
    """If an attribute is set on some cutouts, it is written. The other cutouts do not change."""
    collection = chain[:10].copy()
    collection[3].meta["note"] = "odd"
    collection[4].weight = None
    collection[5].flags = np.full(collection[5].shape, 9, np.int64)
    collection[6].uncertainty = InverseVariance(np.ones(collection[6].shape))
    collection[7].blc = (-100, 7)
    collection[8].src_id = "eight"
    collection.write(tmp_path / "c.asdf")
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "c.asdf"), collection)


def test_reordered(chain, tmp_path):
    """Writing and reading preserves any order and repetition of cutouts."""
    picked = chain[[30, 2, 2, 51, 0]]
    picked.write(tmp_path / "c.asdf")
    found = CutoutCollection.read(tmp_path / "c.asdf")
    assert_cutouts_equal(found, picked)
    assert found[1] is found[2]


def test_slices_have_small_archives(chain, tmp_path):
    """The archive of one cutout of a collection does not contain the other cutouts."""
    one = chain[5:6]
    one.write(tmp_path / "c.asdf")
    pixels = sum(getattr(one[0], n).nbytes for n in PLANES if getattr(one[0], n) is not None)
    assert (tmp_path / "c.asdf").stat().st_size < pixels + 20_000


def test_empty(tmp_path):
    """A collection without cutouts can be written and read."""
    CutoutCollection([]).write(tmp_path / "c.asdf")
    assert len(CutoutCollection.read(tmp_path / "c.asdf")) == 0


def test_single_by_registry(tmp_path):
    """The I/O registry of astropy reads and writes cutouts and identifies the format."""
    cutout = make_cutout()
    cutout.write(tmp_path / "c.asdf")
    assert_cutouts_equal(Cutout.read(tmp_path / "c.asdf"), cutout)


def test_overwrite(tmp_path):
    """An existing file is replaced only with ``overwrite=True``."""
    path = tmp_path / "c.asdf"
    make_cutout().write(path)
    before = path.read_bytes()
    with pytest.raises(OSError, match="overwrite=True"):
        make_cutout().write(path)
    assert path.read_bytes() == before
    make_cutout(src_id=8).write(path, overwrite=True)
    assert Cutout.read(path).src_id == 8


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_overwrite_keeps_the_mode(tmp_path):
    """A file that replaces another file has the same permissions."""
    path = tmp_path / "c.asdf"
    make_cutout().write(path)
    path.chmod(0o600)
    make_cutout().write(path, overwrite=True)
    assert path.stat().st_mode & 0o777 == 0o600


def test_failed_write_leaves_no_file(tmp_path):
    """If writing fails, the files in the folder do not change."""
    path = tmp_path / "c.asdf"
    make_cutout().write(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="PSF cannot be written"):
        make_cutout(psf=object()).write(path, overwrite=True)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.asdf"]


def test_unit_that_cannot_be_read_again(tmp_path):
    """A unit is an error if its own name cannot be read as a unit."""
    unit = u.def_unit("quux")
    with pytest.raises(ValueError, match="unit 'quux' cannot be written"):
        make_cutout(unit=unit).write(tmp_path / "c.asdf")


@pytest.mark.parametrize(
    "setting",
    [{"all_array_storage": "inline"}, {"all_array_storage": "external"},
     {"array_inline_threshold": 10_000}],
    ids=str,
)  # fmt: skip
def test_settings_of_asdf(setting, tmp_path):
    """Global settings of asdf have no effect on stored arrays. NaNs keep their bits."""
    cutout = make_cutout()
    cutout.data.view(np.uint32)[0, 0] = 0x7FA00001
    collection = CutoutCollection([cutout])
    with asdf.config_context() as config:
        for name, value in setting.items():
            setattr(config, name, value)
        cutout.write(tmp_path / "one.asdf")
        collection.write(tmp_path / "c.asdf")
    assert_cutouts_equal(Cutout.read(tmp_path / "one.asdf"), cutout)
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "c.asdf"), collection)


@pytest.mark.parametrize("alone", [True, False])
def test_settings_of_older_asdf(chain, alone, monkeypatch, tmp_path):
    """
    Blocks that are larger than their arrays can be read.

    This package does not write such blocks.
    """
    monkeypatch.setattr("subpixal.io._asdf.pixel_blocks.BLOCK", 10_000)
    one = chain.group_by("image")[0]
    # Both files contain the same pixels.
    collection = one + one.with_image_wcs(make_wcs("tan", one.images[0].shape))
    path = tmp_path / "c.asdf"
    with asdf.config_context() as config:
        config.default_array_save_base = True
        if alone:
            asdf.AsdfFile({"cutouts": collection}).write_to(path)
        else:
            collection.write(path)
    found = CutoutCollection.read(path)
    assert_cutouts_equal(found, collection)
    stored = [block for plane in asdf_planes(path) for block in plane]
    assert (len(set(stored)) < len(stored)) == alone


def asdf_planes(path):
    """Yield the block number of each plane, for each part of the archive."""
    tree = asdf.util.load_yaml(path, tagged=True)["cutouts"]
    for part in tree["parts"]:
        yield from ([block["source"] for block in plane] for plane in part["planes"].values())


@pytest.mark.parametrize(
    "content",
    [b"", b"#ASDF 1.0.0\n", b"SIMPLE  =    T", b"#ASDF 1.0.0\n%YAML 1.1\n--- {a: 1}\n...\n"],
)
def test_foreign_files(content, tmp_path):
    """The error for an ASDF file without cutouts names the file."""
    path = tmp_path / "c.asdf"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path, format="asdf")


def test_missing_file(tmp_path):
    """Reading a missing file raises FileNotFoundError."""
    with pytest.raises(FileNotFoundError):
        CutoutCollection.read(tmp_path / "c.asdf", format="asdf")


def test_collection_is_no_cutout(chain, tmp_path):
    """If an archive is read with the wrong class, the error names the right class."""
    chain.write(tmp_path / "c.asdf")
    with pytest.raises(OSError, match=r"c\.asdf holds no Cutout .* but a CutoutCollection"):
        Cutout.read(tmp_path / "c.asdf")


def test_readable_without_this_package(chain, tmp_path):
    """The asdf package alone can read the pixels and the index."""
    path = tmp_path / "c.asdf"
    chain.write(path)
    with asdf.config_context() as config:
        for extension in list(config.extensions):
            if "subpixal" in (extension.extension_uri or ""):
                config.remove_extension(extension)
        config.validate_on_read = False
        with pytest.warns(asdf.exceptions.AsdfWarning):
            file = asdf.open(path, lazy_load=False)
    with file:
        part = file["cutouts"]["parts"][1]
        width, height = part["index"]["width"], part["index"]["height"]
        assert part["first"] == [0]
        start = (width[:4] * height[:4]).sum()
        pixels = part["planes"]["data"][0][start : start + width[4] * height[4]]
    expected = chain.group_by("image")[1][4]
    assert_array_equal(pixels.reshape(height[4], width[4]), expected.data)


def tamper(path, old, new):
    """Replace text in the tree of a file, and remove the checksum of the tree."""
    content, _, _ = path.read_bytes().rpartition(b"# subpixal")
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def test_schemas_refuse_unknown_nodes(tmp_path):
    """A tree with an unknown node is an error."""
    path = tmp_path / "c.asdf"
    make_cutout().write(path)
    tamper(path, b"\n    exptime:", b"\n    exptyme:")
    with pytest.raises((OSError, asdf.exceptions.ValidationError)):
        Cutout.read(path)


def test_planes_of_another_shape_are_refused(tmp_path):
    """An index is an error if it contradicts the number of pixels."""
    path = tmp_path / "c.asdf"
    make_cutout().write(path)
    tamper(path, b"width: 12", b"width: 11")
    with pytest.raises(OSError, match=r"c\.asdf .* has shape \(8, 12\), not \(8, 11\)"):
        Cutout.read(path)
