"""Open FITS files, and read their pixels when they are used."""

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
    Open a FITS file, and name the file in all errors.

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
            # Read the end of the file now, because astropy opens a truncated file without an error.
            if isinstance(last, IMAGE_HDUS) and last.shape and not is_remote(path):
                _ = last.section[-1:] if needs_lazy_read(last) else last.data
        yield hdulist


def needs_lazy_read(hdu: Any) -> bool:
    """Return `True` for compressed or scaled images, which cannot be memory maps."""
    scaled = hdu.header.get("BSCALE", 1) != 1 or hdu.header.get("BZERO", 0) != 0
    return isinstance(hdu, fits.CompImageHDU) or scaled


def _open(path: str) -> fits.HDUList:
    source = _open_source(path)
    with warnings.catch_warnings(), ExitStack() as stack:
        # Ignore the warning: missing padding at the end of a file is harmless, and missing pixels
        # raise an error later.
        warnings.filterwarnings("ignore", "File may have been truncated", AstropyUserWarning)
        if not isinstance(source, str):
            stack.enter_context(source)
        hdulist = fits.open(source, lazy_load_hdus=False)
        # From here on, closing the list of HDUs closes the file.
        stack.pop_all()
        return hdulist


def _open_source(path: str) -> str | BinaryIO:
    """
    Return the path of a local file, or an open file if it is remote or compressed by gzip.

    Files that are compressed by gzip are unpacked completely before astropy reads them. Otherwise
    astropy would start from the beginning for each HDU, and would ignore the missing HDUs of a
    truncated file.
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
    """Raise an OSError with the name of the file for all errors of reading."""
    with warnings.catch_warnings():
        # The warning is harmless: astropy ignores the invalid card.
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
    FITS file that is open while arrays use it.

    The first access to pixels opens the file. The file is closed when the last array that uses it
    is deleted.

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
    Lazy pixels of an image in a FITS file. Indexing reads only the requested part of the image.

    Parameters
    ----------
    file : FITSFile
    index : int
        Number of the HDU.
    hdu : HDU
        The HDU, in a file that is open now.
    """

    def __init__(self, file: FITSFile, index: int, hdu: Any) -> None:
        self._file = file
        self._index = index
        self.shape: tuple[int, ...] = hdu.shape
        # Read a pixel to find the type: the attribute ``dtype`` of compressed sections is wrong for
        # unsigned integers.
        self.dtype: np.dtype[Any] = np.asarray(hdu.section[0:1, 0:1]).dtype

    def __getitem__(self, item: Any) -> NDArray[Any]:
        with _translate_errors(self._file.path):
            return self._file.hdulist[self._index].section[item]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self[:, :], dtype=dtype, copy=copy or None)
