"""Tests of `map_exposures`: results, failures, resumption, and invalid arguments."""

import os
import pickle
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from subpixal import CutoutCollection, create_primary_cutouts, map_exposures
from subpixal.batch import cut_exposures, gather, report_on
from subpixal.datasets import make_scene
from subpixal.errors import ExposureError
from subpixal.io import read_image, read_images, read_segmentation
from subpixal.testing import assert_cutouts_equal


def write_image(path, image, instrument):
    """Write an image without other planes in the layout of HST files. Return the path."""
    header = image.wcs.to_header(relax=True)
    header["BUNIT"], header["EXPTIME"] = "ELECTRONS/S", image.exptime
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(image.data, header, name="SCI")]
    hdus[0].header["TELESCOP"], hdus[0].header["INSTRUME"] = "HST", instrument
    fits.HDUList(hdus).writeto(path)
    return str(path)


@pytest.fixture(scope="module")
def scene():
    """Simulated combined image, three exposures and sources."""
    return make_scene(n_sources=20, shape=(160, 170), seed=2, exposures=("tan", "sip", "sip"))


@pytest.fixture
def files(scene, tmp_path):
    """File names of the common inputs, by argument, and file names of the exposures."""
    combined = write_image(tmp_path / "drz.fits", scene.combined, "WFC3")
    segmentation = str(tmp_path / "seg.fits")
    fits.writeto(segmentation, scene.segmentation)
    exposures = [
        write_image(tmp_path / f"flt{k}.fits", image, "WFC3")
        for k, image in enumerate(scene.exposures)
    ]
    return {"combined": combined, "segmentation": segmentation}, exposures


@pytest.fixture
def primary(scene, files):
    """Primary cutouts of the scene."""
    shared, _ = files
    combined, labels = read_image(shared["combined"]), read_segmentation(shared["segmentation"])
    return create_primary_cutouts(scene.truth, labels, combined, None)


def cut_in_memory(primary, files):
    """Run `cut_exposures` in this process. Return all cutouts and the reports."""
    shared, exposures = files
    combined, labels = read_image(shared["combined"]), read_segmentation(shared["segmentation"])
    images = (image for name in exposures for image in read_images(name))
    results = list(cut_exposures(primary, labels, combined, images))
    return gather(primary, results), [report_on(result) for result in results]


class SerialExecutor(Executor):
    """Executor that runs and counts tasks in this thread. The tasks with given numbers fail."""

    def __init__(self, fail=()):
        self.count, self.fail = 0, fail

    def submit(self, function, *args):
        future, self.count = Future(), self.count + 1
        if self.count - 1 in self.fail:
            future.set_exception(ZeroDivisionError("planned failure"))
        else:
            future.set_result(function(*args))
        return future


@pytest.mark.parametrize("executor", ["none", "processes"])
def test_archive_equals_cutouts_in_memory(primary, files, tmp_path, executor):
    """The archive contains the cutouts of `cut_exposures`, in the order of the exposures."""
    shared, exposures = files
    expected, reports = cut_in_memory(primary, files)
    output = tmp_path / "out.asdf"
    totals = []

    def progress(items, total):
        for item in items:
            totals.append(total)
            yield item

    options = shared | {"output": output, "progress": progress}
    if executor == "none":
        assert map_exposures(primary, exposures, **options) == reports
    else:
        with ProcessPoolExecutor(2, get_context("spawn")) as processes:
            assert map_exposures(primary, exposures, processes, **options) == reports
    assert totals == [3, 3, 3]
    assert_cutouts_equal(CutoutCollection.read(output), expected)
    assert not output.with_name("out.asdf.parts").exists()


