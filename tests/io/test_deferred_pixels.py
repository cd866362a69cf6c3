"""Deferred pixels: pixels of local and remote FITS files are read at their first use."""

import gc
import gzip
import io
import pickle
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits
from numpy.testing import assert_array_equal

from subpixal import Cutout, create_primary_cutouts
from subpixal.datasets import make_wcs
from subpixal.io import read_image, read_images, read_segmentation
from subpixal.testing import assert_cutouts_equal

SHAPE = (1500, 2000)
WCS = make_wcs("tan", SHAPE)


def write_image(path):
    """Write a FITS file with a compressed image and all planes. Return the planes."""
    rng = np.random.default_rng(1)
    header = WCS.to_header()
    flags = np.where(rng.random(SHAPE) < 0.01, 50_000, 0).astype(np.uint16)
    data = rng.integers(0, 9, SHAPE).astype(np.float32)
    hdus = [
        fits.PrimaryHDU(),
        fits.CompImageHDU(data, header, name="SCI", compression_type="GZIP_1", quantize_level=0),
        fits.CompImageHDU(flags, name="DQ"),
        fits.ImageHDU(flags + np.uint16(1), name="WHT"),
        fits.ImageHDU(data + 1, name="ERR"),
    ]
    fits.HDUList(hdus).writeto(path)
    return {"data": data, "dq": flags, "weight": flags + np.uint16(1), "uncertainty": data + 1}


@pytest.fixture(scope="module")
def image_file(tmp_path_factory):
    """Path of an image file, and the planes of the image."""
    path = tmp_path_factory.mktemp("deferred") / "image.fits"
    return path, write_image(path)


def test_deferred_planes_equal_the_file(image_file):
    """Deferred planes have the values and the types of the planes in the file."""
    path, planes = image_file
    image = read_image(path, dqbitmask=0)
    for name in ("data", "dq", "weight"):
        pixels = getattr(image, name)
        assert_array_equal(pixels, planes[name])
        assert pixels.dtype == planes[name].dtype
        assert not pixels.flags.writeable
    assert_array_equal(image.uncertainty.array, planes["uncertainty"])
    assert_array_equal(image.mask, planes["dq"] != 0)


def test_cutting_needs_little_memory(image_file):
    """Reading an image and cutting a part out of it takes less memory than the whole image."""
    path, planes = image_file
    read_image(path)
    tracemalloc.start()
    image = read_image(path, dqbitmask=0)
    cutout = Cutout(image, None, (100, 700), (130, 730))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The mask of the whole image would need 3 MB, and its flags 6 MB.
    assert peak < 2e6
    part = slice(700, 731), slice(100, 131)
    for name in ("data", "dq", "weight"):
        assert_array_equal(getattr(cutout, name), planes[name][part])
    assert_array_equal(cutout.mask, planes["dq"][part] != 0)
    assert cutout.uncertainty.array[0, 0] == planes["uncertainty"][700, 100]


def test_cutouts_of_deferred_pixels(image_file):
    """Cutouts of an image with deferred pixels equal cutouts of its arrays."""
    path, planes = image_file
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:50, 60:70], labels[1400:1420, 1900:1910] = 1, 2
    image = read_image(path, dqbitmask=0)
    found = create_primary_cutouts({"id": [1, 2]}, labels, image, None)
    image.data, image.dq, image.weight = planes["data"], planes["dq"], planes["weight"]
    expected = create_primary_cutouts({"id": [1, 2]}, labels, image, None)
    assert len(found) == 2
    assert_cutouts_equal(found, expected)


@pytest.mark.parametrize("name", ["data", "mask", "uncertainty", "dq", "weight"])
def test_reading_a_plane_does_not_change_the_cutouts(image_file, name):
    """Reading a plane of an image first does not change the cutouts that are cut later."""
    path, _ = image_file
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:50, 60:70] = 1
    image = read_image(path, dqbitmask=0)
    getattr(image, name)
    found = create_primary_cutouts({"id": [1]}, labels, image, None)
    untouched = create_primary_cutouts({"id": [1]}, labels, read_image(path, dqbitmask=0), None)
    assert_cutouts_equal(found[0].copy(), untouched[0].copy())


@pytest.mark.parametrize("dtype", [np.float16, np.int16])
def test_uncertainties_are_converted_after_reading_the_mask(dtype):
    """Cutting converts uncertainties, even if the mask of the image was read before."""
    image = Cutout(np.ones((9, 9)), make_wcs("tan", (9, 9)), uncertainty=np.full((9, 9), 2, dtype),
                   copy=False)  # fmt: skip
    assert not image.mask.any()
    assert_array_equal(Cutout(image, None, (1, 1), (3, 3)).error, np.full((3, 3), 2.0))


def test_mask_reads_only_data_and_flags():
    """Reading the mask also reads data and flags, but no uncertainties or weights."""
    read = []

    class Plane:
        shape, dtype = (9, 9), np.dtype(np.int16)

        def __init__(self, name):
            self.name = name

        def __getitem__(self, item):
            read.append(self.name)
            return np.zeros(self.shape, self.dtype)[item]

    planes = {name: Plane(name) for name in ("dq", "weight", "uncertainty")}
    image = Cutout(Plane("data"), make_wcs("tan", (9, 9)), **planes, copy=False)
    read.clear()
    assert not image.mask.any()
    assert set(read) == {"data", "dq"}


def test_pickled_image_has_its_pixels(image_file):
    """The pickle of an image with deferred pixels contains all pixels."""
    path, planes = image_file
    image = pickle.loads(pickle.dumps(read_image(path)))
    assert_array_equal(image.data, planes["data"])


