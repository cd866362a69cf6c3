"""FITS files: their names, their extensions, how they are opened."""

from __future__ import annotations

import gzip
import io
import os
import re
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "IMAGE_HDUS",
    "FitsFile",
    "FitsPixels",
    "check_file",
    "is_gzip",
    "is_late",
    "is_remote",
    "open_fits",
    "parse_image_name",
]

IMAGE_HDUS = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_EXTENSION = re.compile(r"^(?P<path>.+?)\[(?P<extension>[^\[\]]*)\]$")


def parse_image_name(
    name: str | os.PathLike[str],
) -> tuple[str, int | tuple[str, int | None] | None]:
    """
    Split a name such as ``'file.fits[SCI,2]'`` into file and extension.

    Parameters
    ----------
    name : str or path-like
        A file name, if need be with the number of an extension, its name, or
        its name and version, in brackets. Where a file exists under the whole
        name, the brackets belong to it.

    Returns
    -------
    path : str
        The file.
    extension : int, (str, int), (str, None) or None
        ``(name, None)`` is every version of that name.

    Raises
    ------
    ValueError
        If what is in the brackets does not name an extension.

    Examples
    --------
    >>> parse_image_name("j8bt06_flc.fits[sci,2]")
    ('j8bt06_flc.fits', ('SCI', 2))
    """
    text = os.fspath(name)
    found = _EXTENSION.match(text)
    if found is None or (not is_remote(text) and Path(text).exists()):
        return text, None
    parts = [part.strip() for part in found["extension"].split(",")]
    if len(parts) == 1 and parts[0].isdecimal():
        return found["path"], int(parts[0])
    if parts[0] and (len(parts) == 1 or (len(parts) == 2 and parts[1].isdecimal())):
        return found["path"], (parts[0].upper(), int(parts[1]) if parts[1:] else None)
    msg = f"name {text!r}: [{found['extension']}] is not an extension like [SCI,1], [SCI] or [1]"
    raise ValueError(msg)


def is_remote(path: str | os.PathLike[str]) -> bool:
    """Whether a name is that of a file which fsspec opens, such as ``'s3://bucket/f.fits'``."""
    return bool(_REMOTE.match(os.fspath(path)))


def is_gzip(path: str) -> bool:
    """Whether a local file is compressed as a whole."""
    if is_remote(path):
        return False
    with Path(path).open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise a FileNotFoundError where there is no file; one that is remote is not looked for."""
    if not is_remote(path) and not Path(path).is_file():
        there = "is no file" if Path(path).exists() else "there is no such file"
        msg = f"{os.fspath(path) or repr('')}: {there}"
        raise FileNotFoundError(msg)


@contextmanager
def open_fits(path: str) -> Iterator[fits.HDUList]:
    """
    Open a FITS file, with errors that name it.

    Parameters
    ----------
    path : str
        The file, without an extension in brackets; a remote one is opened by fsspec.

    Yields
    ------
    `~astropy.io.fits.HDUList`
        All its HDUs.
    """
    check_file(path)
    with ExitStack() as stack:
        with _reading(path):
            hdulist = stack.enter_context(_open(path))
            # What is missing at the end of a file would otherwise be missed later.
            last = hdulist[-1]
            if isinstance(last, IMAGE_HDUS) and last.shape and not is_remote(path):
                _ = last.section[-1:] if is_late(last) else last.data
        yield hdulist


def is_late(hdu) -> bool:
    """Whether an image cannot be mapped to memory: it is compressed, or numbers are scaled."""
    scaled = hdu.header.get("BSCALE", 1) != 1 or hdu.header.get("BZERO", 0) != 0
    return isinstance(hdu, fits.CompImageHDU) or scaled


def _open(path: str) -> fits.HDUList:
    options = {"use_fsspec": True} if is_remote(path) else {}
    with warnings.catch_warnings():
        # A file without its last padding is whole; one that lacks pixels fails later.
        warnings.filterwarnings("ignore", "File may have been truncated", AstropyUserWarning)
        try:
            return fits.open(_decompress(path), lazy_load_hdus=False, **options)
        except ImportError as error:
            msg = f"{path} is remote, which needs: pip install 'subpixal[remote]' ({error})"
            raise ImportError(msg) from error


@contextmanager
def _reading(path: str) -> Iterator[None]:
    """One error for a file that cannot be read."""
    with warnings.catch_warnings():
        # Such a card does not change the pixels.
        warnings.filterwarnings("ignore", "Invalid 'BLANK' keyword", AstropyUserWarning)
        try:
            yield
        except (FileNotFoundError, ImportError):
            raise
        except (OSError, EOFError, TypeError, zlib.error) as error:
            msg = f"{path}: not a FITS file, or damaged ({error})"
            raise OSError(msg) from error


class FitsFile:
    """
    A FITS file that is opened when pixels are read, and closed with the last of its planes.

    Parameters
    ----------
    path : str
        As of `open_fits`.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def hdulist(self) -> fits.HDUList:
        """All its HDUs."""
        hdulist = _open(self.path)
        weakref.finalize(self, hdulist.close)
        return hdulist

    def __reduce__(self):
        return FitsFile, (self.path,)


class FitsPixels:
    """
    Pixels of an image in a FITS file, of which only what is asked for is read.

    Parameters
    ----------
    file : FitsFile
    index : int
        Of the HDU.
    hdu : HDU
        The same, open.
    """

    def __init__(self, file: FitsFile, index: int, hdu) -> None:
        self._file, self._index, self.shape = file, index, hdu.shape
        # A compressed section does not know of unsigned integers.
        self.dtype = np.asarray(hdu.section[0:1, 0:1]).dtype

    def __getitem__(self, item) -> np.ndarray:
        with _reading(self._file.path):
            return self._file.hdulist[self._index].section[item]

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        return np.array(self[:, :], dtype=dtype, copy=copy or None)


def _decompress(path: str) -> str | io.BytesIO:
    """Unpack gzip at once: astropy rewinds it for each HDU, and loses HDUs if it is cut off."""
    if not is_gzip(path):
        return path
    with gzip.open(path) as file:
        return io.BytesIO(file.read())
