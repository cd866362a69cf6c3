"""FITS files: open them, read pixels when they are used."""

from __future__ import annotations

import gzip
import io
import warnings
import weakref
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import DTypeLike, NDArray

from subpixal.io.paths import GZIP_START, check_file, is_remote, open_file

__all__ = ["IMAGE_HDUS", "FITSArray", "FITSFile", "needs_lazy_read", "open_fits"]

IMAGE_HDUS = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)


@contextmanager
def open_fits(path: str) -> Iterator[fits.HDUList]:
    """
    Open a FITS file, with errors that name the file.

    Parameters
    ----------
    path : str
        Local or remote file, without an extension in brackets.

    Yields
    ------
    `~astropy.io.fits.HDUList`
        All HDUs of the file.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), truncated or not FITS.
    ImportError
        If the file is remote and fsspec is not installed.
    """
    check_file(path)
    with ExitStack() as stack:
        with _translate_errors(path):
            hdulist = stack.enter_context(_open(path))
            last = hdulist[-1]
            # Read the end of the file now: astropy does not notice a truncated file.
            if isinstance(last, IMAGE_HDUS) and last.shape and not is_remote(path):
                _ = last.section[-1:] if needs_lazy_read(last) else last.data
        yield hdulist


def needs_lazy_read(hdu: Any) -> bool:
    """Return `True` if memory cannot map an image, because it is compressed or scaled."""
    scaled = hdu.header.get("BSCALE", 1) != 1 or hdu.header.get("BZERO", 0) != 0
    return isinstance(hdu, fits.CompImageHDU) or scaled


def _open(path: str) -> fits.HDUList:
    source = _open_source(path)
    with warnings.catch_warnings(), ExitStack() as stack:
        # Missing padding at the end of a file is harmless. Missing pixels raise an error later.
        warnings.filterwarnings("ignore", "File may have been truncated", AstropyUserWarning)
        if not isinstance(source, str):
            stack.enter_context(source)
        hdulist = fits.open(source, lazy_load_hdus=False)
        # From here on, the list of HDUs closes the file.
        stack.pop_all()
        return hdulist


def _open_source(path: str) -> str | BinaryIO:
    """
    Return the path of a local file, or an open file.

    Files that are compressed by gzip are unpacked at once, because astropy starts again for each
    HDU, and ignores HDUs after the end of a truncated file.
    """
    with ExitStack() as stack:
        file = stack.enter_context(open_file(path))
        is_compressed = file.read(len(GZIP_START)) == GZIP_START
        file.seek(0)
        if is_compressed:
            return io.BytesIO(gzip.GzipFile(fileobj=file).read())
        if is_remote(path):
            stack.pop_all()
            return file
    return path


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Raise one type of error for files that cannot be read."""
    with warnings.catch_warnings():
        # The card does not change the pixels.
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
    FITS file that is opened for the first pixels, and closed with the last of its arrays.

    Parameters
    ----------
    path : str
        As in `open_fits`.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    @cached_property
    def hdulist(self) -> fits.HDUList:
        """All HDUs of the file."""
        hdulist = _open(self.path)
        weakref.finalize(self, hdulist.close)
        return hdulist

    def __reduce__(self) -> tuple[type[FITSFile], tuple[str]]:
        return FITSFile, (self.path,)


class FITSArray:
    """
    Lazy pixels of an image in a FITS file: only the requested part is read.

    Parameters
    ----------
    file : FITSFile
    index : int
        Number of the HDU.
    hdu : HDU
        The HDU itself, open.
    """

    def __init__(self, file: FITSFile, index: int, hdu: Any) -> None:
        self._file = file
        self._index = index
        self.shape: tuple[int, ...] = hdu.shape
        # The attribute of compressed sections is wrong for unsigned integers.
        self.dtype: np.dtype[Any] = np.asarray(hdu.section[0:1, 0:1]).dtype

    def __getitem__(self, item: Any) -> NDArray[Any]:
        with _translate_errors(self._file.path):
            return self._file.hdulist[self._index].section[item]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:, :], dtype=dtype, copy=copy or None)
