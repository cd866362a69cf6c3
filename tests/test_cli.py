"""Commands ``create``, ``info`` and ``show`` with files in the layouts of missions."""

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

from subpixal import CutoutCollection
from subpixal.cli import main
from subpixal.datasets import make_scene
from subpixal.testing import assert_cutouts_equal


def write_image(path, image, **more):
    """Write a FITS file with all planes of the image, in the layout of HST pipelines."""
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
    """Simulated combined image, two exposures and sources."""
    return make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip", "lookup"))


@pytest.fixture(scope="module")
def folder(scene, tmp_path_factory):
    """Folder with files: a combined image, two exposures, a catalog and a segmentation image."""
    folder = tmp_path_factory.mktemp("images")
    write_image(folder / "drz.fits", scene.combined)
    for number, image in enumerate(scene.exposures, 1):
        write_image(folder / f"flt{number}.fits", image)
    fits.writeto(folder / "seg.fits", scene.segmentation)
    scene.truth["id", "ra", "dec"].write(folder / "cat.ecsv")
    return folder


@pytest.fixture
def arguments(folder, tmp_path):
    """Return the words of a valid command ``create``."""
    return {
        "combined": str(folder / "drz.fits"),
        "exposures": [str(folder / "flt1.fits"), str(folder / "flt2.fits")],
        "--catalog": str(folder / "cat.ecsv"),
        "--segmentation": str(folder / "seg.fits"),
        "--output": str(tmp_path / "out.asdf"),
    }


def make_command(arguments):
    """Return the words of the command ``create``."""
    named = [word for key, value in arguments.items() if key[0] == "-" for word in (key, value)]
    return ["create", arguments["combined"], *arguments["exposures"], *named]


def create(arguments, *more):
    """Run the command ``create``. Return its exit status."""
    return main([*make_command(arguments), *more])


def test_create_writes_cutouts_and_prints_counts(arguments, scene, capsys):
    """The archive has all cutouts. A line for each exposure counts cut and rejected sources."""
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
        # Headers round the values of the WCS, so positions agree only to 1e-4 pixels.
        np.testing.assert_allclose(group.table["src_pos"], truth, atol=1e-4)
    assert cutouts.images[1].exptime == scene.exposures[0].exptime
    assert cutouts[0].unit.to_string() == "electron / s"


def test_chips_are_all_cut_or_selected(folder, arguments, tmp_path):
    """All SCI extensions of an exposure are cut, unless brackets select one."""
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


def test_options_change_the_cutouts(arguments):
    """Options of the command change padding, mode, mask policy and good flags of the cutouts."""
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
    """A segmentation image with another origin and shape gives the same boxes and masks."""
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
        other_source = (cutout.segmentation != 0) & (cutout.segmentation != cutout.src_id)
        assert (cutout.mask >= other_source).all()


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
def test_missing_files_are_named_before_any_work(
    arguments, change, message, capsys, tmp_path, monkeypatch
):
    """A missing input or an invalid output gives an error of one line. No file is written."""
    monkeypatch.chdir(tmp_path)
    assert create(arguments | change) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_image_without_wcs_is_named(arguments, tmp_path, capsys):
    """If an image has no WCS, the error names the image and no archive is written."""
    fits.writeto(tmp_path / "plain.fits", np.zeros((200, 220), "f4"))
    assert create(arguments | {"exposures": [str(tmp_path / "plain.fits")]}) == 2
    assert "plain.fits" in capsys.readouterr().err
    assert not (tmp_path / "out.asdf").exists()


