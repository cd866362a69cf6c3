"""Cut many exposures, one after the other or as tasks of an executor."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import traceback
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError, Executor, as_completed
from contextlib import closing, suppress
from functools import lru_cache
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from astropy.nddata import NDData
from numpy.typing import ArrayLike

from .cutout import Cutout, CutoutCollection, create_cutouts
from .errors import ExposureError
from .geometry import PixelGrid, same_grid
from .image import PLANES
from .io import (
    FLAG_NAMES,
    check_archive,
    check_file,
    content_hash,
    is_remote,
    merge_archives,
    parse_image_name,
    read_asdf,
    read_image,
    read_images,
    read_segmentation,
    replacing,
)

__all__ = [
    "ExposureCutouts",
    "ExposureReport",
    "cut_exposures",
    "gather",
    "map_exposures",
    "report_on",
    "segmentation_wcs_if_needed",
]

# Arguments of `create_cutouts` whose values `map_exposures` reads from files.
_IN_FILES = {
    f"{image}_{name}"
    for image in ("drz", "flt")
    for name in ("wcs", *(plane.argument for plane in PLANES.values()))
} | {"primary_cutouts", "segmentation_image"}
_OPTIONS = [name for name in signature(create_cutouts).parameters if name not in _IN_FILES]

# Names of files that tasks write, including temporary files of a killed process.
_PART_FILE = re.compile(r"\.?(primary-)?[0-9a-f]{32}\.(asdf|json)(\..*)?")


class ExposureCutouts(NamedTuple):
    """
    Cutouts of an exposure.

    Attributes
    ----------
    name : str
        Name of the exposure.
    flt, drz : CutoutCollection
        Cutouts of the exposure, and the corresponding cutouts of the combined image.
    """

    name: str
    flt: CutoutCollection
    drz: CutoutCollection


def cut_exposures(
    primary: CutoutCollection,
    segmentation: ArrayLike,
    combined: Cutout,
    exposures: Iterable[Cutout],
    **options: Any,
) -> Iterator[ExposureCutouts]:
    """
    Map cutouts to exposures and back to the combined image, one exposure at a time.

    Parameters
    ----------
    primary : CutoutCollection
        Cutouts of a combined image.
    segmentation : array of int
        Labels on the grid of ``combined``.
    combined : Cutout
        Combined image, to which the cutouts of exposures are mapped back.
    exposures : iterable of Cutout
        Whole exposures. If a generator makes them, only one is in memory at a time.
    **options
        Options of `~subpixal.cutout.create_cutouts`.

    Yields
    ------
    ExposureCutouts

    Raises
    ------
    TypeError, ValueError
        As in `~subpixal.cutout.create_cutouts`, with the name of the exposure.
    """
    for exposure in exposures:
        # Drop references to the result and the exposure, so that only one exposure is in memory.
        yield _cut_one(primary, segmentation, combined, exposure, options)
        del exposure


def _cut_one(
    primary: CutoutCollection,
    segmentation: ArrayLike,
    combined: Cutout,
    exposure: Cutout,
    options: dict[str, Any],
) -> ExposureCutouts:
    if not isinstance(exposure, Cutout):
        kind = type(exposure).__name__
        msg = f"exposures must hold Cutouts, as subpixal.io.read_image returns them, got a {kind}"
        raise TypeError(msg)
    try:
        flt, drz = create_cutouts(primary, segmentation, combined, None, exposure, None, **options)
    except (TypeError, ValueError) as error:
        msg = f"{exposure.image.name or 'an exposure'}: {error}"
        raise type(error)(msg) from error
    return ExposureCutouts(exposure.image.name, flt, drz)


def gather(primary: CutoutCollection, results: Iterable[ExposureCutouts]) -> CutoutCollection:
    """
    Collect the cutouts of all exposures.

    Returns
    -------
    CutoutCollection
        The primary cutouts, then for each exposure its cutouts and the corresponding cutouts of the
        combined image. Each rejected source of an exposure occurs once in ``dropped``.
    """
    everything = primary
    for result in results:
        # Both collections have the same rejected sources. A slice drops those of `drz`.
        everything = everything + result.flt + result.drz[:]
    return everything


class ExposureReport(NamedTuple):
    """
    Numbers of cut and of rejected sources of an image in an exposure file.

    Attributes
    ----------
    name : str
        Name of the image: file and extension.
    cut : int
        Number of sources with a cutout.
    dropped : dict
        Mapping from each status to the number of rejected sources.
    """

    name: str
    cut: int
    dropped: dict[str, int]


def report_on(result: ExposureCutouts) -> ExposureReport:
    """Return the numbers of cutouts and of rejected sources of an exposure."""
    dropped = Counter(result.flt.dropped["status"].tolist())
    return ExposureReport(result.name, len(result.flt), dict(dropped))


class _Task(NamedTuple):
    """Names of the files that a task reads and writes, and options of the task."""

    exposure: str
    primary: str
    combined: str
    segmentation: str
    part: str
    dqbitmask: Any
    options: dict[str, Any]


def map_exposures(
    primary: CutoutCollection,
    exposures: Iterable[str | os.PathLike[str]],
    executor: Executor | None = None,
    *,
    combined: str | os.PathLike[str],
    segmentation: str | os.PathLike[str],
    output: str | os.PathLike[str],
    dqbitmask: Any = "mission",
    overwrite: bool = False,
    compression: str | None = None,
    progress: Callable[[Iterable, int], Iterable] | None = None,
    **options: Any,
) -> list[ExposureReport]:
    """
    Map cutouts to many exposures and back, and write all cutouts to one archive.

    Each exposure is a task, which writes its cutouts to a part: an archive in the folder
    ``OUTPUT.parts`` next to the output ``OUTPUT``. At the end, the function merges all parts and
    removes the folder. If a run is interrupted, a new run with the same files and options skips the
    finished parts. Each process holds at most one exposure in memory.

    Parameters
    ----------
    primary : CutoutCollection
        Cutouts of a combined image.
    exposures : iterable of str or path-like
        Files of exposures. All chips of a file are cut; ``'f.fits[SCI,2]'`` selects one chip. All
        names must differ.
    executor : `concurrent.futures.Executor`, optional
        Executor of the tasks: a process pool, ``Client.get_executor()`` of
        dask.distributed, or ``MPIPoolExecutor`` of mpi4py. All processes must have
        access to the files. By default, the tasks run in this process.
    combined, segmentation : str or path-like
        Files of the combined image and of the segmentation image.
    output : str or path-like
        Archive to write. It contains the primary cutouts, then for each exposure its cutouts and
        the corresponding cutouts of the combined image.
    dqbitmask : object
        Good flags, as in `~subpixal.io.read_image`.
    overwrite : bool
        Whether to replace an existing output.
    compression : str, optional
        Compression of arrays, as in `~subpixal.io.merge_archives`.
    progress : callable, optional
        ``progress(items, total)`` returns an iterable over the same items, such as a
        progress bar. There is one item for each finished exposure.
    **options
        Options of `~subpixal.cutout.create_cutouts`, except images and their planes.

    Returns
    -------
    list of ExposureReport
        One report for each image, in the order of the exposures.

    Raises
    ------
    OSError
        If a file is missing, the combined image or the segmentation image cannot be
        read, or the output cannot be written.
    TypeError, ValueError
        If an argument is invalid, an exposure occurs twice, or the output is one of the inputs. The
        function raises these errors before it runs a task or writes a file.
    ExposureError
        If exposures failed. The error contains their tracebacks. The parts of the other exposures
        remain, and no output is written.
    """
    _check_arguments(primary, executor, progress)
    names = _exposure_names(exposures)
    combined = _absolute_name("combined", combined)
    segmentation = _absolute_name("segmentation", segmentation)
    output = _absolute_name("output", output)
    inputs = [parse_image_name(name)[0] for name in (combined, segmentation, *names)]
    check_archive(output, overwrite=overwrite, compression=compression, inputs=inputs)
    for path in inputs:
        check_file(path)
    if isinstance(dqbitmask, Iterable) and not isinstance(dqbitmask, str):
        # The cache of combined images needs hashable arguments.
        dqbitmask = tuple(dqbitmask)
    _check_options(primary[:1], combined, segmentation, dqbitmask, options)
    folder = Path(f"{output}.parts")
    folder.mkdir(exist_ok=True)
    primary_part = folder / f"primary-{content_hash(primary)}.asdf"
    if not primary_part.exists():
        primary.write(primary_part, format="asdf")
    shared = str(primary_part), combined, segmentation
    tasks = [
        _Task(name, *shared, str(folder / part), dqbitmask, options)
        for name, part in zip(names, _part_names(names, shared, dqbitmask, options), strict=True)
    ]
    reports = _finish_tasks(tasks, executor, progress, list(names.values()), folder)
    parts = [primary_part, *(task.part for task in tasks)]
    merge_archives(parts, output, overwrite=overwrite, compression=compression)
    _remove_parts(folder)
    return reports


def _check_arguments(primary: object, executor: object, progress: object) -> None:
    """Raise an error if an argument has the wrong type."""
    if not isinstance(primary, CutoutCollection):
        msg = f"primary must be a CutoutCollection, got {type(primary).__name__}"
        raise TypeError(msg)
    # Refuse a client of dask: it has `submit`, but `as_completed` does not accept its futures.
    is_executor = hasattr(executor, "submit") and not hasattr(executor, "get_executor")
    if executor is not None and not is_executor:
        msg = (
            "executor must be None or an executor such as ProcessPoolExecutor() or "
            f"client.get_executor(), got {type(executor).__name__}"
        )
        raise TypeError(msg)
    if progress is not None and not callable(progress):
        msg = f"progress must be None or a function, got {progress!r}"
        raise TypeError(msg)


def _exposure_names(exposures: Any) -> dict[str, str]:
    """Return a mapping from the absolute name of each exposure to its given name."""
    if isinstance(exposures, str | os.PathLike):
        msg = f"exposures must be names of files, not one name: [{os.fspath(exposures)!r}]"
        raise TypeError(msg)
    names: dict[str, str] = {}
    for given in exposures if isinstance(exposures, Iterable) else [exposures]:
        name = _absolute_name("exposures", given)
        if name in names:
            msg = f"exposures must be different files, got {name} twice"
            raise ValueError(msg)
        names[name] = os.fspath(given)
    if not names:
        msg = "exposures must be names of files, got none"
        raise ValueError(msg)
    return names


def _absolute_name(argument: str, name: object) -> str:
    """Return the absolute name of a file, because other processes have other working folders."""
    if not isinstance(name, str | os.PathLike):
        expected = "names of files" if argument == "exposures" else "the name of a file"
        msg = f"{argument} must be {expected}, got {type(name).__name__}"
        msg += "" if argument == "output" else "; cut_exposures takes images"
        raise TypeError(msg)
    path = os.fspath(name)
    return path if is_remote(path) else str(Path(path).absolute())


def _check_options(
    primary: CutoutCollection,
    combined: str,
    segmentation: str,
    dqbitmask: Any,
    options: dict[str, Any],
) -> None:
    """Cut a blank exposure, to raise now the errors that all exposures would raise."""
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        msg = f"map_exposures has no option {unknown[0]!r}, it has {', '.join(_OPTIONS)}"
        raise TypeError(msg)
    good = 0 if isinstance(dqbitmask, str) and dqbitmask == "mission" else dqbitmask
    drz, labels = _read_combined(_file_state(combined), _file_state(segmentation), dqbitmask)
    blank = Cutout(
        np.broadcast_to(0.0, drz.shape),
        drz.image_wcs,
        dq=np.broadcast_to(0, drz.shape),
        dqbitmask=good,
        meta={"flag_names": FLAG_NAMES},
        copy=False,
    )
    # With `quiet`, sources that do not map to the blank exposure raise no error.
    wcs = segmentation_wcs_if_needed(labels, drz)
    options = {"segmentation_wcs": wcs, **options, "quiet": True}
    create_cutouts(primary, labels, drz, None, blank, None, **options)


def _part_names(
    names: Iterable[str], shared: tuple[str, str, str], dqbitmask: Any, options: dict[str, Any]
) -> list[str]:
    """Return the file names of parts, which are hashes of all inputs that affect the content."""
    primary, combined, segmentation = shared
    inputs = (
        version("subpixal"),
        dqbitmask,
        sorted(options.items()),
        Path(primary).name,
        _file_state(combined),
        _file_state(segmentation),
    )
    key = pickle.dumps(inputs)
    digests = (hashlib.sha256(key + repr(_file_state(name)).encode()) for name in names)
    return [f"{digest.hexdigest()[:32]}.asdf" for digest in digests]


def _file_state(name: str) -> tuple:
    """Return the name, size and modification time of a file, to detect changes of the file."""
    path = Path(parse_image_name(name)[0])
    if not path.exists():
        return (name,)
    status = path.stat()
    return name, status.st_size, status.st_mtime_ns


def _remove_parts(folder: Path) -> None:
    """Remove all parts, including those of other runs, and then the folder if it is empty."""
    for path in folder.iterdir():
        if _PART_FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _finish_tasks(
    tasks: list[_Task],
    executor: Executor | None,
    progress: Callable[[Iterable, int], Iterable] | None,
    names: list[str],
    folder: Path,
) -> list[ExposureReport]:
    """
    Run all tasks, and return their reports in the order of the tasks.

    Raises
    ------
    ExposureError
        If tasks failed. The error lists the names of their exposures.
    """
    reports: list[list[ExposureReport]] = [[]] * len(tasks)
    errors: dict[int, str] = {}
    # After an exception, closing the generator cancels the tasks that have not begun.
    with closing(_run_tasks(tasks, executor)) as results:
        for k, report, error in results if progress is None else progress(results, len(tasks)):
            reports[k] = report
            if error is not None:
                errors[k] = "".join(traceback.format_exception(error))
    if errors:
        failures = {name: errors[k] for k, name in enumerate(names) if k in errors}
        message = "no exposure was cut"
        if len(errors) < len(tasks):
            message = f"results of the other exposures are in {folder}; run again to resume"
        raise ExposureError(failures, message)
    return [entry for report in reports for entry in report]


def _run_tasks(
    tasks: list[_Task], executor: Executor | None
) -> Generator[tuple[int, list[ExposureReport], BaseException | None]]:
    """Yield number, reports and error of each task when the task ends."""
    if executor is None:
        for k, task in enumerate(tasks):
            try:
                yield k, _cut_part(task), None
            except Exception as failure:  # noqa: BLE001 (the other exposures go on)
                yield k, [], failure
        return
    futures = {}
    try:
        for k, task in enumerate(tasks):
            futures[executor.submit(_cut_part, task)] = k
        for future in as_completed(futures):
            error = CancelledError() if future.cancelled() else future.exception()
            yield futures[future], future.result() if error is None else [], error
    finally:
        for future in futures:
            future.cancel()


def _cut_part(task: _Task) -> list[ExposureReport]:
    """Cut all images of an exposure and write a part, unless an earlier run has written it."""
    report = Path(task.part).with_suffix(".json")
    if Path(task.part).exists() and report.exists():
        return [ExposureReport(*entry) for entry in json.loads(report.read_text())]
    states = _file_state(task.combined), _file_state(task.segmentation)
    drz, labels = _read_combined(*states, task.dqbitmask)
    images = read_images(task.exposure, dqbitmask=task.dqbitmask)
    options = {"segmentation_wcs": segmentation_wcs_if_needed(labels, drz), **task.options}
    results = list(cut_exposures(read_asdf(task.primary), labels, drz, images, **options))
    gather(CutoutCollection(), results).write(task.part, format="asdf", overwrite=True)
    reports = [report_on(result) for result in results]
    with replacing(report) as file:
        file.write(json.dumps(reports).encode())
    return reports


@lru_cache(maxsize=1)
def _read_combined(combined: tuple, segmentation: tuple, dqbitmask: Any) -> tuple[Cutout, NDData]:
    """Return the combined image and the segmentation image. Each process reads them once."""
    return read_image(combined[0], dqbitmask=dqbitmask), read_segmentation(segmentation[0])


def segmentation_wcs_if_needed(segmentation: NDData, combined: Cutout) -> Any:
    """
    Return the WCS of a segmentation image if its grid differs from that of the combined image.

    Parameters
    ----------
    segmentation : `~astropy.nddata.NDData`
        Segmentation image, as `~subpixal.io.read_segmentation` returns it.
    combined : Cutout
        The whole combined image.

    Returns
    -------
    object or None
        `None` if the grids are equal, or if the segmentation image has no WCS.
    """
    if segmentation.wcs is None:
        return None
    grid = PixelGrid(segmentation.wcs, segmentation.data.shape)
    return None if same_grid(combined.image.grid, grid) else segmentation.wcs
