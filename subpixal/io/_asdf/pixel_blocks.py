"""
Blocks of pixels in archives.

A block contains the pixels of one plane for several cutouts, and has a limited size. So few other
pixels are read when a cutout of a compressed or remote file is read. The archive contains a
checksum for each cutout, which includes all its planes.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subpixal.image import PLANES

from .columns import to_number_column

__all__ = ["BLOCK", "BlockPixels", "block_starts", "check_kind", "checksums", "to_block"]

# Largest size of a block in bytes. Only a block of a single cutout may be larger.
BLOCK = 4_000_000


def block_starts(size: NDArray[np.int64], itemsize: int) -> list[int]:
    """
    Return the number of the first cutout of each block.

    Parameters
    ----------
    size : array of int, shape (N,)
        Pixels of each cutout.
    itemsize : int
        Number of bytes of a pixel, in the plane with the largest pixels.
    """
    stop = np.cumsum(size)
    first = []
    begin = 0
    while begin < len(size):
        first.append(begin)
        limit = stop[begin] - size[begin] + BLOCK // itemsize
        begin = max(begin + 1, int(np.searchsorted(stop, limit, side="right")))
    return first


def to_block(name: str, pixels: NDArray[Any]) -> NDArray[Any]:
    """
    Return the content of a block of pixels.

    For a mask, each byte contains eight pixels. The first of them is the highest bit.
    """
    return np.packbits(pixels) if name == "mask" else np.asarray(pixels)


def checksums(planes: Sequence[NDArray[Any]], size: NDArray[np.int64]) -> NDArray[np.uint32]:
    """
    Return a checksum (CRC-32) for each cutout, which includes the pixels of all its planes.

    Parameters
    ----------
    planes : list of array of shape (P,)
        For each plane, the pixels of all cutouts, one cutout after the other.
    size : array of int, shape (N,)
        Number of pixels of each cutout, at least 1.

    Returns
    -------
    array of uint32, shape (N,)
    """
    crc = [0] * len(size)
    stop = np.cumsum(size)
    for pixels in planes:
        memory = np.ascontiguousarray(pixels).view(np.uint8).data
        ends = (stop * pixels.itemsize).tolist()
        spans = zip([0, *ends], ends, crc, strict=False)
        crc = [zlib.crc32(memory[begin:end], before) for begin, end, before in spans]
    return np.array(crc, np.uint32)


def check_kind(name: str, dtype: np.dtype[Any]) -> None:
    """
    Check that an archive can contain pixels of a dtype.

    Raises
    ------
    ValueError
        If the plane cannot have pixels of this dtype, or if ASDF does not support the dtype.
    """
    if dtype.kind not in PLANES[name].kinds or dtype.char in "gG":
        msg = f"the plane {name!r} has pixels of {dtype}, which archives do not hold"
        raise ValueError(msg)


class BlockPixels:
    """
    Reader of the pixels of the cutouts in a part of an archive.

    Parameters
    ----------
    start, size : array of int, shape (N,)
        For each cutout, the position of its first pixel in the plane and the number of its pixels.
    tree : mapping
        Tree of the part, with the nodes ``planes``, ``first`` and ``checksum``.
    read : callable
        Function that reads a block. ``read(name, k)`` returns block number *k* of a plane.
    file_name : str
        Name of the file in messages of errors.

    Attributes
    ----------
    dtypes : dict
        Mapping from the name of each plane to its dtype.

    Raises
    ------
    ValueError
        If the sizes of the blocks do not fit those of the cutouts.
    """

    def __init__(
        self,
        start: NDArray[np.int64],
        size: NDArray[np.int64],
        tree: Mapping[str, Any],
        read: Callable[[str, int], NDArray[Any]],
        file_name: str,
    ) -> None:
        self._start = start
        self._size = size
        self._read = read
        self._file_name = file_name
        self._checksum = to_number_column("checksum", tree["checksum"], len(size), "u")
        self._is_checked = np.zeros(len(size), bool)
        first = list(tree["first"])
        if first[:1] != [0] or first != sorted(set(first)) or first[-1] >= len(size):
            msg = f"the numbers of the first cutouts of blocks, {first[:3]} ..., are invalid"
            raise ValueError(msg)
        # Position of the first pixel of each block, and of the pixel after its last pixel.
        self._begin: list[int] = start[first].tolist()
        self._end: list[int] = [*self._begin[1:], int(start[-1] + size[-1])]
        planes = tree["planes"]
        missing = {"data", "mask"} - set(planes)
        unknown = set(planes) - set(PLANES)
        if missing or unknown:
            msg = f"missing planes: {sorted(missing)}, unknown planes: {sorted(unknown)}"
            raise ValueError(msg)
        self.dtypes = {
            name: self._get_dtype(name, planes[name]) for name in PLANES if name in planes
        }

    def _get_dtype(self, name: str, blocks: Sequence[Any]) -> np.dtype[Any]:
        """Return the dtype of a plane. Raise an error if its blocks do not fit the cutouts."""
        pixels = np.subtract(self._end, self._begin)
        lengths = -(-pixels // 8) if name == "mask" else pixels
        dtypes = {block.dtype for block in blocks}
        found = [tuple(block.shape) for block in blocks]
        if found != [(n,) for n in lengths.tolist()] or len(dtypes) != 1:
            msg = f"the blocks of the plane {name!r} do not hold the pixels of the cutouts"
            raise ValueError(msg)
        dtype = dtypes.pop()
        if name == "mask" and dtype == np.uint8:
            dtype = np.dtype(bool)
        check_kind(name, dtype)
        return dtype

    def fetch(self, name: str, start: int, stop: int) -> NDArray[Any]:
        """
        Return the pixels of consecutive cutouts.

        Parameters
        ----------
        name : str
            Name of the plane.
        start, stop : int
            First pixel, and the one after the last.

        Returns
        -------
        array of shape (stop - start,)
            Pixels, which callers must not change.

        Raises
        ------
        OSError
            If the pixels cannot be read, or if a checksum is wrong.
        """
        begin, end = np.searchsorted(self._start, [start, stop]).tolist()
        if self._is_checked[begin:end].all():
            return self._get_pixels(name, start, stop)
        return self._check(begin, end, start, stop)[name]

    def read_all(self) -> dict[str, NDArray[Any]]:
        """
        Return all pixels of each plane.

        Raises
        ------
        OSError
            If the pixels cannot be read, or if a checksum is wrong.
        """
        flat = {name: np.empty(self._end[-1], dtype) for name, dtype in self.dtypes.items()}
        rows = np.searchsorted(self._start, [*self._begin, self._end[-1]]).tolist()
        for k, (start, stop) in enumerate(zip(self._begin, self._end, strict=True)):
            for name, pixels in self._check(rows[k], rows[k + 1], start, stop).items():
                flat[name][start:stop] = pixels
        return flat

    def _check(self, begin: int, end: int, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Read all planes of the cutouts from ``begin`` to ``end``, and verify their checksums."""
        planes = {name: self._get_pixels(name, start, stop) for name in self.dtypes}
        found = checksums(list(planes.values()), self._size[begin:end])
        wrong = np.flatnonzero(found != self._checksum[begin:end])
        if wrong.size:
            msg = (
                f"{self._file_name}: the checksum of the pixels of cutout {begin + wrong[0]} is "
                "wrong; the file is damaged"
            )
            raise OSError(msg)
        self._is_checked[begin:end] = True
        return planes

    def _get_pixels(self, name: str, start: int, stop: int) -> NDArray[Any]:
        first = bisect_right(self._begin, start) - 1
        last = bisect_left(self._end, stop)
        pieces = [self._get_piece(name, k, start, stop) for k in range(first, last + 1)]
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)

    def _get_piece(self, name: str, k: int, start: int, stop: int) -> NDArray[Any]:
        """Return those pixels from ``start`` to ``stop`` that are in block *k*."""
        block = self._read(name, k)
        if block.strides != (block.itemsize,):
            msg = f"{self._file_name}: block {k} of the plane {name!r} has strides {block.strides}"
            raise OSError(msg)
        begin = max(start, self._begin[k]) - self._begin[k]
        end = min(stop, self._end[k]) - self._begin[k]
        if name != "mask":
            return block[begin:end]
        bits = np.unpackbits(block[begin // 8 : -(-end // 8)])
        return bits[begin % 8 : begin % 8 + end - begin].view(bool)
