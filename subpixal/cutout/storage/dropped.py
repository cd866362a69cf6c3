"""What was not cut, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from .store import as_ids

__all__ = ["STATUSES", "Dropped", "drop", "dropped_ids", "dropped_table"]

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
    """Sources that were not cut, all for the same reason."""

    id: np.ndarray
    status: str
    stage: str
    image: str
    message: str


def drop(ids, where, status: str, stage: str, image: str, message: str) -> list[Dropped]:
    """The sources at which a boolean array is true, if there are any."""
    chosen = np.asarray(ids)[np.asarray(where)]
    return [Dropped(chosen, status, stage, image, message)] if len(chosen) else []


def dropped_ids(dropped: Iterable[Dropped]) -> np.ndarray:
    """
    Identifiers of all dropped sources.

    Returns
    -------
    array of shape (N,)
        Of the types that `as_ids` gives.
    """
    ids = [group.id for group in dropped]
    # There may be many more of them than of cutouts: numbers stay in arrays.
    if all(some.dtype.kind == "i" for some in ids):
        return np.concatenate([np.empty(0, np.int64), *ids])
    return as_ids([i for some in ids for i in some.tolist()])


def dropped_table(dropped: Iterable[Dropped]):
    """
    Dropped sources as a table.

    Returns
    -------
    `~astropy.table.Table`
        With the columns ``id, status, stage, image, message``.
    """
    from astropy.table import Column, Table

    dropped = list(dropped)
    counts = [len(group.id) for group in dropped]
    columns = [dropped_ids(dropped)]
    for name in Dropped._fields[1:]:
        words = np.array([getattr(group, name) for group in dropped], str)
        columns.append(np.repeat(words, counts))
    return Table(
        [Column(column, name) for column, name in zip(columns, Dropped._fields, strict=True)]
    )
