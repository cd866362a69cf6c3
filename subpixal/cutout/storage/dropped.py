"""Sources that were not cut, with the reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .store import as_ids

if TYPE_CHECKING:
    from astropy.table import Table
    from numpy.typing import ArrayLike

__all__ = ["STATUSES", "Dropped", "drop", "dropped_ids", "dropped_table"]

# Archives contain these words, so they must not be renamed.
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


def drop(
    ids: ArrayLike, selected: ArrayLike, status: str, stage: str, image: str, message: str
) -> list[Dropped]:
    """Return the sources that a boolean array selects as one group, or an empty list."""
    chosen = np.asarray(ids)[np.asarray(selected)]
    return [Dropped(chosen, status, stage, image, message)] if len(chosen) else []


def dropped_ids(dropped: Iterable[Dropped]) -> np.ndarray:
    """Return the identifiers of all dropped sources, with the types that `as_ids` gives."""
    ids = [group.id for group in dropped]
    # There may be many more dropped sources than cutouts, so numbers stay in arrays.
    if all(group.dtype.kind == "i" for group in ids):
        return np.concatenate([np.empty(0, np.int64), *ids])
    return as_ids([src_id for group in ids for src_id in group.tolist()])


def dropped_table(dropped: Iterable[Dropped]) -> Table:
    """
    Return dropped sources as a table.

    Returns
    -------
    `~astropy.table.Table`
        With the columns ``id, status, stage, image, message``.
    """
    from astropy.table import Column, Table

    dropped = list(dropped)
    counts = [len(group.id) for group in dropped]
    columns = {"id": dropped_ids(dropped)}
    for name in Dropped._fields[1:]:
        words = np.array([getattr(group, name) for group in dropped], str)
        columns[name] = np.repeat(words, counts)
    return Table([Column(column, name) for name, column in columns.items()])
