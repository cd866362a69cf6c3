"""Many exposures: opened one after the other or on many machines, cut, and gathered."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError, as_completed
from contextlib import closing, suppress
from functools import lru_cache
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import NamedTuple

import numpy as np

from subpixal.io._asdf.content_hash import content_hash
from subpixal.io._missions.registry import ANY_NAMES
from subpixal.io.paths import check_archive, check_file, is_remote, parse_image_name, replacing

from .cutout import Cutout, CutoutCollection, create_cutouts
from .errors import ExposureError
from .geometry import PixelGrid, same_grid
from .image import PLANES
from .io import merge_archives, read_asdf, read_image, read_images, read_segmentation

__all__ = [
    "ExposureCutouts",
    "ExposureReport",
    "cut_exposures",
    "gather",
    "map_exposures",
    "other_grid",
    "report_on",
]

# Images and their planes are in files, the rest is for each exposure the same.
_IN_FILES = {
    f"{image}_{name}"
    for image in ("drz", "flt")
    for name in ("wcs", *(plane.argument for plane in PLANES.values()))
} | {"primary_cutouts", "segmentation_image"}
_OPTIONS = [name for name in signature(create_cutouts).parameters if name not in _IN_FILES]

# What a folder of parts holds, and what a process that was killed leaves there.
_OURS = re.compile(r"\.?(primary-)?[0-9a-f]{32}\.(asdf|json)(\..*)?")


class ExposureCutouts(NamedTuple):
    """
    What an exposure gave.

    Attributes
    ----------
    name : str
        The exposure.
    flt, drz : CutoutCollection
        Cutouts of the exposure and of the combined image, one to one.
    """

    name: str
    flt: CutoutCollection
    drz: CutoutCollection


def cut_exposures(
    primary: CutoutCollection,
    segmentation,
    combined: Cutout,
    exposures: Iterable[Cutout],
    **options,
) -> Iterator[ExposureCutouts]:
    """
    Map cutouts to exposures and back, one exposure after the other.

    Parameters
    ----------
    primary : CutoutCollection
        Cutouts of a combined image.
    segmentation : array of int
        Labels on the grid of ``combined``.
    combined : Cutout
        The combined image that exposures are mapped back to.
    exposures : iterable of Cutout
        Whole exposures; only one is held at a time if they come from a generator.
    **options
        Of `~subpixal.cutout.create_cutouts`.

    Yields
    ------
    ExposureCutouts

    Raises
    ------
    TypeError, ValueError
        As `~subpixal.cutout.create_cutouts`, with the name of the exposure.
    """
    for exposure in exposures:
        # What has no name here is not held while the next exposure is opened and cut.
        yield _cut_one(primary, segmentation, combined, exposure, options)
        del exposure


def _cut_one(primary, segmentation, combined, exposure, options) -> ExposureCutouts:
    if not isinstance(exposure, Cutout):
        kind = type(exposure).__name__
        msg = f"exposures must hold Cutouts, as subpixal.io.read_image gives them, got a {kind}"
        raise TypeError(msg)
    try:
        pair = create_cutouts(primary, segmentation, combined, None, exposure, None, **options)
    except (TypeError, ValueError) as error:
        msg = f"{exposure.image.name or 'an exposure'}: {error}"
        raise type(error)(msg) from error
    return ExposureCutouts(exposure.image.name, *pair)


def gather(primary: CutoutCollection, results: Iterable[ExposureCutouts]) -> CutoutCollection:
    """One collection of it all, with what each exposure dropped, once."""
    everything = primary
    for result in results:
        everything = everything + result.flt + result.drz[:]
    return everything


class ExposureReport(NamedTuple):
    """
    What became of an image of an exposure.

    Attributes
    ----------
    name : str
        The image: file and extension.
    cut : int
        Number of sources that were cut.
    dropped : dict
        Numbers of those that were not, by status.
    """

    name: str
    cut: int
    dropped: dict[str, int]


def report_on(result: ExposureCutouts) -> ExposureReport:
    """Count what became of an exposure."""
    dropped = Counter(result.flt.dropped["status"].tolist())
    return ExposureReport(result.name, len(result.flt), dict(dropped))


def map_exposures(
    primary: CutoutCollection,
    exposures: Iterable,
    executor=None,
    *,
    combined,
    segmentation,
    output,
    dqbitmask="mission",
    overwrite: bool = False,
    compression: str | None = None,
    progress: Callable[[Iterable, int], Iterable] | None = None,
    **options,
) -> list[ExposureReport]:
    """
    Map cutouts to many exposures and back, into one archive.

    Each exposure is a task of its own: it is opened, cut, and what comes of it is
    written next to the output, in a folder with ``.parts`` added to its name.
    When all are there they are merged, and the folder is removed. A run that was
    stopped goes on where it was when it is started again with the same files and
    options. No more than one exposure is in memory in a process.

    Parameters
    ----------
    primary : CutoutCollection
        Cutouts of a combined image.
    exposures : iterable of str or path
        Files of exposures, all of whose chips are cut, or ``'f.fits[SCI,2]'`` for
        one. Each may be there once.
    executor : `concurrent.futures.Executor`, optional
        Where the tasks run: a process pool, ``Client.get_executor()`` of
        dask.distributed, ``MPIPoolExecutor`` of mpi4py. They all must see the
        files. By default they run here, one after the other.
    combined, segmentation : str or path
        Files of the combined image that exposures are mapped back to, and of the
        labels.
    output : str or path
        The archive: the primary cutouts, then for each exposure its cutouts and
        those of the combined image.
    dqbitmask : object
        Flags that are good, as in `~subpixal.io.read_image`.
    overwrite : bool
        Whether an existing output may be replaced.
    compression : str, optional
        How arrays are compressed, as in `~subpixal.io.merge_archives`.
    progress : callable, optional
        ``progress(items, total)`` returns an iterable over the same items, such as a
        progress bar; there is an item for each finished exposure.
    **options
        Of `~subpixal.cutout.create_cutouts`, but images and their planes, which are in
        the files.

    Returns
    -------
    list of ExposureReport
        One for each image, in the order of the exposures.

    Raises
    ------
    OSError
        If a file is missing, the combined image or the labels cannot be read, or the
        output cannot be written.
    TypeError, ValueError
        If an argument is not what it must be, an exposure is there twice, or the output
        is one of the inputs. Up to here no task was begun, and nothing written.
    ExposureError
        If exposures failed, with their tracebacks. The parts of the others stay;
        there is no output.
    """
    _check_arguments(primary, executor, progress)
    files = _exposure_names(exposures)
    combined, segmentation = _name("combined", combined), _name("segmentation", segmentation)
    output = Path(_name("output", output))
    inputs = [parse_image_name(name)[0] for name in (combined, segmentation, *files)]
    check_archive(output, overwrite=overwrite, compression=compression, inputs=inputs)
    for path in inputs:
        check_file(path)
    # What a process reads once it must be able to look up.
    if isinstance(dqbitmask, Iterable) and not isinstance(dqbitmask, str):
        dqbitmask = tuple(dqbitmask)
    _check_options(primary[:1], combined, segmentation, dqbitmask, options)
    folder = Path(f"{output}.parts")
    everything = folder / f"primary-{content_hash(primary)}.asdf"
    shared = str(everything), combined, segmentation
    parts = [str(folder / name) for name in _part_names(files, shared, dqbitmask, options)]
    tasks = [
        (name, *shared, part, dqbitmask, options) for name, part in zip(files, parts, strict=True)
    ]
    folder.mkdir(exist_ok=True)
    if not everything.exists():
        primary.write(everything, format="asdf")
    reports, errors = [[]] * len(tasks), {}
    # Whatever stops this stops the tasks that have not begun.
    with closing(_run(tasks, executor)) as done:
        for k, report, error in done if progress is None else progress(done, len(tasks)):
            reports[k] = report
            if error is not None:
                errors[k] = "".join(traceback.format_exception(error))
    if errors:
        failures = {name: errors[k] for k, name in enumerate(files.values()) if k in errors}
        rest = f"what others gave is in {folder}, where a new run goes on"
        raise ExposureError(failures, rest if len(errors) < len(tasks) else "none was cut")
    merge_archives([everything, *parts], output, overwrite=overwrite, compression=compression)
    _remove_ours(folder)
    return [entry for report in reports for entry in report]


def _check_arguments(primary, executor, progress) -> None:
    """Raise if they are not what they are called."""
    if not isinstance(primary, CutoutCollection):
        msg = f"primary must be a CutoutCollection, got {type(primary).__name__}"
        raise TypeError(msg)
    # A client of dask can submit, too, but what it returns is not known elsewhere.
    if executor is not None and (
        not hasattr(executor, "submit") or hasattr(executor, "get_executor")
    ):
        msg = (
            "executor must be None or an executor such as ProcessPoolExecutor() or "
            f"client.get_executor(), got {type(executor).__name__}"
        )
        raise TypeError(msg)
    if progress is not None and not callable(progress):
        msg = f"progress must be None or a function, got {progress!r}"
        raise TypeError(msg)


def _exposure_names(exposures) -> dict[str, str]:
    """Names of exposures as they were given, by those that mean the same everywhere."""
    if isinstance(exposures, str | os.PathLike):
        msg = f"exposures must be names of files, not one name: [{os.fspath(exposures)!r}]"
        raise TypeError(msg)
    names = {}
    for given in exposures if isinstance(exposures, Iterable) else [exposures]:
        name = _name("exposures", given)
        if name in names:
            msg = f"exposures must be different files, {name} is there twice"
            raise ValueError(msg)
        names[name] = os.fspath(given)
    if not names:
        msg = "exposures must be names of files, there are none"
        raise ValueError(msg)
    return names


def _name(argument: str, name) -> str:
    """A name that means the same wherever a task runs."""
    if not isinstance(name, str | os.PathLike):
        what = "names of files" if argument == "exposures" else "the name of a file"
        msg = f"{argument} must be {what}, got {type(name).__name__}"
        msg += "" if argument == "output" else "; cut_exposures takes images"
        raise TypeError(msg)
    name = os.fspath(name)
    return name if is_remote(name) else str(Path(name).absolute())


def _check_options(primary, combined, segmentation, dqbitmask, options) -> None:
    """Raise what would be raised for each exposure: cut a source out of a blank one."""
    unknown = [name for name in options if name not in _OPTIONS]
    if unknown:
        msg = f"map_exposures has no option {unknown[0]!r}, it has {', '.join(_OPTIONS)}"
        raise TypeError(msg)
    good = 0 if isinstance(dqbitmask, str) and dqbitmask == "mission" else dqbitmask
    drz, labels = _read_combined(_state_of(combined), _state_of(segmentation), dqbitmask)
    blank = Cutout(
        np.broadcast_to(0.0, drz.shape),
        drz.image_wcs,
        dq=np.broadcast_to(0, drz.shape),
        dqbitmask=good,
        meta={"flag_names": ANY_NAMES},
        copy=False,
    )
    # Whether a source is found on an exposure is no matter of the others.
    options = {"segmentation_wcs": other_grid(labels, drz), **options, "quiet": True}
    create_cutouts(primary, labels, drz, None, blank, None, **options)


def _part_names(files, shared, dqbitmask, options) -> list[str]:
    """Names of parts, others for whatever would give others."""
    primary, combined, segmentation = shared
    known = version("subpixal"), dqbitmask, sorted(options.items())
    known += Path(primary).name, _state_of(combined), _state_of(segmentation)
    key = pickle.dumps(known)
    digests = (hashlib.sha256(key + repr(_state_of(name)).encode()) for name in files)
    return [f"{digest.hexdigest()[:32]}.asdf" for digest in digests]


def _state_of(name: str) -> tuple:
    """What changes when a file does."""
    path, _ = parse_image_name(name)
    if not Path(path).exists():
        return (name,)
    known = Path(path).stat()
    return name, known.st_size, known.st_mtime_ns


def _remove_ours(folder: Path) -> None:
    """Remove parts, of other runs too, and the folder if there is nothing else in it."""
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name):
            path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()


def _run(tasks, executor) -> Iterator[tuple[int, list, BaseException | None]]:
    """Number, reports and error of each task, as soon as it is done."""
    if executor is None:
        for k, task in enumerate(tasks):
            try:
                yield k, _cut_part(*task), None
            except Exception as error:  # noqa: BLE001 (one does not stop the others)
                yield k, [], error
        return
    futures = {}
    try:
        for k, task in enumerate(tasks):
            futures[executor.submit(_cut_part, *task)] = k
        for future in as_completed(futures):
            error = CancelledError() if future.cancelled() else future.exception()
            yield futures[future], future.result() if error is None else [], error
    finally:
        for future in futures:
            future.cancel()


def _cut_part(exposure, primary, combined, segmentation, part, dqbitmask, options) -> list:
    """Cut all images of an exposure and write them, unless an earlier run did."""
    report = Path(part).with_suffix(".json")
    if Path(part).exists() and report.exists():
        return [ExposureReport(*entry) for entry in json.loads(report.read_text())]
    drz, labels = _read_combined(_state_of(combined), _state_of(segmentation), dqbitmask)
    images = read_images(exposure, dqbitmask=dqbitmask)
    options = {"segmentation_wcs": other_grid(labels, drz), **options}
    results = list(cut_exposures(read_asdf(primary), labels, drz, images, **options))
    gather(CutoutCollection(), results).write(part, format="asdf", overwrite=True)
    reports = [report_on(result) for result in results]
    with replacing(report) as file:
        file.write(json.dumps(reports).encode())
    return reports


@lru_cache(maxsize=1)
def _read_combined(combined, segmentation, dqbitmask):
    """The combined image and the labels, which all exposures of a process share."""
    return read_image(combined[0], dqbitmask=dqbitmask), read_segmentation(segmentation[0])


def other_grid(segmentation, combined: Cutout):
    """
    WCS of a segmentation image that is not on the grid of the combined image.

    Parameters
    ----------
    segmentation : `~astropy.nddata.NDData`
        As `~subpixal.io.read_segmentation` returns it.
    combined : Cutout
        The whole combined image.

    Returns
    -------
    object or None
        `None` if the grids are the same, or the segmentation image has no WCS.
    """
    wcs = segmentation.wcs
    if wcs is None:
        return None
    segmentation_grid = PixelGrid(wcs, segmentation.data.shape)
    return None if same_grid(combined.image.grid, segmentation_grid) else wcs
