"""Cutouts of cutouts: they refer to the image that those were cut from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from subpixal.geometry import PixelBox

from ._planes import ViewedPlane
from ._store import KEPT, Store

__all__ = ["refer_to_image"]


def refer_to_image(store: Store, parent) -> None:
    """
    Let cutouts that were cut from a cutout be cutouts of the image of that one.

    Parameters
    ----------
    store : Store
        What has just been cut; positions in it become those in the image.
    parent : Cutout
    """
    image, row, there = parent.image, parent._row, parent._inside
    whole = None if image.shape is None else PixelBox.from_shape(image.shape)
    if there is not None and there == whole == parent.box and parent.origin == (0, 0):
        # Nothing to say, and the record of the image knows the sky.
        return
    store.image = replace(store.image, wcs=image.wcs, shape=image.shape, name=image.name)
    for axis, blc, origin in zip("xy", parent.blc, parent.origin, strict=True):
        store.index[axis] += blc
        store.index[f"cut_{axis}"] += row[f"cut_{axis}"]
        store.index[f"src_{axis}"] += origin
        store.index[f"d{axis}"] = row[f"d{axis}"]
    start = int(row["cut_x"]), int(row["cut_y"])
    for name, plane in store.planes.items():
        if isinstance(plane, ViewedPlane):
            store.planes[name] = _ShiftedPlane(plane, start)
    if there not in (None, whole):
        _limit_to(store, there)


def _limit_to(store: Store, there: PixelBox) -> None:
    """Say that cutouts have no pixel that the parent did not have."""
    x, y, width, height = (store.index[name] for name in ("cut_x", "cut_y", "width", "height"))
    inside = (x >= there.xmin) & (x + width - 1 <= there.xmax)
    inside &= (y >= there.ymin) & (y + height - 1 <= there.ymax)
    for i in np.flatnonzero(~inside).tolist():
        store.own.setdefault(i, {})["available"] = there
        store.index["status"][i] = KEPT.index("filled")


class _ShiftedPlane:
    """Pixels of a parent, for boxes in the image of the parent."""

    # Cutouts do not follow one another in an image.
    span = None

    def __init__(self, plane: ViewedPlane, start: tuple[int, int]) -> None:
        self._plane, self._start = plane, start

    @property
    def dtype(self):
        """Type of the pixels."""
        return self._plane.dtype

    def piece(self, row):
        """View of the pixels of the parent, or filled pixels where the box leaves it."""
        row = row.copy()
        row["cut_x"] -= self._start[0]
        row["cut_y"] -= self._start[1]
        return self._plane.piece(row)
