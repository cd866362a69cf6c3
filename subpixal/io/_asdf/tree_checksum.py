"""
A checksum of the tree and of the block index of an ASDF file.

asdf has checksums of blocks and none of what says where they are and what they
mean, in which a wrong digit is as bad as a wrong pixel. Ours is a comment behind
the block index, at the end of the file, where every reader of ASDF passes it over.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import BinaryIO

__all__ = ["append_tree_checksum", "verify_tree_checksum"]

LINE = b"# subpixal: the first %d bytes and the %d before this line have CRC-32 %08x\n"

PATTERN = re.compile(
    rb"# subpixal: the first (\d{1,12}) bytes and the (\d{1,12}) before this line "
    rb"have CRC-32 ([0-9a-f]{8})\n$"
)

TAIL = 128

# Where a tree ends, and where a block index begins.
END = b"\n...\n"

INDEX = b"#ASDF BLOCK INDEX\n"

WHOLE_INDEX = re.compile(INDEX + rb"%YAML 1\.1\n---\n(?:- \d{1,18}\n)+\.\.\.\n")

OFFSET = re.compile(rb"^- (\d+)$", re.MULTILINE)

CHUNK = 1 << 16


def append_tree_checksum(file: BinaryIO) -> None:
    """Append the checksum to a file that was just written."""
    file.seek(0)
    head = b""
    while END not in head:
        chunk = file.read(CHUNK)
        if not chunk:
            msg = "there is no tree in the file"
            raise ValueError(msg)
        head += chunk
    head = head[: head.index(END) + len(END)]
    length = file.seek(0, os.SEEK_END)
    tail, size = b"", 0
    # Without blocks there is no index.
    while INDEX not in tail and len(head) + len(tail) < length:
        size = min(size + CHUNK, length - len(head))
        file.seek(length - size)
        tail = file.read()
    # Pixels may look like an index, what follows it does not.
    tail = tail[max(tail.rfind(INDEX), 0) :]
    file.seek(0, os.SEEK_END)
    file.write(LINE % (len(head), len(tail), zlib.crc32(tail, zlib.crc32(head))))


def verify_tree_checksum(file: BinaryIO) -> list[int] | None:
    """
    Raise if a file is cut short, or its tree or block index is not what was written.

    Returns
    -------
    list of int or None
        Where the blocks are. `None` for a file without a checksum, or with another
        index: not all are written by us.

    Raises
    ------
    ValueError
        If so.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - TAIL))
    end = file.read()
    found = PATTERN.search(end)
    if found is None:
        if not end.rstrip(b"\0\n").endswith(END.strip()):
            msg = "its end is missing"
            raise ValueError(msg)
        return None
    size, begin = int(found[1]), length - len(found[0]) - int(found[2])
    file.seek(0)
    head = file.read(min(size, length))
    file.seek(max(0, begin))
    tail = file.read()[: -len(found[0])]
    if zlib.crc32(tail, zlib.crc32(head)) != int(found[3], 16):
        msg = "its tree or its block index is not what was written"
        raise ValueError(msg)
    if tail and not WHOLE_INDEX.fullmatch(tail):
        return None
    return [int(offset) for offset in OFFSET.findall(tail)]
