"""ASDF files that pixels are read from when they are asked for."""

from __future__ import annotations

import gzip
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

import asdf
import numpy as np
from asdf.yamlutil import tagged_tree_to_custom_tree

from subpixal.io.paths import open_file

from .blocks import Blocks
from .tree_checksum import verify_tree_checksum
from .validate_tree import StoredArray, collect_arrays, load_tree, planes_of
from .versions import URI, upgrade

__all__ = ["KEY", "ASDFReader", "is_mapped", "name_of"]

# Where the cutouts are in a file.
KEY = "cutouts"

COLLECTION = f"{URI}/tags/cutout_collection-"

GZIP = b"\x1f\x8b"

# Bytes of decompressed or remote blocks that all sources hold; beyond that they are
# read again.
HELD = 64_000_000

_SOURCES = weakref.WeakSet()

_LOCK = threading.Lock()


class ASDFReader:
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
            file = stack.enter_context(open_file(file))
        # What is read is large, or all of it is needed: a buffer would not help.
        self._file = getattr(file, "raw", file)
        self._state = _state(self._file)
        # Readers seek in the file before they read.
        self._lock = threading.RLock()
        # Blocks that were read, and how many bytes of them are in memory.
        self._read, self._held = {}, 0
        with self._at_its_place():
            _check_begin(self._file)
            self._blocks = Blocks(self._file, verify_tree_checksum(self._file))
        # Where the blocks of pixels are, of each part.
        self._pixels = []
        with _LOCK:
            _SOURCES.add(self)

    def load(self) -> tuple[object, bool]:
        """
        Load all but the pixels of a collection.

        Returns
        -------
        found : object
            What the file holds. A collection is still a tree, with a `StoredArray`
            for each block of pixels.
        is_collection : bool
            Whether it is one.

        Raises
        ------
        Exception
            Of many classes, if the file is damaged or not what it must be.
        """
        with self._at_its_place():
            tree, context = load_tree(self._blocks.head()), asdf.AsdfFile(lazy_load=False)
            if asdf.get_config().validate_on_read:
                asdf.schema.validate(tree, context, reading=True)
            node = tree.get(KEY)
            if not isinstance(node, Mapping):
                return node, False
            tag = getattr(node, "_tag", None) or ""
            is_collection = tag.startswith(COLLECTION)
            stored = collect_arrays(node, self._blocks.length)
            pixels = planes_of(node) if is_collection else []
            later = {id(block) for planes in pixels for some in planes.values() for block in some}
            arrays = {key: stored[key] for key in later if key in stored}
            arrays |= self._load({key: a for key, a in stored.items() if key not in later})
        _put_arrays(node, arrays)
        with asdf.config_context() as config:
            # A node that cannot be read is an error, not a raw dict.
            config.warn_on_failed_conversion = False
            if not is_collection:
                return tagged_tree_to_custom_tree(node, context), False
            node = upgrade(tagged_tree_to_custom_tree(node.data, context), tag)
        self._pixels = planes_of(node)
        return node, True

    def _load(self, stored: dict[int, StoredArray]) -> dict[int, np.ndarray]:
        """Arrays in memory; those of one block share what it has."""
        sizes, content = {}, {}
        for array in stored.values():
            sizes[array.block] = max(array.size, sizes.get(array.block, 0))
        for block, size in sorted(sizes.items()):
            content[block] = self._blocks.read(block, size, with_checksum=True)
        return {key: array.of(content[array.block]) for key, array in stored.items()}

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
                    return self._block(part, plane, k)
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

    def _block(self, *key) -> np.ndarray:
        # What is mapped and not there any more ends the process.
        if _state(self._file) != self._state:
            msg = "the file was changed after it was opened"
            raise ValueError(msg)
        block = self._read.get(key)
        if block is None:
            _make_room()
            part, plane, k = key
            stored = self._pixels[part][plane][k]
            block = stored.of(self._blocks.read(stored.block, stored.size))
            self._held += 0 if is_mapped(block) else block.nbytes
            self._read[key] = block
        return block


def _check_begin(file) -> None:
    """Raise if a file is not ASDF from the first."""
    file.seek(0)
    begin = file.read(6)
    compressed = begin.startswith(GZIP)
    if compressed:
        file.seek(0)
        begin = gzip.GzipFile(fileobj=file).read(6)
    if begin == b"SIMPLE":
        msg = (
            "it is a FITS file (cutouts are written to FITS files, but read from ASDF files "
            "only; subpixal.io.read_image reads images)"
        )
        raise ValueError(msg)
    if begin[:5] != b"#ASDF":
        msg = "it does not begin as one"
        raise ValueError(msg)
    if compressed:
        msg = "it is compressed as a whole (decompress it; compression='zlib' makes small archives)"
        raise ValueError(msg)


def _make_room() -> None:
    """Let go of blocks if there are too many; who is just using one holds it."""
    with _LOCK:
        if sum(source._held for source in _SOURCES) > HELD:
            for source in _SOURCES:
                source._read, source._held = {}, 0


def _put_arrays(node, arrays: dict[int, object]) -> None:
    """Put arrays in the place of their nodes, by the ``id`` of these."""
    children = list(node.items() if isinstance(node, Mapping) else enumerate(node))
    for key, child in children:
        if isinstance(child, Mapping | list):
            _put_arrays(child, arrays)
        if id(child) in arrays:
            masked = "mask" in child
            node[key] = _with_mask(arrays, child) if masked else arrays[id(child)]


def _with_mask(arrays, node) -> np.ma.MaskedArray:
    if not isinstance(node["mask"], np.ndarray):
        msg = f"the mask of an array is a {type(node['mask']).__name__}"
        raise TypeError(msg)
    return np.ma.array(arrays[id(node)], mask=node["mask"])


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


def is_mapped(array) -> bool:
    """Whether an array is in a file and not in memory."""
    while array is not None:
        if isinstance(array, np.memmap):
            return True
        array = getattr(array, "base", None)
    return False