def test_catalog_without_ids_is_named(arguments, tmp_path, capsys):
    """If a catalog has no id column, the error names the catalog and possible column names."""
    Table({"ra": [1.0], "dec": [2.0]}).write(tmp_path / "odd.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "odd.ecsv")}) == 2
    error = capsys.readouterr().err
    assert "odd.ecsv" in error
    assert "id, label, NUMBER" in error


def test_segmentation_of_another_shape_is_named(arguments, tmp_path, capsys):
    """If the segmentation image has a wrong shape, the error names it and contains both shapes."""
    fits.writeto(tmp_path / "small.fits", np.ones((20, 30), "i4"))
    assert create(arguments | {"--segmentation": str(tmp_path / "small.fits")}) == 2
    error = capsys.readouterr().err
    assert "small.fits" in error
    assert "(20, 30)" in error
    assert "(200, 220)" in error


def test_invalid_good_flags_are_an_error(arguments, capsys):
    """If good flags are invalid, the error names the option."""
    assert create(arguments, "--dqbitmask", "many") == 2
    assert "--dqbitmask" in capsys.readouterr().err


def test_good_flags_can_be_names(folder, arguments, tmp_path, capsys):
    """Good flags can be given as names. The command ``info`` prints the names."""
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
    # Only other missions have the flag CRDRIZ.
    assert create(arguments, "--overwrite", "--dqbitmask", "CRDRIZ") == 2
    assert "coadd.fits[SCI,1]: dqbitmask must be" in capsys.readouterr().err


def test_existing_archive_needs_overwrite(arguments, capsys):
    """Without ``--overwrite``, an existing archive is an error before any work."""
    create(arguments)
    before = Path(arguments["--output"]).read_bytes()
    assert create(arguments | {"combined": "none.fits"}) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert Path(arguments["--output"]).read_bytes() == before


def test_info_prints_images_and_counts(arguments, capsys):
    """The command ``info`` prints the images, and the numbers of cutouts and rejected sources."""
    create(arguments)
    capsys.readouterr()
    assert main(["info", arguments["--output"]]) == 0
    text = capsys.readouterr().out
    cutouts = CutoutCollection.read(arguments["--output"])
    assert f"{len(cutouts)} cutouts of {len(set(cutouts.ids.tolist()))} sources" in text
    assert "flt2.fits[SCI,1]" in text
    assert f"{len(cutouts.dropped)} dropped" in text


def test_show_draws_rows_of_selected_sources(arguments, tmp_path, capsys):
    """The picture has one row for each selected source. An unknown source is an error."""
    pytest.importorskip("matplotlib")
    from matplotlib.image import imread

    create(arguments)
    ids = CutoutCollection.read(arguments["--output"]).ids[:2].tolist()
    selection = [word for i in ids for word in ("--id", str(i))]
    for name, more in (("two.png", selection), ("one.png", selection[:2])):
        output = ["--output", str(tmp_path / name)]
        assert main(["show", arguments["--output"], *output, *more]) == 0
    two, one = imread(tmp_path / "two.png"), imread(tmp_path / "one.png")
    assert two.shape[0] == 2 * one.shape[0]
    assert main(["show", arguments["--output"], *output, "--id", "nobody"]) == 2
    assert "no cutout of source nobody" in capsys.readouterr().err


def test_no_archive_without_cutouts(arguments, tmp_path, capsys):
    """If all sources are rejected, the error counts each reason and no archive is written."""
    Table({"id": [901, 902], "ra": [1.0, 2.0], "dec": [1.0, 2.0]}).write(tmp_path / "odd.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "odd.ecsv")}) == 2
    assert "no source could be cut" in (error := capsys.readouterr().err)
    assert "2 not_in_segmentation" in error
    assert not Path(arguments["--output"]).exists()


def test_catalog_of_another_image_is_an_error(arguments, folder, tmp_path, capsys):
    """If positions are off their segments, the error names catalog and segmentation image."""
    catalog = Table.read(folder / "cat.ecsv")
    catalog["dec"] += 0.001
    catalog.write(tmp_path / "other.ecsv")
    assert create(arguments | {"--catalog": str(tmp_path / "other.ecsv")}) == 2
    error = capsys.readouterr().err
    assert "do not belong together" in error
    assert "other.ecsv" in error
    assert "seg.fits" in error


def test_output_never_replaces_an_input(arguments, folder, capsys):
    """If the output is an input file, this is an error even with ``--overwrite``."""
    before = (folder / "flt1.fits").read_bytes()
    assert create(arguments | {"--output": str(folder / "flt1.fits")}, "--overwrite") == 2
    assert "is one of the input files" in capsys.readouterr().err
    assert (folder / "flt1.fits").read_bytes() == before


def test_folder_as_output_is_an_error(arguments, tmp_path, capsys):
    """If the output is a folder, this is an error even with ``--overwrite``."""
    (tmp_path / "out.asdf").mkdir()
    assert create(arguments, "--overwrite") == 2
    assert "out.asdf is not a file" in capsys.readouterr().err


def test_link_as_output_stays_a_link(arguments, tmp_path):
    """If the output is a symbolic link, the archive replaces the target of the link."""
    target = tmp_path / "real.asdf"
    target.write_text("old")
    link = Path(arguments["--output"])
    link.symlink_to(target)
    assert create(arguments, "--overwrite") == 0
    assert link.is_symlink()
    assert len(CutoutCollection.read(target)) > 0


def test_picture_never_replaces_its_archive(arguments, capsys):
    """If the output of ``show`` is its archive, this is an error. The archive stays the same."""
    create(arguments)
    before = Path(arguments["--output"]).read_bytes()
    assert main(["show", arguments["--output"], "--output", arguments["--output"]]) == 2
    assert "is one of the input files" in capsys.readouterr().err
    assert Path(arguments["--output"]).read_bytes() == before


@pytest.fixture
def many_exposures(folder, arguments, tmp_path):
    """Return the words of a command that takes some seconds."""
    names = [tmp_path / f"flt{k}.fits" for k in range(12)]
    for name in names:
        name.symlink_to(folder / "flt1.fits")
    return arguments | {"exposures": list(map(str, names))}


def start(arguments, *more):
    """Start the command in another process. Wait until it has finished one exposure."""
    process = subprocess.Popen(
        [sys.executable, "-m", "subpixal.cli", *make_command(arguments), *more],
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    while process.poll() is None and not count_finished(arguments):
        time.sleep(0.01)
    return process


def count_finished(arguments):
    """Return the number of exposures that the command has finished."""
    return len(list(Path(f"{arguments['--output']}.parts").glob("*.json")))


def find_children(process):
    """Return the process ids of the child processes."""
    task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    return task.read_text().split()


@pytest.mark.parametrize("receiver", ["group", "main"])
def test_interrupted_command_can_be_resumed(many_exposures, receiver):
    """An interrupted command finishes its current exposures. Later, it cuts only the others."""
    process = start(many_exposures, "--workers", "2")
    if receiver == "group":  # A terminal sends the signal to all processes of the group.
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "out.asdf.parts; run the same command to resume" in error
    assert "Traceback" not in error
    finished = count_finished(many_exposures)
    assert 0 < finished < 12
    assert create(many_exposures) == 0
    assert len(CutoutCollection.read(many_exposures["--output"]).dropped) > 0


@pytest.mark.skipif(sys.platform != "linux", reason="it looks up processes in /proc")
def test_workers_end_with_the_main_process(many_exposures):
    """If the main process is killed, its workers end within 30 seconds."""
    process = start(many_exposures, "--workers", "2")
    workers = [Path(f"/proc/{pid}") for pid in find_children(process)]
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


def test_progress_bar_appears_on_terminals_only(arguments, capsys):
    """On a terminal, a bar shows the finished exposures and the remaining time."""
    termios = pytest.importorskip("termios")
    pytest.importorskip("tqdm")
    master, terminal = os.openpty()
    termios.tcsetwinsize(terminal, (30, 100))
    run = subprocess.run(
        [sys.executable, "-m", "subpixal.cli", *make_command(arguments)],
        stderr=terminal,
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"TQDM_MININTERVAL": "0"},
        timeout=60,
    )
    os.set_blocking(master, False)
    text = os.read(master, 100_000).decode()
    os.close(terminal)
    os.close(master)
    assert re.search(r"exposures:  50%.* 1/2 \[\d\d:\d\d<\d\d:\d\d", text)
    assert b"%" not in run.stdout
    # If the output is not a terminal, there is no bar.
    create(arguments, "--overwrite")
    assert "exposures" not in capsys.readouterr().err


def test_scheduler_gives_the_same_archive(arguments, tmp_path):
    """With workers of a dask cluster, the command gives the same cutouts."""
    distributed = pytest.importorskip("distributed")
    assert create(arguments) == 0
    other = arguments | {"--output": str(tmp_path / "other.asdf")}
    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
    )
    with cluster:
        assert create(other, "--scheduler", cluster.scheduler_address) == 0
    found = CutoutCollection.read(other["--output"])
    assert_cutouts_equal(found, CutoutCollection.read(arguments["--output"]))


def test_scheduler_without_distributed_is_an_error(arguments, monkeypatch, capsys):
    """If dask.distributed is not installed, the error names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert create(arguments, "--scheduler", "tcp://127.0.0.1:8786") == 2
    assert "pip install 'subpixal[distributed]'" in capsys.readouterr().err
    assert not Path(arguments["--output"]).exists()


def test_compression_makes_the_archive_smaller(arguments):
    """With ``--compression zlib``, the archive has fewer bytes."""
    create(arguments)
    before = Path(arguments["--output"]).stat().st_size
    create(arguments, "--overwrite", "--compression", "zlib")
    assert Path(arguments["--output"]).stat().st_size < before


def test_missing_exposure_at_the_end_is_named(arguments, capsys):
    """If the last exposure is missing, the error names its file."""
    bad = [*arguments["exposures"], "none.fits", "nor-this.fits"]
    assert create(arguments | {"exposures": bad}) == 2
    assert "none.fits" in capsys.readouterr().err


def test_image_of_whole_counts_is_no_segmentation(arguments, folder, capsys):
    """An image as the segmentation image is an error, even if its pixels are whole numbers."""
    with fits.open(folder / "flt1.fits") as hdulist:
        hdulist["SCI"].data = np.rint(hdulist["SCI"].data)
        path = folder / "counts.fits"
        hdulist.writeto(path)
    assert create(arguments | {"--segmentation": str(path)}) == 2
    assert "counts.fits[SCI,1] is an image" in capsys.readouterr().err
