"""Names of files, and files that are written whole or not at all."""

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
    "check_archive",
    "check_file",
    "check_folder",
    "is_asdf",
    "is_gzip",
    "is_remote",
    "parse_image_name",
    "refuse_existing",
    "replacing",
]

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


def is_asdf(path: str | os.PathLike[str]) -> bool:
    """Whether a file is ASDF, by how it begins, or by its name if it is remote."""
    if is_remote(path):
        return os.fspath(path).endswith(".asdf")
    check_file(path)
    with Path(path).open("rb") as file:
        return file.read(5) == b"#ASDF"


_FITS = (".fits", ".fit", ".fits.gz")


def check_archive(path, *, overwrite: bool, compression=None, inputs: Iterable = ()) -> None:
    """
    Raise if an archive could not be written, before there is anything to write.

    Parameters
    ----------
    path : str or path-like
        Where it is to be written.
    overwrite, inputs
        As of `refuse_existing`.
    compression : str, optional
        How its arrays are to be compressed.

    Raises
    ------
    OSError
        As `refuse_existing` and `check_folder`.
    ValueError
        If the name is one of a FITS file or of an input, or asdf does not know the
        compression.
    """
    refuse_existing(path, overwrite=overwrite, inputs=inputs)
    check_folder(path)
    if os.fspath(path).lower().endswith(_FITS):
        msg = f"{path}: the output is an ASDF file and must not be named as a FITS file"
        raise ValueError(msg)
    _check_compression(compression)


def _check_compression(compression) -> None:
    """Let asdf compress something."""
    import asdf

    if compression is None:
        return
    try:
        some = asdf.AsdfFile({"some": np.zeros(9)})
        some.write_to(io.BytesIO(), all_array_compression=compression)
    # What is no text fails anywhere.
    except (ValueError, TypeError, AttributeError) as error:
        msg = f"compression must be 'zlib', 'bzp2', 'lz4' or None, got {compression!r} ({error})"
        raise ValueError(msg) from error


def check_folder(path: str | os.PathLike[str]) -> None:
    """
    Raise if no file can be written because of where it would be.

    Raises
    ------
    FileNotFoundError
        If there is no folder.
    PermissionError
        If nothing can be written there.
    """
    folder = Path(path).resolve().parent
    if not folder.is_dir():
        msg = f"{path}: there is no folder {Path(path).parent}"
        raise FileNotFoundError(msg)
    if not os.access(folder, os.W_OK):
        msg = f"{path}: nothing can be written in the folder {Path(path).parent}"
        raise PermissionError(msg)


def refuse_existing(path, *, overwrite: bool, inputs: Iterable = ()) -> None:
    """
    Raise if there is something that may not be replaced.

    Parameters
    ----------
    path : str or path-like
        Where a file is to be written.
    overwrite : bool
        Whether an existing file may be replaced.
    inputs : iterable of str or path-like
        Files that may not be replaced in any case.

    Raises
    ------
    FileExistsError
        If the file exists and ``overwrite`` is false.
    OSError
        If it is no file.
    ValueError
        If it is one of the inputs.
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
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """
    Write a file under another name in the same folder, and rename it when it is whole.

    Parameters
    ----------
    path : str or path-like
        The file; what is there stays until the new one is whole.

    Yields
    ------
    file
        Open for writing and reading bytes.

    Raises
    ------
    OSError
        If there is something that is no file, or no file can be made.
    """
    # Where a link points at is replaced, not the link.
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
        # Else the new name may be on the disk before what it is the name of.
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        # Files of mkstemp can be read by their owner only.
        temporary.chmod(_mode_of(target))
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mode_of(path: Path) -> int:
    """Who may read and write a file; of one that is not there, who may any new one."""
    if path.exists():
        return path.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask
