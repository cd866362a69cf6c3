"""
Pixels of the cutouts of an archive: how they are cut into blocks, and read with a check.

Blocks are small and end where a cutout ends, so that whoever reads a cutout of a
compressed or remote file reads little else.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping

import numpy as np

from subpixal.image import PLANES

from .columns import to_number_column

__all__ = ["BLOCK", "BlockPixels", "block_starts", "check_kind", "checksums", "to_block"]

# Largest block in bytes, unless a single cutout is larger.
BLOCK = 4_000_000


def block_starts(size: np.ndarray, itemsize: int) -> list[int]:
    """
    Numbers of the cutouts with which blocks begin.

    Parameters
    ----------
    size : array of int, shape (N,)
        Pixels of each cutout.
    itemsize : int
        Bytes of a pixel, in the plane that has most.
    """
    stop, first, begin = np.cumsum(size), [], 0
    while begin < len(size):
        first.append(begin)
        limit = stop[begin] - size[begin] + BLOCK // itemsize
        begin = max(begin + 1, int(np.searchsorted(stop, limit, side="right")))
    return first


def to_block(name: str, pixels: np.ndarray) -> np.ndarray:
    """Pixels as they are written: eight of a mask in a byte, the first in the highest bit."""
    return np.packbits(pixels) if name == "mask" else np.asarray(pixels)


def checksums(planes: list[np.ndarray], size: np.ndarray) -> np.ndarray:
    """
    CRC-32 of the pixels of each cutout, through all its planes.

    Parameters
    ----------
    planes : list of array of shape (P,)
        Pixels of the same cutouts, one cutout after the other.
    size : array of int, shape (N,)
        Pixels of each cutout, none of them 0.

    Returns
    -------
    array of uint32, shape (N,)
    """
    crc, stop, crc32 = [0] * len(size), np.cumsum(size), zlib.crc32
    for pixels in planes:
        memory = memoryview(np.ascontiguousarray(pixels).view(np.uint8))
        ends = (stop * pixels.itemsize).tolist()
        spans = zip([0, *ends], ends, crc, strict=False)
        crc = [crc32(memory[begin:end], before) for begin, end, before in spans]
    return np.array(crc, np.uint32)


def check_kind(name: str, dtype: np.dtype) -> None:
    """
    Raise if the pixels of a plane cannot be of a type, or ASDF has none for them.

    Raises
    ------
    ValueError
        If so.
    """
    if dtype.kind not in PLANES[name].kinds or dtype.char in "gG":
        msg = f"the plane {name!r} has pixels of {dtype}, which archives do not hold"
        raise ValueError(msg)


class BlockPixels:
    """
    Pixels of cutouts that are in blocks.

    Parameters
    ----------
    start, size : array of int, shape (N,)
        First pixel and number of pixels of each cutout, one after the other.
    tree : mapping
        A part of a collection: its nodes ``planes``, ``first`` and ``checksum``.
    read : callable
        ``read(name, k)`` returns block number *k* of a plane.
    where : str
        What the file is called in errors.

    Attributes
    ----------
    dtypes : dict
        Types of the planes by name.

    Raises
    ------
    ValueError
        If the blocks are not those that there must be.
    """

    def __init__(self, start, size, tree: Mapping, read: Callable, where: str) -> None:
        self._start, self._size, self._read, self._where = start, size, read, where
        self._checksum = to_number_column("checksum", tree["checksum"], len(size), "u")
        self._checked = np.zeros(len(size), bool)
        first = list(tree["first"])
        if first[:1] != [0] or first != sorted(set(first)) or first[-1] >= len(size):
            msg = f"blocks begin with the cutouts {first[:3]} ... of {len(size)}"
            raise ValueError(msg)
        self._begin = start[first].tolist()
        self._end = [*self._begin[1:], int(start[-1] + size[-1])]
        missing, unknown = {"data", "mask"} - set(tree["planes"]), set(tree["planes"]) - set(PLANES)
        if missing or unknown:
            msg = f"planes {sorted(missing)} are missing, {sorted(unknown)} unknown"
            raise ValueError(msg)
        self.dtypes = {n: self._dtype(n, tree["planes"][n]) for n in PLANES if n in tree["planes"]}

    def _dtype(self, name, blocks) -> np.dtype:
        """Type of the pixels of a plane, whose blocks must be as large as the cutouts are."""
        pixels = np.subtract(self._end, self._begin)
        shapes = [(n,) for n in (-(-pixels // 8) if name == "mask" else pixels).tolist()]
        types = {block.dtype for block in blocks}
        if [tuple(block.shape) for block in blocks] != shapes or len(types) != 1:
            msg = f"the blocks of the plane {name!r} do not hold the pixels of the cutouts"
            raise ValueError(msg)
        dtype = types.pop()
        if name == "mask" and dtype == np.uint8:
            dtype = np.dtype(bool)
        check_kind(name, dtype)
        return dtype

    def fetch(self, name: str, start: int, stop: int) -> np.ndarray:
        """
        Pixels of cutouts that follow one another.

        Parameters
        ----------
        name : str
            A plane.
        start, stop : int
            First pixel, and the one after the last.

        Returns
        -------
        array of shape (stop - start,)
            Not to be written to.

        Raises
        ------
        OSError
            If they cannot be read, or are not what was written.
        """
        begin, end = np.searchsorted(self._start, [start, stop])
        if self._checked[begin:end].all():
            return self._pixels(name, start, stop)
        return self._check(begin, end, start, stop)[name]

    def everything(self) -> dict[str, np.ndarray]:
        """
        All pixels of each plane.

        Raises
        ------
        OSError
            As `fetch`.
        """
        flat = {name: np.empty(self._end[-1], dtype) for name, dtype in self.dtypes.items()}
        rows = np.searchsorted(self._start, [*self._begin, self._end[-1]])
        for k, span in enumerate(zip(self._begin, self._end, strict=True)):
            for name, pixels in self._check(rows[k], rows[k + 1], *span).items():
                flat[name][slice(*span)] = pixels
        return flat

    def _check(self, begin, end, start, stop) -> dict[str, np.ndarray]:
        """All planes of some cutouts, which must be what was written."""
        planes = {name: self._pixels(name, start, stop) for name in self.dtypes}
        found = checksums(list(planes.values()), self._size[begin:end])
        wrong = np.flatnonzero(found != self._checksum[begin:end])
        if wrong.size:
            number = begin + wrong[0]
            msg = f"{self._where}: the pixels of cutout {number} are not what was written"
            raise OSError(msg)
        self._checked[begin:end] = True
        return planes

    def _pixels(self, name, start, stop) -> np.ndarray:
        first, last = bisect_right(self._begin, start) - 1, bisect_left(self._end, stop)
        pieces = [self._piece(name, k, start, stop) for k in range(first, last + 1)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _piece(self, name, k, start, stop) -> np.ndarray:
        block = self._read(name, k)
        if block.strides != (block.itemsize,):
            msg = f"{self._where}: block {k} of the plane {name!r} has strides {block.strides}"
            raise OSError(msg)
        begin, end = max(start, self._begin[k]), min(stop, self._end[k])
        begin, end = begin - self._begin[k], end - self._begin[k]
        if name != "mask":
            return block[begin:end]
        bits = np.unpackbits(block[begin // 8 : -(-end // 8)])
        return bits[begin % 8 : begin % 8 + end - begin].view(bool)
