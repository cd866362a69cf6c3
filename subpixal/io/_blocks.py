"""
Blocks of an ASDF file, looked at before asdf reads them.

asdf believes the header of a block: it would read a block that claims to be endless
without an end.
"""

from __future__ import annotations

import hashlib
import os
import struct
from typing import BinaryIO

__all__ = ["Blocks"]

MAGIC = b"\xd3BLK"

# Magic, size of the rest, flags, compression, sizes allocated, used and of the data, MD5.
HEADER = struct.Struct(">4sHI4sQQQ16s")
SIZE_OF_REST = 48

CHUNK = 1 << 16


class Blocks:
    """
    Where the blocks of a file are.

    Parameters
    ----------
    file : file
        An ASDF file.
    offsets : list of int or None
        Where they are, if that is known to be right; else they are sought.

    Raises
    ------
    ValueError
        If what is sought is not there.
    """

    def __init__(self, file: BinaryIO, offsets: list[int] | None) -> None:
        self._file, self._length = file, file.seek(0, os.SEEK_END)
        self._offsets = self._seek() if offsets is None else offsets

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

    def check(self, number: int, *, with_content: bool = False) -> None:
        """
        Raise if there is no such block.

        Parameters
        ----------
        number : int
            Number of the block.
        with_content : bool
            Whether its content must have the checksum that the header says.

        Raises
        ------
        ValueError
            If so.
        """
        if number >= len(self._offsets):
            msg = f"there is no block {number}"
            raise ValueError(msg)
        offset = self._offsets[number]
        _, used, md5 = self._header(number, offset)
        if with_content:
            self._file.seek(offset + HEADER.size)
            content = self._file.read(used)
            if hashlib.md5(content, usedforsecurity=False).digest() != md5:
                msg = f"block {number} is not what was written"
                raise ValueError(msg)

    def _header(self, number, offset) -> tuple[int, int, bytes]:
        """Sizes allocated and used, and checksum of a block."""
        self._file.seek(offset)
        content = self._file.read(HEADER.size)
        if len(content) == HEADER.size:
            magic, rest, _, _, allocated, used, _, md5 = HEADER.unpack(content)
            inside = used <= allocated <= self._length - offset - HEADER.size
            if magic == MAGIC and rest == SIZE_OF_REST and inside:
                return allocated, used, md5
        msg = f"block {number} has no header, or one that says what cannot be"
        raise ValueError(msg)
