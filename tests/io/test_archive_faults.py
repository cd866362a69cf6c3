"""Reading of archives that are damaged, hostile, or incomplete after a writer was killed."""

import contextlib
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tracemalloc
import warnings

import asdf
import numpy as np
import pytest

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.io import read_asdf
from subpixal.io._asdf import validate_tree
from subpixal.io._asdf.pixel_blocks import checksums
from subpixal.io._asdf.tree_checksum import append_tree_checksum
from subpixal.testing import assert_cutouts_equal

SHAPE = (40, 50)


def make_cutouts(seed=1, number=6):
    """Return a small collection of cutouts of two images, with all planes."""
    rng = np.random.default_rng(seed)
    cutouts = []
    for k in range(number):
        cutout = Cutout(
            rng.normal(size=SHAPE).astype(np.float32), make_wcs("tan", SHAPE), (k - 2, k),
            (k + 3, k + 5), mode="fill", dq=rng.integers(0, 9, SHAPE).astype(np.uint16),
            weight=rng.random(SHAPE), src_id=10 * seed + k, meta={"table": rng.random(4)},
        )  # fmt: skip
        cutout.segmentation = rng.integers(0, 5, cutout.shape)
        cutouts.append(cutout)
    return CutoutCollection(cutouts)


# Damage

KINDS = ["collection", "zlib", "single", "lz4"]


@pytest.fixture(scope="module", params=KINDS)
def archive(request, tmp_path_factory):
    """Return the written cutouts, their class, and the content of the file."""
    path = tmp_path_factory.mktemp("archive") / "c.asdf"
    cutouts = make_cutouts(number=3)
    written = cutouts[0] if request.param == "single" else cutouts
    compression = request.param if request.param in ("zlib", "lz4") else None
    written.write(path, compression=compression)
    return written, type(written), path.read_bytes()


def flip(content, rng):
    for _ in range(rng.integers(1, 4)):
        content[rng.integers(len(content))] ^= 1 << rng.integers(8)


def digit(content, rng):
    places = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    content[rng.choice(places)] = ord(str(rng.integers(10)))


def zero(content, rng):
    begin, size = rng.integers(len(content)), 2 ** rng.integers(13)
    content[begin : begin + size] = bytes(len(content[begin : begin + size]))


def truncate(content, rng):
    del content[rng.integers(len(content)) :]


def insert(content, rng):
    begin = rng.integers(len(content))
    content[begin:begin] = rng.bytes(rng.integers(1, 100))


def delete(content, rng):
    begin = rng.integers(len(content))
    del content[begin : begin + rng.integers(1, 100)]


def swap(content, rng):
    a, b = rng.integers(len(content) - 64, size=2)
    content[a : a + 64], content[b : b + 64] = content[b : b + 64], content[a : a + 64]


@pytest.mark.parametrize("damage", [flip, digit, zero, truncate, insert, delete, swap])
def test_random_damage(archive, damage, tmp_path):
    """Reading a damaged file returns the original cutouts, or an error names the file."""
    written, cls, content = archive
    path = tmp_path / "damaged.asdf"
    rng = np.random.default_rng(sum(map(ord, damage.__name__)) + len(content))
    for number in range(36):
        bad = bytearray(content)
        damage(bad, rng)
        path.write_bytes(bad)
        options = {"lazy": bool(number % 2)} if cls is CutoutCollection else {}
        with warnings.catch_warnings():
            # asdf warns about a damaged block index, which is not necessary.
            warnings.simplefilter("ignore" if number % 3 else "error")
            try:
                assert_cutouts_equal(cls.read(path, format="asdf", **options), written)
                error = f"{path} was read"
            except OSError as raised:
                error = str(raised)
        assert path.name in error


@pytest.mark.parametrize("cls", [Cutout, CutoutCollection])
@pytest.mark.parametrize("content", [b"", b"\n#ASDF 1.0.0\n", b"\x1f\x8b"])
def test_files_that_do_not_begin_as_asdf(cls, content, tmp_path):
    """If a file does not begin like an ASDF file, the error names the file."""
    path = tmp_path / "c.asdf"
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"c\.asdf cannot be read as an ASDF file of cutouts: "):
        cls.read(path)


