"""Rectangles of whole pixels."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass

import numpy as np

from .array_types import FloatArray

__all__ = ["PixelBox"]


@dataclass(frozen=True, slots=True)
class PixelBox:
    """
    A rectangle of whole pixels.

    Both corner pixels belong to the box. Along each axis, pixel *i* covers the coordinates from
    *i* - 0.5 to *i* + 0.5. A box is independent of any image, so that corners may be negative or
    lie beyond an image.

    Parameters
    ----------
    xmin, ymin : int
        The bottom-left pixel of the box.
    xmax, ymax : int
        The top-right pixel of the box. This pixel belongs to the box.

    Raises
    ------
    TypeError
        If a corner is not an integer.
    ValueError
        If ``xmax < xmin`` or ``ymax < ymin``.

    Examples
    --------
    >>> box = PixelBox(2, 3, 11, 7)
    >>> box.shape
    (5, 10)
    >>> box & PixelBox(0, 0, 4, 4)
    PixelBox(xmin=2, ymin=3, xmax=4, ymax=4)
    """

    xmin: int
    ymin: int
    xmax: int
    ymax: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, operator.index(value))
            except TypeError:
                msg = f"{name} must be an integer, got {value!r}"
                raise TypeError(msg) from None
        if self.xmax < self.xmin or self.ymax < self.ymin:
            msg = (
                "xmax and ymax must not be less than xmin and ymin, got a box with the corners "
                f"{self.blc} and {self.trc}"
            )
            raise ValueError(msg)

    @classmethod
    def from_shape(cls, shape: tuple[int, int], blc: tuple[int, int] = (0, 0)) -> PixelBox:
        """
        Make a box with a given shape.

        Parameters
        ----------
        shape : tuple of int
            ``(ny, nx)`` of the box.
        blc : tuple of int
            ``(x, y)`` of the bottom-left pixel.
        """
        return cls(blc[0], blc[1], blc[0] + shape[1] - 1, blc[1] + shape[0] - 1)

    @classmethod
    def from_float(cls, xmin: float, ymin: float, xmax: float, ymax: float) -> PixelBox:
        """
        Make the smallest box that contains a rectangle of continuous pixel coordinates.

        Parameters
        ----------
        xmin, ymin, xmax, ymax : float
            Edges of the rectangle. If an edge lies on the border between two pixels, such as 2.5,
            the box ends at that border.

        Raises
        ------
        ValueError
            If an edge is not finite, or if ``xmax < xmin`` or ``ymax < ymin``.
        """
        edges = (xmin, ymin, xmax, ymax)
        if not all(map(math.isfinite, edges)):
            msg = f"the edges of a box must be finite, got {edges}"
            raise ValueError(msg)
        if xmax < xmin or ymax < ymin:
            msg = f"the edges of a box must be in the order xmin, ymin, xmax, ymax, got {edges}"
            raise ValueError(msg)
        x1 = math.floor(xmin + 0.5)
        y1 = math.floor(ymin + 0.5)
        x2 = math.ceil(xmax - 0.5)
        y2 = math.ceil(ymax - 0.5)
        return cls(x1, y1, max(x1, x2), max(y1, y2))

    @property
    def blc(self) -> tuple[int, int]:
        """Bottom-left pixel ``(x, y)``."""
        return self.xmin, self.ymin

    @property
    def trc(self) -> tuple[int, int]:
        """Top-right pixel ``(x, y)``. This pixel belongs to the box."""
        return self.xmax, self.ymax

    @property
    def width(self) -> int:
        """Number of pixels along x."""
        return self.xmax - self.xmin + 1

    @property
    def height(self) -> int:
        """Number of pixels along y."""
        return self.ymax - self.ymin + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Shape ``(height, width)`` of an array with the pixels of the box."""
        return self.height, self.width

    @property
    def naxis(self) -> tuple[int, int]:
        """Numbers of pixels ``(width, height)``, as NAXIS1 and NAXIS2 in a FITS header."""
        return self.width, self.height

    @property
    def center(self) -> tuple[float, float]:
        """Center ``(x, y)`` of the box."""
        return (self.xmin + self.xmax) / 2, (self.ymin + self.ymax) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """
        Slices ``(y, x)`` that select the pixels of the box from an array.

        The array must contain all pixels of the box.

        Raises
        ------
        ValueError
            If ``xmin`` or ``ymin`` is negative. NumPy would count such indices from the end.
        """
        if self.xmin < 0 or self.ymin < 0:
            msg = f"blc must not be negative for slices, got {self.blc}"
            raise ValueError(msg)
        return slice(self.ymin, self.ymax + 1), slice(self.xmin, self.xmax + 1)

    @property
    def corners(self) -> FloatArray:
        """
        Outer corners of the box in continuous pixel coordinates.

        The value is a float array of shape (4, 2). The order of the corners is ``(x1, y1)``,
        ``(x1, y2)``, ``(x2, y2)``, ``(x2, y1)``.
        """
        x1 = self.xmin - 0.5
        y1 = self.ymin - 0.5
        x2 = self.xmax + 0.5
        y2 = self.ymax + 0.5
        return np.array([(x1, y1), (x1, y2), (x2, y2), (x2, y1)])

    def is_inside(self, shape: tuple[int, int]) -> bool:
        """Return `True` if the whole box lies in an image of the shape ``(ny, nx)``."""
        ny, nx = shape
        return self.xmin >= 0 and self.ymin >= 0 and self.xmax < nx and self.ymax < ny

    def shift(self, dx: int, dy: int) -> PixelBox:
        """Return a copy of the box that is moved by ``dx`` and ``dy`` pixels."""
        return PixelBox(self.xmin + dx, self.ymin + dy, self.xmax + dx, self.ymax + dy)

    def pad(self, pixels: int) -> PixelBox:
        """Return a box that is larger by ``pixels`` on each side, or smaller if it is negative."""
        return PixelBox(
            self.xmin - pixels, self.ymin - pixels, self.xmax + pixels, self.ymax + pixels
        )

    def __contains__(self, other: object) -> bool:
        return isinstance(other, PixelBox) and self & other == other

    def __and__(self, other: PixelBox) -> PixelBox | None:
        """Return the box of the common pixels, or `None` if the boxes do not overlap."""
        if not isinstance(other, PixelBox):
            return NotImplemented
        x1 = max(self.xmin, other.xmin)
        y1 = max(self.ymin, other.ymin)
        x2 = min(self.xmax, other.xmax)
        y2 = min(self.ymax, other.ymax)
        return PixelBox(x1, y1, x2, y2) if x1 <= x2 and y1 <= y2 else None

    def __or__(self, other: PixelBox) -> PixelBox:
        """Return the smallest box that contains both boxes."""
        if not isinstance(other, PixelBox):
            return NotImplemented
        return PixelBox(
            min(self.xmin, other.xmin),
            min(self.ymin, other.ymin),
            max(self.xmax, other.xmax),
            max(self.ymax, other.ymax),
        )
