"""
A checksum of the tree of an ASDF file.

asdf has checksums of blocks and none of the tree, in which a wrong digit is as
bad as a wrong pixel. Ours is a comment behind the block index, at the end of the
file, where every reader of ASDF passes it over.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import BinaryIO

__all__ = ["check_seal", "write_seal"]

LINE = b"# subpixal: the first %d bytes have CRC-32 %08x\n"
PATTERN = re.compile(rb"# subpixal: the first (\d{1,12}) bytes have CRC-32 ([0-9a-f]{8})\n$")
TAIL = 80

# Where a tree ends.
END = b"\n...\n"

CHUNK = 1 << 16


def write_seal(file: BinaryIO) -> None:
    """Append the checksum of the tree to a file that was just written."""
    file.seek(0)
    head = b""
    while END not in head:
        chunk = file.read(CHUNK)
        if not chunk:
            msg = "there is no tree in the file"
            raise ValueError(msg)
        head += chunk
    size = head.index(END) + len(END)
    file.seek(0, os.SEEK_END)
    file.write(LINE % (size, zlib.crc32(head[:size])))


def check_seal(file: BinaryIO) -> None:
    """
    Raise if a file is cut short, or its tree is not what was written.

    Raises
    ------
    ValueError
        If so. A file without a checksum passes: not all are written by us.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - TAIL))
    tail = file.read()
    found = PATTERN.search(tail)
    if found is None:
        if not tail.rstrip(b"\0\n").endswith(END.strip()):
            msg = "its end is missing"
            raise ValueError(msg)
        return
    file.seek(0)
    if zlib.crc32(file.read(int(found[1]))) != int(found[2], 16):
        msg = "its tree is not what was written"
        raise ValueError(msg)
