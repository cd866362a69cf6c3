"""
Blocks of an ASDF file, read such that no file can ask for more than it holds.

asdf believes the header of a block: it would read a block that claims to be endless
without an end, and decompress whatever comes out of one.
"""

from __future__ import annotations

import bz2
import hashlib
import io
import os
import struct
import zlib
from typing import BinaryIO

import numpy as np

__all__ = ["Blocks"]

MAGIC = b"\xd3BLK"

# Magic, size of the rest, flags, compression, sizes allocated, used and of the data, MD5.
HEADER = struct.Struct(">4sHI4sQQQ16s")

SIZE_OF_REST = 48

NO_CHECKSUM = bytes(16)

CHUNK = 1 << 16


# What LZ4 can make of a byte at most.
LZ4_RATIO = 256


class Blocks:
    """
    The blocks of a file.

    Parameters
    ----------
    file : file
        An ASDF file.
    offsets : list of int or None
        Where they are, if that is known to be right; else they are sought.

    Attributes
    ----------
    length : int
        Bytes of the file.

    Raises
    ------
    ValueError
        If what is sought is not there.
    """

    def __init__(self, file: BinaryIO, offsets: list[int] | None) -> None:
        self._file, self.length = file, file.seek(0, os.SEEK_END)
        # Others may leave checksums out; in our files they would be damage.
        self._no_checksum = NO_CHECKSUM if offsets is None else None
        self._offsets = self._seek() if offsets is None else offsets
        # What unpacks or counts what it reads has a number of the file that it reads.
        local = type(file) is io.FileIO and self.length > 0
        self._mapped = np.memmap(file, np.uint8, "r") if local else None

    def _seek(self) -> list[int]:
        """One block after the other."""
        offset, offsets = self._first(), []
        while offset >= 0:
            offsets.append(offset)
            offset += HEADER.size + self._header(len(offsets) - 1, offset)[0]
            self._file.seek(offset)
            offset = offset if self._file.read(len(MAGIC)) == MAGIC else -1
        return offsets

    def _first(self) -> int:
        """Where the first block is, or -1."""
        self._file.seek(0)
        before, chunk = 0, b""
        while MAGIC not in chunk:
            before += max(len(chunk) - len(MAGIC), 0)
            more = self._file.read(CHUNK)
            if not more:
                return -1
            chunk = chunk[-len(MAGIC) :] + more
        return before + chunk.index(MAGIC)

    def head(self) -> bytes:
        """What is before the blocks."""
        return self._read(0, self._offsets[0] if self._offsets else self.length).tobytes()

    def read(self, number: int, size: int, *, with_checksum: bool = False) -> np.ndarray:
        """
        The first bytes of a block.

        Parameters
        ----------
        number : int
            Number of the block.
        size : int
            How many bytes, once they are decompressed; no more are.
        with_checksum : bool
            Whether the block must have the checksum that its header says. Then the
            bytes are in memory, else they may be mapped and are not to be written to.

        Returns
        -------
        array of uint8, shape (size,)

        Raises
        ------
        ValueError
            If there is no such block, or it is damaged or too small.
        """
        if number >= len(self._offsets):
            msg = f"there is no block {number}"
            raise ValueError(msg)
        offset = self._offsets[number]
        _, used, compression, md5 = self._header(number, offset)
        begin = offset + HEADER.size
        if not (with_checksum or compression or self._mapped is None):
            content = self._mapped[begin : begin + used]
        else:
            content = self._read(begin, used if with_checksum or compression else min(used, size))
        found = {_md5(content)} if with_checksum else set()
        if compression:
            content = np.frombuffer(_decompress(compression, content, size), np.uint8)
            # asdf 5 has checksums of what is compressed.
            found |= {_md5(content)} if with_checksum else set()
        if with_checksum and md5 not in (self._no_checksum, *found):
            msg = f"block {number} is not what was written"
            raise ValueError(msg)
        if len(content) < size:
            msg = f"block {number} has {len(content)} bytes, the arrays in it have {size}"
            raise ValueError(msg)
        return content[:size]

    def _header(self, number, offset) -> tuple[int, int, str, bytes]:
        """Sizes allocated and used, compression, and checksum of a block."""
        self._file.seek(offset)
        content = self._file.read(HEADER.size)
        if len(content) == HEADER.size:
            magic, rest, _, label, allocated, used, _, md5 = HEADER.unpack(content)
            inside = used <= allocated <= self.length - offset - HEADER.size
            if magic == MAGIC and rest == SIZE_OF_REST and inside:
                return allocated, used, label.rstrip(b"\0").decode("ascii"), md5
        msg = f"block {number} has no header, or one that says what cannot be"
        raise ValueError(msg)

    def _read(self, begin, size) -> np.ndarray:
        """Bytes of the file in memory; a single call need not read all that is asked for."""
        content = np.empty(size, np.uint8)
        rest = memoryview(content)
        self._file.seek(begin)
        while rest:
            count = self._file.readinto(rest)
            if not count:
                msg = "the file ends too early"
                raise ValueError(msg)
            rest = rest[count:]
        return content


def _md5(content) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _decompress(label: str, content: np.ndarray, size: int) -> bytearray:
    """At least the first bytes of what a block has, if it has them."""
    if not size:
        return bytearray()
    if label == "zlib":
        return bytearray(zlib.decompressobj().decompress(content, size))
    if label == "bzp2":
        return bytearray(bz2.BZ2Decompressor().decompress(content, size))
    if label == "lz4":
        return _decompress_lz4(content, size)
    return _decompress_otherwise(label, content, size)


def _decompress_lz4(content, size) -> bytearray:
    """Pieces, each after its size: without the size in the piece itself that lz4 allocates."""
    try:
        import lz4.block
    except ImportError as error:
        msg = "a block compressed with lz4 needs it to be read: pip install lz4"
        raise ImportError(msg) from error
    content, out = memoryview(content), bytearray()
    while content and len(out) < size:
        (used,) = struct.unpack_from(">I", content)
        piece, content = content[4 : 4 + used], content[4 + used :]
        if struct.unpack_from("<I", piece)[0] > LZ4_RATIO * len(piece):
            msg = "a compressed block says that it holds more than it can"
            raise ValueError(msg)
        out += lz4.block.decompress(piece)
    return out


def _decompress_otherwise(label, content, size) -> bytearray:
    """By an extension of asdf."""
    import asdf

    for extension in asdf.get_config().extensions:
        for compressor in extension.compressors:
            if compressor.label.decode("ascii") == label:
                out = bytearray(size)
                count = compressor.decompress([memoryview(content)], memoryview(out))
                return out[:count]
    msg = f"blocks compressed with {label!r} need an extension of asdf that is not installed"
    raise ValueError(msg)
