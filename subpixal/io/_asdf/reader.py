"""
ASDF files of cutouts that stay open, so that pixels can be read later.

The reader loads the tree and the columns, and checks them. It reads blocks of pixels later, when
they are used. Without this module, asdf would read all pixels at once. The tests in
tests/io/test_archive_lazy.py need this module.
"""

from __future__ import annotations

import gzip
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import asdf
import numpy as np
from asdf.yamlutil import tagged_tree_to_custom_tree
from numpy.typing import NDArray

from subpixal.io.paths import GZIP_START, open_file

from .blocks import Blocks
from .tree_checksum import verify_tree_checksum
from .validate_tree import StoredArray, collect_arrays, find_planes, load_tree
from .versions import URI, upgrade

__all__ = ["KEY", "ASDFReader", "is_mapped", "name_of"]

# Key of the cutouts in the tree of a file.
KEY = "cutouts"

COLLECTION = f"{URI}/tags/cutout_collection-"

# Largest number of bytes of decompressed or remote blocks that all readers together keep in memory.
# If they keep more, they release all blocks, and read them again at the next access.
HELD = 64_000_000

_READERS: weakref.WeakSet[ASDFReader] = weakref.WeakSet()

_LOCK = threading.Lock()


class ASDFReader:
    """
    An open ASDF file of cutouts.

    The file stays open as long as the reader exists. So the reader reads the original file, even if
    another file replaces it.

    Parameters
    ----------
    file : str, path or file
        The name of a file, a URL that fsspec can open, or a file that is open for reading bytes.
        The reader does not close an open file.

    Attributes
    ----------
    name : str
        Name of the file in messages of errors.

    Raises
    ------
    Exception
        If the file is damaged or is not an ASDF file. The class of the error depends on the damage.
    """

    def __init__(self, file: Any) -> None:
        self.name = name_of(file)
        stack = ExitStack()
        weakref.finalize(self, stack.close)
        if not hasattr(file, "read"):
            file = stack.enter_context(open_file(file))
        # Read without a buffer, because each call reads many bytes.
        self._file = getattr(file, "raw", file)
        self._state = _get_state(self._file)
        # Lock for reading: another thread must not change the position of the file between seek and
        # read.
        self._lock = threading.RLock()
        # Blocks of pixels by part, plane and number, and the number of bytes that they use in
        # memory.
        self._cache: dict[tuple[int, str, int], NDArray[Any]] = {}
        self._held = 0
        with self._keep_position():
            _check_begin(self._file)
            self._blocks = Blocks(self._file, verify_tree_checksum(self._file))
        # For each part of the archive, a mapping from the name of a plane to the places of its
        # blocks.
        self._planes: list[Mapping[str, list[StoredArray]]] = []
        with _LOCK:
            _READERS.add(self)

    def load(self) -> tuple[Any, bool]:
        """
        Load the content of the file, except the pixels of a collection.

        Returns
        -------
        found : object
            The content of the file. A collection is returned as a tree, with a `StoredArray` in
            place of each block of pixels.
        is_collection : bool
            `True` if the content is a collection.

        Raises
        ------
        Exception
            If the file is damaged. The class of the error depends on the damage.
        """
        context = asdf.AsdfFile(lazy_load=False)
        with self._keep_position():
            tree = load_tree(self._blocks.read_head())
            if asdf.get_config().validate_on_read:
                asdf.schema.validate(tree, context, reading=True)
            node = tree.get(KEY)
            if not isinstance(node, Mapping):
                return node, False
            tag = getattr(node, "_tag", None) or ""
            is_collection = tag.startswith(COLLECTION)
            stored = collect_arrays(node, self._blocks.length)
            planes = find_planes(node) if is_collection else []
            deferred = {id(block) for part in planes for some in part.values() for block in some}
            arrays: dict[int, Any] = {key: stored.pop(key) for key in deferred & set(stored)}
            arrays |= self._load(stored)
        _insert_arrays(node, arrays)
        with asdf.config_context() as config:
            # Raise errors of converters. By default, asdf would only warn, and return a dict in
            # place of the object.
            config.warn_on_failed_conversion = False
            if not is_collection:
                return tagged_tree_to_custom_tree(node, context), False
            # Remove the tag, so that asdf does not convert the tree to a collection.
            custom = upgrade(tagged_tree_to_custom_tree(dict(node), context), tag)
        self._planes = find_planes(custom)
        return custom, True

    def _load(self, stored: Mapping[int, StoredArray]) -> dict[int, NDArray[Any]]:
        """Read arrays into memory. Arrays in the same block share memory."""
        sizes: dict[int, int] = {}
        for array in stored.values():
            sizes[array.block] = max(array.size, sizes.get(array.block, 0))
        content = {
            block: self._blocks.read(block, size, with_checksum=True)
            for block, size in sorted(sizes.items())
        }
        return {key: array.view(content[array.block]) for key, array in stored.items()}

    def block(self, part: int, plane: str, number: int) -> NDArray[Any]:
        """
        Return a block of pixels.

        Parameters
        ----------
        part : int
            Number of the part of the archive.
        plane : str
            Name of the plane.
        number : int
            Number of the block in the plane.

        Raises
        ------
        OSError
            If the block cannot be read.
        """
        with self._lock:
            try:
                with self._keep_position():
                    return self._read_block(part, plane, number)
            except Exception as error:
                msg = f"{self.name}: block {number} of the plane {plane!r} cannot be read: {error}"
                raise OSError(msg) from error

    @contextmanager
    def _keep_position(self) -> Iterator[None]:
        """Restore the position of the file at the end: the caller may also use the open file."""
        position = self._file.tell()
        try:
            yield
        finally:
            self._file.seek(position)

    def _read_block(self, part: int, plane: str, number: int) -> NDArray[Any]:
        # Refuse a changed file: if it is shorter now, access to its mapped bytes would crash the
        # process.
        if _get_state(self._file) != self._state:
            msg = "the file was changed after it was opened"
            raise ValueError(msg)
        key = part, plane, number
        block = self._cache.get(key)
        if block is None:
            _limit_memory()
            stored = self._planes[part][plane][number]
            block = stored.view(self._blocks.read(stored.block, stored.size))
            self._held += 0 if is_mapped(block) else block.nbytes
            self._cache[key] = block
        return block


