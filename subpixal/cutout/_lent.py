"""Pixels that are elsewhere until somebody asks for them."""

from __future__ import annotations

import threading
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
        # By the first pixel: pixels that somebody holds, and those that were changed.
        self._lent: dict[int, tuple[weakref.ref, bytearray]] = {}
        self._changed: dict[int, bytearray] = {}
        # Pieces end in whatever thread they end, also in one that is in here.
        self._lock = threading.RLock()

    def piece(self, row) -> np.ndarray:
        """Pixels of the cutout that a row of the index describes."""
        height, width, start = int(row["height"]), int(row["width"]), int(row["start"])
        return self._take(start, start + height * width).reshape(height, width)

    def span(self, start: int, stop: int) -> np.ndarray:
        """Pixels of cutouts that follow one another, not to be written to."""
        # Not in the lock: fetching waits for others who may wait for it.
        pixels = self._fetch(start, stop)
        with self._lock:
            own = {first: self._known(first) for first in {*self._changed, *self._lent}}
            own = {first: memory for first, memory in own.items() if start <= first < stop}
            pixels = pixels.copy() if own else pixels
            for first, memory in own.items():
                piece = np.frombuffer(memory, self.dtype)
                pixels[first - start : first - start + piece.size] = piece
        return pixels

    def _known(self, start) -> bytearray | None:
        lent = self._lent.get(start)
        return self._changed.get(start) if lent is None else lent[1]

    def _take(self, start, stop) -> np.ndarray:
        memory = self._known(start)
        if memory is None:
            memory = bytearray(self._fetch(start, stop).tobytes())
        with self._lock:
            pixels = self._lent[start][0]() if start in self._lent else None
            if pixels is None:
                # All views refer to an array that does not own its memory, so that its
                # end is the end of all of them.
                known = self._known(start)
                memory = memory if known is None else known
                pixels = np.frombuffer(memory, self.dtype)
                self._lent[start] = weakref.ref(pixels, self._take_back(start, memory)), memory
            return pixels

    def _take_back(self, start, memory) -> Callable:
        """What happens when nobody holds a piece any more: it is kept if it was changed."""
        before, plane = zlib.crc32(memory), weakref.ref(self)

        def end(lent) -> None:
            self = plane()
            if self is None:
                return
            with self._lock:
                if start in self._changed or zlib.crc32(memory) != before:
                    self._changed[start] = memory
                # It may have been lent again before we heard.
                if start in self._lent and self._lent[start][0] is lent:
                    del self._lent[start]

        return end
