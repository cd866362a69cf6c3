"""Simulated images for any number of sources, always with the same number of sources per area."""

from functools import cached_property

import numpy as np

from subpixal import create_primary_cutouts
from subpixal.datasets import make_segmentation, make_wcs
from subpixal.geometry import perimeter

# Width and height in pixels of an image with 10,000 sources.
SIDE = 4096

# Fraction of the pixels that have a flag.
FLAGGED = 0.01


class Scene:
    """
    Simulated drizzled image and exposure of the same sky, each with data, weight and flags.

    Parameters
    ----------
    count : int
        Number of sources. Their segments are 10 to 30 pixels wide and high.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.shape = (round(SIDE * (count / 10_000) ** 0.5),) * 2
        self.segmentation, self.catalog = make_segmentation(self.shape, count)
        rng = np.random.default_rng(count)
        self.drz, self.flt = self._make_planes(rng), self._make_planes(rng)
        self.drz_wcs = make_wcs("tan", self.shape, scale=0.04)

    def _make_planes(self, rng) -> dict[str, np.ndarray]:
        noise = rng.standard_normal(self.shape, np.float32)
        return {
            # Sources are bright, so that photutils can measure their centroids.
            "data": noise + np.float32(10) * (self.segmentation > 0),
            "weight": np.ones(self.shape, np.float32),
            "dq": (rng.random(self.shape, np.float32) < FLAGGED).astype(np.uint32),
        }

    def exposure_wcs(self, kind: str):
        """
        Return a distorted, rotated WCS.

        Its pixels are coarser, so that all sources are inside.
        """
        return make_wcs(kind, self.shape, scale=0.06, rotation=20)

    def cut(self, **options):
        """Cut only the data of the drizzled image."""
        data = self.drz["data"]
        return create_primary_cutouts(
            self.catalog, self.segmentation, data, self.drz_wcs, **options
        )

    def cut_planes(self, **options):
        """Cut all planes of the drizzled image."""
        return self.cut(imdq=self.drz["dq"], imweight=self.drz["weight"], **options)

    @cached_property
    def primary(self):
        return self.cut_planes()

    def slices(self, cutouts) -> list[tuple[slice, slice]]:
        """Return the slices of cutouts in their image, without pixels beyond the image."""
        table = cutouts.table
        low = np.maximum(table["blc"], 0)
        high = np.minimum(table["trc"] + 1, self.shape[::-1])
        corners = np.concatenate([low, high], axis=1).tolist()
        return [(slice(y1, y2), slice(x1, x2)) for x1, y1, x2, y2 in corners]


def edges(cutouts) -> np.ndarray:
    """Return the edges ``xmin, ymin, xmax, ymax`` of cutouts in pixels, with shape (4, N)."""
    table = cutouts.table
    return np.concatenate([table["blc"] - 0.5, table["trc"] + 0.5], axis=1).T


def corners_of(cutouts) -> np.ndarray:
    """Return the corners ``x, y`` of each cutout, with shape (N, 2, 4)."""
    x1, y1, x2, y2 = edges(cutouts)
    return np.array([[x1, x1, x2, x2], [y1, y2, y2, y1]]).transpose(2, 0, 1)


def points(cutouts) -> tuple[np.ndarray, np.ndarray]:
    """Return all points to map: eight points on each box, and the positions of the sources."""
    x, y, _ = perimeter(*edges(cutouts))
    src_x, src_y = np.transpose(cutouts.table["src_pos"])
    return np.append(x, src_x), np.append(y, src_y)
