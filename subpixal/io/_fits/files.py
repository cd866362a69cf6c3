"""FITS files: their names, their extensions, how they are opened."""

from __future__ import annotations

import gzip
import io
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from subpixal.io.paths import check_file, is_gzip, is_remote

__all__ = ["IMAGE_HDUS", "FITSArray", "FITSFile", "needs_lazy_read", "open_fits"]

IMAGE_HDUS = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)


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
                _ = last.section[-1:] if needs_lazy_read(last) else last.data
        yield hdulist


def needs_lazy_read(hdu) -> bool:
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


class FITSFile:
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
        return FITSFile, (self.path,)


class FITSArray:
    """
    Pixels of an image in a FITS file, of which only what is asked for is read.

    Parameters
    ----------
    file : FITSFile
    index : int
        Of the HDU.
    hdu : HDU
        The same, open.
    """

    def __init__(self, file: FITSFile, index: int, hdu) -> None:
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
