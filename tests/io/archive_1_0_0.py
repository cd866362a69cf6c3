"""
Script that writes the test archive of format 1.0.0.

The command ``python tests/io/archive_1_0_0.py`` writes ``tests/io/data/archive-1.0.0.asdf`` again.
After the first release, this file must not change, and all later versions must read it.
"""

from pathlib import Path

import numpy as np
from astropy.nddata import StdDevUncertainty, VarianceUncertainty

from subpixal import Cutout, CutoutCollection
from subpixal.cutout.storage import Dropped
from subpixal.datasets import make_wcs

PATH = Path(__file__).parent / "data" / "archive-1.0.0.asdf"
SHAPE = (12, 16)


def make_archive():
    """Return cutouts of two images with all planes, in mixed order, with dropped sources."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    data = (100 * y + x).astype(np.float32)
    cutouts = []
    for number, kind in enumerate(("sip", "gwcs")):
        uncertainty = (StdDevUncertainty, VarianceUncertainty)[number](data / 4)
        wcs, meta = make_wcs(kind, SHAPE), {"filter": "F140W", "number": number}
        for k in range(3):
            cutout = Cutout(
                data, wcs, (4 * k - 1, k), (4 * k + 3, k + 3), mode="fill",
                dq=(x + y).astype(np.uint16), dqbitmask=None,
                weight=data / 8, uncertainty=uncertainty, src_id=10 * number + k, exptime=10,
                src_pos=(4 * k + 1.25, k + 1.5), unit="electron", data_units="counts",
                meta=meta,
            )  # fmt: skip
            cutout.segmentation = np.full(cutout.shape, k + 1, np.int32)
            cutout.dx = k / 8
            cutouts.append(cutout)
    cutouts[1].meta["note"] = "blended"
    collection = CutoutCollection([cutouts[k] for k in (4, 0, 1, 2, 5, 3)])
    dropped = [
        Dropped(np.array([99]), "no_overlap", "primary", "an image", "source 99 is far away")
    ]
    return collection.with_dropped(dropped)


if __name__ == "__main__":
    make_archive().write(PATH, overwrite=True)
