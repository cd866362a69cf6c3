"""Measure the time and memory of all jobs and print tables; see docs/performance.rst."""

import argparse
import json
import os
import tempfile
import warnings
from pathlib import Path

from .jobs import all_jobs
from .report import JOB_COLUMNS, job_row, markdown, plot_costs, write_csv
from .scenes import Scene
from .timing import peak_memory, run_python, time_imports, time_in_turn
from .ways import all_ways

IMPORTS = "import subpixal", "import astropy.nddata, astropy.wcs"
IMPORT_LIMIT = 1.15

# Memory limits beyond the pixels: bytes for each collection, and bytes for each source.
MEMORY_LIMIT = 25e6, 800


def measure_jobs(scenes, folder, seconds, only=""):
    """Yield rows of the table of limits. Measure each job before yielding its row."""
    for job in all_jobs(*scenes, folder):
        if only in job.name:
            times = time_in_turn((job.ours, job.theirs), seconds)
            yield job_row(job, *times, *map(peak_memory, (job.ours, job.theirs)))


def measure_import(seconds):
    ours, theirs = time_imports(IMPORTS, seconds)
    within = "yes" if ours <= IMPORT_LIMIT * theirs else "no"
    times = (f"{1000 * t:.0f}" for t in (ours, theirs))
    return *IMPORTS, *times, f"{ours / theirs:.2f}", IMPORT_LIMIT, within, "", ""


def measure_memory(count):
    """Yield rows of the table of memory, which does not include the pixels of the cutouts."""
    limit = MEMORY_LIMIT[0] + MEMORY_LIMIT[1] * count
    yield "collection", "sources", "MB beyond its pixels", "limit MB", "within"
    for name, size in json.loads(run_python("-m", "benchmarks.memory", str(count))).items():
        megabytes = f"{size / 1e6:.1f}", f"{limit / 1e6:.1f}"
        yield name, count, *megabytes, "yes" if size <= limit else "no"


def measure_ways(scenes, folder):
    """Return the microseconds per source of each method, by the number of sources."""
    costs = {}
    for scene in scenes:
        ways = list(all_ways(scene, folder))
        # Some methods take a second or more, so two rounds are enough.
        times = time_in_turn([way.function for way in ways], 0, repeats=2)
        for way, seconds in zip(ways, times, strict=True):
            costs.setdefault(way.name, {})[scene.count] = 1e6 * seconds / way.count
    return costs


def way_rows(costs, counts):
    """
    Yield rows of the table of methods.

    The ratios compare each method with ours for all planes.
    """
    reference = costs["subpixal: primary cutouts, 3 planes"][counts[1]]
    yield "way", *(f"us per source of {count}" for count in counts), f"ratio at {counts[1]}"
    for name, by_count in costs.items():
        cells = (f"{by_count[count]:.3g}" for count in counts)
        yield name, *cells, f"{by_count[counts[1]] / reference:.2f}"


def main(arguments=None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sources", type=int, default=10_000, help="number, besides 1/10 and 5x")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each job, at least")
    parser.add_argument("--only", default="", metavar="TEXT", help="jobs with this in their name")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="folder of the documentation")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    counts = options.sources // 10, options.sources, 5 * options.sources
    scenes = [Scene(count) for count in counts]
    print_load()
    tables = {"performance": [JOB_COLUMNS]}
    with tempfile.TemporaryDirectory() as folder:
        for row in measure_jobs(scenes, Path(folder), options.seconds, options.only):
            print(*row, sep=" | ", flush=True)
            tables["performance"].append(row)
        if options.only:
            return
        tables["performance"].append(measure_import(2 * options.seconds))
        costs = measure_ways(scenes, Path(folder))
    tables["memory"] = list(measure_memory(counts[1]))
    tables["alternatives"] = list(way_rows(costs, counts))
    for rows in tables.values():
        print(f"\n{markdown(rows)}", flush=True)
    print_load()
    if options.write:
        for name, rows in tables.items():
            write_csv(options.write / "tables" / f"{name}.csv", rows)
        plot_costs(options.write / "images" / "performance.svg", costs)


def print_load() -> None:
    load = ", ".join(f"{number:.1f}" for number in os.getloadavg())
    print(f"\nload of the last 1, 5 and 15 minutes: {load} on {os.cpu_count()} cores", flush=True)


if __name__ == "__main__":
    main()