def test_compressed_as_a_whole(tmp_path):
    """The error for an archive in a compressed file explains the reason."""
    make_cutouts().write(tmp_path / "c.asdf")
    path = tmp_path / "c.asdf.gz"
    path.write_bytes(gzip.compress((tmp_path / "c.asdf").read_bytes()))
    with pytest.raises(OSError, match=r"c\.asdf\.gz cannot .*: the file is compressed as a whole"):
        read_asdf(path)


def test_every_wrong_bit_is_found(tmp_path):
    """A wrong bit is an error, both in pixels and columns and in the tree."""
    path = tmp_path / "c.asdf"
    make_cutouts(number=2).write(path)
    content = path.read_bytes()
    end = content.rindex(b"#ASDF BLOCK INDEX")
    blocks = [int(line[2:]) for line in content[end:].split(b"\n") if line.startswith(b"- ")]
    for begin in blocks:
        # The header of a block has 54 bytes.
        bad = bytearray(content)
        bad[begin + 54] ^= 1
        path.write_bytes(bad)
        with pytest.raises(OSError, match=r"c\.asdf"):
            CutoutCollection.read(path, lazy=False)


@pytest.mark.parametrize("size", [10, 65_500, 65_533, 200_000])
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_written_by_asdf(size, compression, tmp_path):
    """A file without a checksum of this package can be read. Its blocks can begin anywhere."""
    path = tmp_path / "c.asdf"
    cutouts = make_cutouts()
    tree = {"cutouts": cutouts, "text": "x" * size}
    asdf.AsdfFile(tree).write_to(path, all_array_compression=compression)
    assert_cutouts_equal(CutoutCollection.read(path), cutouts)
    # Damage to such a file is also an error.
    bad = bytearray(path.read_bytes())
    bad[bad.rindex(b"#ASDF BLOCK INDEX") - 1] ^= 1
    path.write_bytes(bad)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path, lazy=False)


@pytest.mark.parametrize("compression", ["zlib", "bzp2", "lz4"])
def test_checksums_of_older_asdf(compression, tmp_path):
    """An MD5 of compressed bytes (asdf 6) or of decompressed bytes (asdf 5) is accepted."""
    path = tmp_path / "c.asdf"
    cutouts = make_cutouts(number=2)
    cutouts.write(path, compression=compression)
    content = bytearray(path.read_bytes())
    with asdf.open(path) as file:
        headers = [block.header for block in file._blocks.blocks]
        data = [bytes(block.data) for block in file._blocks.blocks]
    for header, pixels in zip(headers, data, strict=True):
        begin = content.index(header["checksum"])
        new = hashlib.md5(pixels, usedforsecurity=False).digest()
        content[begin : begin + 16] = new
    path.write_bytes(content)
    assert_cutouts_equal(CutoutCollection.read(path), cutouts)
    content[content.index(hashlib.md5(data[0], usedforsecurity=False).digest())] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path)


@pytest.mark.parametrize("sealed", [True, False])
def test_no_checksums(sealed, tmp_path):
    """Blocks without an MD5 are accepted in files of asdf, but not in files of this package."""
    path = tmp_path / "c.asdf"
    cutouts = make_cutouts(number=2)
    asdf.AsdfFile({"cutouts": cutouts}).write_to(path)
    content = path.read_bytes()
    with asdf.open(path) as file:
        for block in file._blocks.blocks:
            content = content.replace(block.header["checksum"], bytes(16))
    with path.open("w+b") as file:
        file.write(content)
        if sealed:
            append_tree_checksum(file)
    if sealed:
        with pytest.raises(OSError, match=r"c\.asdf"):
            CutoutCollection.read(path)
    else:
        assert_cutouts_equal(CutoutCollection.read(path), cutouts)


# Incomplete files

