"""Files that are there whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

__all__ = ["check_archive", "check_folder", "refuse_existing", "replacing"]

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