def test_compressed_file_is_decompressed_once(image_file, tmp_path):
    """If a whole file is compressed, it is decompressed only once."""
    path, planes = image_file
    compressed = tmp_path / "image.fits.gz"
    compressed.write_bytes(gzip.compress(path.read_bytes(), 1))
    image = read_image(compressed)
    compressed.unlink()
    assert_array_equal(image.dq, planes["dq"])


def test_damaged_pixels_are_an_error_at_the_first_use(image_file, tmp_path):
    """The first use of damaged pixels is an error that names the file."""
    path, _ = image_file
    bad = tmp_path / "bad.fits"
    bad.write_bytes(path.read_bytes())
    image = read_image(bad)
    content = bytearray(path.read_bytes())
    bad.write_bytes(bytes(content[:20_000]))
    with pytest.raises(OSError, match=r"bad\.fits: not a FITS file, or damaged"):
        _ = image.data


@pytest.fixture
def remote(image_file):
    """File system with one file. It counts the bytes that are read and the open files."""
    fsspec = pytest.importorskip("fsspec")
    content = image_file[0].read_bytes()

    class Counting(io.BytesIO):
        count, opened = 0, 0

        def __init__(self):
            super().__init__(content)
            Counting.opened += 1

        def read(self, size=-1):
            found = super().read(size)
            Counting.count += len(found)
            return found

        def readinto(self, buffer):
            size = super().readinto(buffer)
            Counting.count += size
            return size

        def close(self):
            if not self.closed:
                Counting.opened -= 1
            super().close()

    class FileSystem(fsspec.AbstractFileSystem):
        protocol = "counted"

        def _open(self, path, *_, **__):
            if not path.endswith("image.fits"):
                raise FileNotFoundError(path)
            return Counting()

    fsspec.register_implementation("counted", FileSystem, clobber=True)
    return Counting, len(content)


def test_remote_image_is_read_in_parts(image_file, remote):
    """
    Remote and local images give equal cutouts.

    Only the necessary parts of the remote file are read.
    """
    counting, size = remote
    image = read_image("counted://server/folder/image.fits[SCI,1]", dqbitmask=0)
    assert image.meta["filename"] == "image.fits"
    assert image.image.name == "image.fits[SCI,1]"
    cutout = Cutout(image, None, (100, 700), (130, 730))
    assert counting.count < 0.2 * size
    local = Cutout(read_image(image_file[0], dqbitmask=0), None, (100, 700), (130, 730))
    local.image.meta["name"] = image.meta["name"]
    assert_cutouts_equal(cutout, local)


def test_remote_files_are_closed(remote):
    """A remote file is opened once. It is closed when the image no longer exists."""
    counting, _ = remote
    image = read_image("counted://server/image.fits")
    assert counting.opened == 0
    assert image.data.shape == image.dq.shape == SHAPE
    assert counting.opened == 1
    del image
    gc.collect()
    assert counting.opened == 0


@pytest.mark.parametrize("read", [read_images, read_segmentation])
def test_missing_remote_file_is_an_error(remote, read):
    """A missing remote file raises FileNotFoundError, like a missing local file."""
    del remote
    with pytest.raises(FileNotFoundError, match="other"):
        read("counted://server/other.fits")


@pytest.fixture
def segmentation_file(tmp_path):
    """Path of a file with a plain and a tile-compressed segmentation image, and their labels."""
    labels = np.zeros(SHAPE, np.int32)
    labels[40:50, 60:70], labels[1400:1420, 1900:1910] = 7, 2**30
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(labels), fits.CompImageHDU(labels, name="TILES")]
    fits.HDUList(hdus).writeto(tmp_path / "seg.fits")
    return tmp_path / "seg.fits", labels


@pytest.mark.parametrize("extension", ["[1]", "[TILES]"])
def test_segmentation_image_needs_little_memory(extension, segmentation_file):
    """Reading a segmentation image and cutting with it takes less memory than all labels."""
    path, labels = segmentation_file
    expected = create_primary_cutouts({"id": [7, 2**30]}, labels, labels + 1.0, WCS)
    image = np.broadcast_to(np.float32(1), SHAPE)
    read_segmentation(f"{path}{extension}")
    tracemalloc.start()
    segmentation = read_segmentation(f"{path}{extension}")
    _, peak = tracemalloc.get_traced_memory()
    # The array of all labels would need 12 MB.
    assert peak < 1e6
    cutouts = create_primary_cutouts({"id": [7, 2**30]}, segmentation, image, WCS)
    tracemalloc.stop()
    assert_array_equal(np.asarray(segmentation.data), labels)
    for cutout, same in zip(cutouts, expected, strict=True):
        assert (cutout.blc, cutout.trc) == (same.blc, same.trc)
        assert_array_equal(cutout.mask, same.mask)
    assert_array_equal(pickle.loads(pickle.dumps(segmentation)).data, labels)


@pytest.mark.parametrize("extension", [1, 2])
def test_remote_segmentation(segmentation_file, extension):
    """A remote segmentation image gives the same cutouts as a local one, compressed or not."""
    fsspec = pytest.importorskip("fsspec")
    path, labels = segmentation_file
    fsspec.filesystem("memory").pipe("/seg.fits", path.read_bytes())
    found = read_segmentation(f"memory://seg.fits[{extension}]")
    assert found.meta["name"] == ("seg.fits[1]", "seg.fits[TILES,1]")[extension - 1]
    cutouts, expected = (
        create_primary_cutouts(
            {"id": [7, 2**30]}, segmentation, labels + 1.0, WCS, keep_segmentation=True
        )
        for segmentation in (found, labels)
    )
    assert_cutouts_equal(cutouts, expected)
