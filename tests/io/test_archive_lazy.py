"""Lazy reading of archives: pixels are read at their first use."""

import copy
import gc
import gzip
import io
import os
import pickle
import subprocess
import sys
import threading
import tracemalloc
import zipfile

import asdf
import numpy as np
import pytest
from astropy.table import Table
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection, create_primary_cutouts
from subpixal.cutout.storage import LazyPlane
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = (600, 600)
COMPRESSIONS = [None, "zlib"]


def make_cutouts(number, size=20, *, meta=None):
    """Return a collection of cutouts with weights. Each plane of all cutouts is one array."""
    rng = np.random.default_rng(number)
    image = rng.normal(size=SHAPE).astype(np.float32)
    weight = rng.random(SHAPE).astype(np.float32)
    wcs, corners = make_wcs("sip", SHAPE), rng.integers(SHAPE[0] - size, size=(number, 2)).tolist()
    return CutoutCollection(
        [
            Cutout(image, wcs, (x, y), (x + size - 1, y + size - 1), weight=weight, src_id=k,
                   copy=False, meta=meta)
            for k, (x, y) in enumerate(corners)
        ]
    ).copy()  # fmt: skip


@pytest.fixture(scope="module")
def cutouts():
    return make_cutouts(3000)


@pytest.fixture(scope="module", params=COMPRESSIONS)
def path(request, cutouts, tmp_path_factory):
    path = tmp_path_factory.mktemp("lazy") / "c.asdf"
    cutouts.write(path, compression=request.param)
    return path


class CountingFile(io.FileIO):
    """File that counts the bytes that are read from it."""

    count = 0

    def fileno(self):
        # All reads must call this object. A file number would bypass it.
        raise io.UnsupportedOperation

    def readinto(self, buffer):
        size = super().readinto(buffer)
        self.count += size
        return size

    def read(self, size=-1):
        content = super().read(size)
        self.count += len(content)
        return content

    def readall(self):
        return self.read()


# Numbers of bytes that are read


def test_bytes_of_one_cutout(cutouts, path):
    """Reading one cutout reads the tree, the columns and one block of each plane."""
    size = path.stat().st_size
    with CountingFile(path) as file:
        found = CutoutCollection.read(file, format="asdf", lazy=True)
        # These are columns of 3000 numbers, the tree twice, and the search for the index.
        assert file.count < 400_000
        before = file.count
        assert_array_equal(found[7].data, cutouts[7].data)
        assert before < file.count < size + 400_000
        del found
        gc.collect()


