"""What was not cut, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from ._store import as_ids

__all__ = ["STATUSES", "Dropped", "drop", "dropped_table"]

# Archives hold these words: none is ever renamed.
STATUSES = (
    "ok",
    "filled",
    "no_overlap",
    "partial_overlap",
    "edge_of_segmentation",
    "not_in_segmentation",
    "duplicate_id",
    "all_masked",
    "not_converged",
    "error",
)


class Dropped(NamedTuple):
    """A source that was not cut."""

    id: object
    status: str
    stage: str
    image: str
    message: str


def drop(ids, where, status: str, stage: str, image: str, message: str) -> list[Dropped]:
    """One entry for each source at which a boolean array is true."""
    chosen = np.asarray(ids)[np.asarray(where)].tolist()
    return [Dropped(i, status, stage, image, message) for i in chosen]


def dropped_table(dropped: Iterable[Dropped]):
    """
    Dropped sources as a table.

    Returns
    -------
    `~astropy.table.Table`
        With the columns ``id, status, stage, image, message``.
    """
    from astropy.table import Column, Table

    columns = [list(column) for column in zip(*dropped, strict=True)] or [
        [] for _ in Dropped._fields
    ]
    ids, *words = columns
    words = [np.array(column, str) for column in words]
    return Table(
        [
            Column(column, name)
            for column, name in zip((as_ids(ids), *words), Dropped._fields, strict=True)
        ]
    )
