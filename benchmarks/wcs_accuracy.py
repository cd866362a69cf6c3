"""
Errors of inverse transforms of real WCSs, as a table.

    python benchmarks/wcs_accuracy.py FOLDER_OF_REAL_IMAGES docs/tables/wcs_accuracy.csv

For each WCS, the script maps 10,000 random positions to the sky and back. The positions are on the
image or up to 100 pixels outside. The script also maps 10,000 random points of the whole sky, and
10,000 random points within 20 degrees of the image, to pixels. A point counts as on the image if
it is close to a position on a dense grid of pixels.
"""

import csv
import sys
import warnings
from importlib.resources import files
from pathlib import Path

import asdf
import numpy as np
from astropy.io import fits
from astropy.utils.data import get_pkg_data_filename
from astropy.wcs import WCS
from scipy.spatial import KDTree

from subpixal.geometry import PixelGrid
from subpixal.io import read_image

COUNT = 10_000
MARGIN = 100


def read_wcss(folder: Path):
    """Yield the name, the WCS and the shape of each image."""
    for name, shape in (
        ("siaf_nrca1_full_gwcs", (2048, 2048)),
        ("siaf_wfi01_full_gwcs", (4088, 4088)),
        ("stcal_nrcb5-wcs", (2048, 2048)),
        ("stcal_mosaic_long_i2d_gwcs", (2048, 2048)),
    ):
        yield name, read_asdf(folder / "gwcs" / f"{name}.asdf", "wcs"), shape
    for name, shape in (("nircamwcs", (2048, 2048)), ("miriwcs", (1024, 1032))):
        yield f"gwcs: {name}", read_asdf(files("gwcs") / f"tests/data/{name}.asdf", "wcs"), shape
    path = folder / "roman" / "r0000101001001001001_0001_wfi01_f158_cal.asdf"
    yield "Roman WFI01 L2", read_asdf(path, "roman", "meta", "wcs"), (200, 220)
    for name, pattern in (
        ("JWST NRCB1", "jwst_nircam_sim/jw0*_cal.fits.gz"),
        ("JWST i2d", "jwst_nircam_sim/jw_i2d.fits.gz"),
        ("WFC3/IR SIP", "hst_wfc3ir_goodss/*_flt.fits.gz"),
        ("WFC3/IR drizzled", "hst_wfc3ir_goodss/*_drz.fits.gz"),
        ("SWarp coadd", "ground_tpv/*_coadd.fits.gz"),
    ):
        for path in sorted(folder.glob(pattern)):
            image = read_image(path)
            yield f"{name} {path.name.split('_')[0]}", image.image_wcs, image.shape
    for name, path, extensions in (
        ("ACS/WFC SIP+NPOL+D2IM", "full_distortion_wcs/acs_wfc_full_wcs.fits.gz", (1, 2)),
        ("WFC3/UVIS SIP+NPOL+D2IM", "full_distortion_wcs/uvis_c6_full_wcs_IDC.fits.gz", (1, 2)),
        ("CTIO Mosaic2 TPV", "ground_tpv/tpv_ctio_mosaic2.fits.gz", (None,)),
    ):
        with fits.open(folder / path) as hdulist:
            for version in extensions:
                hdu = hdulist[0] if version is None else hdulist["SCI", version]
                label = f"{name} chip {version}" if len(extensions) > 1 else name
                yield label, WCS(hdu.header, hdulist), hdu.shape
    data = files("astropy.wcs") / "tests/data"
    for name in ("irac_sip", "siponly", "tpvonly"):
        yield f"astropy: {name}", *with_shape(WCS(read_header(data / f"{name}.hdr")))
    for name, k in (("sip", 0), ("sip2", 0), ("j94f05bgq_flt", 1), ("ie6d07ujq_wcs", 0)):
        yield f"astropy: {name}", *with_shape(WCS(fits.getheader(data / f"{name}.fits", k)))
    for name in ("acs", "simple_wcs2"):
        yield (
            f"gwcs: {name}",
            *with_shape(WCS(read_header(files("gwcs") / f"tests/data/{name}.hdr"))),
        )
    with fits.open(get_pkg_data_filename("tests/data/dist_lookup.fits.gz", "astropy.wcs")) as file:
        yield "astropy: dist_lookup", WCS(file[1].header, file), file[1].shape


