"""Images of files as cutouts that hold the whole image."""

from __future__ import annotations

import os

from astropy.nddata import NDData

from subpixal.cutout import Cutout

from . import _fits_images
from ._fits_images import RawImage
from ._missions import good_flags

__all__ = ["read_image", "read_images", "read_segmentation"]


def read_images(name: str | os.PathLike[str], *, dqbitmask="mission") -> list[Cutout]:
    """
    Read all images (chips) of a file, or those that the name picks.

    Parameters
    ----------
    name : str or path-like
        File name, if need be with an extension in brackets: ``'f.fits[SCI,2]'``.
    dqbitmask : int, str, list or None
        Flags that are good, as in `~astropy.nddata.bitfield_to_boolean_mask`;
        by default what is sensible for the mission and the instrument.

    Returns
    -------
    list of `~subpixal.cutout.Cutout`
        Whole images, an `~astropy.nddata.NDData` each: with WCS, uncertainty,
        flags, weight, unit, exposure time and metadata as far as the file has
        them. The pixels are read-only views of the file.

    Raises
    ------
    OSError
        If the file is missing, truncated or not FITS.
    ValueError
        If there is no such 2-D image, or no complete celestial WCS with it.
    """
    return [_as_cutout(raw, dqbitmask) for raw in _fits_images.read_raw_images(name)]


def read_image(name: str | os.PathLike[str], *, dqbitmask="mission") -> Cutout:
    """
    Read the one image of a file that has, or whose name picks, only one.

    Parameters
    ----------
    name, dqbitmask
        As in `read_images`.

    Returns
    -------
    `~subpixal.cutout.Cutout`
        The whole image.

    Raises
    ------
    OSError
        As `read_images`.
    ValueError
        As `read_images`, and if there are several images to choose from.
    """
    return _as_cutout(_fits_images.read_raw_image(name), dqbitmask)


def read_segmentation(name: str | os.PathLike[str]) -> NDData:
    """
    Read a segmentation image: the first 2-D image of integers in a file.

    Data quality flags and drizzle contexts are integers, too, and are taken
    only if the name picks them.

    Parameters
    ----------
    name : str or path-like
        File name, if need be with an extension as in `read_images`.

    Returns
    -------
    `~astropy.nddata.NDData`
        The labels, with the WCS of the file if there is one. All functions take
        it as a segmentation image; its WCS counts only as ``segmentation_wcs``.

    Raises
    ------
    OSError
        If the file is missing, truncated or not FITS.
    ValueError
        If there is no 2-D image, or its values are not all integers.
    """
    labels, wcs, label = _fits_images.read_raw_segmentation(name)
    return NDData(labels, wcs=wcs, meta={"name": label})


def _as_cutout(raw: RawImage, dqbitmask) -> Cutout:
    if dqbitmask == "mission":
        dqbitmask = good_flags(raw.meta, None if raw.dq is None else raw.dq.dtype)
    return Cutout(
        raw.data,
        raw.wcs,
        dq=raw.dq,
        weight=raw.weight,
        uncertainty=raw.error,
        unit=raw.unit,
        exptime=1 if raw.exptime is None else raw.exptime,
        dqbitmask=dqbitmask,
        meta={"name": raw.name} | raw.meta,
        copy=False,
    )
