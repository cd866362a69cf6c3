"""
Measure the memory that is needed to cut sources out of a memory-mapped image.

    python benchmarks/huge_image.py /tmp

The script cuts 10,000 sources out of an image of 20,000 x 20,000 pixels. It writes the image and
the segmentation image to the folder, and removes them afterwards. Each file has 1.6 GB. The
script measures anonymous memory, which is not mapped to a file. It reads the size of this memory
from /proc, so it runs on Linux only.
"""

import multiprocessing
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np

from subpixal import create_primary_cutouts
from subpixal.datasets import make_wcs

SIZE, PER_ROW = 20_000, 100
# Limit of the memory of cutting, in bytes, in addition to the cutouts.
ALLOWED = 150e6


def make_files(folder):
    """Write an image and its segmentation image. Each cell of a grid contains one source."""
    rng = np.random.default_rng(1)
    names = [str(Path(folder) / name) for name in ("data.npy", "segmentation.npy")]
    data, labels = (
        np.lib.format.open_memmap(name, "w+", dtype, (SIZE, SIZE))
        for name, dtype in zip(names, ("f4", "i4"), strict=True)
    )
    cell = SIZE // PER_ROW
    for row in range(PER_ROW):
        rows = slice(row * cell, (row + 1) * cell)
        data[rows] = rng.standard_normal((cell, SIZE), np.float32)
        for column in range(PER_ROW):
            x, y = rng.integers(20, cell - 60, 2) + np.array([column, row]) * cell
            width, height = rng.integers(10, 40, 2)
            labels[y : y + height, x : x + width] = 1 + row * PER_ROW + column
    return names


class Watch:
    """Context that records the peak of the process's anonymous memory, in bytes."""

    def __enter__(self):
        self.before = self.peak = self._now()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._end.set()
        self._thread.join()
        self.peak = max(self.peak, self._now())

    def _run(self):
        while not self._end.wait(0.001):
            self.peak = max(self.peak, self._now())

    @staticmethod
    def _now():
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def measure(names, copy):
    """Cut all sources. Exit with an error if this takes too much memory."""
    warnings.simplefilter("ignore")
    data, labels = (np.load(name, mmap_mode="r") for name in names)
    catalog = {"id": np.arange(1, PER_ROW**2 + 1)}
    wcs = make_wcs("tan", (SIZE, SIZE), scale=0.04)
    # Load all modules before the measurement.
    create_primary_cutouts({"id": [1]}, labels[:200, :200], data[:200, :200], wcs)
    start = time.perf_counter()
    with Watch() as watch:
        cutouts = create_primary_cutouts(catalog, labels, data, wcs, pad=2, copy=copy)
    seconds, more = time.perf_counter() - start, watch.peak - watch.before
    pixels = sum(c.data.nbytes + c.mask.nbytes for c in cutouts) if copy else 0
    print(
        f"copy={copy}: {len(cutouts)} cutouts in {seconds:.1f} s, {more / 1e6:.0f} MB; "
        f"allowed are {pixels / 1e6:.0f} MB of pixels and {ALLOWED / 1e6:.0f} MB"
    )
    if more > pixels + ALLOWED:
        sys.exit("cutting takes more memory than allowed")


def main(folder):
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        names = make_files(temporary)
        for copy in (True, False):
            # Measure in a new process, which cannot reuse memory that writing the files has freed.
            process = multiprocessing.get_context("spawn").Process(
                target=measure, args=(names, copy)
            )
            process.start()
            process.join()
            if process.exitcode:
                sys.exit(process.exitcode)


if __name__ == "__main__":
    main(sys.argv[1])
