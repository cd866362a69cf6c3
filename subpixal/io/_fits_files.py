"""FITS files: their names, their extensions, how they are opened."""

from __future__ import annotations

import gzip
import io
import os
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["IMAGE_HDUS", "check_file", "open_fits", "parse_image_name"]

IMAGE_HDUS = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU)
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
    if found is None or Path(text).exists():
        return text, None
    parts = [part.strip() for part in found["extension"].split(",")]
    if len(parts) == 1 and parts[0].isdecimal():
        return found["path"], int(parts[0])
    if parts[0] and (len(parts) == 1 or (len(parts) == 2 and parts[1].isdecimal())):
        return found["path"], (parts[0].upper(), int(parts[1]) if parts[1:] else None)
    msg = f"name {text!r}: [{found['extension']}] is not an extension like [SCI,1], [SCI] or [1]"
    raise ValueError(msg)


def check_file(path: str | os.PathLike[str]) -> None:
    """Raise a FileNotFoundError where there is no file."""
    if not Path(path).is_file():
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
        The file, without an extension in brackets.

    Yields
    ------
    `~astropy.io.fits.HDUList`
        All its HDUs.
    """
    check_file(path)
    with warnings.catch_warnings():
        # A file without its last padding is whole; one that lacks pixels fails below.
        warnings.filterwarnings("ignore", "File may have been truncated", AstropyUserWarning)
        # Such a card does not change the pixels.
        warnings.filterwarnings("ignore", "Invalid 'BLANK' keyword", AstropyUserWarning)
        with ExitStack() as stack:
            try:
                source = _decompress(path)
                hdulist = stack.enter_context(fits.open(source, lazy_load_hdus=False))
                if isinstance(hdulist[-1], IMAGE_HDUS):
                    _ = hdulist[-1].data
            except (OSError, EOFError, TypeError, zlib.error) as error:
                msg = f"{path}: not a FITS file, or damaged ({error})"
                raise OSError(msg) from error
            yield hdulist


def _decompress(path: str) -> str | io.BytesIO:
    """Unpack gzip at once: astropy rewinds it for each HDU, and loses HDUs if it is cut off."""
    with Path(path).open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return path
    with gzip.open(path) as file:
        return io.BytesIO(file.read())
