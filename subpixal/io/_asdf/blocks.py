"""
Blocks of an ASDF file, with all sizes checked against the file before anything is read.

asdf trusts the headers of blocks: it allocates and decompresses as many bytes as they announce.
Therefore this module reads the blocks. In tests/io/test_archive_faults.py, these tests need it:
test_bombs, test_hostile_headers, test_forged_index, test_checksums_of_older_asdf and
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

# Magic, size of the rest, flags, compression, sizes allocated, used and of the data, MD5.
HEADER = struct.Struct(">4sHI4sQQQ16s")

SIZE_OF_REST = 48

NO_CHECKSUM = bytes(16)

# Bytes that the search for the first block reads at once.
CHUNK = 1 << 16

# Largest ratio of decompressed to compressed bytes in LZ4.
LZ4_RATIO = 256


class Blocks:
    """
    The blocks of a file.

    Parameters
    ----------
    file : file
        An ASDF file.
    offsets : list of int or None
        Verified positions of the blocks; `None` to search the blocks.

    Attributes
    ----------
    length : int
        Bytes of the file.

    Raises
    ------
    ValueError
        If the header of a block is damaged.
    """

    def __init__(self, file: Any, offsets: list[int] | None) -> None:
        self._file = file
        self.length = file.seek(0, os.SEEK_END)
        # Other writers may omit the MD5 of blocks. In files of this package, that is damage.
        self._no_checksum = NO_CHECKSUM if offsets is None else None
        self._offsets = self._search() if offsets is None else offsets
        # Map only plain local files, because other files have no file number of their own.
        is_local = type(file) is io.FileIO and self.length > 0
        self._mapped = np.memmap(file, np.uint8, "r") if is_local else None

    def _search(self) -> list[int]:
        """Return the positions of all blocks, one after the other."""
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
        """Return the position of the first block, or -1."""
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
            Number of bytes after decompression. No more bytes are decompressed.
        with_checksum : bool
            `True` to verify the MD5 of the block. Then the bytes are in memory; otherwise they
            may be mapped, and must not be changed.

        Returns
        -------
        array of uint8, shape (size,)

        Raises
        ------
        ValueError
            If there is no such block, or the block is damaged or too small.
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
            # asdf 5 writes the MD5 of the decompressed bytes.
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
        # A call may read fewer bytes than requested.
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
    """Decompress pieces, each of which follows its size."""
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
        # lz4 allocates the size that the piece announces.
        if struct.unpack_from("<I", piece)[0] > LZ4_RATIO * len(piece):
            msg = "a compressed block announces more bytes than it can hold"
            raise ValueError(msg)
        out += lz4.block.decompress(piece)
    return out


def _decompress_by_extension(label: str, content: memoryview, size: int) -> bytearray:
    """Decompress with an extension of asdf."""
    import asdf

    for extension in asdf.get_config().extensions:
        for compressor in extension.compressors:
            if compressor.label.decode("ascii") == label:
                out = bytearray(size)
                count = compressor.decompress([content], memoryview(out))
                return out[:count]
    msg = f"blocks compressed with {label!r} need an extension of asdf that is not installed"
    raise ValueError(msg)
