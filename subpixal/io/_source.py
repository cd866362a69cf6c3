"""ASDF files that pixels are read from when they are asked for."""

from __future__ import annotations

import weakref
from contextlib import ExitStack
from functools import partial

import asdf
import numpy as np

from ._converters import raw_collections
from ._seal import check_seal

__all__ = ["KEY", "Source", "is_mapped", "name_of"]

# Where the cutouts are in a file.
KEY = "cutouts"

# Bytes of decompressed or remote blocks that are held; beyond that reading starts anew.
HELD = 64_000_000


class Source:
    """
    An ASDF file that a collection is in, read when pixels are asked for.

    It is open for as long as the source lives, so that what is read is in the file
    that was there at first, whatever takes its name.

    Parameters
    ----------
    file : str, path or file
        The name of a file, a URL that fsspec understands, or a file that is open
        for reading bytes, which stays open.

    Attributes
    ----------
    name : str
        What the file is called in errors.
    """

    def __init__(self, file) -> None:
        self.name = name_of(file)
        stack = ExitStack()
        weakref.finalize(self, stack.close)
        if not hasattr(file, "read"):
            open_ = _open_url if "://" in str(file) else partial(open, mode="rb")
            file = stack.enter_context(open_(file))
        # asdf goes around the buffer of a file, and would start where that ends.
        self._file = getattr(file, "raw", file)
        self._close, self._blocks, self._held = None, {}, 0

    def open(self, **options) -> asdf.AsdfFile:
        """
        Open the file as ASDF; collections in it stay trees.

        Parameters
        ----------
        **options
            Of `asdf.open`.
        """
        check_seal(self._file)
        self._file.seek(0)
        with raw_collections(), asdf.config_context() as config:
            # A node that cannot be read is an error, not a raw dict.
            config.warn_on_failed_conversion = False
            return asdf.open(self._file, **options)

    def block(self, part: int, plane: str, k: int) -> np.ndarray:
        """
        A block of pixels.

        Parameters
        ----------
        part, plane, k
            Where it is in the tree of the collection.

        Raises
        ------
        OSError
            If it cannot be read.
        """
        key = part, plane, k
        if key not in self._blocks:
            try:
                self._blocks[key] = self._read(*key)
            except Exception as error:
                msg = f"{self.name}: block {k} of the plane {plane!r} cannot be read: {error}"
                raise OSError(msg) from error
        return self._blocks[key]

    def _read(self, part, plane, k) -> np.ndarray:
        if self._close is None or self._held > HELD:
            self._start()
        block = np.asarray(self._tree["parts"][part]["planes"][plane][k])
        if not is_mapped(block):
            self._held += block.nbytes
        return block

    def _start(self) -> None:
        """Start reading, anew if it was started; nothing that was read is held."""
        if self._close is not None:
            self._close()
        file = self.open(memmap=True)
        self._tree, self._blocks, self._held = file[KEY].tree, {}, 0
        self._close = weakref.finalize(self, file.close)


def name_of(file) -> str:
    """What a file, given by name or open, is called in errors."""
    return str(getattr(file, "name", file))


def _open_url(url):
    try:
        import fsspec
    except ImportError as error:
        msg = f"{url} needs fsspec to be read: pip install 'subpixal[remote]'"
        raise ImportError(msg) from error
    return fsspec.open(url, "rb")


def is_mapped(array) -> bool:
    """Whether an array is in a file and not in memory."""
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False