KILL = """
import os, random, signal, sys, time
sys.path.insert(0, os.path.dirname(sys.argv[1]))
from test_archive_faults import make_cutouts
folder = sys.argv[2]
path = os.path.join(folder, "c.asdf")
archives = [make_cutouts(seed, number) for seed, number in ((1, 1), (2, 2))]
whole = []
for cutouts in archives * 2:
    start = time.perf_counter()
    cutouts.write(path, overwrite=True)
    took = time.perf_counter() - start
    whole.append(open(path, "rb").read())
del whole[2:]
random.seed(7)
seen, left = [], 0
for _ in range(200):
    child = os.fork()
    if not child:
        while True:
            for cutouts in archives:
                cutouts.write(path, overwrite=True)
    time.sleep(random.uniform(0, 3 * took))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    # -1 is neither of both
    content = open(path, "rb").read()
    seen.append(whole.index(content) if content in whole else -1)
    for name in os.listdir(folder):
        if name != "c.asdf":
            assert name.startswith(".c.asdf."), name
            os.remove(os.path.join(folder, name))
            left += 1
print(*(seen.count(k) for k in (-1, 0, 1)), left)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills processes that were forked")
def test_killed_writer(tmp_path):
    """After its writer is killed, a file is always complete: the earlier or the new file."""
    command = [sys.executable, "-c", KILL, __file__, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    broken, first, second, left = map(int, found.stdout.split())
    assert broken == 0
    assert first + second == 200
    # Writers were killed at three times: before, during and after writing.
    assert min(first, second, left) > 0
    assert CutoutCollection.read(tmp_path / "c.asdf")


# Hostile files


def collection_tree():
    """Return the tree of an archive of two cutouts of 3 x 2 pixels."""
    index = {
        "x": 1, "y": 2, "width": 3, "height": 2, "dx": 0.0, "dy": 0.0, "src_x": 1.0, "src_y": 1.0,
        "src_weight": 1.0, "exptime": 1.0, "data_units": "rate", "status": "ok",
    }  # fmt: skip
    planes = {"data": [np.arange(12.0)], "mask": [np.zeros(2, np.uint8)]}
    part = {
        "image": 0, "id": np.arange(2), "index": index, "first": [0], "planes": planes,
        "checksum": checksums([np.arange(12.0), np.zeros(12, bool)], np.array([6, 6])),
    }  # fmt: skip
    return {"images": [{"wcs": None, "data_units": "rate", "exptime": 1.0}], "parts": [part]}


def write_raw(tree, path, tag="cutout_collection-1.0.0", compression=None):
    """Write a tree with the right tag and checksum, but without the converters of this package."""
    with asdf.config_context() as config:
        for extension in list(config.extensions):
            if "subpixal" in (extension.extension_uri or ""):
                config.remove_extension(extension)
        tree = asdf.tagged.TaggedDict(tree, f"asdf://subpixal.org/tags/{tag}")
        file = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asdf.AsdfFile({"cutouts": tree}).write_to(file, all_array_compression=compression)
    append_tree_checksum(file)
    path.write_bytes(file.getvalue())


def test_raw_tree(tmp_path):
    """The tree that other tests modify is valid before the modification."""
    write_raw(collection_tree(), tmp_path / "c.asdf")
    found = CutoutCollection.read(tmp_path / "c.asdf")
    assert found[1].data.tolist() == [[6, 7, 8], [9, 10, 11]]


BAD = {
    "negative width": {"index__width": -3},
    "no width": {"index__width": 0},
    "wrong width": {"index__width": 4},
    "width too large for its type": {"index__width": 2**40},
    "absurd product": {"index__width": 2**31 - 1, "index__height": 2**31 - 1},
    "fractional": {"index__x": 1.5},
    "word": {"index__x": "one"},
    "too few": {"index__x": np.arange(1)},
    "too many": {"index__x": np.arange(3)},
    "two-dimensional": {"index__x": np.zeros((2, 1), int)},
    "complex": {"index__dx": np.zeros(2, complex)},
    "unknown column": {"index__start": 0},
    "unknown word": {"index__status": "fine"},
    "word out of range": {"index__status": {"words": ["ok"], "number": np.array([0, 1])}},
    "negative word": {"index__status": {"words": ["ok"], "number": np.array([0, -1])}},
    "ids of nothing": {"id": []},
    "complex ids": {"id": np.zeros(2, complex)},
    "image that is not there": {"image": 1},
    "negative image": {"image": -1},
    "image by name": {"image": "0"},
    "first not at 0": {"first": [1]},
    "first not ascending": {"first": [0, 1, 1]},
    "first beyond the end": {"first": [0, 2]},
    "no first": {"first": []},
    "first of another kind": {"first": [0, 0.5]},
    "checksum missing": {"checksum": np.zeros(1, np.uint32)},
    "checksum wrong": {"checksum": np.zeros(2, np.uint32)},
    "no data": {"planes": {"mask": [np.zeros(2, np.uint8)]}},
    "no mask": {"planes": {"data": [np.arange(12.0)]}},
    "unknown plane": {"planes__error": [np.arange(12.0)]},
    "no block": {"planes__data": []},
    "too many blocks": {"planes__data": [np.arange(12.0)] * 2},
    "block too small": {"planes__data": [np.arange(11.0)]},
    "mask of floats": {"planes__mask": [np.zeros(2)]},
    "mask not packed": {"planes__mask": [np.zeros(12, bool)]},
    "words as data": {"planes__data": [np.array(["a"] * 12)]},
    "records as data": {"planes__data": [np.zeros(12, "f4,f4")]},
    "flags of floats": {"planes__flags": [np.zeros(12)]},
    "order out of range": {"order": {"part": np.zeros(1, int), "row": np.array([2])}},
    "order negative": {"order": {"part": np.zeros(1, int), "row": np.array([-1])}},
    "part out of range": {"order": {"part": np.array([1]), "row": np.zeros(1, int)}},
    "order without rows": {"order": {"part": np.zeros(1, int), "row": np.zeros(0, int)}},
    "overrides of a missing cutout": {"overrides": [{"row": 2}]},
    "overrides of a negative": {"overrides": [{"row": -1}]},
    "overrides twice": {"overrides": [{"row": 1}, {"row": 1}]},
    "overrides box inside out": {"overrides": [{"row": 1, "parent_box": [5, 5, 1, 1]}]},
    "overrides uncertainty": {"overrides": [{"row": 1, "uncertainty": {"type": "guess"}}]},
    "image exposed for ever": {"images__0__exptime": float("inf")},
    "image with other units": {"images__0__data_units": "votes"},
    "image of negative shape": {"images__0__shape": [-1, 5]},
    "image of three axes": {"images__0__shape": [5, 5, 5]},
    "no images": {"images": []},
    "no parts": {"parts": None},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=BAD)
def test_bad_trees(changes, tmp_path):
    """The error for a tree with contradictions names the file."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    part = tree["parts"][0]
    for where, value in changes.items():
        *nodes, last = where.split("__")
        node = tree if where.startswith("images") or where in ("order", "parts") else part
        for name in nodes:
            node = node[int(name) if name.isdigit() else name]
        node[last] = value
    write_raw(tree, path)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path, lazy=False)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path)[1].data.sum()


