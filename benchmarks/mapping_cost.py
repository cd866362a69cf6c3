"""
What the verified mapping costs, against the bare calls of the WCSs.

    python benchmarks/mapping_cost.py docs/tables/mapping_cost.csv

Corners, edge samples and positions of 10,000 sources of a drizzled image are mapped to an
exposure. Both ways run in turn, and the medians of their times are compared.
"""

import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from subpixal.datasets import make_segmentation, make_wcs
from subpixal.geometry import PixelMap, SkyImage
from subpixal.geometry.enclosing import perimeter

SHAPE = (4096, 4096)
REPEATS = 9


def bare_calls(kind, wcs_in, wcs_out, x, y):
    """A function that maps points by the vectorised calls that the WCSs offer."""
    if kind == "gwcs-noinverse":
        return lambda: (wcs_in.all_pix2world(x, y, 0), wcs_out(x, y, with_bounding_box=False))
    if kind == "gwcs":
        forward = wcs_in.all_pix2world(x, y, 0)
        return lambda: (
            wcs_out(x, y, with_bounding_box=False),
            wcs_out.invert(*forward, with_bounding_box=False),
        )
    return lambda: wcs_out.all_world2pix(*wcs_in.all_pix2world(x, y, 0), 0)


def compare(ours, bare):
    """Median seconds of both, run in turn."""
    times = np.empty((REPEATS, 2))
    for row in times:
        for column, function in enumerate((ours, bare)):
            start = time.perf_counter()
            function()
            row[column] = time.perf_counter() - start
    return np.median(times, axis=0)


def main(output):
    warnings.simplefilter("ignore")
    _, catalog = make_segmentation(SHAPE, 10_000, seed=1)
    size = np.random.default_rng(1).integers(10, 31, (2, len(catalog)))
    half, xy = size / 2, np.array([catalog["x"], catalog["y"]])
    edges = np.concatenate([xy - half, xy + half])
    around_x, around_y, _ = perimeter(*edges)
    x, y = np.append(around_x, xy[0]), np.append(around_y, xy[1])
    wcs_in = make_wcs("tan", SHAPE, scale=0.04)
    rows = [("exposure", "points", "bare us/source", "ours us/source", "ratio")]
    for kind in ("tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"):
        # Coarser than the drizzled image, so that all sources are on it.
        wcs_out = make_wcs(kind, SHAPE, scale=0.06, rotation=20)

        def ours(wcs_out=wcs_out):
            PixelMap(SkyImage(wcs_in), SkyImage(wcs_out)).boxes(edges, *xy)

        mine, bare = compare(ours, bare_calls(kind, wcs_in, wcs_out, x, y))
        us = [f"{1e6 * t / len(catalog):.1f}" for t in (bare, mine)]
        rows.append((kind, len(x), *us, f"{mine / bare:.1f}"))
        print(*rows[-1], sep="  ")
    with Path(output).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