def test_second_run_cuts_only_failed_exposures(primary, files, tmp_path):
    """
    If one exposure fails, the others are finished.

    A second run cuts only the failed exposure.
    """
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf"}
    with pytest.raises(
        ExposureError, match=r"1 exposure failed .*flt1.fits: .*planned failure"
    ) as error:
        map_exposures(primary, exposures, SerialExecutor(fail=[1]), **options)
    assert list(error.value.failures) == [exposures[1]]
    assert "ZeroDivisionError" in error.value.failures[exposures[1]]
    assert not (tmp_path / "out.asdf").exists()
    parts = sorted((tmp_path / "out.asdf.parts").glob("*.asdf"))
    assert len(parts) == 3  # Files of the primary cutouts and of two exposures.
    before = {path: path.stat().st_mtime_ns for path in parts}
    unchanged = []

    class WatchingExecutor(SerialExecutor):
        def submit(self, function, *args):
            future = super().submit(function, *args)
            unchanged.append({p: p.stat().st_mtime_ns for p in before} == before)
            return future

    reports = map_exposures(primary, exposures, WatchingExecutor(), **options)
    assert unchanged == [True] * 3
    expected, counts = cut_in_memory(primary, files)
    assert reports == counts
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "out.asdf"), expected)


def test_another_process_keeps_finished_parts(primary, files, tmp_path):
    """A run in another process, with another hash seed, uses the parts of finished exposures."""
    _, exposures = files
    primary.write(tmp_path / "primary.asdf")
    code = (
        "import sys; from subpixal import CutoutCollection, map_exposures\n"
        "primary = CutoutCollection.read('primary.asdf')\n"
        "map_exposures(primary, sys.argv[1:], combined='drz.fits', segmentation='seg.fits',"
        " output='out.asdf', pad=2)\n"
    )
    parts = tmp_path / "out.asdf.parts"
    (tmp_path / "bad.fits").write_bytes(b"SIMPLE  =")
    before = None
    for seed in "0123":
        names = [Path(name).name for name in exposures[:2]]
        run = subprocess.run(
            [sys.executable, "-c", code, *names, "bad.fits"], cwd=tmp_path, check=False,
            capture_output=True, text=True, env=os.environ | {"PYTHONHASHSEED": seed},
        )  # fmt: skip
        assert "1 exposure failed (bad.fits: OSError" in run.stderr
        found = {path.name: path.stat().st_mtime_ns for path in parts.iterdir()}
        assert len(found) == 5
        assert found == (before := before or found)


def test_changed_files_and_options_are_cut_again(primary, files, tmp_path):
    """If files or options change, a run does not use the parts of an earlier run."""
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf"}
    with pytest.raises(ExposureError):
        map_exposures(primary, exposures, SerialExecutor(fail=[0]), **options)
    with fits.open(exposures[1], mode="update") as hdus:
        hdus["SCI"].data += 1
    map_exposures(primary, exposures, mode="fill", **options)
    found = CutoutCollection.read(tmp_path / "out.asdf")
    shared, _ = files
    combined, labels = read_image(shared["combined"]), read_segmentation(shared["segmentation"])
    images = (image for name in exposures for image in read_images(name))
    results = cut_exposures(primary, labels, combined, images, mode="fill")
    assert_cutouts_equal(found, gather(primary, results))


def test_failure_of_a_damaged_file_has_its_traceback(primary, files, tmp_path):
    """If a file is damaged, the error names it and contains the traceback of the task."""
    shared, exposures = files
    bad = tmp_path / "bad.fits"
    bad.write_bytes(b"SIMPLE  =")
    with pytest.raises(ExposureError, match=r"bad\.fits") as error:
        map_exposures(primary, [*exposures, bad], **shared, output=tmp_path / "out.asdf")
    assert list(error.value.failures) == [str(bad)]
    assert "read_images" in error.value.failures[str(bad)]


def test_good_flags_can_be_a_list(primary, files, tmp_path):
    """Good flags can be a list, as in all other functions."""
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf", "dqbitmask": [16, 64]}
    assert len(map_exposures(primary, exposures, **options)) == 3


def test_existing_output_is_an_error(primary, files, tmp_path):
    """If the output file exists, this is an error and the file does not change."""
    shared, exposures = files
    (tmp_path / "out.asdf").write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"out\.asdf exists already"):
        map_exposures(primary, exposures, **shared, output=tmp_path / "out.asdf")
    assert (tmp_path / "out.asdf").read_bytes() == b"mine"