def with_shape(wcs):
    """Return a WCS and an image shape. By default, the reference point is the image center."""
    shape = wcs.array_shape
    if shape is None or min(shape) < 2:
        shape = tuple(int(2 * n) for n in wcs.wcs.crpix[::-1])
    return wcs, shape


def read_header(path):
    text = Path(path).read_text(encoding="ascii", errors="ignore")
    return fits.Header.fromstring(text, sep="\n" if "\n" in text else "")


def read_asdf(path, *keys):
    with asdf.open(path, lazy_load=False) as file:
        node = file.tree
        for key in keys:
            node = node[key]
        return node


def measure(wcs, shape, rng):
    """Return errors and counts of false positions for the inverse of the WCS and for ours."""
    image = PixelGrid(wcs, shape)
    ny, nx = shape
    x = rng.uniform(-MARGIN, nx + MARGIN, COUNT)
    y = rng.uniform(-MARGIN, ny + MARGIN, COUNT)
    world = image.to_world(x, y)
    sky = random_sky(image, rng)
    there = on_image(image, sky)
    columns = []
    for invert in (image.wcs.world_to_pixel_values, image.to_pixel):
        try:
            error = np.hypot(*np.subtract(invert(*world), (x, y)))
            u, v = invert(*sky)
        except AttributeError:
            columns += ["-", "-", "fails", "-"]
            continue
        false = (u > -0.5) & (u < nx - 0.5) & (v > -0.5) & (v < ny - 0.5)
        columns += [
            f"{np.nanmedian(error):.0e}",
            f"{np.nanmax(error):.0e}",
            f"{np.isnan(error).mean():.0%}",
            int((false & ~there).sum()),
        ]
    return columns


def on_image(image, sky):
    """Return `True` for sky positions on the image. Use only the forward transform."""
    ny, nx = image.shape
    step = max(nx, ny) / 800
    x, y = np.meshgrid(np.arange(-0.5, nx + step, step), np.arange(-0.5, ny + step, step))
    x, y = np.minimum(x, nx - 0.5).ravel(), np.minimum(y, ny - 0.5).ravel()
    tree = KDTree(image.world.vectors(image.to_world(x, y)).T)
    reach = 1.5 * step * np.deg2rad(image.pixel_scale(x, y).max())
    distance, _ = tree.query(image.world.vectors(sky).T, distance_upper_bound=reach)
    return np.isfinite(distance)


def random_sky(image, rng):
    """Return random points of the whole sky, and random points within 20 degrees of the image."""
    points = rng.normal(size=(3, COUNT))
    ny, nx = image.shape
    center = image.world.vectors(image.to_world([nx / 2], [ny / 2]))
    angle = np.deg2rad(10 ** rng.uniform(np.log10(0.05), np.log10(20), COUNT))
    away = points - center * (center * points).sum(0)
    near = center * np.cos(angle) + away / np.linalg.norm(away, axis=0) * np.sin(angle)
    x, y, z = np.concatenate([points, near], axis=1)
    return image.world.values(np.arctan2(y, x), np.arctan2(z, np.hypot(x, y)))


def main(folder, output):
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(2026)
    columns = ("median", "largest", "NaN", "false")
    rows = [("WCS", *(f"{inverse} {column}" for inverse in ("own", "our") for column in columns))]
    for name, wcs, shape in read_wcss(Path(folder)):
        rows.append((name, *measure(wcs, shape, rng)))
        print(*rows[-1], sep="  ")
    with Path(output).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
