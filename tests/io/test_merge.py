"""Merging of archives."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from subpixal import Cutout, CutoutCollection, create_cutouts, create_primary_cutouts
from subpixal.cli import main
from subpixal.datasets import make_scene, make_wcs
from subpixal.io import merge_archives
from subpixal.io._asdf import merge, reader
from subpixal.testing import assert_cutouts_equal

SHAPE = (60, 70)


def make_parts(count=3, kind="sip"):
    """Return the cutouts of some exposures and the corresponding cutouts of the combined image."""
    drz, rng = make_wcs("tan", SHAPE), np.random.default_rng(5)
    data = rng.normal(size=SHAPE).astype(np.float32)
    primary = CutoutCollection(
        [
            Cutout(data, drz, (x, y), (x + 6, y + 8), src_id=y)
            for y in range(10, 40, 5)
            for x in (20,)
        ]
    )
    labels = np.ones(SHAPE, np.int32)
    parts = []
    for k in range(count):
        wcs = make_wcs(kind, SHAPE, rotation=10.0 * k)
        flt = rng.normal(size=SHAPE)
        parts.append(
            create_cutouts(primary, labels, data, drz, flt, wcs, mask_policy=None, mode="fill")
        )
    return [flt + drz for flt, drz in parts]


@pytest.fixture(params=[None, "lz4"])
def written(request, tmp_path):
    parts = make_parts()
    paths = [tmp_path / f"{k}.asdf" for k in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        part.write(path, compression=request.param)
    return parts, paths


def test_merge(written, tmp_path):
    """The merged archive has all cutouts in order, bit for bit, and the combined image once."""
    parts, paths = written
    merge_archives(paths, tmp_path / "all.asdf")
    found = CutoutCollection.read(tmp_path / "all.asdf")
    assert_cutouts_equal(found, parts[0] + parts[1] + parts[2])
    assert len(found.images) == 4
    assert (tmp_path / "all.asdf").read_bytes().count(b"!<asdf://subpixal.org/tags/fits_wcs-") == 4


def test_command(written, tmp_path, capsys):
    """The command merges archives. It can also append to an archive."""
    parts, paths = written
    assert main(["merge", *map(str, paths[:2]), "--output", str(tmp_path / "all.asdf")]) == 0
    both = [str(tmp_path / "all.asdf"), str(paths[2])]
    assert main(["merge", *both, "--output", both[0]]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["merge", *both, "--output", both[0], "--overwrite"]) == 0
    assert_cutouts_equal(CutoutCollection.read(both[0]), parts[0] + parts[1] + parts[2])


def test_pixels_are_not_held(written, tmp_path, monkeypatch):
    """While writing, all pixels come from mapped files and not from memory."""
    _, paths = written
    mapped = []

    def look(raw, *_, **__):
        for part in raw["parts"]:
            for plane in part["planes"].values():
                mapped.extend(map(reader.is_mapped, plane))

    monkeypatch.setattr(reader, "HELD", 0)
    monkeypatch.setattr(merge, "write_asdf", look)
    merge_archives(paths, tmp_path / "all.asdf")
    assert len(mapped) >= 8
    assert all(mapped)


def test_nothing_is_written(written, tmp_path):
    """If an archive cannot be read, this is an error and no file is written."""
    _, paths = written
    (tmp_path / "bad.asdf").write_bytes(b"#ASDF 1.0.0\n")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(OSError, match=r"bad\.asdf"):
        merge_archives([*paths, tmp_path / "bad.asdf"], tmp_path / "all.asdf")
    assert sorted(tmp_path.iterdir()) == before


def test_cutout_and_other_images(tmp_path):
    """Archives of single cutouts can be merged. Images are not merged if any property differs."""
    wcs, data = make_wcs("tan", SHAPE), np.zeros(SHAPE)
    options = [{}, {"exptime": 2}, {"meta": {"filter": "F140W"}}, {"psf": np.ones((3, 3))}, {}]
    cutouts = [Cutout(data, wcs, (1, 2), (5, 6), src_id=k, **o) for k, o in enumerate(options)]
    paths = [tmp_path / f"{k}.asdf" for k in range(len(cutouts))]
    for cutout, path in zip(cutouts, paths, strict=True):
        cutout.write(path)
    merge_archives(paths, tmp_path / "all.asdf")
    found = CutoutCollection.read(tmp_path / "all.asdf")
    assert_cutouts_equal(found, CutoutCollection(cutouts))
    assert found.image_numbers.tolist() == [0, 1, 2, 3, 0]


def test_twice(written, tmp_path, monkeypatch):
    """Two names of the same file are an error. Cutouts of exposures are never omitted."""
    parts, paths = written
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"different files, .*0\.asdf is there 2 times"):
        merge_archives([paths[0], "1.asdf", "../" + tmp_path.name + "/0.asdf"], "all.asdf")
    assert not Path("all.asdf").exists()
    merge_archives(paths[:2], "some.asdf")
    merge_archives(["some.asdf", *paths], "all.asdf")
    assert_cutouts_equal(CutoutCollection.read("all.asdf"), sum(parts[:2] + parts, parts[0][:0]))


def test_shared_primaries(tmp_path):
    """Primary cutouts and dropped sources are written once if several archives contain them."""
    scene = make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip", "tan"))
    drz, labels = scene.combined, scene.segmentation
    primary = create_primary_cutouts(scene.truth, labels, drz.data, drz.wcs)
    assert len(primary.dropped) > 0
    paths, expected = [], primary
    for image in scene.exposures:
        exposure = Cutout(image.data, image.wcs, meta={"name": image.name}, copy=False)
        flt, back = create_cutouts(primary, labels, drz.data, drz.wcs, exposure, None)
        paths.append(tmp_path / f"{len(paths)}.asdf")
        (primary + flt + back[:]).write(paths[-1])
        expected = expected + flt + back[:]
    # This archive has a cutout of its own, and the same other cutouts.
    other = create_primary_cutouts(scene.truth[::-1], labels, drz.data, drz.wcs, pad=2)
    paths.append(tmp_path / "other.asdf")
    reason = primary.dropped_groups[0]._replace(message="for another reason")
    more = other[:1].with_dropped([reason])
    (more + primary[3:]).write(paths[-1])
    merge_archives(paths, tmp_path / "all.asdf")
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "all.asdf"), expected + more)


@pytest.mark.parametrize("name", ["", "flt.fits[SCI,1]"])
def test_one_to_one(tmp_path, name):
    """Exposures of one pointing share cutouts of the combined image, but keep their own cutouts."""
    scene = make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip",))
    drz, labels, (image,) = scene.combined, scene.segmentation, scene.exposures
    primary = create_primary_cutouts(scene.truth, labels, drz.data, drz.wcs)
    paths, expected = [], primary
    for k in range(2):
        exposure = Cutout(image.data + k, image.wcs, meta={"name": name}, copy=False)
        flt, back = create_cutouts(primary, labels, drz.data, drz.wcs, exposure, None)
        paths.append(tmp_path / f"{k}.asdf")
        # The order of the archives does not change the result.
        (primary + back + flt[:]).write(paths[-1])
        expected = expected + back + flt[:]
    merge_archives(paths, tmp_path / "all.asdf")
    found = CutoutCollection.read(tmp_path / "all.asdf")
    # The merged archive contains equal records of the combined image only once.
    for one, other in zip(found, expected, strict=True):
        assert_cutouts_equal(one, other)
    assert len(flt.dropped) > 0
    assert found.dropped.pformat() == expected.dropped.pformat()


def test_dropped_twice_in_one(tmp_path):
    """If one archive lists a dropped source twice, the merged archive also lists it twice."""
    scene = make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip",))
    drz, labels = scene.combined, scene.segmentation
    primary = create_primary_cutouts(scene.truth, labels, drz.data, drz.wcs)
    assert len(primary.dropped) > 0
    # Consecutive dropped sources form one group.
    other = primary[:0].with_dropped([primary.dropped_groups[0]._replace(image="other")])
    paths = [tmp_path / "0.asdf", tmp_path / "1.asdf"]
    (primary + other + primary).write(paths[0])
    primary.write(paths[1])
    merge_archives(paths, tmp_path / "all.asdf")
    expected = primary + other + primary
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "all.asdf"), expected)


@pytest.mark.parametrize("change", ["pixels", "planes", "place", "id", "meta"])
def test_all_but_the_same(tmp_path, change):
    """Two cutouts of one image are both kept if any of their properties differ."""
    data, wcs = np.zeros(SHAPE), make_wcs("tan", SHAPE)
    labels = np.zeros(SHAPE, int)
    labels[3:6, 2:5] = 7
    pair = [create_primary_cutouts({"id": [7]}, labels, data, wcs) for _ in range(2)]
    if change == "pixels":
        pair[1][0].data[1, 1] = 3
    elif change == "planes":
        pair[1][0].weight = np.ones(pair[1][0].shape)
    elif change == "place":
        pair[1][0].dx = 0.5
    elif change == "id":
        pair[1][0].src_id = 8
    else:
        pair[1][0].meta["seen"] = "by me"
    paths = [tmp_path / "0.asdf", tmp_path / "1.asdf"]
    for one, path in zip(pair, paths, strict=True):
        one.write(path)
    merge_archives(paths, tmp_path / "all.asdf")
    found = CutoutCollection.read(tmp_path / "all.asdf")
    assert len(found.images) == 1
    assert_cutouts_equal(found, pair[0] + pair[1])


FEW_FILES = """
import resource, sys
from subpixal.io import merge_archives
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (50, most))
merge_archives(sys.argv[2:], sys.argv[1], overwrite=True)
"""


@pytest.mark.skipif(os.name != "posix", reason="limits the number of open files")
@pytest.mark.parametrize("compression", [None, "zlib"])
def test_many_archives(compression, tmp_path):
    """The number of archives and blocks can exceed the number of files that a process can open."""
    wcs, data = make_wcs("tan", SHAPE), np.arange(60.0 * 70).reshape(SHAPE)
    paths, cutouts = [], []
    for k in range(60):
        # Each archive has an image of its own, and therefore blocks of its own.
        cutout = Cutout(data + k, wcs, (1, 2), (5, 6), src_id=k, exptime=k % 50 + 1)
        paths.append(tmp_path / f"{k}.asdf")
        cutouts.append(cutout)
        CutoutCollection([cutout]).write(paths[-1], compression=compression)
    output = tmp_path / "all.asdf"
    command = [sys.executable, "-c", FEW_FILES, output, *paths]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    found = CutoutCollection.read(output)
    assert_cutouts_equal(found, CutoutCollection(cutouts))
    assert len(found.images) == 50
    assert sorted(tmp_path.iterdir()) == sorted([*paths, output])


def test_spool(tmp_path, monkeypatch):
    """Pixels of any size are moved to a file and read from this file."""
    monkeypatch.setattr(merge, "MAPPED_BYTES", 1000)
    rng = np.random.default_rng(1)
    with (tmp_path / "spool").open("w+b") as file:
        spool = merge._SpillFile(file)
        pieces = [rng.random(n) for n in (3, 1, 400, 5000, 0, 7, 90)] + [np.arange(5, dtype=">u2")]
        aside = [spool.spill(piece) for piece in pieces]
    for a, b in zip(aside, pieces, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
        assert reader.is_mapped(a) == (b.size > 0)


@pytest.mark.parametrize("name", ["all.fits", "ALL.FIT", "all.fits.gz"])
def test_name_of_another_format(name, tmp_path, capsys):
    """An archive whose name ends like a FITS file is an error."""
    with pytest.raises(ValueError, match="is an ASDF file"):
        merge_archives([], tmp_path / name)
    assert main(["merge", "none.asdf", "--output", str(tmp_path / name)]) == 2
    assert f"{name}: the output is an ASDF file" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_noticed_first(tmp_path):
    """Wrong arguments raise an error before any archive is read."""
    with pytest.raises(ValueError, match=r"^compression must be 'zlib', .* got 'foo'"):
        merge_archives(["none.asdf"], tmp_path / "all.asdf", compression="foo")
    with pytest.raises(FileNotFoundError, match=r"all\.asdf: there is no folder"):
        merge_archives(["none.asdf"], tmp_path / "none" / "all.asdf")
    with pytest.raises(TypeError, match=r"^paths must .* not one name: \['none\.asdf'\]"):
        merge_archives("none.asdf", tmp_path / "all.asdf")
    assert not list(tmp_path.iterdir())
