"""Jobs to measure: our code, plain code with the same result, and the limit of their cost ratio."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from numpy._core.multiarray import _set_madvise_hugepage
from scipy.ndimage import find_objects

from subpixal import CutoutCollection, PixelMap, create_cutouts
from subpixal.geometry import PixelGrid

from .bare import (
    copy_slices,
    flat_planes,
    make_nddata,
    map_forward,
    map_points,
    photutils_cutouts,
)
from .scenes import Scene, corners_of, edges, points

# Width and height, in pixels, of cutouts that all have the same size.
SIZE = 25

# Number of sources that are cut one by one.
FEW = 20


@dataclass(frozen=True)
class Job:
    """
    Pair of functions with the same result: one uses this package, the other is plain code.

    Attributes
    ----------
    name, against : str
        Names of the function of this package and of the plain code.
    ours, theirs : callable
        Both functions.
    limit : float
        Largest allowed ratio of our time to the time of the plain code.
    allowance : float
        Seconds that our function may take beyond this ratio.
    """

    name: str
    against: str
    ours: Callable = field(repr=False)
    theirs: Callable = field(repr=False)
    limit: float
    allowance: float = 0.0


def all_jobs(small: Scene, scene: Scene, large: Scene, folder: Path) -> Iterator[Job]:
    """Yield all jobs. The jobs write their files to `folder`."""
    for jobs in (primary_jobs, mapping_jobs, chain_jobs, single_jobs, object_jobs):
        yield from jobs(scene)
    yield from archive_jobs(small, folder)
    yield from archive_jobs(scene, folder)
    yield from scaling_jobs(scene, large)


def primary_jobs(scene: Scene) -> Iterator[Job]:
    """Yield jobs that cut the drizzled image, on whose grid the segmentation image lies."""
    labels, planes = scene.segmentation, scene.drz
    slices = scene.slices(scene.primary)

    def find_and_copy():
        return find_objects(labels), copy_slices(planes, slices)

    yield Job(
        "primary cutouts, copy=False",
        "find_objects",
        partial(scene.cut, copy=False),
        partial(find_objects, labels),
        1.0,
    )
    yield Job(
        "primary cutouts, 3 planes and masks",
        "find_objects and slice-and-copy loop",
        scene.cut_planes,
        find_and_copy,
        1.2,
    )
    photutils = partial(photutils_cutouts, planes["data"], labels, SIZE)
    yield Job(
        "primary cutouts of one size, one plane",
        "SourceCatalog.make_cutouts",
        partial(scene.cut, size=SIZE),
        photutils,
        0.1,
    )


def mapping_jobs(scene: Scene) -> Iterator[Job]:
    """
    Yield jobs that map boxes and positions to an exposure.

    The plain code does not verify results.
    """
    boxes, src_pos = edges(scene.primary), np.transpose(scene.primary.table["src_pos"])
    xy = points(scene.primary)
    for kind, limit in (("sip", 2.0), ("lookup", 3.0), ("gwcs", 3.0), ("gwcs-noinverse", 8.0)):
        wcs, with_inverse = scene.exposure_wcs(kind), kind != "gwcs-noinverse"

        def ours(wcs=wcs):
            pixel_map = PixelMap(PixelGrid(scene.drz_wcs), PixelGrid(wcs))
            return pixel_map.boxes(boxes, *src_pos)

        theirs = partial(map_points if with_inverse else map_forward, scene.drz_wcs, wcs, *xy)
        against = "vectorized WCS calls" if with_inverse else "forward calls"
        yield Job(f"mapping, {kind}", against, ours, theirs, limit)


def there_and_back(scene: Scene, wcs, primary=None, planes=("dq", "weight")):
    """Cut an exposure, and then the boxes of the drizzled image that enclose its cutouts."""
    given = {
        f"{image}_{name}": getattr(scene, image)[name]
        for image in ("drz", "flt")
        for name in planes
    }
    primary = scene.primary if primary is None else primary
    return create_cutouts(
        primary,
        scene.segmentation,
        scene.drz["data"],
        scene.drz_wcs,
        scene.flt["data"],
        wcs,
        **given,
    )


def bare_chain(scene: Scene, wcs) -> Callable:
    """Return a function that evaluates the WCSs of both mappings and copies all boxes in a loop."""
    flt, drz = there_and_back(scene, wcs)
    steps = ((points(scene.primary), scene.drz_wcs, wcs), (points(flt), wcs, scene.drz_wcs))
    boxes = ((scene.flt, scene.slices(flt)), (scene.drz, scene.slices(drz)))

    def bare():
        mapped = [map_points(wcs_in, wcs_out, *xy) for xy, wcs_in, wcs_out in steps]
        return mapped, [copy_slices(planes, slices) for planes, slices in boxes]

    return bare


def chain_jobs(scene: Scene) -> Iterator[Job]:
    """Yield jobs that cut exposures and then map the cutouts back to the drizzled image."""
    for kind in ("tan", "sip", "lookup", "gwcs"):
        wcs = scene.exposure_wcs(kind)
        yield Job(
            f"create_cutouts, {kind}",
            "WCS calls and slice-and-copy loop",
            partial(there_and_back, scene, wcs),
            bare_chain(scene, wcs),
            1.5,
        )


def single_jobs(scene: Scene) -> Iterator[Job]:
    """Yield a job that cuts a small number of sources one by one."""
    wcs, few = scene.exposure_wcs("sip"), scene.primary[:FEW]
    alone = [few[i : i + 1] for i in range(len(few))]
    pairs = [there_and_back(scene, wcs, one) for one in alone]
    flt, drz = (sum(cutouts[1:], cutouts[0]) for cutouts in zip(*pairs, strict=True))
    corners = [corners_of(few), corners_of(flt)]
    planes = [[image[name] for name in ("data", "weight")] for image in (scene.flt, scene.drz)]
    sources = list(zip(*corners, scene.slices(flt), scene.slices(drz), strict=True))

    def ours():
        return [there_and_back(scene, wcs, one, planes=["weight"]) for one in alone]

    def bare():
        made = []
        for there, back, *slices in sources:
            mapped = map_points(scene.drz_wcs, wcs, *there), map_points(wcs, scene.drz_wcs, *back)
            copies = [
                plane[where].copy()
                for image, where in zip(planes, slices, strict=True)
                for plane in image
            ]
            made.append((mapped, copies))
        return made

    yield Job(
        f"create_cutouts, {len(few)} sources one by one, sip",
        "WCS calls and four slices of each",
        ours,
        bare,
        5.0,
    )


def object_jobs(scene: Scene) -> Iterator[Job]:
    """Yield jobs that create the objects of all cutouts."""
    cutouts = scene.primary
    flat, shapes = flat_planes(cutouts), [cutout.shape for cutout in cutouts]

    def with_planes():
        return [
            (cutout, cutout.data, cutout.mask, cutout.weight, cutout.flags) for cutout in cutouts
        ]

    bare = partial(make_nddata, flat, shapes)
    against = "slices of flat arrays in NDData"
    yield Job("all Cutouts", against, partial(list, cutouts), bare, 2.5)
    yield Job("all Cutouts and their planes", against, with_planes, bare, 2.5)


def archive_jobs(scene: Scene, folder: Path) -> Iterator[Job]:
    """
    Yield jobs that write and read archives.

    All cutouts have one size, three planes and a mask.
    """
    import asdf

    path, npz, empty = (folder / name for name in ("cutouts.asdf", "planes.npz", "empty.asdf"))
    cutouts = scene.cut_planes(size=SIZE)
    planes = flat_planes(cutouts)
    asdf.AsdfFile().write_to(empty)
    count = len(cutouts)
    number = np.random.default_rng(1).integers(count)

    def write():
        cutouts.write(path, overwrite=True)

    def save():
        np.savez(npz, **planes)

    def read_one():
        cutout = CutoutCollection.read(path)[number]
        return cutout.data, cutout.mask, cutout.weight, cutout.flags

    def open_empty():
        with asdf.open(empty) as file:
            return file.tree

    def read_all():
        return CutoutCollection.read(path, lazy=False)

    def load():
        with np.load(npz) as file:
            return dict(file)

    write(), save()
    yield Job(f"writing {count} cutouts", "np.savez", write, save, 3.0, 0.1)
    yield Job(
        f"opening, one of {count} cutouts",
        "asdf.open of an empty file",
        read_one,
        open_empty,
        1.0,
        0.05,
    )
    yield Job(f"reading {count} cutouts", "np.load", read_all, load, 2.0)


def scaling_jobs(small: Scene, large: Scene) -> Iterator[Job]:
    """Yield jobs that compare the costs of a large scene and a small scene."""

    def run(scene):
        wcs = scene.exposure_wcs("sip")
        return lambda: there_and_back(scene, wcs, scene.cut_planes())

    name, against = f"primary cutouts and chain, {large.count}", f"the same of {small.count}"
    ours, theirs = run(large), run(small)
    yield Job(name, against, ours, theirs, 6.0)
    ours, theirs = map(in_small_pages, (ours, theirs))
    yield Job(f"{name}, in small pages of memory", against, ours, theirs, 6.0)


def in_small_pages(function: Callable) -> Callable:
    """
    Return the function so that it runs without huge pages of memory.

    The cost of huge pages varies with the state of the system.
    """

    def run():
        before = _set_madvise_hugepage(False)
        try:
            return function()
        finally:
            _set_madvise_hugepage(before)

    return run
