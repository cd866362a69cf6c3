"""Cutouts of cutouts: they refer to the image that those were cut from."""

from __future__ import annotations

from dataclasses import replace

from subpixal.geometry import PixelBox

from ._place import cut_box
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
    image, row = parent.image, parent._row
    whole = None if image.shape is None else PixelBox.from_shape(image.shape)
    if cut_box(row) == whole and parent.blc == parent.origin == (0, 0):
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
    if parent._inside not in (None, whole):
        _limit_to(store, parent._inside)


def _limit_to(store: Store, there: PixelBox) -> None:
    """Say that cutouts have no pixel that the parent did not have."""
    for i, row in enumerate(store.index):
        store.own.setdefault(i, {})["available"] = there
        row["status"] = KEPT.index("ok" if cut_box(row) in there else "filled")


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