def edit(path, old, new):
    """Replace text in the tree of a file, and move the blocks by the change of length."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content = path.read_bytes()
    begin = content.index(b"\xd3BLK")
    tree, rest = content[:begin], content[begin:]
    assert old in tree
    tree = tree.replace(old, new, 1)
    end = rest.rindex(b"#ASDF BLOCK INDEX")
    moved = len(tree) - begin
    lines = rest[end:].split(b"\n")
    lines = [b"- %d" % (int(x[2:]) + moved) if x.startswith(b"- ") else x for x in lines]
    file = io.BytesIO()
    file.write(tree + rest[:end] + b"\n".join(x for x in lines if not x.startswith(b"# subp")))
    append_tree_checksum(file)
    path.write_bytes(file.getvalue())


def block(**node):
    """Return the YAML text of an array in a block."""
    node = {"source": 0, "datatype": "float64", "byteorder": "little", "shape": [12]} | node
    return json.dumps(node).encode()


HOSTILE = {
    "another file": {"source": "other.asdf"},
    "a file by URL": {"source": "file:///etc/passwd"},
    "the net": {"source": "http://localhost:9/x.asdf"},
    "a stream": {"source": -1, "shape": ["*"]},
    "no such block": {"source": 99},
    "outside its block": {"offset": 88},
    "before its block": {"offset": -8},
    "strides of 0": {"strides": [0]},
    "strides of 0 and a huge shape": {"strides": [0], "shape": [10**12]},
    "strides backwards": {"strides": [-8], "offset": 0},
    "a negative shape": {"shape": [-12]},
    "a huge shape": {"shape": [10**15]},
    "elements of no size": {"datatype": ["ucs4", 0], "shape": [10**12]},
    "unknown elements": {"datatype": "float7"},
}


@pytest.mark.parametrize("node", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("where", ["data", "meta", "id"])
def test_hostile_arrays(node, where, tmp_path):
    """An array that extends beyond its block is an error. No other file is read."""
    path = tmp_path / "c.asdf"
    asdf.AsdfFile({"secret": np.arange(12.0)}).write_to(tmp_path / "other.asdf")
    tree = collection_tree()
    if where == "meta":
        tree["images"][0]["meta"] = {"a": "WHERE"}
    elif where == "data":
        tree["parts"][0]["planes"]["data"] = ["WHERE"]
    else:
        tree["parts"][0]["id"] = "WHERE"
    # Block 0 contains the twelve pixels.
    write_raw({"spare": np.arange(12.0), **tree}, path)
    new = block(**node)
    if where == "id":
        new = block(**{"shape": [2], "datatype": "int64"} | node)
    edit(path, b"WHERE", b"!core/ndarray-1.1.0 " + new)
    for lazy in (False, True):
        tracemalloc.start()
        try:
            with pytest.raises(OSError, match=r"c\.asdf"):
                CutoutCollection.read(path, lazy=lazy)[0].data.sum()
            assert tracemalloc.get_traced_memory()[1] < 50_000_000
        finally:
            tracemalloc.stop()


BOMB = (
    b"!x [&a [1,1,1,1,1,1,1,1,1], "
    + b"".join(b"&%c [%s], " % (98 + k, b",".join([b"*%c" % (97 + k)] * 9)) for k in range(20))
    + b"1]"
)


@pytest.mark.parametrize(
    "text",
    [BOMB, b"&a [*a]", b"[" * 2000 + b"]" * 2000, b"&a {b: *a}"],
    ids=["laughs", "itself", "deep", "mapping"],
)
@pytest.mark.parametrize("where", ["meta", "id"])
def test_hostile_text(text, where, tmp_path):
    """A tree whose size is infinite, or almost infinite, is an error at once."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    if where == "meta":
        tree["images"][0]["meta"] = {"a": "WHERE"}
    else:
        tree["parts"][0]["id"] = "WHERE"
    write_raw(tree, path)
    edit(path, b"WHERE", text)
    with pytest.raises(OSError, match=r"c\.asdf"):
        CutoutCollection.read(path)


