"""Commands ``info`` and ``demo``, wrong arguments, and interrupts."""

import subprocess
import sys

import numpy as np
import pytest

from subpixal import Cutout, CutoutCollection
from subpixal.cli import main
from subpixal.datasets import make_scene, make_wcs


def test_info_of_another_file_names_the_file(tmp_path, capsys):
    """If a file is not an archive, the error of ``info`` names the file."""
    (tmp_path / "a.txt").write_text("hello")
    assert main(["info", str(tmp_path / "a.txt")]) == 2
    assert "a.txt" in capsys.readouterr().err


def test_info_accepts_the_archive_of_one_cutout(tmp_path, capsys):
    """For the archive of a single cutout, ``info`` prints one cutout of one source."""
    cutout = Cutout(np.zeros((20, 20)), make_wcs("tan", (20, 20)), (2, 3), (9, 9), src_id="one")
    cutout.write(tmp_path / "one.asdf")
    assert main(["info", str(tmp_path / "one.asdf")]) == 0
    assert "1 cutouts of 1 sources" in capsys.readouterr().out


def test_unexpected_errors_are_raised(monkeypatch):
    """The command does not catch errors from bugs. They have a traceback."""
    monkeypatch.setattr("subpixal.io._asdf.archive.read_asdf", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["info", "a.asdf"])


def test_interrupt_is_one_line_with_status_130(monkeypatch, capsys):
    """After an interrupt, the command prints one line without a traceback. Its status is 130."""

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("subpixal.io._asdf.archive.read_asdf", interrupt)
    assert main(["info", "a.asdf"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_terminated_process_leaves_no_partial_file(tmp_path):
    """If SIGTERM ends a process while it is writing, no file remains."""
    code = (
        "import os, signal, sys\n"
        "from subpixal.cli import _interruptible\n"
        "from subpixal.io.paths import replacing\n"
        f"with _interruptible(), replacing({str(tmp_path / 'out.asdf')!r}) as file:\n"
        "    file.write(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"KeyboardInterrupt" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_demo_writes_its_files(tmp_path, capsys):
    """The demo runs without input files and prints the paths of its output files."""
    pytest.importorskip("matplotlib")
    assert main(["demo", "--folder", str(tmp_path / "demo")]) == 0
    text = capsys.readouterr().out
    for name in ("subpixal_demo.asdf", "subpixal_demo.png"):
        assert (tmp_path / "demo" / name).is_file()
        assert str(tmp_path / "demo" / name) in text
    cutouts = CutoutCollection.read(tmp_path / "demo" / "subpixal_demo.asdf")
    assert len(cutouts.images) == 7


def test_demo_prints_the_accuracy_of_its_archive(tmp_path, capsys):
    """The demo prints the median distances of the cutouts in its archive."""
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


def test_demo_without_matplotlib_is_an_error(tmp_path, monkeypatch, capsys):
    """If matplotlib is not installed, the error names its extra and no file is written."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["demo", "--folder", str(tmp_path)]) == 2
    assert "subpixal[plot]" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [["create"], ["demo", "--seed", "-1"], ["show", "a", "--output", "b", "--limit", "0"]],
)
def test_wrong_usage_has_status_2(command):
    """Wrong arguments of a command give the exit status 2."""
    with pytest.raises(SystemExit) as error:
        main(command)
    assert error.value.code == 2