def test_memory_of_one_cutout(tmp_path):
    """Reading one of 100,000 cutouts takes memory only for the index, not for all pixels."""
    number = 100_000
    y, x = np.mgrid[:2240, :2240]
    segmentation = (y // 7 * 320 + x // 7 + 1) * ((y % 7 > 0) & (x % 7 > 0))
    catalog = Table({"id": np.arange(number) + 1})
    image = np.random.default_rng(0).random(segmentation.shape)
    many = create_primary_cutouts(
        catalog, np.where(segmentation > number, 0, segmentation), image,
        make_wcs("tan", image.shape), pad=1, mask_policy=None,
    )  # fmt: skip
    assert len(many) > number - 1000
    size = sum(cutout.data.size for cutout in many[:100]) / 100
    path = tmp_path / "c.asdf"
    expected = many[54_321].data.copy()
    many.write(path)
    planes = sum(getattr(many[5], name).itemsize for name in many[5].planes)
    assert path.stat().st_size <= len(many) * (size * planes + 96) + 100_000
    assert path.read_bytes().count(b"\xd3BLK") < 100
    del many
    tracemalloc.start()
    try:
        found = CutoutCollection.read(path)
        assert_array_equal(found[54_321].data, expected)
        kept, most = tracemalloc.get_traced_memory()
        assert kept < number * 150
        assert most < path.stat().st_size / 2
        for cutout in found[:5000]:
            cutout.data.sum()
        del cutout
        # Blocks without references are released.
        assert tracemalloc.get_traced_memory()[0] < kept + 5000 * size * planes / 2
    finally:
        tracemalloc.stop()


def test_reading_a_collection_reads_no_pixels(path):
    """If no pixels of a collection are used, none are read."""
    found = CutoutCollection.read(path)
    (store,) = found.selection.stores
    assert all(type(plane) is LazyPlane for plane in store.planes.values())
    assert not store.overrides


# Kinds of files


@pytest.mark.parametrize("lazy", [True, False, None])
def test_sources(cutouts, path, lazy):
    """File names, paths, open files and URLs give the same cutouts."""
    fsspec = pytest.importorskip("fsspec")
    fsspec.filesystem("memory").pipe("/c.asdf", path.read_bytes())
    with path.open("rb") as buffered, path.open("rb", buffering=0) as raw, \
            fsspec.open("memory://c.asdf") as remote:  # fmt: skip
        opened = [buffered, raw, io.BytesIO(path.read_bytes()), remote]
        for file in [str(path), path, "memory://c.asdf", f"file://{path}", *opened]:
            found = CutoutCollection.read(file, format="asdf", lazy=lazy)
            assert_cutouts_equal(found[5:8], cutouts[5:8])
            assert found[2500].data.tobytes() == cutouts[2500].data.tobytes()
            del found
            gc.collect()
        assert not any(file.closed for file in opened)


@pytest.mark.parametrize("lazy", [True, False])
def test_packed_files(cutouts, path, lazy, tmp_path):
    """An archive inside a compressed file is read through a file object that decompresses it."""
    content = path.read_bytes()
    with gzip.open(tmp_path / "c.asdf.gz", "wb", compresslevel=1) as file:
        file.write(content)
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("c.asdf", content)
    archive = zipfile.ZipFile(tmp_path / "c.zip")
    with archive, archive.open("c.asdf") as member, gzip.open(tmp_path / "c.asdf.gz") as unpacked:
        for file in (unpacked, member):
            found = CutoutCollection.read(file, format="asdf", lazy=lazy)
            assert_cutouts_equal(found[5:8], cutouts[5:8])
            del found
            gc.collect()


def test_open_file_stays_where_it_is(path):
    """Reading from an open file does not change the position in the file."""
    content = path.read_bytes()
    with path.open("rb") as file:
        assert file.read(7) == content[:7]
        found = CutoutCollection.read(file, format="asdf", lazy=True)
        assert file.read(50) == content[7:57]
        found[3].data.sum()
        assert file.read(10_000) == content[57:10_057]
        del found


def test_open_file_that_is_closed(cutouts, path):
    """An open file is read completely. With lazy reading, a file that is closed is an error."""
    with path.open("rb") as file:
        now = CutoutCollection.read(file, format="asdf")
        later = CutoutCollection.read(file, format="asdf", lazy=True)
    assert_cutouts_equal(now[:3], cutouts[:3])
    with pytest.raises(OSError, match=r"c\.asdf.*cannot be read.*closed"):
        later[3].data.sum()


# Use of cutouts after reading


def change_file(path, how):
    if how == "deleted":
        path.unlink()
    else:
        make_cutouts(10).write(path, overwrite=True)


@pytest.mark.skipif(os.name != "posix", reason="open files can be deleted on POSIX only")
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_file_that_is_gone(how, compression, tmp_path):
    """Pixels come from the file that was opened, even if another file now has its name."""
    cutouts = make_cutouts(20)
    path = tmp_path / "c.asdf"
    cutouts.write(path, compression=compression)
    found = CutoutCollection.read(path)
    found[0].data.sum()
    change_file(path, how)
    assert_cutouts_equal(found, cutouts)


TRUNCATED = """
import os, sys
from subpixal import CutoutCollection
path = sys.argv[1]
found = CutoutCollection.read(path)
first = found[0].data.copy()
os.truncate(path, 20_000)
for cutout in (found[0], found[-1]):
    try:
        cutout.data.sum()
    except OSError as error:
        print("error", path in str(error), "was changed" in str(error))
"""


def test_file_that_is_truncated(path, tmp_path):
    """If another program truncates the file, reading pixels is an error, but not a crash."""
    other = tmp_path / "d.asdf"
    other.write_bytes(path.read_bytes())
    command = [sys.executable, "-c", TRUNCATED, str(other)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert found.stdout == "error True True\n" * 2


def test_file_that_is_overwritten_in_place(path, tmp_path):
    """If another file is copied over the open file, its pixels are never returned."""
    other = tmp_path / "d.asdf"
    content = path.read_bytes()
    other.write_bytes(content)
    found = CutoutCollection.read(other)
    found[1].data.sum()
    os.utime(other, ns=(1, 1))
    other.write_bytes(content[::-1])
    with pytest.raises(OSError, match=r"d\.asdf.*was changed"):
        found[1].data.sum()


@pytest.mark.parametrize("plane", ["data", "mask", "weight"])
def test_lazily_read_pixels_are_read_only(plane, path):
    """Pixels of lazily read planes cannot be changed, even through views and operators."""
    before = path.read_bytes()
    cutout = CutoutCollection.read(path)[3]
    pixels = getattr(cutout, plane)
    with pytest.raises(ValueError, match="read-only"):
        pixels[2, 4] = 1
    with pytest.raises(ValueError, match="read-only"):
        pixels[1:][::2].T[:] = 1
    with pytest.raises(ValueError, match="read-only"):
        np.logical_not(pixels, out=pixels)
    with pytest.raises(ValueError, match="read-only"):
        getattr(cutout[2:6, 3:9], plane)[0, 0] = 1
    assert path.read_bytes() == before


def test_assigned_planes_last(cutouts, path):
    """An assigned plane stays assigned. It changes neither the file nor other cutouts."""
    before = path.read_bytes()
    found = CutoutCollection.read(path)
    found[3].data = found[3].data + 77
    found[3].mask = True
    found[5:9][1].weight = np.full(found[6].shape, 5.0)
    gc.collect()
    assert_array_equal(found[3].data, cutouts[3].data + 77)
    assert found[3].mask.all()
    assert (found[6].weight == 5).all()
    found[3].data[2, 4] = 1
    assert found[3].data[2, 4] == 1
    assert_cutouts_equal(found[7], cutouts[7])
    assert path.read_bytes() == before
    assert_cutouts_equal(CutoutCollection.read(path)[3], cutouts[3])


@pytest.mark.parametrize("copied", ["cutout", "collection", "not lazy"])
def test_copies_can_be_changed(copied, cutouts, path):
    """Pixels can be changed in copies, and in collections that are read at once."""
    found = CutoutCollection.read(path, lazy=copied != "not lazy")
    one = {
        "cutout": found[3].copy,
        "collection": lambda: found.copy()[3],
        "not lazy": lambda: found[3],
    }[copied]()
    one.data[2, 4] = 77
    assert one.data[2, 4] == 77
    one.data[2, 4] = cutouts[3].data[2, 4]
    assert_cutouts_equal(one, cutouts[3])


def duplicates(found, folder):
    yield found.copy()
    yield copy.copy(found)
    yield copy.deepcopy(found)
    yield pickle.loads(pickle.dumps(found))
    yield CutoutCollection([cutout.copy() for cutout in found])
    yield CutoutCollection([pickle.loads(pickle.dumps(cutout)) for cutout in found])
    found.write(folder / "again.asdf")
    yield CutoutCollection.read(folder / "again.asdf")


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_duplicates(compression, tmp_path):
    """Copies, pickles and archives of lazily read cutouts equal the original cutouts."""
    cutouts = make_cutouts(30, meta={"a": np.arange(3)})
    path = tmp_path / "c.asdf"
    cutouts.write(path, compression=compression)
    found = CutoutCollection.read(path)
    for collection in (cutouts, found):
        collection[4].data = collection[4].data + 9
    for duplicate in duplicates(found, tmp_path):
        # If cutouts are pickled one by one, each cutout has its own image.
        for a, b in zip(duplicate[2:7], cutouts[2:7], strict=True):
            assert_cutouts_equal(a, b)


def test_arithmetic(cutouts, path):
    """Arithmetic gives the same results for lazily read cutouts as for cutouts in memory."""
    found = CutoutCollection.read(path)
    assert_array_equal(found[3].add(found[4].data).data, cutouts[3].data + cutouts[4].data)
    assert_array_equal(found[3].data, cutouts[3].data)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_written_back(compression, tmp_path):
    """A lazily read collection can replace its own file, also repeatedly."""
    cutouts = make_cutouts(30)
    path = tmp_path / "c.asdf"
    cutouts.write(path, compression=compression)
    found = CutoutCollection.read(path)
    for k in range(3):
        for collection in (found, cutouts):
            collection[k].data = collection[k].data + k
        found.write(path, overwrite=True, compression=compression)
        assert_cutouts_equal(CutoutCollection.read(path), cutouts)
    assert_cutouts_equal(found, cutouts)


def test_single(tmp_path):
    """The file of a single cutout is read at once, including arrays in the metadata."""
    cutout = make_cutouts(1, meta={"a": np.arange(3)})[0]
    cutout.meta["b"] = {"c": np.arange(5.0)[::2]}
    path = tmp_path / "c.asdf"
    cutout.write(path)
    found = Cutout.read(path)
    path.write_bytes(b"")
    assert_cutouts_equal(found, cutout)


def test_through_asdf(tmp_path):
    """Cutouts in lists and trees that asdf reads can be used after the file is closed."""
    cutouts = make_cutouts(3, meta={"a": np.arange(3)})
    cutouts[1].psf = np.eye(3)
    tree = {"one": cutouts[0], "list": [cutouts[0], {"deep": cutouts[1]}], "all": {"x": cutouts}}
    path = tmp_path / "c.asdf"
    asdf.AsdfFile(tree).write_to(path)
    with asdf.open(path) as file:
        found = {name: file[name] for name in tree}
    assert_cutouts_equal(found["one"], cutouts[0])
    assert found["list"][0] is found["one"]
    assert_cutouts_equal(found["list"][1]["deep"], cutouts[1])
    assert_cutouts_equal(found["all"]["x"], cutouts)


def test_collection_in_metadata(tmp_path):
    """If the metadata of cutouts contain cutouts, they are read as cutouts."""
    inner = make_cutouts(2)
    outer = make_cutouts(3, meta={"reference": inner, "one": inner[0]})
    for cutouts in (outer, outer[0]):
        path = tmp_path / f"{type(cutouts).__name__}.asdf"
        cutouts.write(path)
        found = type(cutouts).read(path)
        meta = found.meta if isinstance(found, Cutout) else found[0].meta
        assert_cutouts_equal(meta["reference"], inner)
        assert_cutouts_equal(meta["one"], inner[0])


# Threads


def test_threads(cutouts, path):
    """If several threads read and assign planes at the same time, all get the right pixels."""
    found = CutoutCollection.read(path)
    wrong = []

    def work(number):
        rng = np.random.default_rng(number)
        for k in rng.integers(1000, size=150).tolist():
            if not np.array_equal(found[k].weight, cutouts[k].weight):
                wrong.append(k)
            found[1000 + number].mask = found[k].mask

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    for number in range(8):
        last = np.random.default_rng(number).integers(1000, size=150)[-1]
        assert_array_equal(found[1000 + number].mask, cutouts[last].mask)