def test_killed_worker_of_dask_does_not_change_the_result(primary, files, tmp_path):
    """If a worker of dask is killed, the archive still contains all cutouts."""
    distributed = pytest.importorskip("distributed")
    shared, exposures = files
    expected, _ = cut_in_memory(primary, files)
    cluster = distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", processes=True
    )
    with cluster, distributed.Client(cluster) as client:
        pids = client.run(os.getpid)

        def progress(items, _):
            for k, item in enumerate(items):
                if k == 0:
                    os.kill(next(iter(pids.values())), signal.SIGKILL)
                    time.sleep(0.5)
                yield item

        options = shared | {"output": tmp_path / "out.asdf", "progress": progress}
        reports = map_exposures(primary, exposures, client.get_executor(), **options)
    assert np.sum([report.cut for report in reports]) > 20
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "out.asdf"), expected)


class UnusedExecutor(Executor):
    """Executor that makes the test fail if it gets a task."""

    def submit(self, *_):
        raise AssertionError


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda names: names[0], TypeError, r"not one name: \['.*flt0\.fits'\]"),
        (lambda _: [], ValueError, "got none"),
        (lambda names: [*names, names[1]], ValueError, r"flt1\.fits twice"),
        (lambda _: [None], TypeError, "^exposures must be names of files, got NoneType"),
        (
            lambda names: list(map(read_image, names)),
            TypeError,
            "^exposures .* got Cutout; cut_exp",
        ),
        (lambda names: read_image(names[0]), TypeError, "^exposures .* got Cutout; cut_exposures"),
        (lambda names: [*names, "none.fits"], FileNotFoundError, r"none\.fits: there is no such"),
    ],
)
def test_invalid_exposures_are_errors_before_any_task(
    primary, files, tmp_path, change, error, message
):
    """If exposures are not a list of different, existing files, no task starts."""
    shared, exposures = files
    with pytest.raises(error, match=message):
        map_exposures(
            primary, change(exposures), UnusedExecutor(), **shared, output=tmp_path / "out.asdf"
        )
    assert not list(tmp_path.glob("out.asdf*"))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"mod": "fill"}, TypeError, "no option 'mod', it has .*, mode, .*, copy$"),
        ({"drz_wcs": None}, TypeError, "no option 'drz_wcs'"),
        ({"flt_dq": np.zeros((3, 3))}, TypeError, "no option 'flt_dq'"),
        ({"mode": "foo"}, ValueError, r"^mode must be one of \('strict', 'fill'\), got 'foo'"),
        ({"pad": -1}, ValueError, "^pad must be .* 0 or more, got -1"),
        ({"mask_policy": "foo"}, ValueError, "^mask_policy must be .* got 'foo'"),
        ({"flt_mask_policy": "foo"}, ValueError, "mask_policy must be .* got 'foo'"),
        ({"fillval": "foo"}, TypeError, "^fillval must be .* got 'foo'"),
        ({"accuracy": 0}, ValueError, "^accuracy must be .* got 0"),
        ({"flt_exptime": -1}, ValueError, "^flt_exptime must be .* got -1"),
        ({"flt_dqbitmask": "FOO"}, ValueError, "^flt_dqbitmask must be .* got 'FOO'"),
        ({"dqbitmask": "FOO"}, ValueError, "^dqbitmask must be .* got 'FOO'"),
        ({"dqbitmask": 3.5}, TypeError, "^dqbitmask must be .* got 3.5"),
        ({"compression": "foo"}, ValueError, "^compression must be 'zlib', .* got 'foo'"),
        ({"compression": 3}, ValueError, "^compression must be 'zlib', .* got 3"),
        ({"progress": True}, TypeError, "^progress must be .* got True"),
        ({"combined": np.zeros((9, 9))}, TypeError, "^combined must be .* got ndarray; cut_exp"),
        ({"combined": "none.fits"}, FileNotFoundError, r"none\.fits: there is no such file"),
        ({"segmentation": np.zeros((9, 9))}, TypeError, "^segmentation must be .* got ndarray"),
        ({"segmentation": "none.fits"}, FileNotFoundError, r"none\.fits: there is no such file"),
        ({"segmentation": "flt0.fits"}, ValueError, r"flt0\.fits\[SCI,1\] must be integers"),
        (
            {"segmentation": "small.fits"}, ValueError,
            r"segmentation_image has shape \(5, 6\), .* \(160, 170\)",
        ),
        ({"output": None}, TypeError, "^output must be .* got NoneType$"),
        ({"output": "none/out.asdf"}, FileNotFoundError, "there is no folder .*none"),
        ({"output": "out.asdf.fits"}, ValueError, r"out\.asdf\.fits: .* not be named as a FITS"),
    ],
)  # fmt: skip
def test_invalid_options_are_errors_before_any_task(
    primary, files, tmp_path, monkeypatch, change, error, message
):
    """If an option is invalid for all exposures, there is only one error and no file is written."""
    shared, exposures = files
    monkeypatch.chdir(tmp_path)
    fits.writeto("small.fits", np.ones((5, 6), np.int32))
    before = sorted(tmp_path.iterdir())
    options = shared | {"output": "out.asdf"} | change
    with pytest.raises(error, match=message):
        map_exposures(primary, exposures, UnusedExecutor(), **options)
    assert sorted(tmp_path.iterdir()) == before


