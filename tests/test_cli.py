"""The command, on files as users have them."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from subpixal import Cutout, CutoutCollection
from subpixal.cli import main
from subpixal.datasets import make_scene, make_wcs
from subpixal.testing import assert_cutouts_equal


def write_image(path, image, **more):
    """A FITS file as HST pipelines write it: SCI, and what else there is."""
    primary = fits.PrimaryHDU()
    primary.header["EXPTIME"] = image.exptime
    hdulist = image.wcs.to_fits(relax=True)
    science = fits.ImageHDU(image.data, hdulist[0].header, name="SCI")
    science.header["BUNIT"] = "ELECTRONS" if image.weight is None else "ELECTRONS/S"
    planes = {"ERR": image.error, "DQ": image.dq, "WHT": image.weight} | more
    extra = [fits.ImageHDU(p, name=n) for n, p in planes.items() if p is not None]
    fits.HDUList([primary, science, *extra, *hdulist[1:]]).writeto(path)


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip", "lookup"))


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """A folder with a combined image, two exposures, a catalog and a segmentation."""
    folder = tmp_path_factory.mktemp("images")
    write_image(folder / "drz.fits", scene.combined)
    for number, image in enumerate(scene.exposures, 1):
        write_image(folder / f"flt{number}.fits", image)
    fits.writeto(folder / "seg.fits", scene.segmentation)
    scene.truth["id", "ra", "dec"].write(folder / "cat.ecsv")
    return folder


@pytest.fixture
def arguments(folder, tmp_path):
    """Arguments of a run that works."""
    return {
        "combined": str(folder / "drz.fits"),
        "exposures": [str(folder / "flt1.fits"), str(folder / "flt2.fits")],
        "--catalog": str(folder / "cat.ecsv"),
        "--segmentation": str(folder / "seg.fits"),
        "--output": str(tmp_path / "out.asdf"),
    }


def words_of(arguments):
    named = [word for key, value in arguments.items() if key[0] == "-" for word in (key, value)]
    return ["create", arguments["combined"], *arguments["exposures"], *named]


def create(arguments, *more):
    return main([*words_of(arguments), *more])


def test_create(arguments, scene, capsys):
    """All cutouts are written, and each exposure has a line of what became of its sources."""
    assert create(arguments) == 0
    cutouts = CutoutCollection.read(arguments["--output"])
    assert [image.stage for image in cutouts.images] == [
        "primary", "input_image", "drz", "input_image", "drz",
    ]  # fmt: skip
    lines = capsys.readouterr().out.splitlines()
    columns = lines[0].split()
    groups = list(cutouts.group_by("image").values())
    for exposure, group in ((1, groups[1]), (2, groups[3])):
        (line,) = [text for text in lines if text.strip().startswith(f"flt{exposure}.fits[SCI,1]")]
        counts = dict(zip(columns[1:], map(int, line.split()[1:]), strict=True))
        assert counts.pop("cut") == len(group)
        assert len(group) + sum(counts.values()) == len(groups[0])
        truth = scene.exposures[exposure - 1].positions[group.ids - 1]
        # The header rounds the WCS, the catalog has the true sky positions.
        np.testing.assert_allclose(group.table["src_pos"], truth, atol=1e-4)
    assert cutouts.images[1].exptime == scene.exposures[0].exptime
    assert cutouts[0].unit.to_string() == "electron / s"


def test_chips(folder, arguments, tmp_path):
    """Several SCI extensions are several chips, one of them can be picked."""
    path = tmp_path / "two.fits"
    with fits.open(folder / "flt1.fits") as one:
        second = [hdu.copy() for hdu in one[1:]]
        for hdu in second:
            hdu.ver = 2
        fits.HDUList([*one, *second]).writeto(path)
    create(arguments | {"exposures": [str(path)]})
    names = [i.name for i in CutoutCollection.read(arguments["--output"]).images]
    assert names[1::2] == ["two.fits[SCI,1]", "two.fits[SCI,2]"]
    create(arguments | {"exposures": [f"{path}[SCI,2]"]}, "--overwrite")
    names = [i.name for i in CutoutCollection.read(arguments["--output"]).images]
    assert names[1::2] == ["two.fits[SCI,2]"]


def test_options(arguments):
    """Padding, mode, mask policy and good flags reach the cutouts."""
    create(arguments)
    plain = CutoutCollection.read(arguments["--output"])
    create(
        arguments, "--overwrite", "--pad", "3", "--mode", "fill", "--mask-policy", "none",
        "--dqbitmask", "none",
    )  # fmt: skip
    other = CutoutCollection.read(arguments["--output"])
    ids = plain.group_by("image")[0].ids
    first, padded = (c.group_by("image")[0].select(ids[0])[0] for c in (plain, other))
    assert padded.width == first.width + 4
    assert not padded.mask[2:-2, 2:-2].any()
    assert len(other) > len(plain)
    assert "filled" in other.table["status"]
    assert other.images[1].dqbitmask is None


def test_segmentation_on_another_grid(arguments, scene, tmp_path):
    """A segmentation image with a grid of its own is recognised by its WCS."""
    header = scene.combined.wcs.to_header()
    header["CRPIX1"] -= 10
    header["CRPIX2"] -= 7
    labels = scene.segmentation[7:-3, 10:-20]
    fits.writeto(tmp_path / "part.fits", labels, header)
    create(arguments, "--keep-segmentation", "--flt-mask-policy", "uberseg")
    whole = CutoutCollection.read(arguments["--output"])
    create(
        arguments | {"--segmentation": str(tmp_path / "part.fits")}, "--overwrite",
        "--keep-segmentation",
    )  # fmt: skip
    part = CutoutCollection.read(arguments["--output"])
    assert 5 < len(part.group_by("image")[0]) < len(whole.group_by("image")[0])
    for cutout in part.group_by("image")[0]:
        other = whole.select(cutout.src_id)[0]
        assert cutout.blc == other.blc
        np.testing.assert_array_equal(cutout.mask, other.mask)
    for cutout in whole.group_by("image")[1]:
        neighbour = (cutout.segmentation != 0) & (cutout.segmentation != cutout.src_id)
        assert (cutout.mask >= neighbour).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"combined": "none.fits"}, "none.fits: there is no such file"),
        ({"exposures": ["none.fits"]}, "none.fits: there is no such file"),
        ({"--catalog": "none.ecsv"}, "none.ecsv"),
        ({"--segmentation": "none.fits"}, "none.fits: there is no such file"),
        ({"--output": "nowhere/out.asdf"}, "there is no folder nowhere"),
        ({"--output": "cutouts.fits"}, "cutouts.fits: the output is an ASDF file"),
    ],
)
def test_missing_files(arguments, change, message, capsys, tmp_path, monkeypatch):
    """A file that is missing, or that may not be written, is named in one line before any work."""
    monkeypatch.chdir(tmp_path)
    assert create(arguments | change) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_no_wcs(arguments, tmp_path, capsys):
    """An image without a WCS is named."""
    fits.writeto(tmp_path / "plain.fits", np.zeros((200, 220), "f4"))
    assert create(arguments | {"exposures": [str(tmp_path / "plain.fits")]}) == 2
    assert "plain.fits" in capsys.readouterr().err
    assert not (tmp_path / "out.asdf").exists()


def test_no_ids(arguments, tmp_path, capsys):
    """A catalog without identifiers is named, with what it has instead."""
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "odd.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "odd.ecsv")}) == 2
    error = capsys.readouterr().err
    assert "odd.ecsv" in error
    assert "id, label, NUMBER" in error


def test_shapes(arguments, tmp_path, capsys):
    """A segmentation of another shape is named, with both shapes."""
    fits.writeto(tmp_path / "small.fits", np.ones((20, 30), "i4"))
    assert create(arguments | {"--segmentation": str(tmp_path / "small.fits")}) == 2
    error = capsys.readouterr().err
    assert "small.fits" in error
    assert "(20, 30)" in error
    assert "(200, 220)" in error


def test_flags_refused(arguments, capsys):
    """Flags that are none are refused."""
    assert create(arguments, "--dqbitmask", "many") == 2
    assert "--dqbitmask" in capsys.readouterr().err


def test_flags_by_name(folder, arguments, tmp_path, capsys):
    """Names of the mission say which flags are good, and are shown again."""
    arguments |= {
        "combined": str(tmp_path / "coadd.fits"),
        "exposures": [str(tmp_path / "cal.fits")],
    }
    for name, other in (("drz", "coadd"), ("flt1", "cal")):
        with fits.open(folder / f"{name}.fits") as hdulist:
            hdulist[0].header.update(TELESCOP="ROMAN", INSTRUME="WFI")
            hdulist.writeto(tmp_path / f"{other}.fits")
    for options, good, shown in (
        (["--dqbitmask", "HOT+saturated"], 2050, " SATURATED+HOT"),
        ([], ~513, " ~(DO_NOT_USE+NON_SCIENCE)"),
    ):
        assert create(arguments, "--overwrite", *options) == 0
        assert CutoutCollection.read(arguments["--output"]).images[1].dqbitmask == good
        main(["info", arguments["--output"]])
        (line,) = [t for t in capsys.readouterr().out.splitlines() if "input_image" in t]
        assert line.rstrip().endswith(shown)
    # A name that another mission has.
    assert create(arguments, "--overwrite", "--dqbitmask", "CRDRIZ") == 2
    assert "coadd.fits[SCI,1]: dqbitmask must be" in capsys.readouterr().err


def test_overwrite(arguments, capsys):
    """An existing archive is refused before any work, and left alone."""
    create(arguments)
    before = Path(arguments["--output"]).read_bytes()
    assert create(arguments | {"combined": "none.fits"}) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert Path(arguments["--output"]).read_bytes() == before


def test_info(arguments, capsys):
    """What is in the archive: a line for each image, and what was dropped."""
    create(arguments)
    capsys.readouterr()
    assert main(["info", arguments["--output"]]) == 0
    text = capsys.readouterr().out
    cutouts = CutoutCollection.read(arguments["--output"])
    assert f"{len(cutouts)} cutouts of {len(set(cutouts.ids.tolist()))} sources" in text
    assert "flt2.fits[SCI,1]" in text
    assert f"{len(cutouts.dropped)} dropped" in text


def test_info_of_something_else(tmp_path, capsys):
    """A file that is no archive is named."""
    (tmp_path / "a.txt").write_text("hello")
    assert main(["info", str(tmp_path / "a.txt")]) == 2
    assert "a.txt" in capsys.readouterr().err


def test_show(arguments, tmp_path, capsys):
    """The gallery is a picture; chosen sources have a row each."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    create(arguments)
    ids = CutoutCollection.read(arguments["--output"]).ids[:2].tolist()
    picked = [word for i in ids for word in ("--id", str(i))]
    for name, more in (("two.png", picked), ("one.png", picked[:2])):
        output = ["--output", str(tmp_path / name)]
        assert main(["show", arguments["--output"], *output, *more]) == 0
    two, one = imread(tmp_path / "two.png"), imread(tmp_path / "one.png")
    assert two.shape[0] == 2 * one.shape[0]
    assert main(["show", arguments["--output"], *output, "--id", "nobody"]) == 2
    assert "no cutout of source nobody" in capsys.readouterr().err