@pytest.mark.parametrize(
    "key", [b"<<", b"!!merge x", b"!!%6Derge x", b"!<tag:yaml.org,2002:merge> x"]
)
def test_merged_nodes(key, tmp_path):
    """Nested YAML merges are an error at once."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    tree["images"][0]["meta"] = {"a": "WHERE", "b": {"<<": "a word"}}
    write_raw(tree, path)
    names = [b"*m%d" % k for k in range(30)]
    text = b"".join(
        b", m%d: &m%d {%s: [%s]}" % (k, k, key, b",".join([names[k - 1]] * 9)) for k in range(1, 30)
    )
    edit(path, b"WHERE", b"{m: &m0 {x: 1}" + text + b"}")
    with pytest.raises(OSError, match=r"c\.asdf .* merged"):
        CutoutCollection.read(path)


def test_words_that_look_like_merges(tmp_path):
    """Metadata can contain the text that means a merge in YAML."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    shared = [1]
    meta = {"<<": "<<", "a": shared, "&": shared, "merge": "x\n<<: *a"}
    tree["images"][0]["meta"] = meta
    write_raw(tree, path)
    assert b"&" in path.read_bytes()
    assert CutoutCollection.read(path)[0].meta == meta


BOMBED = {
    "pixels": lambda tree, big: tree["parts"][0]["planes"].update(data=[big]),
    "column": lambda tree, big: tree["parts"][0].update(id=big.view(np.int64)),
    "metadata": lambda tree, big: tree["images"][0].update(meta={"a": big}),
}