def test_executor_and_primary_must_have_their_types(primary, files, tmp_path):
    """A dask client is an error as the executor. Primary cutouts must be a collection."""
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf"}

    class Client(UnusedExecutor):
        def get_executor(self):
            raise AssertionError

    for executor in (4, Client()):
        with pytest.raises(TypeError, match=r"^executor must .* client\.get_executor\(\), got "):
            map_exposures(primary, exposures, executor, **options)
    for wrong in ([*primary], str(tmp_path / "primary.asdf")):
        with pytest.raises(TypeError, match=r"^primary must be a CutoutCollection, got "):
            map_exposures(wrong, exposures, **options)
    assert not list(tmp_path.glob("out.asdf*"))


@pytest.mark.parametrize(
    "more",
    [
        {"flt_dqbitmask": "BLOB", "flt_data_units": "rate", "quiet": False},
        {"dqbitmask": "BLOB", "pad": 0, "copy": False, "mode": "fill", "fillval": 0},
        {"flt_mask_policy": "uberseg", "keep_segmentation": True},
    ],
)
def test_valid_options_of_exposures_are_accepted(primary, files, tmp_path, more):
    """Checks before the tasks accept flag names that are defined only in the exposures."""
    shared, exposures = files
    fits.setval(exposures[0], "DETECTOR", value="IR")
    flags = np.zeros(fits.getdata(exposures[0], "SCI").shape, np.int16)
    fits.append(exposures[0], flags, fits.Header({"EXTNAME": "DQ"}))
    # This segmentation image has another grid and is larger than the combined image.
    with fits.open(shared["segmentation"]) as hdus:
        header = read_image(shared["combined"]).image_wcs.to_header()
        header["CRPIX1"] += 5
        labels = np.pad(hdus[0].data, ((0, 3), (5, 0)))
        fits.writeto(tmp_path / "wide.fits", labels, header)
    for name in (shared["segmentation"], tmp_path / "wide.fits"):
        options = shared | more | {"segmentation": name, "output": tmp_path / "out.asdf"}
        (report,) = map_exposures(primary, exposures[:1], overwrite=True, **options)
        assert report.cut > 5


def test_error_after_failures_of_all_exposures(primary, files, tmp_path):
    """If all exposures fail, the error does not mention parts of finished exposures."""
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf"}
    with pytest.raises(ExposureError, match=r"3 exposures failed .*; no exposure was cut") as error:
        map_exposures(primary, exposures, SerialExecutor(fail=[0, 1, 2]), **options)
    assert list(error.value.failures) == exposures


