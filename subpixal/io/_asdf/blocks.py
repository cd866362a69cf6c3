"""
Read blocks of an ASDF file, after a check of their sizes.

The header of a block contains its sizes. asdf does not check them: it allocates and decompresses as
many bytes as a header announces. Therefore this module reads the blocks, and compares the sizes
with the file before it reads a block. In tests/io/test_archive_faults.py, these tests need this
module: test_bombs, test_hostile_headers, test_forged_index, test_checksums_of_older_asdf and
test_no_checksums.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import os
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Blocks"]

Bytes = NDArray[np.uint8]

MAGIC = b"\xd3BLK"

# Fields of the header: magic, size of the rest of the header, flags, compression, allocated size,
# used size, size of the data after decompression, MD5.
HEADER = struct.Struct(">4sHI4sQQQ16s")

SIZE_OF_REST = 48

NO_CHECKSUM = bytes(16)

# Number of bytes that the search for the first block reads at once.
CHUNK = 1 << 16

# Largest possible ratio of decompressed to compressed bytes in LZ4.
LZ4_RATIO = 256


class Blocks:
    """
    The blocks of an ASDF file.

    Parameters
    ----------
    file : file
        An ASDF file.
    offsets : list of int or None
        Positions of the blocks, if their checksum was verified. With `None`, the file is searched
        for blocks.

    Attributes
    ----------
    length : int
        Size of the file in bytes.

    Raises
    ------
    ValueError
        If the header of a block is damaged.
    """

    def __init__(self, file: Any, offsets: list[int] | None) -> None:
        self._file = file
        self.length = file.seek(0, os.SEEK_END)
        # Files of other writers may contain blocks without an MD5. In files of this package, a
        # missing MD5 is damage.
        self._no_checksum = NO_CHECKSUM if offsets is None else None
        self._offsets = self._search() if offsets is None else offsets
        # Map only plain local files, because other file objects have no file number of their own.
        is_local = type(file) is io.FileIO and self.length > 0
        self._mapped = np.memmap(file, np.uint8, "r") if is_local else None

    def _search(self) -> list[int]:
        """Search the file for blocks, and return the positions of all blocks."""
        offsets: list[int] = []
        offset = self._search_first()
        while offset >= 0:
            offsets.append(offset)
            allocated, *_ = self._read_header(len(offsets) - 1, offset)
            offset += HEADER.size + allocated
            self._file.seek(offset)
            if self._file.read(len(MAGIC)) != MAGIC:
                break
        return offsets

    def _search_first(self) -> int:
        """Return the position of the first block, or -1 if there is none."""
        self._file.seek(0)
        before = 0
        chunk = b""
        while MAGIC not in chunk:
            before += max(len(chunk) - len(MAGIC), 0)
            more = self._file.read(CHUNK)
            if not more:
                return -1
            chunk = chunk[-len(MAGIC) :] + more
        return before + chunk.index(MAGIC)

    def read_head(self) -> bytes:
        """Return the bytes before the first block."""
        return self._read(0, self._offsets[0] if self._offsets else self.length).tobytes()

    def read(self, number: int, size: int, *, with_checksum: bool = False) -> Bytes:
        """
        Return the first bytes of a block.

        Parameters
        ----------
        number : int
            Number of the block.
        size : int
            Number of bytes to return, after decompression. No more bytes than these are
            decompressed.
        with_checksum : bool
            `True` to verify the MD5 of the block, and to return bytes in memory. With `False`, the
            bytes may be a read-only map of the file.

        Returns
        -------
        array of uint8, shape (size,)

        Raises
        ------
        ValueError
            If the block does not exist, is damaged, or is too small.
        """
        if number >= len(self._offsets):
            msg = f"there is no block {number}"
            raise ValueError(msg)
        offset = self._offsets[number]
        _, used, compression, md5 = self._read_header(number, offset)
        begin = offset + HEADER.size
        needs_all = with_checksum or bool(compression)
        if self._mapped is not None and not needs_all:
            content: Bytes = self._mapped[begin : begin + used]
        else:
            content = self._read(begin, used if needs_all else min(used, size))
        found = {_md5(content)} if with_checksum else set()
        if compression:
            content = np.frombuffer(_decompress(compression, content, size), np.uint8)
            # Accept both checksums: asdf 5 writes the MD5 of the decompressed bytes.
            found |= {_md5(content)} if with_checksum else set()
        if with_checksum and md5 not in (self._no_checksum, *found):
            msg = f"the checksum of block {number} is wrong"
            raise ValueError(msg)
        if len(content) < size:
            msg = f"block {number} has {len(content)} bytes, the arrays in it have {size}"
            raise ValueError(msg)
        return content[:size]

    def _read_header(self, number: int, offset: int) -> tuple[int, int, str, bytes]:
        """Return allocated size, used size, compression and MD5 of a block."""
        self._file.seek(offset)
        content = self._file.read(HEADER.size)
        if len(content) == HEADER.size:
            magic, rest, _, label, allocated, used, _, md5 = HEADER.unpack(content)
            is_inside = used <= allocated <= self.length - offset - HEADER.size
            if magic == MAGIC and rest == SIZE_OF_REST and is_inside:
                return allocated, used, label.rstrip(b"\0").decode("ascii"), md5
        msg = f"block {number} has no header, or a header with impossible sizes"
        raise ValueError(msg)

    def _read(self, begin: int, size: int) -> Bytes:
        content = np.empty(size, np.uint8)
        rest = content.data
        self._file.seek(begin)
        # Repeat the call, because it may read fewer bytes than requested.
        while rest:
            count = self._file.readinto(rest)
            if not count:
                msg = "the file ends too early"
                raise ValueError(msg)
            rest = rest[count:]
        return content


def _md5(content: Bytes) -> bytes:
    return hashlib.md5(content.data, usedforsecurity=False).digest()


def _decompress(label: str, content: Bytes, size: int) -> bytearray:
    """Return the first ``size`` bytes of a compressed block, or all bytes if there are fewer."""
    if not size:
        return bytearray()
    if label == "zlib":
        return bytearray(zlib.decompressobj().decompress(content.data, size))
    if label == "bzp2":
        return bytearray(bz2.BZ2Decompressor().decompress(content.data, size))
    if label == "lz4":
        return _decompress_lz4(content.data, size)
    return _decompress_by_extension(label, content.data, size)


def _decompress_lz4(content: memoryview, size: int) -> bytearray:
    """Decompress LZ4 pieces. The size of each piece is stored before the piece."""
    try:
        import lz4.block
    except ImportError as error:
        msg = "a block compressed with lz4 needs the package lz4: pip install lz4"
        raise ImportError(msg) from error
    out = bytearray()
    while content and len(out) < size:
        (used,) = struct.unpack_from(">I", content)
        piece = content[4 : 4 + used]
        content = content[4 + used :]
        # Check the size that the piece announces, because lz4 allocates as many bytes.
        if struct.unpack_from("<I", piece)[0] > LZ4_RATIO * len(piece):
            msg = "a compressed block announces more bytes than it can hold"
            raise ValueError(msg)
        out += lz4.block.decompress(piece)
    return out


def _decompress_by_extension(label: str, content: memoryview, size: int) -> bytearray:
    """Decompress with an installed extension of asdf."""
    import asdf

    for extension in asdf.get_config().extensions:
        for compressor in extension.compressors:
            if compressor.label.decode("ascii") == label:
                out = bytearray(size)
                count = compressor.decompress([content], memoryview(out))
                return out[:count]
    msg = f"blocks compressed with {label!r} need an extension of asdf that is not installed"
    raise ValueError(msg)
