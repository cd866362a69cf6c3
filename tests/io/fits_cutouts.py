"""Functions that write cutouts to FITS files, and read pixels and positions with astropy alone."""

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import (
    StdDevUncertainty,
)
from astropy.wcs import WCS

from subpixal import Cutout
from subpixal.datasets import make_wcs

SHAPE = (60, 80)
RNG = np.random.default_rng(4)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
IMAGE[12, 9] = np.nan
DQ = RNG.integers(0, 2**32, SHAPE, dtype=np.uint32)
WEIGHT = RNG.random(SHAPE)


def make_cutout(wcs="tan", blc=(5, 6), trc=(16, 14), image=IMAGE, **options):
    """Return a cutout with all planes."""
    wcs = make_wcs(wcs, SHAPE) if isinstance(wcs, str) else wcs
    options = {"dq": DQ, "weight": WEIGHT, "uncertainty": StdDevUncertainty(WEIGHT)} | options
    cutout = Cutout(image, wcs, blc, trc, mode="fill", dqbitmask=None, **options)
    cutout.segmentation = np.arange(cutout.size, dtype=np.int32).reshape(cutout.shape)
    return cutout


def write_fits(cutouts, path, **options):
    """Write cutouts to a FITS file and return the opened file."""
    cutouts.write(path, format="fits", **options)
    return fits.open(path)


def read_row(hdus, number, name="SCI"):
    """Return the pixels in a row of the table. The documentation explains these steps."""
    row = hdus["CUTOUTS"].data[number]
    start, ny, nx = row[f"start_{name}"], row["height"], row["width"]
    return None if start < 0 else hdus[name].section[start : start + ny * nx].reshape(ny, nx)


def row_to_world(hdus, number, x, y):
    """Return world values of positions in a row of the table, following the documentation."""
    row = hdus["CUTOUTS"].data[number]
    header = fits.Header.fromstring(hdus["IMAGES"].data["header"][row["image"]])
    wcs = WCS(header, hdus)
    return wcs.all_pix2world(x + row["origin"][0], y + row["origin"][1], 0)


def sample_positions(cutout):
    """Return positions on a grid over a cutout, including its outer edges."""
    x, y = np.meshgrid(np.arange(-0.5, cutout.width), np.arange(-0.5, cutout.height))
    return x.ravel(), y.ravel()


def measure_pixels(cutout, world):
    """Return the largest distance, in pixels, between world values and those of the cutout."""
    found = SkyCoord(*world, unit="deg")
    true = SkyCoord(*cutout.pix2world(*sample_positions(cutout)), unit="deg")
    return (found.separation(true).deg / cutout.pscale).max()
