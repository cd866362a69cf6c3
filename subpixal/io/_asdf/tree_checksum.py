"""
A checksum for the tree and the block index of an ASDF file.

asdf writes checksums of blocks, but not of the tree and the block index. A wrong digit in the tree
is as bad as a wrong pixel. This module writes a checksum of both as a comment at the end of the
file. Other readers of ASDF ignore the comment. In tests/io/test_archive_faults.py,
test_random_damage and test_forged_index need this module.
"""

from __future__ import annotations

import os
import re
import zlib
from typing import Any

__all__ = ["append_tree_checksum", "verify_tree_checksum"]

LINE = b"# subpixal: the first %d bytes and the %d before this line have CRC-32 %08x\n"

PATTERN = re.compile(
    rb"# subpixal: the first (\d{1,12}) bytes and the (\d{1,12}) before this line "
    rb"have CRC-32 ([0-9a-f]{8})\n$"
)

# Number of bytes at the end of the file that certainly contain the line of the checksum.
TAIL = 128

# Last bytes of a tree.
END = b"\n...\n"

# First bytes of a block index.
INDEX = b"#ASDF BLOCK INDEX\n"

WHOLE_INDEX = re.compile(INDEX + rb"%YAML 1\.1\n---\n(?:- \d{1,18}\n)+\.\.\.\n")

OFFSET = re.compile(rb"^- (\d+)$", re.MULTILINE)

# Number of bytes that are read at once.
CHUNK = 1 << 16


def append_tree_checksum(file: Any) -> None:
    """Append the line of the checksum to a complete file."""
    file.seek(0)
    head = b""
    while END not in head:
        chunk = file.read(CHUNK)
        if not chunk:
            msg = "the file has no tree"
            raise ValueError(msg)
        head += chunk
    head = head[: head.index(END) + len(END)]
    length = file.seek(0, os.SEEK_END)
    tail = b""
    size = 0
    # Read backward up to the index, or up to the tree if the file has no blocks and no index.
    while INDEX not in tail and len(head) + len(tail) < length:
        size = min(size + CHUNK, length - len(head))
        file.seek(length - size)
        tail = file.read()
    # Use the last match, because pixels may contain the same bytes by chance.
    tail = tail[max(tail.rfind(INDEX), 0) :]
    file.seek(0, os.SEEK_END)
    file.write(LINE % (len(head), len(tail), zlib.crc32(tail, zlib.crc32(head))))


def verify_tree_checksum(file: Any) -> list[int] | None:
    """
    Check that a file is complete, and verify the checksum of its tree and block index.

    Returns
    -------
    list of int or None
        Positions of the blocks. `None` if another program wrote the file: then the checksum is
        missing, or the index has another form.

    Raises
    ------
    ValueError
        If the file is incomplete or damaged.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(max(0, length - TAIL))
    end = file.read()
    found = PATTERN.search(end)
    if found is None:
        if not end.rstrip(b"\0\n").endswith(END.strip()):
            msg = "the file is truncated"
            raise ValueError(msg)
        return None
    size = int(found[1])
    begin = length - len(found[0]) - int(found[2])
    file.seek(0)
    head = file.read(min(size, length))
    file.seek(max(0, begin))
    tail = file.read()[: -len(found[0])]
    if zlib.crc32(tail, zlib.crc32(head)) != int(found[3], 16):
        msg = "the checksum of the tree and the block index is wrong"
        raise ValueError(msg)
    if tail and not WHOLE_INDEX.fullmatch(tail):
        return None
    return [int(offset) for offset in OFFSET.findall(tail)]
