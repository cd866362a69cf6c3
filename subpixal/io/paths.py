"""Check file names, open remote files, and replace files atomically."""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = [
    "FITS_SUFFIXES",
    "GZIP_START",
    "Extension",
    "Name",
    "check_archive",
    "check_file",
    "check_folder",
    "is_asdf",
    "is_gzip",
    "is_remote",
    "open_file",
    "parse_image_name",
    "refuse_existing",
    "replacing",
]

# Name of a file.
Name = str | os.PathLike[str]

# Extension of a FITS file: a number, or a name and a version. The version `None` stands for all
# versions. The extension `None` stands for a name without brackets.
Extension = int | tuple[str, int | None] | None

FITS_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fit.gz", ".fts.gz")

_REMOTE = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")

_EXTENSION = re.compile(r"^(?P<path>.+?)\[(?P<extension>[^\[\]]*)\]$")

# First bytes of files that are compressed by gzip.
GZIP_START = b"\x1f\x8b"


def parse_image_name(name: Name) -> tuple[str, Extension]:
    """
    Split a name such as ``'file.fits[SCI,2]'`` into file and extension.

    Parameters
    ----------
    name : str or path-like
        Name of a file. Brackets may contain the number of an extension, its name, or its name and
        version. If a file with exactly this name exists, the brackets are a part of its name.

    Returns
    -------
    path : str
        The file.
    extension : int, (str, int), (str, None) or None
        Extension in the brackets, `None` without brackets. ``(name, None)`` stands for all versions
        of an extension.

    Raises
    ------
    ValueError
        If the brackets do not contain an extension.

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


def is_remote(path: Name) -> bool:
    """Return `True` for a name such as ``'s3://bucket/f.fits'``, which only fsspec can open."""
    return bool(_REMOTE.match(os.fspath(path)))


def open_file(path: Name) -> BinaryIO:
    """
    Open a local or remote file for reading bytes.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError) or cannot be opened.
    ImportError
        If fsspec, or its package for the protocol, is not installed.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    try:
        import fsspec

        return fsspec.open(os.fspath(path), "rb").open()
    except ImportError as error:
        msg = f"{path} is remote, which needs: pip install 'subpixal[remote]' ({error})"
        raise ImportError(msg) from error


def is_gzip(path: Name) -> bool:
    """Return `True` if a local file is compressed by gzip."""
    if is_remote(path):
        return False
    with Path(path).open("rb") as file:
        return file.read(len(GZIP_START)) == GZIP_START


def check_file(path: Name) -> None:
    """Raise a FileNotFoundError if a local file does not exist. Ignore remote files."""
    if not is_remote(path) and not Path(path).is_file():
        problem = "is no file" if Path(path).exists() else "there is no such file"
        msg = f"{os.fspath(path) or repr('')}: {problem}"
        raise FileNotFoundError(msg)


def is_asdf(path: Name) -> bool:
    """Return `True` for an ASDF file, by its first bytes if it is local, else by its name."""
    if is_remote(path):
        return os.fspath(path).endswith(".asdf")
    check_file(path)
    with Path(path).open("rb") as file:
        return file.read(5) == b"#ASDF"


def check_archive(
    path: Name, *, overwrite: bool, compression: str | None = None, inputs: Iterable[Name] = ()
) -> None:
    """
    Raise an error if an archive cannot be written.

    Callers check the name and the compression before they compute the contents.

    Parameters
    ----------
    path : str or path-like
        Name of the archive.
    overwrite, inputs
        As in `refuse_existing`.
    compression : str, optional
        Compression of the arrays.

    Raises
    ------
    OSError
        As in `refuse_existing` and `check_folder`.
    ValueError
        If the archive would replace an input, if its suffix is that of a FITS file, or if asdf does
        not support the compression.
    """
    refuse_existing(path, overwrite=overwrite, inputs=inputs)
    check_folder(path)
    if os.fspath(path).lower().endswith(FITS_SUFFIXES):
        msg = f"{path}: the output is an ASDF file and must not be named as a FITS file"
        raise ValueError(msg)
    _check_compression(compression)


def _check_compression(compression: str | None) -> None:
    """Raise an error unless asdf can compress an array with a compression of this name."""
    import asdf

    if compression is None:
        return
    try:
        file = asdf.AsdfFile({"array": np.zeros(9)})
        file.write_to(io.BytesIO(), all_array_compression=compression)
    # asdf expects text, and raises different errors for values of other types.
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"compression must be 'zlib', 'bzp2', 'lz4' or None, got {compression!r} ({error})"
        raise ValueError(msg) from error


def check_folder(path: Name) -> None:
    """
    Raise an error if files cannot be written to the folder of a file.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    PermissionError
        If the folder is not writable.
    """
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        msg = f"{path}: there is no folder {Path(path).parent}"
        raise FileNotFoundError(msg)
    if not os.access(folder, os.W_OK):
        msg = f"{path}: the folder {Path(path).parent} is not writable"
        raise PermissionError(msg)


def refuse_existing(path: Name, *, overwrite: bool, inputs: Iterable[Name] = ()) -> None:
    """
    Raise an error if a file exists and may not be replaced.

    Parameters
    ----------
    path : str or path-like
        Name of the file to write.
    overwrite : bool
        Whether an existing file may be replaced.
    inputs : iterable of str or path-like
        Files that are never replaced, even if ``overwrite`` is true.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If the name is that of a folder or a device.
    ValueError
        If the file is one of the inputs.
    """
    path = Path(path)
    if not path.exists():
        return
    if not path.is_file():
        msg = f"{path} is not a file that can be replaced"
        raise OSError(msg)
    if any(Path(name).exists() and path.samefile(name) for name in inputs):
        msg = f"{path} is one of the input files"
        raise ValueError(msg)
    if not overwrite:
        msg = f"{path} exists already; overwrite=True replaces it"
        raise FileExistsError(msg)


@contextmanager
def replacing(path: Name) -> Iterator[BinaryIO]:
    """
    Write a file under a temporary name in the same folder, and rename the complete file.

    Parameters
    ----------
    path : str or path-like
        Final name of the file. An existing file keeps this name until the new file is complete.

    Yields
    ------
    file
        File that is open for writing and reading bytes.

    Raises
    ------
    OSError
        If the name is that of a folder or a device, or if the file cannot be created.
    """
    # If the path is a symbolic link, replace the file to which the link points.
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        msg = f"{path} is not a file that can be replaced"
        raise OSError(msg)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror}"
        raise OSError(msg) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w+b") as file:
            yield file
        # Store the contents on the disk before the file gets its final name. Otherwise a crash of
        # the computer could leave an incomplete file with this name.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # A file of mkstemp is readable only by its owner, so set the usual permissions.
        temporary.chmod(_get_mode(target))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _get_mode(path: Path) -> int:
    """Return the permissions of a file, or those of new files if it does not exist."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
