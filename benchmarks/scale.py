"""
Cost of cutting many sources out of many exposures.

    python -m benchmarks.scale docs/tables

The script measures `map_exposures`, which cuts one file with an exposure after the other. Each
case runs in a new process. In some cases, all sources are on the exposures. In other cases, most
sources are off the exposures.
"""

import json
import resource
import sys
import tempfile
import time
import warnings
from concurrent.futures import Executor, Future
from pathlib import Path

import numpy as np
from astropy.io import fits

from subpixal import create_primary_cutouts, map_exposures
from subpixal.datasets import make_segmentation, make_wcs
from subpixal.io import read_image, read_segmentation

from .report import markdown, write_csv
from .scenes import SIDE
from .timing import run_python

# Each case: sources of the combined image, sources that fit on an exposure, number of exposures.
CASES = ((1_000, 1_000, 8), (10_000, 10_000, 8), (100_000, 10_000, 4))

COLUMNS = ("sources", "exposures", "cut on each", "not on it", "task s", "MB of a part",
           "primary s", "merging s", "peak MB")  # fmt: skip


class Timed(Executor):
    """Executor that runs tasks in this process and records the seconds of each task."""

    def __init__(self):
        self.seconds = []

    def submit(self, function, *args):
        future, start = Future(), time.perf_counter()
        future.set_result(function(*args))
        self.seconds.append(time.perf_counter() - start)
        return future


def side_of(count: int) -> int:
    """Return the width in pixels of an image for ``count`` sources."""
    return round(SIDE * (count / 10_000) ** 0.5)


def write_image(path: Path, wcs, planes: dict, shape) -> str:
    """Write a FITS file in the layout of a mission. Return its name."""
    header = wcs.to_header(relax=True)
    header["BUNIT"], header["EXPTIME"] = "ELECTRONS/S", 100.0
    hdus = [fits.PrimaryHDU()]
    for name, dtype in planes.items():
        noise = np.random.default_rng(1).random(shape, np.float32)
        plane = noise if dtype == "f4" else (noise < 0.01).astype(dtype)
        hdus.append(fits.ImageHDU(plane, header if name == "SCI" else None, name=name))
    fits.HDUList(hdus).writeto(path)
    return str(path)


def measure(count: int, room: int, exposures: int) -> dict:
    """Return the seconds and the megabytes that a case takes."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder, shape = Path(name), (side_of(count),) * 2
        labels, catalog = make_segmentation(shape, count)
        segmentation = folder / "seg.fits"
        fits.writeto(segmentation, labels)
        del labels
        wcs = make_wcs("tan", shape, scale=0.04)
        combined = write_image(folder / "drz.fits", wcs, {"SCI": "f4", "WHT": "f4"}, shape)
        names = []
        for k in range(exposures):
            inside = (side_of(room),) * 2
            wcs = make_wcs("sip", inside, scale=0.06 if room == count else 0.04, rotation=20 + k)
            planes = {"SCI": "f4", "ERR": "f4", "DQ": "i2"}
            names.append(write_image(folder / f"flt{k}.fits", wcs, planes, inside))
        start = time.perf_counter()
        primary = create_primary_cutouts(
            catalog, read_segmentation(segmentation), read_image(combined), None
        )
        seconds, executor, output = time.perf_counter() - start, Timed(), folder / "out.asdf"
        sizes = []

        def look(items, _):
            yield from items
            sizes.extend(p.stat().st_size for p in folder.glob("*.parts/[!p]*.asdf"))

        start = time.perf_counter()
        reports = map_exposures(
            primary, names, executor, combined=combined, segmentation=segmentation,
            output=output, progress=look,
        )  # fmt: skip
        rest = time.perf_counter() - start - sum(executor.seconds)
    cut = np.mean([report.cut for report in reports])
    # Omit the first task, which also imports modules and reads shared images. Take the shortest
    # time of the others, because other processes make tasks slower.
    found = (
        count, exposures, round(cut), round(len(primary) - cut), min(executor.seconds[1:]),
        np.mean(sizes) / 1e6, seconds, rest,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    )  # fmt: skip
    return dict(zip(COLUMNS, map(float, found), strict=True))


def main(folder=None) -> None:
    found = [json.loads(run_python("-m", "benchmarks.scale", "case", str(k)))
             for k in range(len(CASES))]  # fmt: skip
    rows = [COLUMNS, *([f"{row[name]:.3g}" if row[name] < 1000 else f"{row[name]:.0f}"
                        for name in COLUMNS] for row in found)]  # fmt: skip
    print(markdown(rows))
    few, many, wide = found
    per_cut = (many["task s"] - few["task s"]) / (many["cut on each"] - few["cut on each"])
    fixed = few["task s"] - per_cut * few["cut on each"]
    others = (wide["task s"] - fixed - per_cut * wide["cut on each"]) / wide["not on it"]
    print(
        f"\na task: {fixed:.2f} s, {1e6 * per_cut:.0f} us for a source that is cut, "
        f"{1e6 * others:.1f} us for one that is not on the exposure"
    )
    if folder is not None:
        write_csv(Path(folder) / "scale.csv", rows)


if __name__ == "__main__":
    if sys.argv[1:2] == ["case"]:
        print(json.dumps(measure(*CASES[int(sys.argv[2])])))
    else:
        main(*sys.argv[1:])