def _check_begin(file: Any) -> None:
    """Raise an error if a file does not begin like an ASDF file."""
    file.seek(0)
    begin = file.read(6)
    is_compressed = begin.startswith(GZIP_START)
    if is_compressed:
        file.seek(0)
        begin = gzip.GzipFile(fileobj=file).read(6)
    if begin == b"SIMPLE":
        msg = (
            "the file is a FITS file (cutouts are read only from ASDF files; "
            "subpixal.io.read_image reads images)"
        )
        raise ValueError(msg)
    if begin[:5] != b"#ASDF":
        msg = "the file does not begin with '#ASDF'"
        raise ValueError(msg)
    if is_compressed:
        msg = (
            "the file is compressed as a whole (decompress it; compression='zlib' makes small "
            "archives)"
        )
        raise ValueError(msg)


def _limit_memory() -> None:
    """
    Release the blocks of all readers if they need too much memory.

    Arrays that are still in use elsewhere stay in memory.
    """
    with _LOCK:
        if sum(reader._held for reader in _READERS) > HELD:
            for reader in _READERS:
                reader._cache = {}
                reader._held = 0


def _insert_arrays(node: Any, arrays: Mapping[int, Any]) -> None:
    """Replace nodes with arrays. The key of an array is the ``id`` of its node."""
    children = list(node.items() if isinstance(node, Mapping) else enumerate(node))
    for key, child in children:
        if isinstance(child, Mapping | list):
            _insert_arrays(child, arrays)
        if id(child) in arrays:
            array = arrays[id(child)]
            node[key] = _add_mask(array, child["mask"]) if "mask" in child else array


def _add_mask(array: NDArray[Any], mask: Any) -> np.ma.MaskedArray:
    if not isinstance(mask, np.ndarray):
        msg = f"the mask of an array is a {type(mask).__name__}"
        raise TypeError(msg)
    return np.ma.array(array, mask=mask)


def name_of(file: Any) -> str:
    """Return the name of a file for messages of errors. The file may be a name or an open file."""
    return str(getattr(file, "name", file))


def _get_state(file: Any) -> tuple[int, int] | None:
    """Return the size and the modification time of a file, or `None` without a file number."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    return status.st_size, status.st_mtime_ns


def is_mapped(array: Any) -> bool:
    """Return `True` if an array is a memory map of a file, or a view of one."""
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False
