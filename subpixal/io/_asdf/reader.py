"""
ASDF files of cutouts, open as long as their pixels may be needed.

The reader loads the tree and the columns with all checks, and blocks of pixels on demand. asdf
alone reads the pixels of a collection at once. The tests in tests/io/test_archive_lazy.py need
this module.
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

# Bytes of decompressed or remote blocks that all readers keep. If they keep more, they release
# all blocks and read them again when needed.
HELD = 64_000_000

_READERS: weakref.WeakSet[ASDFReader] = weakref.WeakSet()

_LOCK = threading.Lock()


class ASDFReader:
    """
    An open ASDF file of cutouts.

    The file stays open as long as the reader exists. Pixels therefore come from the file that was
    opened, also if another file replaces it.

    Parameters
    ----------
    file : str, path or file
        The name of a file, a URL that fsspec understands, or a file that is open for reading
        bytes, which stays open.

    Attributes
    ----------
    name : str
        Name of the file in errors.

    Raises
    ------
    Exception
        If the file is damaged or no ASDF file. The class of the error depends on the damage.
    """

    def __init__(self, file: Any) -> None:
        self.name = name_of(file)
        stack = ExitStack()
        weakref.finalize(self, stack.close)
        if not hasattr(file, "read"):
            file = stack.enter_context(open_file(file))
        # Reads are large, so a buffer would not help.
        self._file = getattr(file, "raw", file)
        self._state = _get_state(self._file)
        # Threads must not move the position of the file between seek and read.
        self._lock = threading.RLock()
        # Blocks of pixels by part, plane and number, and their bytes in memory.
        self._cache: dict[tuple[int, str, int], NDArray[Any]] = {}
        self._held = 0
        with self._keep_position():
            _check_begin(self._file)
            self._blocks = Blocks(self._file, verify_tree_checksum(self._file))
        # Stored blocks of each plane, for each part.
        self._planes: list[Mapping[str, list[StoredArray]]] = []
        with _LOCK:
            _READERS.add(self)

    def load(self) -> tuple[Any, bool]:
        """
        Load all but the pixels of a collection.

        Returns
        -------
        found : object
            The content of the file. A collection is still a tree, with a `StoredArray` for
            each block of pixels.
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
            # By default, asdf would return a dict in the place of an object and only warn.
            config.warn_on_failed_conversion = False
            if not is_collection:
                return tagged_tree_to_custom_tree(node, context), False
            # Without its tag, the node stays a tree.
            custom = upgrade(tagged_tree_to_custom_tree(dict(node), context), tag)
        self._planes = find_planes(custom)
        return custom, True

    def _load(self, stored: Mapping[int, StoredArray]) -> dict[int, NDArray[Any]]:
        """Return arrays in memory. Arrays of the same block share their memory."""
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
            Number of the part.
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
        """Restore the position of the file, which may be open elsewhere."""
        position = self._file.tell()
        try:
            yield
        finally:
            self._file.seek(position)

    def _read_block(self, part: int, plane: str, number: int) -> NDArray[Any]:
        # Access to mapped bytes that a shorter file lost would end the process.
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
    """Raise if a file does not begin like an ASDF file."""
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
    """Release the blocks of all readers if they are too many. Blocks in use stay in memory."""
    with _LOCK:
        if sum(reader._held for reader in _READERS) > HELD:
            for reader in _READERS:
                reader._cache = {}
                reader._held = 0


def _insert_arrays(node: Any, arrays: Mapping[int, Any]) -> None:
    """Replace nodes by their arrays, which have the ``id`` of the nodes as keys."""
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
    """Return the name of a file, given by name or open, for errors."""
    return str(getattr(file, "name", file))


def _get_state(file: Any) -> tuple[int, int] | None:
    """Return size and time of change of a file; `None` if the file has no file number."""
    try:
        status = os.fstat(file.fileno())
    except (AttributeError, OSError):
        return None
    return status.st_size, status.st_mtime_ns


def is_mapped(array: Any) -> bool:
    """Return `True` if an array is a view of a mapped file."""
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False
