"""Methods of several packages for cutting all sources out of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from astropy.io import fits
from astropy.nddata import Cutout2D, NDData
from astropy.table import Table
from scipy.ndimage import find_objects

from .bare import copy_slices, map_points, photutils_cutouts, to_world
from .jobs import FEW, SIZE, there_and_back
from .scenes import Scene, points


class Way(NamedTuple):
    """Named method to measure, with the number of sources that it cuts."""

    name: str
    function: Callable
    count: int


def all_ways(scene: Scene, folder: Path) -> Iterator[Way]:
    """Yield all methods for cutting the sources. Some methods write files to `folder`."""
    for ways in (our_ways, bare_ways, astropy_ways, photutils_ways):
        yield from (Way(name, function, scene.count) for name, function in ways(scene))
    if find_spec("astrocut") is not None:
        yield astrocut_way(scene, folder)


def our_ways(scene):
    wcs = scene.exposure_wcs("sip")
    yield "subpixal: primary cutouts, copy=False", partial(scene.cut, copy=False)
    yield "subpixal: primary cutouts, 3 planes", scene.cut_planes
    yield "subpixal: exposure (SIP) and back, 3 planes each", partial(there_and_back, scene, wcs)
    yield "subpixal: one plane, as Cutout objects", lambda: list(scene.cut(size=SIZE))


def bare_ways(scene):
    slices, (x, y) = scene.slices(scene.primary), points(scene.primary)
    data, wcs = {"data": scene.drz["data"]}, scene.exposure_wcs("sip")
    yield "scipy: find_objects", partial(find_objects, scene.segmentation)
    yield "numpy: slice-and-copy loop, 1 plane", partial(copy_slices, data, slices)
    yield "numpy: slice-and-copy loop, 3 planes", partial(copy_slices, scene.drz, slices)
    yield "astropy: WCS calls of all points, SIP", partial(map_points, scene.drz_wcs, wcs, x, y)


def astropy_ways(scene):
    positions, data = (
        list(zip(scene.catalog["x"], scene.catalog["y"], strict=True)),
        scene.drz["data"],
    )

    def cut(wcs):
        # The cutouts of astropy copy pixels and fill missing ones, as our cutouts do.
        options = {"mode": "partial", "copy": True, "wcs": wcs}
        return [Cutout2D(data, position, SIZE, **options) for position in positions]

    yield "astropy: Cutout2D", partial(cut, None)
    yield "astropy: Cutout2D with WCS", partial(cut, scene.drz_wcs)


def photutils_ways(scene):
    from photutils.psf import extract_stars
    from photutils.segmentation import SegmentationImage

    data, labels = scene.drz["data"], scene.segmentation
    nddata, table = NDData(data), Table(scene.catalog["x", "y"])

    def segments():
        return [segment.make_cutout(data) for segment in SegmentationImage(labels).segments]

    yield "photutils: SegmentationImage segments", segments
    yield "photutils: SourceCatalog.make_cutouts", partial(photutils_cutouts, data, labels, SIZE)
    yield "photutils: extract_stars", lambda: extract_stars(nddata, table, size=SIZE)


def astrocut_way(scene, folder) -> Way:
    from astrocut import FITSCutout
    from astropy.coordinates import SkyCoord

    path, wcs = str(folder / "exposure.fits"), scene.exposure_wcs("sip")
    header, few = wcs.to_header(relax=True), scene.catalog[:FEW]
    fits.PrimaryHDU(scene.flt["data"], header).writeto(path, overwrite=True)
    sky = SkyCoord(*to_world(scene.drz_wcs, few["x"], few["y"]), unit="deg")
    return Way(
        "astrocut: FITSCutout, SIP", lambda: [FITSCutout(path, at, SIZE) for at in sky], len(few)
    )
