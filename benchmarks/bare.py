"""What one writes without this package: plain loops, and plain calls of WCSs and photutils."""

import numpy as np
from astropy.nddata import NDData
from astropy.wcs import WCS


def to_world(wcs, x, y):
    """One forward call for all points."""
    return (
        wcs.all_pix2world(x, y, 0) if isinstance(wcs, WCS) else wcs(x, y, with_bounding_box=False)
    )


def to_pixel(wcs, *world):
    """One call of the inverse that the WCS has for all points, whatever it answers."""
    if isinstance(wcs, WCS):
        return wcs.all_world2pix(*world, 0)
    return wcs.invert(*world, with_bounding_box=False)


def map_points(wcs_in, wcs_out, x, y):
    """Points of one image in another."""
    return to_pixel(wcs_out, *to_world(wcs_in, x, y))


def map_forward(wcs_in, wcs_out, x, y):
    """As many points to the sky through both WCSs."""
    return to_world(wcs_in, x, y), to_world(wcs_out, x, y)


def copy_slices(planes: dict, slices) -> list:
    """Copies of all planes of all boxes."""
    return [[plane[where].copy() for plane in planes.values()] for where in slices]


def flat_planes(cutouts) -> dict[str, np.ndarray]:
    """The pixels of all cutouts in one array for each plane."""
    return {
        name: np.concatenate([getattr(cutout, name).ravel() for cutout in cutouts])
        for name in ("data", "mask", "weight", "flags")
    }


def make_nddata(flat: dict, shapes: list[tuple[int, int]]) -> list:
    """Slices of flat arrays, and an NDData of data and mask."""
    made, start = [], 0
    for shape in shapes:
        stop = start + shape[0] * shape[1]
        data, mask, *others = (plane[start:stop].reshape(shape) for plane in flat.values())
        made.append((NDData(data, mask=mask), *others))
        start = stop
    return made


def photutils_cutouts(data, labels, size: int) -> list:
    """Cutouts of one size around the centroids, from the image and its labels alone."""
    from photutils.segmentation import SegmentationImage, SourceCatalog

    return SourceCatalog(data, SegmentationImage(labels)).make_cutouts((size, size))
