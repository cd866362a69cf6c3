"""Rules for the sizes of cutouts."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.geometry import PixelBoxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BoxPolicy"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPolicy:
    """
    Rules for the box of a cutout around the segment of a source.

    Attributes
    ----------
    pad : int
        Number of pixels to add on each side of the segment.
    size : int or array of int, shape (N,), or None
        Width and height of all boxes, or of each box. With a size, boxes are centered on the
        sources, and the segments and ``pad`` are ignored.
    factor : float
        Ratio of the size of the box, without padding, to the size of the segment.
    min_size, max_size : int or None
        Limits of the width and the height of boxes.
    """

    pad: int = 0
    size: Any = None
    factor: float = 1.0
    min_size: int | None = None
    max_size: int | None = None

    def __post_init__(self) -> None:
        for name in ("min_size", "max_size"):
            value = getattr(self, name)
            if value is not None and (not _is_number(value) or value < 1 or value % 1):
                msg = f"{name} must be a number of pixels, 1 or more, got {value!r}"
                raise ValueError(msg)
        if not _is_number(self.factor) or not 0 < self.factor < np.inf:
            msg = f"factor must be a positive number, got {self.factor!r}"
            raise ValueError(msg)
        if self.min_size and self.max_size and self.min_size > self.max_size:
            msg = f"min_size {self.min_size} is larger than max_size {self.max_size}"
            raise ValueError(msg)

    def boxes(self, segments: PixelBoxes, pos: NDArray[np.float64]) -> PixelBoxes:
        """
        Return the boxes of cutouts.

        The center of a box is as near as possible to the center of its segment. If ``size`` is
        given, it is as near as possible to the position of the source. Of two equally near boxes,
        the one with the smaller coordinates is used.

        Parameters
        ----------
        segments : PixelBoxes
            Boxes of the segments.
        pos : array of float, shape (N, 2)
            Positions ``(x, y)`` of the sources. NaN stands for the center of the segment.
        """
        center = segments.center
        size = np.stack([segments.width, segments.height])
        if self.size is not None:
            size = np.broadcast_to(self._sizes(size.shape[1]), size.shape)
            center = np.where(np.isfinite(pos).all(1), pos.T, center)
        else:
            # Subtract a small number, so that the rounding error of the product does not add a
            # pixel.
            size = np.ceil(size * self.factor - 1e-9).astype(np.int64) + 2 * self.pad
        if self.min_size is not None or self.max_size is not None:
            size = np.clip(size, self.min_size, self.max_size)
        low = np.ceil(center - size / 2).astype(np.int64)
        return PixelBoxes(*low, *size)

    def _sizes(self, count: int) -> NDArray[np.int64]:
        size = np.asarray(self.size)
        if size.shape not in ((), (count,)):
            msg = f"size must be a number or have shape ({count},), got shape {size.shape}"
            raise ValueError(msg)
        if size.dtype.kind not in "iu" or (size < 1).any():
            msg = f"size must hold whole numbers of pixels, at least 1, got {self.size!r}"
            raise ValueError(msg)
        return size.astype(np.int64)


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
