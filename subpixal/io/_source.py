"""ASDF files that pixels are read from when they are asked for."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import asdf
import numpy as np

from ._blocks import Blocks
from ._converters import raw_cutouts
from ._seal import check_seal
from ._vet import vet_tree

__all__ = ["KEY", "Source", "is_mapped", "name_of"]

# Where the cutouts are in a file.
KEY = "cutouts"

# Bytes of decompressed or remote blocks that all sources hold; beyond that reading
# starts anew.
HELD = 64_000_000
_SOURCES = weakref.WeakSet()


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
    found : object
        What it holds; cutouts are trees still, with arrays that wait for the file.

    Raises
    ------
    Exception
        Of many classes, if the file is damaged or not what it must be.
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
        self._state = _state(self._file)
        # asdf seeks in the file before it reads.
        self._lock = threading.RLock()
        self._close = None
        with self._at_its_place():
            offsets = check_seal(self._file)
            self._on_disk = Blocks(self._file, offsets)
            # If we know where the blocks are, we look at them ourselves. Else asdf looks at
            # all of them, one after the other as we did, whatever the index says.
            known = offsets is not None
            self._numbers = vet_tree(self._file, KEY, self._on_disk, with_content=known)
            self._options = {"memmap": True, "validate_checksums": not known, "lazy_load": known}
            self._start()
        _SOURCES.add(self)

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
        with self._lock:
            try:
                with self._at_its_place():
                    return self._read(part, plane, k)
            except Exception as error:
                msg = f"{self.name}: block {k} of the plane {plane!r} cannot be read: {error}"
                raise OSError(msg) from error

    @contextmanager
    def _at_its_place(self) -> Iterator[None]:
        """Leave the file where it is, for the sake of who has opened it."""
        place = self._file.tell()
        try:
            yield
        finally:
            self._file.seek(place)

    def _read(self, *key) -> np.ndarray:
        # What is mapped and not there any more ends the process.
        if _state(self._file) != self._state:
            msg = "the file was changed after it was opened"
            raise ValueError(msg)
        if key not in self._blocks:
            if sum(source._held for source in _SOURCES) > HELD:
                for source in list(_SOURCES):
                    source._release()
            part, plane, k = key
            number = self._numbers[part][plane][k]
            if number is not None:
                self._on_disk.check(number)
            block = np.asarray(self.found.tree["parts"][part]["planes"][plane][k])
            self._held += 0 if is_mapped(block) else block.nbytes
            self._blocks[key] = block
        return self._blocks[key]

    def _release(self) -> None:
        """Let go of blocks, unless another thread is just reading one."""
        if self._held and self._lock.acquire(blocking=False):
            try:
                with self._at_its_place():
                    self._start()
            finally:
                self._lock.release()

    def _start(self) -> None:
        """Start reading, anew if it was started; nothing that was read is held."""
        if self._close is not None:
            self._close()
        self._file.seek(0)
        with raw_cutouts(), asdf.config_context() as config:
            # A node that cannot be read is an error, not a raw dict.
            config.warn_on_failed_conversion = False
            file = asdf.open(self._file, **self._options)
        self._close = weakref.finalize(self, file.close)
        self.found, self._blocks, self._held = file.tree.get(KEY), {}, 0


def name_of(file) -> str:
    """What a file, given by name or open, is called in errors."""
    return str(getattr(file, "name", file))


def _state(file) -> tuple | None:
    """What is another if the content of a file is; `None` where there is nothing to ask."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    return status.st_size, status.st_mtime_ns


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
