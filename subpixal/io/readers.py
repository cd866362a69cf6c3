"""Read images of files and data models as cutouts of the whole image."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from astropy.nddata import NDData

from subpixal.cutout import Cutout
from subpixal.io._asdf.reader import KEY
from subpixal.io._fits.images import read_fits_images, read_fits_labels
from subpixal.io._missions import FileImage, find_root, model_image, model_labels, open_asdf

from .paths import Extension, is_asdf, parse_image_name

__all__ = ["read_image", "read_images", "read_segmentation"]


def read_images(source: Any, *, dqbitmask: Any = "mission") -> list[Cutout]:
    """
    Read all images (chips) of a file, or those that its name picks.

    Parameters
    ----------
    source : str, path-like or data model
        Name of a FITS file of any mission or of an ASDF file of Roman; of FITS, if
        need be with an extension in brackets: ``'f.fits[SCI,2]'``. The file may be
        remote, ``'s3://...'`` or ``'https://...'``, which needs fsspec. Or an open
        model of ``stdatamodels`` or ``roman_datamodels``.
    dqbitmask : int, str, list or None
        Flags that are good, as in `~astropy.nddata.bitfield_to_boolean_mask`, also
        by the names that the mission gives them: ``'SATURATED+JUMP_DET'``. By
        default what is sensible for the instrument. For an image that has no
        flags, it does not matter.

    Returns
    -------
    list of `~subpixal.cutout.Cutout`
        Whole images, an `~astropy.nddata.NDData` each: with WCS, uncertainty,
        flags, weight, unit and exposure time as far as the file has them. The
        pixels are read-only, memory maps where the file allows it. Where it does
        not, as it is remote, or compressed by tiles, or its numbers are scaled, they
        are read when they are asked for (in ASDF files, at once, but no other planes);
        the mask is made when it is asked for.
        Cutting reads what the cutouts need.

        ``meta`` says where the image comes from, as far as that is known:
        ``filename, extension, telescope, instrument, detector, filter, exposure``
        (what the mission calls the exposure; combined images have none), ``date`` (the
        start, in ISO format), ``bunit`` (as the file has it), ``name`` (file and
        extension) and ``flag_names`` (the bit of each name).

    Raises
    ------
    OSError
        If the file is missing, damaged, or neither FITS nor ASDF.
    ValueError
        If there is no such 2-D image, or no complete celestial WCS with it.
    TypeError
        If the source is neither a name nor a model.
    ImportError
        If the file is compressed and the package for that is not installed.
    """
    images = _find(source, read_fits_images, model_image)
    return [_as_cutout(image, dqbitmask) for image in images]


def read_image(source: Any, *, dqbitmask: Any = "mission") -> Cutout:
    """
    Read the one image of a file that has, or whose name picks, only one.

    Parameters
    ----------
    source, dqbitmask
        As of `read_images`.

    Returns
    -------
    `~subpixal.cutout.Cutout`
        The whole image, as of `read_images`.

    Raises
    ------
    OSError, TypeError, ImportError
        As `read_images`.
    ValueError
        As `read_images`, and if there are several images to choose from.
    """
    images = _find(source, read_fits_images, model_image)
    if len(images) > 1:
        names = ", ".join(repr(image.meta["name"]) for image in images[:8])
        names += ", ..." if len(images) > 8 else ""
        msg = f"{os.fspath(source)} has {len(images)} images, pick one of {names}"
        raise ValueError(msg)
    return _as_cutout(images[0], dqbitmask)


def read_segmentation(source: Any) -> NDData:
    """
    Read a segmentation image: the first 2-D image of integers in a file.

    Data quality flags and drizzle contexts are integers, too, and are taken
    only if the name picks them.

    Parameters
    ----------
    source : str, path-like or data model
        As of `read_images`.

    Returns
    -------
    `~astropy.nddata.NDData`
        The labels, with the WCS of the file if there is one. All functions take
        it as a segmentation image; where its WCS is not that of the image, it must be
        passed as ``segmentation_wcs``.
        As of images, labels are a memory map where the file allows it; of a file that
        is remote or compressed by tiles, ``data`` is read piece by piece where it is
        used, and `numpy.asarray` reads all of it.

    Raises
    ------
    OSError, TypeError, ImportError
        As `read_images`.
    ValueError
        If there is no 2-D image, or its values are not all integers.
    """
    (image,) = _find(source, read_fits_labels, model_labels)
    return NDData(image.data, wcs=image.wcs, meta=image.meta)


def _find(
    source: Any,
    from_fits: Callable[[str, Extension], list[FileImage]],
    from_model: Callable[..., FileImage],
) -> list[FileImage]:
    """Read the images of a source with one of two functions."""
    if not isinstance(source, str | os.PathLike):
        return [from_model(source)]
    path, extension = parse_image_name(source)
    if not is_asdf(path):
        return from_fits(path, extension)
    if extension is not None:
        msg = f"{path} is an ASDF file and has no extension {extension}"
        raise ValueError(msg)
    with open_asdf(path) as tree:
        if KEY in tree:
            msg = f"{path} is an archive of cutouts and no image; CutoutCollection.read reads it"
            raise ValueError(msg)
        image = from_model(find_root(tree, path), Path(path).name)
        # Tables of a WCS are lazy nodes of the file.
        image.wcs = copy.deepcopy(image.wcs)
        return [image]


def _as_cutout(image: FileImage, dqbitmask: Any) -> Cutout:
    """Return the whole image as a cutout."""
    instrument = image.instrument
    if instrument.flag_names and image.flags is not None:
        image.meta["flag_names"] = dict(instrument.flag_names)
    if image.flags is None or (isinstance(dqbitmask, str) and dqbitmask == "mission"):
        dqbitmask = instrument.good_flags
    if image.weight is not None:
        # A combined image may have the identifier of one of its exposures.
        image.meta.pop("exposure", None)
    try:
        return Cutout(
            image.data,
            image.wcs,
            dq=image.flags,
            weight=image.weight,
            uncertainty=image.uncertainty,
            unit=image.unit,
            exptime=1 if image.exptime is None else image.exptime,
            meta=image.meta,
            dqbitmask=dqbitmask,
            copy=False,
        )
    except (TypeError, ValueError) as error:
        msg = f"{image.meta['name']}: {error}"
        raise type(error)(msg) from error
