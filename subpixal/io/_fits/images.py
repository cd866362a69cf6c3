"""Images and segmentation images in FITS files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from subpixal.io._missions import (
    FileImage,
    find_mission,
    metadata_from_header,
    parse_unit,
)
from subpixal.io.paths import Extension, is_gzip, is_remote

from .files import IMAGE_HDUS, FITSArray, FITSFile, needs_lazy_read, open_fits
from .wcs import read_wcs

__all__ = ["read_fits_images", "read_fits_labels"]


def read_fits_images(path: str, extension: Extension = None) -> list[FileImage]:
    """
    Read all images (chips) of a FITS file, or those that an extension selects.

    Each 2-D extension with science data, such as SCI, gives one image. The record of the mission
    contains the names of the extensions of all planes. If no extension has such a name, the first
    2-D extension is the only image.

    Parameters
    ----------
    path : str
        Local or remote file.
    extension : int, (str, int), (str, None) or None
        As in ``parse_image_name``.

    Returns
    -------
    list of FileImage
        At least one image, in the order of the file.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        If no 2-D image is selected, or if a selected image has no complete celestial WCS.
    """
    with open_fits(path) as hdulist:
        file = _ImageFile(path, hdulist)
        chosen = file.select(extension)
        if extension is None:
            chosen = [hdu for hdu in chosen if file.mission.is_plane(hdu.name, "data")] or [
                chosen[0]
            ]
        return [file.read_image(hdu) for hdu in chosen]


def read_fits_labels(path: str, extension: Extension = None) -> list[FileImage]:
    """
    Read a segmentation image: the first 2-D image of integers in a FITS file.

    Flags and drizzle contexts are images of integers, too. They are read only if the argument
    selects their extension.

    Parameters
    ----------
    path, extension
        As in `read_fits_images`.

    Returns
    -------
    list of FileImage
        One image. Its ``data`` are the labels, as a memory map or a lazy array. The WCS is `None`
        if the file has no celestial WCS.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ValueError
        If there is no 2-D image, or if some of its values are not integers.
    """
    with open_fits(path) as hdulist:
        file = _ImageFile(path, hdulist)
        images = file.select(extension)
        if extension is None:
            images = [hdu for hdu in images if file.may_have_labels(hdu)] or [images[0]]
        found = [(hdu, file.get_pixels(hdu)) for hdu in images]
        hdu, labels = next((pair for pair in found if pair[1].dtype.kind in "iu"), found[0])
        where = file.describe(hdu)
        if labels.dtype.kind == "f" and file.has_planes():
            # Refuse such a file even if its data are integers, because they are counts.
            msg = f"{where} is an image with errors, flags or weights, not a segmentation image"
            raise ValueError(msg)
        image = FileImage(
            data=_exact_integers(labels, where),
            wcs=read_wcs(hdulist, hdu, where, file.mission),
            meta={"name": f"{Path(path).name}[{file.label(hdu)}]"},
        )
        return [image]


class _ImageFile:
    """
    Open FITS file with images of a mission.

    Parameters
    ----------
    path : str
    hdulist : `~astropy.io.fits.HDUList`
    """

    def __init__(self, path: str, hdulist: fits.HDUList) -> None:
        self.path = path
        self.hdulist = hdulist
        self.images = [
            hdu for hdu in hdulist if isinstance(hdu, IMAGE_HDUS) and len(hdu.shape) == 2
        ]
        # All planes use the same object, so that the file is opened only once.
        self._lazy_file = FITSFile(path)
        headers = [hdu.header for hdu in (*self.images[:1], hdulist[0])]
        telescope, instrument = (
            next((str(header[key]) for header in headers if header.get(key)), "").strip()
            for key in ("TELESCOP", "INSTRUME")
        )
        self.mission = find_mission(telescope, instrument, Path(path).name)

    def label(self, hdu: Any) -> str:
        """Return the name and version of an extension (``SCI,1``), or its number without a name."""
        index = self._get_index(hdu)
        return f"{hdu.name},{hdu.ver}" if hdu.name and index else f"{index}"

    def describe(self, hdu: Any) -> str:
        """Return the names of the file and the extension, for messages of errors."""
        return f"{self.path}[{self.label(hdu)}]"

    def select(self, extension: Extension) -> list[Any]:
        """Return the 2-D images that an extension selects, at least one."""
        if isinstance(extension, int):
            chosen = [hdu for hdu in self.images if self._get_index(hdu) == extension]
            asked = f" [{extension}]"
        elif extension is not None:
            name, version = extension
            chosen = [h for h in self.images if h.name == name and version in (None, h.ver)]
            asked = f" [{name}]" if version is None else f" [{name},{version}]"
        else:
            chosen = self.images
            asked = ""
        if not chosen:
            names = ", ".join(f"[{self.label(hdu)}]" for hdu in self.images) or "none"
            msg = f"{self.path}: there is no 2-D image{asked} in the file; it has: {names}"
            raise ValueError(msg)
        return chosen

    def may_have_labels(self, hdu: Any) -> bool:
        """Return `True` unless an extension of this name contains flags or drizzle contexts."""
        mission = self.mission
        return not (mission.is_plane(hdu.name, "flags") or hdu.name in mission.contexts)

    def has_planes(self) -> bool:
        """Return `True` if the file has planes besides the data."""
        planes = self.mission.extensions.keys() - {"data"}
        return any(self.mission.is_plane(hdu.name, *planes) for hdu in self.hdulist)

    def read_image(self, hdu: Any) -> FileImage:
        """Return an image with its planes, WCS and metadata."""
        label = self.label(hdu)
        filename = Path(self.path).name
        meta, exptime = metadata_from_header(
            self.mission.header, hdu.header, self.hdulist[0].header
        )
        flags = self._read_plane(hdu, "flags")
        # Images without flags are combined images, for which the header describes the WCS exactly.
        needs_gwcs = self.mission.needs_gwcs and flags is not None
        where = self.describe(hdu)
        wcs = read_wcs(self.hdulist, hdu, where, self.mission, needs_gwcs=needs_gwcs)
        if wcs is None:
            msg = f"{where} has no celestial WCS of two axes"
            raise ValueError(msg)
        origin = {"name": f"{filename}[{label}]", "filename": filename, "extension": label}
        return FileImage(
            data=self.get_pixels(hdu),
            wcs=wcs,
            uncertainty=self._read_plane(hdu, "uncertainty"),
            flags=flags,
            weight=self._read_plane(hdu, "weight"),
            unit=parse_unit(meta.get("bunit", "")),
            exptime=exptime,
            meta=origin | meta,
            instrument=self.mission.find_instrument(meta),
        )

    def _read_plane(self, science: Any, plane: str) -> Any:
        """Return the pixels of a plane of an image, or `None` if there is no such plane."""
        hdu = self._find_plane(science, plane)
        if hdu is None:
            return self._read_companion(science, plane)
        if hdu.shape:
            return _validate_plane(self.get_pixels(hdu), plane, science, self.describe(hdu))
        # If all pixels of a plane are equal, files of HST contain only their value, in the header.
        # An empty HDU without this card contains no plane.
        value = hdu.header.get("PIXVALUE")
        return None if value is None else np.broadcast_to(value, science.shape)

    def _find_plane(self, science: Any, plane: str) -> Any:
        """Return the extension with a plane of an image, or `None` if there is none."""
        names = self.mission.find_partners(science.name, plane)
        same_version = [hdu for hdu in self.hdulist if hdu.ver == science.ver]
        found = [hdu for hdu in same_version if hdu.name in names]
        twins = [hdu for hdu in same_version if hdu.name == science.name]
        if not found:
            return None
        if len(found) > 1 or len(twins) > 1:
            msg = (
                f"{self.path}: {len(twins)} {science.name} and {len(found)} {found[0].name} "
                f"have the EXTVER {science.ver}"
            )
            raise ValueError(msg)
        return found[0]

    def _read_companion(self, science: Any, plane: str) -> Any:
        """Return the pixels of a plane from another file, or `None` if there is no such file."""
        path = None if is_remote(self.path) else self.mission.find_companion(self.path, plane)
        if path is None:
            return None
        with open_fits(path) as hdulist:
            file = _ImageFile(path, hdulist)
            hdu = file.select(None)[0]
            return _validate_plane(file.get_pixels(hdu), plane, science, file.describe(hdu))

    def get_pixels(self, hdu: Any) -> NDArray[Any] | FITSArray:
        """Return the pixels of an HDU, as a memory map or lazy array if possible."""
        is_lazy = is_remote(self.path) or (needs_lazy_read(hdu) and not is_gzip(self.path))
        if not is_lazy or 0 in hdu.shape:
            return hdu.data
        return FITSArray(self._lazy_file, self._get_index(hdu), hdu)

    def _get_index(self, hdu: Any) -> int:
        return next(i for i, other in enumerate(self.hdulist) if other is hdu)


def _validate_plane(pixels: Any, plane: str, science: Any, where: str) -> Any:
    """Return the pixels of a plane. Raise an error for a wrong shape or flags with fractions."""
    if pixels.shape != science.shape:
        msg = f"{where} has shape {pixels.shape}, {science.name} has {science.shape}"
        raise ValueError(msg)
    return _exact_integers(pixels, where) if plane == "flags" else pixels


def _exact_integers(values: Any, where: str) -> Any:
    """Return values as integers, or raise an error if they have fractions."""
    dtype = values.dtype
    if dtype.kind in "iu":
        return values
    values = np.asarray(values)
    with np.errstate(invalid="ignore"):
        integers = values.astype(np.int64)
    if not np.array_equal(integers, values):
        msg = f"{where} must be integers, got {dtype.name} values that are not"
        raise ValueError(msg)
    return integers