def test_output_never_replaces_an_input_or_a_folder(primary, files, tmp_path):
    """If the output is an input file or a folder, this is an error even with ``overwrite=True``."""
    shared, exposures = files
    options = shared | {"overwrite": True}
    for name in (exposures[1], shared["combined"]):
        with pytest.raises(ValueError, match="is one of the input files"):
            map_exposures(primary, exposures, **options, output=name)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder is not a file"):
        map_exposures(primary, exposures, **options, output=tmp_path / "folder")
    assert not list(tmp_path.glob("*.parts"))


def test_tasks_are_small_and_independent_of_the_folder(primary, files, tmp_path, monkeypatch):
    """Tasks contain file names but no pixels. They can run in threads and in another folder."""
    shared, exposures = files
    expected, _ = cut_in_memory(primary, files)

    class OtherFolderExecutor(Executor):
        def submit(self, function, *args):
            assert len(pickle.dumps((function, args))) < 2000
            with monkeypatch.context() as patch:
                patch.chdir("/")
                future = pool.submit(function, *args)
                assert future.exception() is None
                return future

    monkeypatch.chdir(tmp_path)
    names = [Path(name).name for name in exposures]
    relative = {key: Path(name).name for key, name in shared.items()}
    with ThreadPoolExecutor(1) as pool:
        map_exposures(primary, names, OtherFolderExecutor(), **relative, output="out.asdf")
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "out.asdf"), expected)


def test_other_files_in_the_folder_of_parts_stay(primary, files, tmp_path):
    """The function removes its parts, also those of killed processes. Other files stay."""
    shared, exposures = files
    parts = tmp_path / "out.asdf.parts"
    parts.mkdir()
    (parts / "mine.txt").write_text("mine")
    (parts / f".{'0' * 32}.asdf.x1y2").write_text("of a process that was killed")
    map_exposures(primary, exposures[:1], **shared, output=tmp_path / "out.asdf")
    assert [path.name for path in parts.iterdir()] == ["mine.txt"]


def test_interrupt_cancels_waiting_tasks(primary, files, tmp_path):
    """If the main process is interrupted, tasks that have not started never start."""
    shared, exposures = files
    futures = []

    class WaitingExecutor(SerialExecutor):
        def submit(self, function, *args):
            futures.append(super().submit(function, *args) if not futures else Future())
            return futures[-1]

    def progress(items, _):
        yield next(items)
        raise KeyboardInterrupt

    options = shared | {"output": tmp_path / "out.asdf", "progress": progress}
    with pytest.raises(KeyboardInterrupt):
        map_exposures(primary, exposures, WaitingExecutor(), **options)
    assert [future.cancelled() for future in futures] == [False, True, True]


def test_message_of_many_failures_is_one_line():
    """The error message lists three failures. The notes of the error contain all tracebacks."""
    error = ExposureError({f"{k}.fits": "Traceback\nOSError: gone" for k in range(9)}, "go on")
    assert str(error) == (
        "9 exposures failed (0.fits: OSError: gone; 1.fits: OSError: gone; 2.fits: OSError: gone; "
        "and 6 more); go on"
    )
    assert len(error.__notes__) == 9


def test_late_task_does_not_change_another_run(primary, files, tmp_path):
    """If a task ends after its run, it still uses the primary cutouts of its own run."""
    shared, exposures = files
    options = shared | {"output": tmp_path / "out.asdf"}
    tasks = []

    class LateExecutor(Executor):
        def submit(self, function, *args):
            tasks.append((function, args))
            future = Future()
            future.set_exception(RuntimeError("the run has ended"))
            return future

    for cutouts in (primary, primary[:2]):
        with pytest.raises(ExposureError):
            map_exposures(cutouts, exposures[:1], LateExecutor(), **options)
    function, args = tasks[0]
    function(*args)
    (report,) = map_exposures(primary, exposures[:1], **options)
    assert report.cut + sum(report.dropped.values()) == len(primary)
    assert report.cut > 2
