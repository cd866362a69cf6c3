"""Storage of the pixels of many cutouts, one class for each place they can be in."""

from __future__ import annotations

import threading
import weakref
import zlib
from collections.abc import Callable
from functools import cached_property

import numpy as np

from subpixal.geometry import PixelBox
from subpixal.image import cut_box

__all__ = [
    "DeferredArray",
    "DeferredPlane",
    "ImagePlane",
    "LazyPlane",
    "PackedPlane",
]


class PackedPlane:
    """Pixels of all cutouts in one flat array."""

    def __init__(self, flat: np.ndarray) -> None:
        self.flat = flat

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self.flat.dtype

    def piece(self, row) -> np.ndarray:
        """View of the pixels of the cutout that a row of the index describes."""
        height, width, start = int(row["height"]), int(row["width"]), int(row["start"])
        return self.flat[start : start + height * width].reshape(height, width)

    def span(self, start: int, stop: int) -> np.ndarray:
        """View of the pixels of cutouts that follow one another."""
        return self.flat[start:stop]


class ImagePlane:
    """
    Pixels that are still in the image; cutouts get read-only views.

    Parameters
    ----------
    image : array of shape (ny, nx)
        The image.
    fill : scalar
        Value of pixels outside the image.
    dtype : dtype
        Dtype of the pixels of cutouts.
    origin : tuple of int
        Pixel ``(x, y)`` that boxes are counted from, which is not (0, 0) where the image is
        itself a part of a larger one.
    """

    # The pixels of consecutive cutouts are not consecutive in an image.
    span = None

    def __init__(
        self, image: np.ndarray, fill: object, dtype: np.dtype, origin: tuple[int, int] = (0, 0)
    ) -> None:
        self.image = image
        self.fill = fill
        self.dtype = dtype
        self.origin = origin

    def shift(self, x: int, y: int) -> ImagePlane:
        """Return the plane for boxes that are counted from a pixel farther left and below."""
        origin = self.origin[0] + x, self.origin[1] + y
        return ImagePlane(self.image, self.fill, self.dtype, origin)

    def piece(self, row: np.void) -> np.ndarray:
        """Return a view of the image, or filled pixels where the box leaves the image."""
        x, y = int(row["original_x"]) - self.origin[0], int(row["original_y"]) - self.origin[1]
        box = PixelBox.from_shape((int(row["height"]), int(row["width"])), (x, y))
        pixels = cut_box(self.image, box, self.fill, self.dtype, view=True)
        pixels.flags.writeable = False
        return pixels


class DeferredPlane:
    """Pixels that are made for all cutouts when the first of them is asked for."""

    def __init__(self, make: Callable[[], np.ndarray]) -> None:
        self._make = make

    @cached_property
    def _plane(self) -> PackedPlane:
        return PackedPlane(self.__dict__.pop("_make")())

    @property
    def dtype(self) -> np.dtype:
        """Type of the pixels."""
        return self._plane.dtype

    def piece(self, row) -> np.ndarray:
        """View of the pixels of the cutout that a row of the index describes."""
        return self._plane.piece(row)

    def span(self, start: int, stop: int) -> np.ndarray:
        """View of the pixels of cutouts that follow one another."""
        return self._plane.span(start, stop)


class LazyPlane:
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


class DeferredArray:
    """
    Pixels of one cutout that are read or calculated when they are asked for.

    Parameters
    ----------
    make : callable
        Returns the pixels.
    dtype : dtype
        Of the pixels.
    image : array or LazyArray, optional
        A plane of the same shape that stands for them where cutouts are cut; the pixels
        themselves once there are any.
    """

    def __init__(self, make: Callable[[], np.ndarray], dtype, image=None) -> None:
        self._make, self.dtype, self.image = make, np.dtype(dtype), image

    @cached_property
    def pixels(self) -> np.ndarray:
        """The pixels, always the same array."""
        pixels = self._make()
        # Who has the pixels does not need what they were made from.
        self._make, self.image = None, pixels
        return pixels

    def __reduce__(self):
        return np.asarray, (self.pixels,)
