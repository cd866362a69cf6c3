"""Pixels that are elsewhere until somebody asks for them."""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Callable

import numpy as np

__all__ = ["LentPlane"]


class LentPlane:
    """
    Pixels that are fetched cutout by cutout.

    A piece is kept for as long as somebody holds it, and for as long as the
    plane lives if it was written to. Where the pixels come from is never changed.

    Parameters
    ----------
    fetch : callable
        ``fetch(start, stop)`` returns pixels of shape (stop - start,).
    dtype : dtype
        Of the pixels.
    """

    def __init__(self, fetch: Callable[[int, int], np.ndarray], dtype: np.dtype) -> None:
        self._fetch, self.dtype = fetch, np.dtype(dtype)
        # By the first pixel: arrays that somebody holds, and those that were changed.
        self._lent: dict[int, weakref.ref] = {}
        self._changed: dict[int, np.ndarray] = {}

    def piece(self, row) -> np.ndarray:
        """Pixels of the cutout that a row of the index describes."""
        height, width, start = int(row["height"]), int(row["width"]), int(row["start"])
        return self._take(start, start + height * width).reshape(height, width)

    def span(self, start: int, stop: int) -> np.ndarray:
        """Pixels of cutouts that follow one another, not to be written to."""
        own = {first: self._known(first) for first in (*self._changed, *self._lent)}
        own = {first: pixels for first, pixels in own.items() if start <= first < stop}
        pixels = self._fetch(start, stop)
        if own:
            pixels = pixels.copy()
            for first, piece in own.items():
                pixels[first - start : first - start + piece.size] = piece
        return pixels

    def _known(self, start) -> np.ndarray | None:
        lent = self._lent.get(start)
        return self._changed.get(start) if lent is None else lent()

    def _take(self, start, stop) -> np.ndarray:
        known = self._known(start)
        if known is not None:
            return known
        # All views refer to an array that does not own its memory, so that its
        # end is the end of all of them.
        memory = bytearray(self._fetch(start, stop).tobytes())
        pixels = np.frombuffer(memory, self.dtype)
        self._lent[start] = weakref.ref(pixels, self._give_back(start, memory))
        return pixels

    def _give_back(self, start, memory) -> Callable:
        """What happens when nobody holds a piece any more: it is kept if it was changed."""
        before, plane = zlib.crc32(memory), weakref.ref(self)

        def end(_) -> None:
            self = plane()
            if self is not None:
                del self._lent[start]
                if zlib.crc32(memory) != before:
                    self._changed[start] = np.frombuffer(memory, self.dtype)

        return end
