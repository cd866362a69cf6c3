"""Read images and segmentation images of files and data models."""

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
    Read all images (chips) of a file, or the images that its name selects.

    Parameters
    ----------
    source : str, path-like or data model
        Name of a FITS file of any mission, with or without an extension in brackets such as
        ``'f.fits[SCI,2]'``, or of an ASDF file of Roman. Remote files such as ``'s3://...'`` or
        ``'https://...'`` need fsspec. An open model of ``stdatamodels`` or
        ``roman_datamodels`` is read, too.
    dqbitmask : int, str, list or None
        Good flags, as in `~astropy.nddata.bitfield_to_boolean_mask`, or the names of the
        mission such as ``'SATURATED+JUMP_DET'``. By default the flags that are usually good
        for the instrument. The argument does not matter for images without flags.

    Returns
    -------
    list of `~subpixal.cutout.Cutout`
        Whole images. Each is an `~astropy.nddata.NDData` with WCS, and with the uncertainty,
        flags, weight, unit and exposure time of the file. The pixels are read-only and, if
        possible, memory maps. Pixels of remote files, of files that are compressed by tiles,
        and scaled numbers are read at the first access; a plane in an ASDF file is then read
        as a whole. The mask is made at the first access. Cutting reads only the pixels of
        the cutouts.

        ``meta`` contains ``filename, extension, telescope, instrument, detector, filter,
        exposure`` (the identifier of the exposure; combined images have none), ``date``
        (the start, in ISO format), ``bunit`` (as in the file), ``name`` (file and extension)
        and ``flag_names`` (the bit of each name), if the file contains them.

    Raises
    ------
    OSError
        If the file is missing, damaged, or neither FITS nor ASDF.
    ValueError
        If the file has no such 2-D image, or if the image has no complete celestial WCS.
    TypeError
        If the source is neither a name nor a model.
    ImportError
        If a package that decompresses the file is not installed.
    """
    images = _find(source, read_fits_images, model_image)
    return [_as_cutout(image, dqbitmask) for image in images]


def read_image(source: Any, *, dqbitmask: Any = "mission") -> Cutout:
    """
    Read the image of a file, or the image that its name selects.

    Parameters
    ----------
    source, dqbitmask
        As in `read_images`.

    Returns
    -------
    `~subpixal.cutout.Cutout`
        The whole image, as `read_images` returns it.

    Raises
    ------
    OSError, TypeError, ImportError
        As in `read_images`.
    ValueError
        As in `read_images`, and if there are several images.
    """
    images = _find(source, read_fits_images, model_image)
    if len(images) > 1:
        names = ", ".join(repr(image.meta["name"]) for image in images[:8])
        names += ", ..." if len(images) > 8 else ""
        msg = f"{os.fspath(source)} has {len(images)} images, select one of {names}"
        raise ValueError(msg)
    return _as_cutout(images[0], dqbitmask)


def read_segmentation(source: Any) -> NDData:
    """
    Read a segmentation image: the first 2-D image of integers in a file.

    Data quality flags and drizzle contexts contain integers, too; they are read only if the
    name selects them.

    Parameters
    ----------
    source : str, path-like or data model
        As in `read_images`.

    Returns
    -------
    `~astropy.nddata.NDData`
        The labels, with the WCS of the file if there is one. All functions accept the result
        as a segmentation image. If its WCS differs from that of the image, pass the WCS as
        ``segmentation_wcs``. Labels are a memory map if possible. The labels in a remote file,
        or in a file that is compressed by tiles, are read in parts where they are used;
        `numpy.asarray` reads all of them.

    Raises
    ------
    OSError, TypeError, ImportError
        As in `read_images`.
    ValueError
        If there is no 2-D image, or if some values are not integers.
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
        # The tables of the WCS refer to the file, which is closed here.
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