@pytest.mark.parametrize("compression", ["zlib", "bzp2", "lz4"])
@pytest.mark.parametrize("honest", [True, False])
@pytest.mark.parametrize("where", BOMBED.values(), ids=BOMBED)
def test_bombs(where, honest, compression, tmp_path, monkeypatch):
    """Decompression stops at the size in the tree. A tree with too large a size is an error."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    where(tree, np.zeros(4_000_000))
    monkeypatch.setattr(validate_tree, "ARRAYS", 1_000_000)
    write_raw(tree, path, compression=compression)
    if not honest:
        edit(path, b"[4000000]", b"[12]")
    size = path.stat().st_size
    tracemalloc.start()
    try:
        with contextlib.suppress(OSError):
            assert CutoutCollection.read(path)[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # lz4 decompresses 4 MB at a time. zlib can decompress one byte to 1032 bytes.
    assert most < (10_000_000 if compression == "bzp2" or not honest else 3 * 1032 * size)


def test_parts_that_share(tmp_path):
    """Parts that share arrays are an error. Otherwise, a small file could contain many cutouts."""
    path = tmp_path / "c.asdf"
    tree = collection_tree()
    tree["parts"] = [dict(tree["parts"][0]) for _ in range(5)]
    write_raw(tree, path)
    with pytest.raises(OSError, match=r"c\.asdf .* several parts"):
        CutoutCollection.read(path)


@pytest.mark.parametrize("sealed", [True, False])
def test_forged_index(sealed, tmp_path):
    """A wrong block index causes an error or has no effect."""
    path = tmp_path / "c.asdf"
    write_raw(collection_tree(), path)
    content = path.read_bytes()
    begin = content.rindex(b"#ASDF BLOCK INDEX")
    offsets = [int(line[2:]) for line in content[begin:].split(b"\n") if line.startswith(b"- ")]
    rng = np.random.default_rng(3)
    for _ in range(100):
        wrong = rng.choice([*offsets, 0, 1, offsets[0] + 54, len(content), 10**17], len(offsets))
        wrong = np.tile(wrong, rng.choice([1, 1000]))
        lines = b"".join(b"- %d\n" % offset for offset in wrong.tolist())
        file = io.BytesIO()
        file.write(content[:begin] + b"#ASDF BLOCK INDEX\n%YAML 1.1\n---\n" + lines + b"...\n")
        if sealed:
            append_tree_checksum(file)
        path.write_bytes(file.getvalue())
        try:
            found = CutoutCollection.read(path)
            assert found[0].data.tolist() == [[0, 1, 2], [3, 4, 5]]
            said = path.name
        except OSError as error:
            said = str(error)
        assert path.name in said


def test_hostile_headers(tmp_path):
    """A block header whose size exceeds the file is an error at once."""
    path = tmp_path / "c.asdf"
    cutouts = make_cutouts(number=2)
    for compression in (None, "zlib"):
        cutouts.write(path, compression=compression, overwrite=True)
        content = path.read_bytes()
        begin = content.index(b"\xd3BLK")
        # These are the positions of the allocated, used and decompressed sizes in the header.
        for field in (14, 22, 30):
            bad = bytearray(content)
            bad[begin + field] = 0x7F
            path.write_bytes(bad)
            if field == 30:
                # The decompressed size has no effect, because the size in the tree is used.
                assert_cutouts_equal(CutoutCollection.read(path), cutouts)
                continue
            with pytest.raises(OSError, match=r"c\.asdf"):
                CutoutCollection.read(path, lazy=False)


@pytest.mark.parametrize("name", ["cutout", "cutout_collection", "offset_wcs", "surprise"])
@pytest.mark.parametrize("version", ["1.1.0", "2.0.0"])
def test_later_version(name, version, tmp_path):
    """The error for a file of a later format version contains the version."""
    if name == "surprise":
        version = "1.0.0"
    write_raw(collection_tree(), tmp_path / "c.asdf", tag=f"{name}-{version}")
    with pytest.raises(OSError, match=rf"c\.asdf .* later version .*{name}-{version}"):
        CutoutCollection.read(tmp_path / "c.asdf")


def test_subclasses(tmp_path):
    """Writing a subclass is an error that names it, because reading would return the base class."""

    class Special(Cutout):
        pass

    class Specials(CutoutCollection):
        pass

    special = make_cutouts(number=1)[0].copy()
    special.__class__ = Special
    for cutouts in (special, Specials([make_cutouts(number=1)[0]])):
        with pytest.raises(asdf.exceptions.AsdfSerializationError, match="Special"):
            cutouts.write(tmp_path / "c.asdf", format="asdf")
        with pytest.raises(asdf.exceptions.AsdfSerializationError, match="Special"):
            asdf.AsdfFile({"c": [cutouts]}).write_to(tmp_path / "d.asdf")
    assert not (tmp_path / "c.asdf").exists()