def test_demo(tmp_path, capsys):
    """The demo needs no input and says where its files are."""
    pytest.importorskip("matplotlib")
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    for name in ("subpixal_demo.asdf", "subpixal_demo.png"):
        assert (tmp_path / "demo" / name).is_file()
        assert str(tmp_path / "demo" / name) in text
    cutouts = CutoutCollection.read(tmp_path / "demo" / "subpixal_demo.asdf")
    assert len(cutouts.images) == 7


def test_bug_shows_itself(monkeypatch):
    """An error that is none of the user's is not hidden."""
    monkeypatch.setattr("subpixal.io._asdf.archive.read_asdf", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["info", "a.asdf"])


def test_nothing_to_cut(arguments, tmp_path, capsys):
    """Without a single source there is no archive, and the reasons are counted."""
    Table({"id": [901, 902], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(tmp_path / "odd.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "odd.ecsv")}) == 2
    assert "no source could be cut" in (error := capsys.readouterr().err)
    assert "2 not_in_segmentation" in error
    assert not Path(arguments["--output"]).exists()


def test_catalog_of_another_image(arguments, folder, tmp_path, capsys):
    """A catalog whose positions are elsewhere is refused, with the files that disagree."""
    catalog = Table.read(folder / "cat.ecsv")
    catalog["dec"] += 0.001
    catalog.write(tmp_path / "other.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "other.ecsv")}) == 2
    error = capsys.readouterr().err
    assert "do not belong together" in error
    assert "other.ecsv" in error
    assert "seg.fits" in error


def test_inputs_are_safe(arguments, folder, capsys):
    """An input is never replaced, whatever may be overwritten."""
    before = (folder / "flt1.fits").read_bytes()
    assert create(arguments | {"--output": str(folder / "flt1.fits")}, "--overwrite") == 2
    assert "is one of the input files" in capsys.readouterr().err
    assert (folder / "flt1.fits").read_bytes() == before


def test_output_that_is_no_file(arguments, tmp_path, capsys):
    """A folder is not replaced by a file."""
    (tmp_path / "out.asdf").mkdir()
    assert create(arguments, "--overwrite") == 2
    assert "out.asdf is not a file" in capsys.readouterr().err


def test_links_are_followed(arguments, tmp_path):
    """What a link points at is replaced, not the link."""
    target = tmp_path / "real.asdf"
    target.write_text("old")
    link = Path(arguments["--output"])
    link.symlink_to(target)
    assert create(arguments, "--overwrite") == 0
    assert link.is_symlink()
    assert len(CutoutCollection.read(target)) > 0


def test_show_keeps_its_archive(arguments, capsys):
    """A picture never replaces the archive that it is of."""
    create(arguments)
    before = Path(arguments["--output"]).read_bytes()
    assert main(["show", arguments["--output"], "--output", arguments["--output"]]) == 2
    assert "is one of the input files" in capsys.readouterr().err
    assert Path(arguments["--output"]).read_bytes() == before


@pytest.mark.parametrize(
    "words", [["create"], ["demo", "--seed", "-1"], ["show", "a", "--output", "b", "--limit", "0"]]
)
def test_usage(words):
    """Wrong usage ends with status 2, too."""
    with pytest.raises(SystemExit) as error:
        main(words)
    assert error.value.code == 2


def test_without_matplotlib(tmp_path, monkeypatch, capsys):
    """What is missing for pictures is said before any work, with how to get it."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--folder", str(tmp_path)]) == 2
    assert "subpixal[plot]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_interrupt(monkeypatch, capsys):
    """An interrupt is no traceback."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("subpixal.io._asdf.archive.read_asdf", interrupt)
    assert main(["info", "a.asdf"]) == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.fixture
def many(folder, arguments, tmp_path):
    """Arguments of a run that takes some seconds."""
    names = [tmp_path / f"flt{k}.fits" for k in range(12)]
    for name in names:
        name.symlink_to(folder / "flt1.fits")
    return arguments | {"exposures": list(map(str, names))}


def start(arguments, *more):
    """The command in a process of its own, once it has done the first exposure."""
    process = subprocess.Popen(
        [sys.executable, "-m", "subpixal.cli", *words_of(arguments), *more],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not done_by(arguments):
        time.sleep(0.01)
    return process


def done_by(arguments):
    return len(list(Path(f"{arguments['--output']}.parts").glob("*.json")))


def children_of(process):
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return task.read_text().split()


@pytest.mark.parametrize("who", ["group", "main"])
def test_interrupted_workers(many, who):
    """What is being cut is finished, nothing else is begun; the same command goes on."""
    process = start(many, "--workers", "2")
    if who == "group":  # as a terminal does
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "out.asdf.parts; run the same command to resume" in error
    assert "Traceback" not in error
    done = done_by(many)
    assert 0 < done < 12
    assert create(many) == 0
    assert len(CutoutCollection.read(many["--output"]).dropped) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="it looks up processes in /proc")
def test_killed(many):
    """Workers end with the process that has started them."""
    process = start(many, "--workers", "2")
    workers = [Path(f"/proc/{pid}") for pid in children_of(process)]
    process.kill()
    process.wait()
    process.stderr.close()
    deadline = time.monotonic() + 30
    while (left := [pid for pid in workers if pid.exists()]) and time.monotonic() < deadline:
        time.sleep(0.05)
    if left:
        os.killpg(process.pid, signal.SIGKILL)
    assert len(workers) >= 2
    assert not left


def test_progress(arguments, capsys):
    """On a terminal, a bar says how many exposures are done and how long the rest takes."""
    termios = pytest.importorskip("termios")
    pytest.importorskip("tqdm")
    master, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (30, 100))
    run = subprocess.run(
        [sys.executable, "-m", "subpixal.cli", *words_of(arguments)], stderr=terminal, check=True,
        stdout=subprocess.PIPE, env=os.environ | {"TQDM_MININTERVAL": "0"}, timeout=60,
    )  # fmt: skip
    os.set_blocking(master, False)
    text = os.read(master, 100_000).decode()
    os.close(terminal)
    os.close(master)
    assert re.search(r"exposures:  50%.* 1/2 \[\d\d:\d\d<\d\d:\d\d", text)
    assert b"%" not in run.stdout
    # Elsewhere there is none.
    create(arguments, "--overwrite")
    assert "exposures" not in capsys.readouterr().err


def test_terminated(tmp_path):
    """A process that is told to end leaves no half-written file."""
    code = (
        "import os, signal, sys\n"
        "from subpixal.cli import _interruptible\n"
        "from subpixal.io._files import replacing\n"
        f"with _interruptible(), replacing({str(tmp_path / 'out.asdf')!r}) as file:\n"
        "    file.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert list(tmp_path.iterdir()) == []


def test_scheduler(arguments, tmp_path):
    """Workers of dask, wherever they are, cut the same as this process."""
    distributed = pytest.importorskip("distributed")
    assert create(arguments) == 0
    other = arguments | {"--output": str(tmp_path / "other.asdf")}
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
    )
    with cluster:
        assert create(other, "--scheduler", cluster.scheduler_address) == 0
    here, there = (CutoutCollection.read(words["--output"]) for words in (arguments, other))
    assert_cutouts_equal(there, here)


def test_no_distributed(arguments, monkeypatch, capsys):
    """Without dask.distributed it is said how to get it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert create(arguments, "--scheduler", "tcp://127.0.0.1:8786") == 2
    assert "pip install 'subpixal[distributed]'" in capsys.readouterr().err
    assert not Path(arguments["--output"]).exists()


def test_compression(arguments):
    """Compression makes the archive smaller."""
    create(arguments)
    before = Path(arguments["--output"]).stat().st_size
    create(arguments, "--overwrite", "--compression", "zlib")
    assert Path(arguments["--output"]).stat().st_size < before


def test_missing_exposures_are_noticed_first(arguments, capsys):
    """A file that is missing at the end of the list is said before any is opened."""
    bad = [*arguments["exposures"], "none.fits", "nor-this.fits"]
    assert create(arguments | {"exposures": bad}) == 2
    assert "none.fits" in capsys.readouterr().err


def test_image_as_segmentation(arguments, folder, capsys):
    """An image with whole numbers of counts is no segmentation image."""
    with fits.open(folder / "flt1.fits") as hdulist:
        hdulist["SCI"].data = np.rint(hdulist["SCI"].data)
        path = folder / "counts.fits"
        hdulist.writeto(path)
    assert create(arguments | {"--segmentation": str(path)}) == 2
    assert "counts.fits[SCI,1] is an image" in capsys.readouterr().err


def test_demo_is_accurate(tmp_path, capsys):
    """What the demo says of its accuracy is true of its archive."""
    pytest.importorskip("matplotlib")
    main(["demo", "--folder", str(tmp_path), "--seed", "4"])
    lines = [line for line in capsys.readouterr().out.splitlines() if "median distance" in line]
    cutouts = CutoutCollection.read(tmp_path / "subpixal_demo.asdf")
    scene = make_scene(seed=4)
    flt = [group for group in cutouts.group_by("image").values()
           if group[0].image.stage == "input_image"]  # fmt: skip
    for line, group, image in zip(lines, flt, scene.exposures, strict=True):
        found, true = group.table["src_pos"], image.positions[np.isfinite(image.positions[:, 0])]
        nearest = np.hypot(*(found[:, None] - true).T).min(axis=0)
        assert f"is {np.median(nearest):.3f} px" in line
        assert 0.001 < np.median(nearest) < 0.1


def test_archive_of_one_cutout(tmp_path, capsys):
    """A single cutout is an archive, too."""
    cutout = Cutout(np.zeros((20, 20)), make_wcs("tan", (20, 20)), (2, 3), (9, 9), src_id="one")
    cutout.write(tmp_path / "one.asdf")
    assert main(["info", str(tmp_path / "one.asdf")]) == 0
    assert "1 cutouts of 1 sources" in capsys.readouterr().out
