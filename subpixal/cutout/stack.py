"""Stacks: 3-D arrays that contain cutouts of different sizes."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u

from subpixal.image import PLANES, check_fill, common_dtype

from .storage import Selection, UncertaintyType

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .collection import CutoutCollection

__all__ = ["Stack", "stack_cutouts"]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Stack:
    """
    Pixels of many cutouts in 3-D arrays, with the sources at the same position.

    `CutoutCollection.to_stack` returns stacks. A plane that is not stacked is `None`.

    Attributes
    ----------
    ids : array of shape (N,)
        Identifiers of the sources.
    src_pos : array of float, shape (N, 2)
        Positions ``(x, y)`` of the sources in the stack, with the displacements ``dx, dy``. Along
        each axis, a source is at most half a pixel from the center of the central pixel.
    blc : array of int, shape (N, 2)
        For each cutout, the pixel ``(x, y)`` of the image that is at pixel (0, 0) of the stack.
    planes : dict
        Mapping from the name of a plane to an array of shape ``(N, ny, nx)``.
    data, mask, uncertainty, flags, weight, segmentation : array or None
        The arrays as attributes; `None` for a plane that is not stacked.
    unit : `~astropy.units.Unit` or None
        Unit of the data.
    uncertainty_type : type or None
        Subclass of `~astropy.nddata.NDUncertainty`.
    uncertainty_unit : `~astropy.units.Unit` or None
        Unit of the uncertainties.

    Examples
    --------
    >>> import numpy as np
    >>> from subpixal import Cutout, CutoutCollection
    >>> from subpixal.datasets import make_wcs
    >>> image = np.arange(100.0).reshape(10, 10)
    >>> cutout = Cutout(image, make_wcs("tan", image.shape), (2, 3), (5, 4), src_pos=(3.2, 4))
    >>> stack = CutoutCollection([cutout]).to_stack((3, 3))
    >>> stack.data[0]
    array([[32., 33., 34.],
           [42., 43., 44.],
           [nan, nan, nan]])
    >>> stack.src_pos
    array([[1.2, 1. ]])
    """

    ids: np.ndarray
    src_pos: np.ndarray
    blc: np.ndarray
    planes: dict[str, np.ndarray] = field(default_factory=dict)
    unit: u.UnitBase | None = None
    uncertainty_type: type | None = None
    uncertainty_unit: u.UnitBase | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __repr__(self) -> str:
        size = "x".join(str(n) for plane in list(self.planes.values())[:1] for n in plane.shape)
        return f"<Stack: {size or len(self)}, {', '.join(self.planes) or 'no planes'}>"

    def __getattr__(self, name: str) -> np.ndarray | None:
        if name not in PLANES:
            msg = f"{type(self).__name__!r} object has no attribute {name!r}"
            raise AttributeError(msg)
        return self.planes.get(name)


def stack_cutouts(
    cutouts: CutoutCollection, shape: tuple[int, int], *, planes: Sequence[str], fillval: complex
) -> Stack:
    """Return the stack of a collection; see `CutoutCollection.to_stack`."""
    shape = _check_shape(shape)
    selection = cutouts.selection
    index = selection.gather(lambda store: store.index)
    blc = np.stack([index["x"], index["y"]], axis=-1)
    displacement = np.stack([index["dx"], index["dy"]], axis=-1)
    position = np.stack([index["src_x"], index["src_y"]], axis=-1) - blc + displacement
    # Do not use np.rint: a position on the border of two pixels must always belong to the upper
    # pixel.
    pixel = np.floor(position + 0.5).astype(np.int64)
    shift = (np.array(shape[::-1]) - 1) // 2 - pixel
    unit = _single("unit", {store.image.unit for store, _ in selection})
    arrays = {}
    uncertainty: UncertaintyType = (None, None)
    for name in _check_planes(planes):
        pieces = [store.get_plane(row, name) for store, row in selection]
        if all(piece is None for piece in pieces):
            continue
        if name == "uncertainty":
            uncertainty = _common_uncertainty(selection, pieces)
        plane = PLANES[name].with_uncertainty_type(uncertainty[0])
        dtype = common_dtype(name, {piece.dtype for piece in pieces if piece is not None})
        dtype = plane.cut_dtype(dtype, promote=True)
        arrays[name] = _stack_pieces(pieces, shift, shape, plane.fill_value(fillval), dtype)
    return Stack(
        ids=cutouts.ids,
        src_pos=position + shift,
        blc=blc - shift,
        planes=arrays,
        unit=unit,
        uncertainty_type=uncertainty[0],
        uncertainty_unit=uncertainty[1],
    )


def _stack_pieces(
    pieces: Sequence[np.ndarray | None],
    shift: NDArray[np.int64],
    shape: tuple[int, int],
    fill: Any,
    dtype: np.dtype,
) -> np.ndarray:
    """
    Copy 2-D pieces of any size into a 3-D array.

    Parameters
    ----------
    pieces : list of N 2-D arrays or None
        Pixels of the cutouts. `None` stands for a cutout without the plane.
    shift : array of int, shape (N, 2)
        Position ``(x, y)`` in the stack of pixel (0, 0) of each piece.
    shape : tuple of int
        ``(ny, nx)`` of the stack.
    fill : scalar
        Value of the pixels of the stack that are outside the cutout.
    dtype : dtype
        Dtype of the stack.

    Returns
    -------
    array of shape (N, ny, nx)
        The stack.
    """
    check_fill(fill, dtype)
    stack = np.full((len(pieces), *shape), fill, dtype)
    ny, nx = shape
    for layer, piece, (x, y) in zip(stack, pieces, shift.tolist(), strict=True):
        if piece is None:
            continue
        height, width = piece.shape
        # Limit the start to 0, because NumPy counts negative indices from the end.
        x1, x2 = max(x, 0), min(x + width, nx)
        y1, y2 = max(y, 0), min(y + height, ny)
        if x1 < x2 and y1 < y2:
            layer[y1:y2, x1:x2] = piece[y1 - y : y2 - y, x1 - x : x2 - x]
    return stack


def _check_shape(shape: Any) -> tuple[int, int]:
    try:
        ny, nx = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        ny = nx = 0
    if ny < 1 or nx < 1:
        msg = f"shape must be two positive integers (ny, nx), got {shape!r}"
        raise ValueError(msg)
    return ny, nx


def _check_planes(planes: str | Sequence[str]) -> tuple[str, ...]:
    planes = (planes,) if isinstance(planes, str) else tuple(planes)
    unknown = [name for name in planes if name not in PLANES]
    if unknown:
        msg = f"planes must be some of {tuple(PLANES)}, got {unknown}"
        raise ValueError(msg)
    return planes


def _common_uncertainty(
    selection: Selection, pieces: Sequence[np.ndarray | None]
) -> UncertaintyType:
    """Return the common class and unit of the uncertainties of all cutouts."""
    kinds = {
        store.uncertainty_type_and_unit(row)
        for (store, row), piece in zip(selection, pieces, strict=True)
        if piece is not None
    }
    return _single("kind of uncertainty", kinds)


def _single(name: str, values: set) -> Any:
    """Return the value that is the same for all cutouts, or `None` if there are no cutouts."""
    if len(values) > 1:
        msg = (
            f"cutouts of one stack must have one {name}, these have {len(values)}: "
            f"{sorted(str(value) for value in values)}; stack the parts, or fewer planes"
        )
        raise ValueError(msg)
    return next(iter(values), None)
