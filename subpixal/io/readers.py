"""Read images and segmentation images from files and data models."""

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
        Name of a FITS file of any mission, or of an ASDF file of Roman. The name of a FITS file may
        end with an extension in brackets, such as ``'f.fits[SCI,2]'``. Remote files such as
        ``'s3://...'`` or ``'https://...'`` need fsspec. The source may also be an open data model
        of ``stdatamodels`` or ``roman_datamodels``.
    dqbitmask : int, str, list or None
        Good flags: the data quality flags that do not mask a pixel. The forms are those of
        `~astropy.nddata.bitfield_to_boolean_mask`, or names of flags of the mission such as
        ``'SATURATED+JUMP_DET'``. The default ``'mission'`` stands for the usual good flags of the
        instrument. Images without flags ignore the argument.

    Returns
    -------
    list of `~subpixal.cutout.Cutout`
        Whole images. Each image is an `~astropy.nddata.NDData` with WCS, and with the uncertainty,
        flags, weight, unit and exposure time of the file. The pixels are read-only and, if
        possible, memory maps. Pixels that cannot be mapped are read at the first access: those of
        remote files, of tile-compressed images, and of images with scaled numbers. A plane in an
        ASDF file is then read as a whole. The mask is computed at the first access. Cutting reads
        only the pixels of the cutouts.

        ``meta`` contains these values, as far as the file provides them: ``filename, extension,
        telescope, instrument, detector, filter``, ``exposure`` (the identifier of the exposure,
        which combined images lack), ``date`` (the start of the exposure, in ISO format), ``bunit``
        (as in the file), ``name`` (file and extension), and ``flag_names`` (a mapping from the name
        of each flag to its bit).

    Raises
    ------
    OSError
        If the file is missing, damaged, or neither FITS nor ASDF.
    ValueError
        If the file has no 2-D image that the name selects, or if the image has no complete
        celestial WCS.
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

    Data quality flags and drizzle contexts are images of integers, too. They are read only if the
    extension in brackets selects them.

    Parameters
    ----------
    source : str, path-like or data model
        As in `read_images`.

    Returns
    -------
    `~astropy.nddata.NDData`
        The labels, with the WCS of the file if there is one. All functions of the package accept
        the result as a segmentation image. If its WCS differs from the WCS of the image, pass it as
        ``segmentation_wcs``. The labels are a memory map if possible. Labels of a remote file or a
        tile-compressed image are read in parts, when a function uses them; `numpy.asarray` reads
        all labels.

    Raises
    ------
    OSError, TypeError, ImportError
        As in `read_images`.
    ValueError
        If there is no 2-D image, or if some of its values are not integers.
    """
    (image,) = _find(source, read_fits_labels, model_labels)
    return NDData(image.data, wcs=image.wcs, meta=image.meta)


def _find(
    source: Any,
    from_fits: Callable[[str, Extension], list[FileImage]],
    from_model: Callable[..., FileImage],
) -> list[FileImage]:
    """Read the images of a FITS file with one function, or those of a data model with another."""
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
        # Copy the WCS, because its tables refer to the file, which is closed here.
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
        # Drop the identifier: the header of a combined image may contain that of one input
        # exposure.
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
