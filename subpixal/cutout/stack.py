"""Cutouts of any size as arrays of one shape."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field

import numpy as np
from astropy import units as u

from subpixal.image import PLANES, check_fill, common_dtype

__all__ = ["Stack", "stack_cutouts", "stack_pieces"]


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class Stack:
    """
    Cutouts as arrays of three dimensions, the sources in the centres.

    Made by `CutoutCollection.to_stack`. A plane that no cutout has, or that was
    not asked for, is `None`.

    Attributes
    ----------
    ids : array of shape (N,)
        Identifiers of the sources.
    src_pos : array of float, shape (N, 2)
        Positions ``(x, y)`` of the sources in the stack, displacement included:
        those of the centre pixel, and up to half a pixel more or less.
    blc : array of int, shape (N, 2)
        Pixels ``(x, y)`` of the images that pixel (0, 0) of the stack stands for.
    planes : dict
        Arrays of shape ``(N, ny, nx)`` by the name of the plane.
    data, mask, uncertainty, flags, weight, segmentation : array or None
        The same arrays as attributes; `None` for a plane that is not there.
    unit : `~astropy.units.Unit` or None
        Unit of the data.
    uncertainty_type : type or None
        Subclass of `~astropy.nddata.NDUncertainty`: what the uncertainties are.
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


def stack_cutouts(collection, shape, *, planes=tuple(PLANES), fillval=np.nan) -> Stack:
    """Stack of a collection; see `CutoutCollection.to_stack`."""
    shape, planes = _check_shape(shape), _check_planes(planes)
    index = collection.selection.gather(lambda store: store.index)
    blc = np.stack([index["x"], index["y"]], axis=-1)
    displacement = np.stack([index["dx"], index["dy"]], axis=-1)
    position = np.stack([index["src_x"], index["src_y"]], axis=-1) - blc + displacement
    # Half a pixel belongs to the pixel above, whether that is odd or even.
    pixel = np.floor(position + 0.5).astype(np.int64)
    shift = (np.array(shape[::-1]) - 1) // 2 - pixel
    stored = list(collection.selection)
    unit = _only("unit", {store.image.unit for store, _ in stored})
    arrays, kind = {}, (None, None)
    for name in planes:
        pieces = [store.get_plane(i, name) for store, i in stored]
        there = [piece is not None for piece in pieces]
        if not any(there):
            continue
        if name == "uncertainty":
            kinds = zip(stored, there, strict=True)
            kind = _only(
                "kind of uncertainty",
                {s.uncertainty_type_and_unit(i) for (s, i), has in kinds if has},
            )
        dtype = common_dtype(name, {piece.dtype for piece in pieces if piece is not None})
        plane = PLANES[name].with_uncertainty_type(kind[0])
        dtype, fill = plane.cut_dtype(dtype, promote=True), plane.fill_value(fillval)
        arrays[name] = stack_pieces(pieces, shift, shape, fill, dtype)
    return Stack(
        ids=collection.ids,
        src_pos=position + shift,
        blc=blc - shift,
        planes=arrays,
        unit=unit,
        uncertainty_type=kind[0],
        uncertainty_unit=kind[1],
    )


def stack_pieces(pieces: list, shift: np.ndarray, shape, fill, dtype: np.dtype) -> np.ndarray:
    """
    Pieces of any size in an array of three dimensions.

    Parameters
    ----------
    pieces : list of N 2-D arrays or None
    shift : array of int, shape (N, 2)
        Where ``(x, y)`` in the stack pixel (0, 0) of each piece comes to lie.
    shape : tuple of int
        ``(ny, nx)`` of the stack.
    fill : scalar
        Value where there is no pixel.
    dtype : dtype
        Of the result.

    Returns
    -------
    array of shape (N, ny, nx)
    """
    check_fill(fill, dtype)
    stack = np.full((len(pieces), *shape), fill, dtype)
    ny, nx = shape
    for layer, piece, (x, y) in zip(stack, pieces, shift.tolist(), strict=True):
        if piece is None:
            continue
        height, width = piece.shape
        # A slice that starts below 0 would count from the end.
        x1, x2, y1, y2 = max(x, 0), min(x + width, nx), max(y, 0), min(y + height, ny)
        if x1 < x2 and y1 < y2:
            layer[y1:y2, x1:x2] = piece[y1 - y : y2 - y, x1 - x : x2 - x]
    return stack


def _check_shape(shape) -> tuple[int, int]:
    try:
        ny, nx = (operator.index(n) for n in shape)
    except (TypeError, ValueError):
        ny = nx = 0
    if ny < 1 or nx < 1:
        msg = f"shape must be two positive integers (ny, nx), got {shape!r}"
        raise ValueError(msg)
    return ny, nx


def _check_planes(planes) -> tuple[str, ...]:
    planes = (planes,) if isinstance(planes, str) else tuple(planes)
    unknown = [name for name in planes if name not in PLANES]
    if unknown:
        msg = f"planes must be some of {tuple(PLANES)}, got {unknown}"
        raise ValueError(msg)
    return planes


def _only(what: str, values: set):
    """The one value that all cutouts have."""
    if len(values) > 1:
        msg = (
            f"cutouts of one stack must have one {what}, these have {len(values)}: "
            f"{sorted(str(value) for value in values)}; stack the parts, or fewer planes"
        )
        raise ValueError(msg)
    return next(iter(values), None)
