"""How large cutouts of sources are."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from subpixal.geometry import PixelBoxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BoxPolicy"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoxPolicy:
    """
    How the box of a cutout comes from the box of a segment.

    Attributes
    ----------
    pad : int
        Pixels around the segment.
    size : int or array of int, shape (N,), or None
        Width and height of all or of each of the boxes, which are then centred
        on the sources; neither the segment nor ``pad`` counts.
    factor : float
        Size of the box in sizes of the segment, before padding.
    min_size, max_size : int or None
        Limits of width and height.
    """

    pad: int = 0
    size: object = None
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

        Among the boxes of a size, the one with the nearest center is taken, and the lower
        of two that are equally near.

        Parameters
        ----------
        segments : PixelBoxes
            Boxes of the segments.
        pos : array of float, shape (N, 2)
            Positions ``(x, y)`` of the sources; NaN for the center of the segment.
        """
        center = segments.center
        size = np.stack([segments.width, segments.height])
        if self.size is not None:
            size = np.broadcast_to(self._sizes(size.shape[1]), size.shape)
            center = np.where(np.isfinite(pos).all(1), pos.T, center)
        else:
            # A size is not a pixel larger for the rounding of a product.
            size = np.ceil(size * self.factor - 1e-9).astype(np.int64) + 2 * self.pad
        size = np.clip(size, self.min_size, self.max_size) if self._limited else size
        low = np.ceil(center - size / 2).astype(np.int64)
        return PixelBoxes(*low, *size)

    @property
    def _limited(self) -> bool:
        return self.min_size is not None or self.max_size is not None

    def _sizes(self, count) -> np.ndarray:
        size = np.asarray(self.size)
        if size.shape not in ((), (count,)):
            msg = f"size must be a number or have shape ({count},), got shape {size.shape}"
            raise ValueError(msg)
        if size.dtype.kind not in "iu" or (size < 1).any():
            msg = f"size must hold numbers of pixels, 1 or more, got {self.size!r}"
            raise ValueError(msg)
        return size.astype(np.int64)


def _is_number(value) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
