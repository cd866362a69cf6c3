"""Many rectangles of whole pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .array_types import BoolArray, FloatArray, IntArray
from .box import PixelBox

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["PixelBoxes"]


@dataclass(frozen=True, eq=False)
class PixelBoxes:
    """
    Many rectangles of whole pixels, stored as columns of numbers.

    The pixels of all boxes have an order: one box after the other, and row by row in each box. A
    flat array in this order holds one value for each pixel of each box.

    Parameters
    ----------
    xmin, ymin : array of int, shape (N,)
        Bottom-left pixels of the boxes. They may be negative or lie beyond an image.
    width, height : array of int, shape (N,)
        Numbers of pixels of the boxes along x and along y.

    Examples
    --------
    >>> boxes = PixelBoxes([2, 0], [3, 0], [10, 4], [5, 2])
    >>> boxes.area
    array([50,  8])
    >>> boxes.starts
    array([ 0, 50])
    """

    xmin: IntArray
    ymin: IntArray
    width: IntArray
    height: IntArray

    def __post_init__(self) -> None:
        for column in fields(self):
            value = np.asarray(getattr(self, column.name), np.int64)
            object.__setattr__(self, column.name, value)

    @classmethod
    def from_corners(cls, corners: ArrayLike) -> PixelBoxes:
        """
        Return the boxes with the given corners.

        Parameters
        ----------
        corners : array of int, shape (4, N)
            Rows xmin, ymin, xmax, ymax. The pixels at the corners belong to the boxes.
        """
        xmin, ymin, xmax, ymax = np.asarray(corners, np.int64)
        return cls(xmin, ymin, xmax - xmin + 1, ymax - ymin + 1)

    def __len__(self) -> int:
        return len(self.xmin)

    def __getitem__(self, selection: slice | IntArray | BoolArray) -> PixelBoxes:
        """Return the boxes that a slice, a mask or an array of indices selects."""
        return PixelBoxes(*(getattr(self, column.name)[selection] for column in fields(self)))

    def __iter__(self) -> Iterator[PixelBox]:
        columns = (self.xmin, self.ymin, self.xmax, self.ymax)
        for corners in zip(*(column.tolist() for column in columns), strict=True):
            yield PixelBox(*corners)

    @property
    def xmax(self) -> IntArray:
        """Last pixel of each box along x. This pixel belongs to the box."""
        return self.xmin + self.width - 1

    @property
    def ymax(self) -> IntArray:
        """Last pixel of each box along y. This pixel belongs to the box."""
        return self.ymin + self.height - 1

    @property
    def low(self) -> IntArray:
        """Bottom-left pixel ``(x, y)`` of each box, shape (2, N)."""
        return np.stack([self.xmin, self.ymin])

    @property
    def high(self) -> IntArray:
        """Top-right pixel ``(x, y)`` of each box, shape (2, N). This pixel belongs to the box."""
        return np.stack([self.xmax, self.ymax])

    @property
    def center(self) -> FloatArray:
        """Center ``(x, y)`` of each box, shape (2, N)."""
        return (self.low + self.high) / 2

    @property
    def edges(self) -> FloatArray:
        """Outer edges xmin, ymin, xmax, ymax in continuous pixel coordinates, shape (4, N)."""
        return np.concatenate([self.low - 0.5, self.high + 0.5])

    @cached_property
    def area(self) -> IntArray:
        """Number of pixels of each box."""
        return self.width * self.height

    @cached_property
    def starts(self) -> IntArray:
        """Index of the first pixel of each box in the flat array of all pixels."""
        return np.cumsum(self.area) - self.area

    @property
    def total_area(self) -> int:
        """Total number of pixels of all boxes."""
        return int(self.area.sum())

    def pad(self, pixels: int) -> PixelBoxes:
        """Return boxes that are larger by ``pixels`` on each side."""
        return PixelBoxes(
            self.xmin - pixels,
            self.ymin - pixels,
            self.width + 2 * pixels,
            self.height + 2 * pixels,
        )

    def shift(self, dx: int, dy: int) -> PixelBoxes:
        """Return copies of the boxes that are moved by ``dx`` and ``dy`` pixels."""
        return PixelBoxes(self.xmin + dx, self.ymin + dy, self.width, self.height)

    def are_inside(self, shape: tuple[int, int]) -> BoolArray:
        """Return `True` for boxes that lie entirely in an image of the shape ``(ny, nx)``."""
        ny, nx = shape
        inside_x = (self.xmin >= 0) & (self.xmin <= nx - self.width)
        return inside_x & (self.ymin >= 0) & (self.ymin <= ny - self.height)

    def are_touching(self, shape: tuple[int, int]) -> BoolArray:
        """Return `True` for boxes that overlap an image of the shape ``(ny, nx)``."""
        ny, nx = shape
        return (self.xmax >= 0) & (self.xmin < nx) & (self.ymax >= 0) & (self.ymin < ny)

    def iter_chunks(self, max_pixels: int) -> Iterator[tuple[slice, slice]]:
        """
        Iterate over groups of consecutive boxes.

        Parameters
        ----------
        max_pixels : int
            Largest number of pixels of a group. A box with more pixels is a group of its own.

        Yields
        ------
        boxes, pixels : slice
            The boxes of the group, and the pixels of the group in the flat array of all pixels.
        """
        stops = self.starts + self.area
        first = 0
        start = 0
        while first < len(self):
            last = max(first + 1, int(np.searchsorted(stops, start + max_pixels, "right")))
            stop = int(stops[last - 1])
            yield slice(first, last), slice(start, stop)
            first, start = last, stop

    def pixel_positions(self) -> tuple[IntArray, IntArray]:
        """Return x and y of all pixels, one box after the other, row by row in each box."""
        position = np.arange(self.total_area) - np.repeat(self.starts, self.area)
        row, column = np.divmod(position, np.repeat(self.width, self.area))
        return np.repeat(self.xmin, self.area) + column, np.repeat(self.ymin, self.area) + row
