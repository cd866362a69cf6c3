"""Code without this package: plain NumPy loops, and direct calls of WCSs and photutils."""

import numpy as np
from astropy.nddata import NDData
from astropy.wcs import WCS


def to_world(wcs, x, y):
    """Return world values of all points, from one call of the forward transform."""
    return (
        wcs.all_pix2world(x, y, 0) if isinstance(wcs, WCS) else wcs(x, y, with_bounding_box=False)
    )


def to_pixel(wcs, *world):
    """Return pixel positions of all points, from one call of the inverse. Do not verify them."""
    if isinstance(wcs, WCS):
        return wcs.all_world2pix(*world, 0)
    return wcs.invert(*world, with_bounding_box=False)


def map_points(wcs_in, wcs_out, x, y):
    """Map points from one image to another."""
    return to_pixel(wcs_out, *to_world(wcs_in, x, y))


def map_forward(wcs_in, wcs_out, x, y):
    """Map the points to the sky twice: once with each of the two WCSs."""
    return to_world(wcs_in, x, y), to_world(wcs_out, x, y)


def copy_slices(planes: dict, slices) -> list:
    """Return copies of the slices of all planes, in one list for each box."""
    return [[plane[where].copy() for plane in planes.values()] for where in slices]


def flat_planes(cutouts) -> dict[str, np.ndarray]:
    """Return one array for each plane, with the pixels of all cutouts one after the other."""
    return {
        name: np.concatenate([getattr(cutout, name).ravel() for cutout in cutouts])
        for name in ("data", "mask", "weight", "flags")
    }


def make_nddata(flat: dict, shapes: list[tuple[int, int]]) -> list:
    """Return slices of flat arrays for each cutout. Data and mask are in an NDData."""
    made, start = [], 0
    for shape in shapes:
        stop = start + shape[0] * shape[1]
        data, mask, *others = (plane[start:stop].reshape(shape) for plane in flat.values())
        made.append((NDData(data, mask=mask), *others))
        start = stop
    return made


def photutils_cutouts(data, labels, size: int) -> list:
    """Return cutouts of one size around the centroids that photutils measures."""
    from photutils.segmentation import SegmentationImage, SourceCatalog

    return SourceCatalog(data, SegmentationImage(labels)).make_cutouts((size, size))
