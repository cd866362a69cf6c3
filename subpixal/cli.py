"""The command ``subpixal``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import numpy as np
    from astropy.table import Table
    from matplotlib.figure import Figure
    from photutils.segmentation import SegmentationImage, SourceCatalog

    from .batch import ExposureReport
    from .cutout import Cutout, CutoutCollection
    from .datasets import SimulatedImage

__all__ = ["main"]

# Errors of invalid input. The command prints only the message, or the traceback with --debug.
ERRORS = (OSError, ValueError, TypeError, KeyError, ImportError, MemoryError, RuntimeError)


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments of the command. The default is those of the process.

    Returns
    -------
    int
        Exit status: 0 for success, 2 for invalid input, 130 after an interrupt.
    """
    arguments = _parser().parse_args(argv)
    try:
        with _interruptible():
            arguments.run(arguments)
            sys.stdout.flush()
    except KeyboardInterrupt:
        print("subpixal: interrupted, the output was not written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The process that reads the output has ended. Replace stdout, which Python flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ERRORS as error:
        if arguments.debug:
            raise
        text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
        # Replace the name of the Python argument in the message by the name of the option.
        text = text.replace("overwrite=True", "--overwrite")
        print(f"subpixal: {' '.join(text.split())}", file=sys.stderr)
        return 2
    return 0


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt also for SIGTERM, so that temporary files are removed."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="subpixal",
        description="Source cutouts from drizzled images, mapped through the full distortion "
        "to the exposures.",
    )
    parser.add_argument("--version", action="version", version=f"subpixal {version('subpixal')}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_create(commands)
    _add_info(commands)
    _add_show(commands)
    _add_merge(commands)
    _add_demo(commands)
    return parser


def _number(minimum: int) -> Callable[[str], int]:
    """Return a function for argparse that parses an integer and refuses values below a minimum."""

    def number(text: str) -> int:
        value = int(text)
        if value < minimum:
            msg = f"must be {minimum} or more, got {value}"
            raise argparse.ArgumentTypeError(msg)
        return value

    return number


def _add_create(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("create", help="cut the sources of a catalog out of images")
    parser.add_argument("combined", metavar="COMBINED", help="combined (drizzled) image")
    parser.add_argument(
        "exposures", metavar="EXPOSURE", nargs="+", help="exposure, FILE or FILE[SCI,2] for a chip"
    )
    parser.add_argument("--catalog", required=True, help="catalog of the sources")
    parser.add_argument("--segmentation", required=True, help="segmentation image")
    parser.add_argument(
        "--pad", type=_number(0), default=1, help="pixels around a source (default 1)"
    )
    parser.add_argument(
        "--mode",
        choices=("strict", "fill"),
        default="strict",
        help="drop or fill a source that is partly off an exposure (default strict)",
    )
    for option, images, default in (
        ("--mask-policy", "combined images", "segment"),
        ("--flt-mask-policy", "exposures", "none"),
    ):
        parser.add_argument(
            option,
            choices=("segment", "neighbors", "uberseg", "none"),
            default=default,
            help=f"pixels that the segmentation image masks in {images} (default {default})",
        )
    parser.add_argument(
        "--keep-segmentation",
        action="store_true",
        help="store the labels as a plane of the cutouts",
    )
    parser.add_argument(
        "--dqbitmask",
        default="mission",
        help="good flags: 0, none, bits, names, ~ bits or names (default: by instrument)",
    )
    _add_output(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--workers", type=_number(1), default=1, metavar="N", help="number of processes (default 1)"
    )
    where.add_argument("--scheduler", metavar="ADDRESS", help="address of a dask scheduler")
    parser.set_defaults(run=_create)


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", required=True, type=Path, help="ASDF file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    parser.add_argument(
        "--compression", choices=("zlib", "bzp2", "lz4"), help="compression of the arrays"
    )


def _add_info(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("info", help="print the contents of an archive")
    parser.add_argument("archive", metavar="FILE", help="ASDF file")
    parser.set_defaults(run=_info)


def _add_show(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("show", help="draw cutouts of an archive")
    parser.add_argument("archive", metavar="FILE", help="ASDF file")
    parser.add_argument("--output", required=True, type=Path, help="picture to write")
    parser.add_argument(
        "--id", action="append", dest="ids", help="identifier of a source; repeat it for more"
    )
    parser.add_argument(
        "--limit",
        type=_number(1),
        default=12,
        help="maximum number of sources without --id (default 12)",
    )
    parser.set_defaults(run=_show)


def _add_merge(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("merge", help="merge archives")
    parser.add_argument(
        "archives", nargs="+", metavar="FILE", help="ASDF files, in the order of the output"
    )
    _add_output(parser)
    parser.set_defaults(run=_merge)


def _add_demo(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "demo", help="simulate a scene, detect sources, cut, archive, draw"
    )
    parser.add_argument("--folder", type=Path, default=Path(), help="folder of the output")
    parser.add_argument("--seed", type=_number(0), default=1, help="random seed of the scene")
    parser.set_defaults(run=_demo)


def _create(arguments: argparse.Namespace) -> None:
    from . import io
    from .batch import map_exposures, segmentation_wcs_if_needed
    from .cutout import create_primary_cutouts

    names = [arguments.combined, *arguments.exposures, arguments.catalog, arguments.segmentation]
    inputs = [io.parse_image_name(name)[0] for name in names]
    io.check_archive(arguments.output, overwrite=arguments.overwrite, inputs=inputs)
    for path in inputs:
        io.check_file(path)
    dqbitmask = io.parse_flags(arguments.dqbitmask)
    combined = io.read_image(arguments.combined, dqbitmask=dqbitmask)
    catalog = io.read_catalog(arguments.catalog)
    segmentation = io.read_segmentation(arguments.segmentation)
    files = {
        "catalog": arguments.catalog,
        "segmentation_image": arguments.segmentation,
        "imdata": arguments.combined,
    }
    options = {
        "pad": arguments.pad,
        "mask_policy": _read_policy(arguments.mask_policy),
        "keep_segmentation": arguments.keep_segmentation,
    }
    with _naming_files(files, default=arguments.combined):
        grid = segmentation_wcs_if_needed(segmentation, combined)
        primary = create_primary_cutouts(
            catalog, segmentation, combined, None, segmentation_wcs=grid, **options
        )
    _check_any(primary, arguments.combined)
    with _resumable(arguments.output), _executor(arguments) as executor:
        reports = map_exposures(
            primary,
            arguments.exposures,
            executor,
            combined=arguments.combined,
            segmentation=arguments.segmentation,
            output=arguments.output,
            dqbitmask=dqbitmask,
            overwrite=arguments.overwrite,
            compression=arguments.compression,
            progress=_progress,
            mode=arguments.mode,
            flt_mask_policy=_read_policy(arguments.flt_mask_policy),
            **options,
        )
    _print_counts(primary, reports)
    count = len(primary) + 2 * sum(report.cut for report in reports)
    print(f"{count} cutouts are in {arguments.output}")


@contextmanager
def _resumable(output: Path) -> Iterator[None]:
    """After an interrupt, print the name of the folder with the finished parts."""
    try:
        yield
    except KeyboardInterrupt:
        folder = Path(f"{output}.parts")
        if folder.exists():
            message = f"finished exposures are in {folder}; run the same command to resume"
            print(f"subpixal: {message}", file=sys.stderr)
        raise


@contextmanager
def _executor(arguments: argparse.Namespace) -> Iterator[Executor | None]:
    """Yield a process pool, the executor of a dask client, or `None`."""
    if arguments.scheduler is not None:
        try:
            from distributed import Client
        except ImportError as error:
            msg = "--scheduler needs dask.distributed: pip install 'subpixal[distributed]'"
            raise ImportError(msg) from error
        with Client(arguments.scheduler) as client:
            yield client.get_executor()
    elif arguments.workers > 1:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        count = min(arguments.workers, len(arguments.exposures))
        context = get_context("spawn")
        with ProcessPoolExecutor(count, context, initializer=_follow_parent) as executor:
            yield executor
    else:
        yield None


def _follow_parent() -> None:
    """Leave interrupts to the parent process, and end this process if the parent is killed."""
    from multiprocessing import parent_process

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _info(arguments: argparse.Namespace) -> None:
    from astropy.table import Table

    from .io import format_flags, read_any

    cutouts = read_any(arguments.archive)
    groups = cutouts.group_by("image")
    rows = [
        {
            "image": image.name or "-",
            "stage": image.stage or "-",
            "cutouts": len(groups[k]),
            "shape (y, x)": "-" if image.shape is None else "{}x{}".format(*image.shape),
            "unit": "-" if image.unit is None else str(image.unit),
            "exptime": image.exptime,
            "WCS": f"{type(image.wcs).__module__.split('.')[0]}.{type(image.wcs).__name__}",
            "planes": " ".join(groups[k][0].planes),
            "good flags": format_flags(image.dqbitmask, image.meta.get("flag_names", {}))
            if "flags" in groups[k][0].planes
            else "-",
        }
        for k, image in enumerate(cutouts.images)
    ]
    sources = len(set(cutouts.ids.tolist()))
    print(f"{arguments.archive}: {len(cutouts)} cutouts of {sources} sources")
    if rows:
        _print_table(Table(rows))
    dropped = cutouts.dropped
    if len(dropped):
        counts = Counter(zip(dropped["image"], dropped["status"], strict=True))
        print(f"{len(dropped)} dropped:")
        reasons = [(image or "-", status, n) for (image, status), n in counts.items()]
        _print_table(Table(rows=reasons, names=("image", "reason", "sources")))


def _show(arguments: argparse.Namespace) -> None:
    from .io import check_folder, read_any, refuse_existing
    from .plotting import plot_gallery

    refuse_existing(arguments.output, overwrite=True, inputs=[arguments.archive])
    check_folder(arguments.output)
    cutouts = read_any(arguments.archive)
    ids = None
    if arguments.ids:
        known = {str(i): i for i in cutouts.ids.tolist()}
        unknown = [i for i in arguments.ids if i not in known]
        if unknown:
            msg = f"{arguments.archive} has no cutout of source {', '.join(unknown)}"
            raise ValueError(msg)
        ids = [known[i] for i in arguments.ids]
    if not len(cutouts):
        msg = f"{arguments.archive} has no cutouts"
        raise ValueError(msg)
    _save(plot_gallery(cutouts, ids, limit=arguments.limit), arguments.output)
    print(f"the gallery is in {arguments.output}")


def _merge(arguments: argparse.Namespace) -> None:
    from .io import merge_archives, read_asdf

    options = {"overwrite": arguments.overwrite, "compression": arguments.compression}
    merge_archives(arguments.archives, arguments.output, **options)
    print(f"{len(read_asdf(arguments.output))} cutouts are in {arguments.output}")


def _demo(arguments: argparse.Namespace) -> None:
    import numpy as np

    from .batch import cut_exposures, gather, report_on
    from .cutout import CutoutCollection, create_primary_cutouts
    from .datasets import make_scene
    from .plotting import plot_gallery

    # If matplotlib is missing, this call raises the error before the work begins.
    plot_gallery(CutoutCollection())
    scene = make_scene(seed=arguments.seed)
    kinds = ", ".join(image.name for image in scene.exposures)
    print(f"A simulated scene: {len(scene.truth)} sources on a combined image and on {kinds}")
    combined, *exposures = (_as_cutout(image) for image in (scene.combined, *scene.exposures))
    segmentation, catalog = _detect(combined)
    print(f"photutils detects {segmentation.n_labels} sources on the combined image")
    primary = create_primary_cutouts(catalog, segmentation, combined, None)
    results = list(cut_exposures(primary, segmentation, combined, exposures))
    _print_counts(primary, [report_on(result) for result in results])
    for image, result in zip(scene.exposures, results, strict=True):
        distance = _distance(result.flt.table["src_pos"], image.positions)
        print(
            f"{image.name}: the median distance of a mapped centroid from the true position "
            f"is {np.median(distance):.3f} px"
        )
    arguments.folder.mkdir(parents=True, exist_ok=True)
    archive, picture = (arguments.folder / f"subpixal_demo.{kind}" for kind in ("asdf", "png"))
    everything = gather(primary, results)
    everything.write(archive, format="asdf", overwrite=True)
    _save(plot_gallery(everything, limit=8), picture)
    print(f"{len(everything)} cutouts are in {archive.resolve()}")
    print(f"a gallery of them is in {picture.resolve()}")


def _as_cutout(image: SimulatedImage) -> Cutout:
    """Return the whole simulated image as a cutout."""
    from .cutout import Cutout

    planes: dict[str, Any] = {"dq": image.dq, "weight": image.weight, "uncertainty": image.error}
    about: dict[str, Any] = {"unit": image.unit, "exptime": image.exptime}
    return Cutout(image.data, image.wcs, **planes, **about, meta={"name": image.name}, copy=False)


def _detect(combined: Cutout) -> tuple[SegmentationImage, SourceCatalog]:
    """Detect sources with photutils, and return the segmentation image and the catalog."""
    import numpy as np
    from astropy.convolution import convolve
    from photutils.segmentation import SourceCatalog, detect_sources, make_2dgaussian_kernel

    smooth = convolve(combined.data, make_2dgaussian_kernel(3.0, size=5))
    error = np.asarray(combined.error)
    segmentation = detect_sources(smooth, 1.5 * error, n_pixels=10)
    return segmentation, SourceCatalog(combined.data, segmentation, error=error)


def _distance(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Return the distance of each position to the nearest true position."""
    import numpy as np

    separation = np.asarray(found)[:, None] - true[np.isfinite(true).all(1)]
    return np.hypot(*separation.transpose(2, 0, 1)).min(axis=1)


def _progress(items: Iterable, total: int) -> Iterable:
    """Return an iterable over the items, which shows a progress bar on a terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        return items
    return tqdm(items, desc="exposures", total=total, unit="file", disable=None, leave=False)


def _read_policy(text: str) -> str | None:
    return None if text == "none" else text


@contextmanager
def _naming_files(files: Mapping[str, str], default: str) -> Iterator[None]:
    """Add names of files to an error, for the arguments that the error names."""
    try:
        yield
    except (ValueError, TypeError) as error:
        arguments = getattr(error, "arguments", ())
        names = [files[argument] for argument in arguments] or [default]
        msg = f"{', '.join(names)}: {error}"
        raise ValueError(msg) from error


def _check_any(primary: CutoutCollection, name: str) -> None:
    """Raise an error if the collection contains no cutouts."""
    if not len(primary):
        reasons = Counter(primary.dropped["status"].tolist())
        counts = ", ".join(f"{n} {reason}" for reason, n in reasons.items()) or "no sources"
        msg = f"{name}: no source could be cut out of the combined image ({counts})"
        raise ValueError(msg)


def _print_counts(primary: CutoutCollection, reports: list[ExposureReport]) -> None:
    """Print a table with the numbers of cut and of rejected sources of each exposure."""
    from astropy.table import Table

    dropped = Counter(primary.dropped["status"].tolist())
    rows = [("(combined image)", len(primary), dropped), *reports]
    reasons = list(dict.fromkeys(reason for *_, dropped in rows for reason in dropped))
    table: dict[str, list] = {"image": [row[0] for row in rows], "cut": [row[1] for row in rows]}
    for reason in reasons:
        table[str(reason)] = [dropped.get(reason, 0) for *_, dropped in rows]
    _print_table(Table(table))


def _print_table(table: Table) -> None:
    print("\n".join(table.pformat(max_lines=-1, max_width=-1, show_unit=False)))


def _save(figure: Figure, path: Path) -> None:
    """Write a figure to a file, which is only replaced if the new file is complete."""
    from .io import replacing

    with replacing(path) as file:
        figure.savefig(file, format=path.suffix[1:] or "png", dpi=150)


if __name__ == "__main__":
    sys.exit(main())
