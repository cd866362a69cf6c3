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

# Do not rename these words, because archives contain them.
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
    """A group of sources that were not cut for the same reason."""

    id: np.ndarray
    status: str
    stage: str
    image: str
    message: str


def drop(
    ids: ArrayLike, selected: ArrayLike, status: str, stage: str, image: str, message: str
) -> list[Dropped]:
    """Return a list with one group of the selected sources, or an empty list if there are none."""
    chosen = np.asarray(ids)[np.asarray(selected)]
    return [Dropped(chosen, status, stage, image, message)] if len(chosen) else []


def dropped_ids(dropped: Iterable[Dropped]) -> np.ndarray:
    """Return the identifiers of all dropped sources, in an array like that of `as_ids`."""
    ids = [group.id for group in dropped]
    # Concatenate arrays of integers, which is fast if there are many dropped sources.
    if all(group.dtype.kind == "i" for group in ids):
        return np.concatenate([np.empty(0, np.int64), *ids])
    return as_ids([src_id for group in ids for src_id in group.tolist()])


def dropped_table(dropped: Iterable[Dropped]) -> Table:
    """
    Return a table of dropped sources, with a row for each source.

    Returns
    -------
    `~astropy.table.Table`
        The table, with the columns ``id, status, stage, image, message``.
    """
    from astropy.table import Column, Table

    dropped = list(dropped)
    counts = [len(group.id) for group in dropped]
    columns = {"id": dropped_ids(dropped)}
    for name in Dropped._fields[1:]:
        words = np.array([getattr(group, name) for group in dropped], str)
        columns[name] = np.repeat(words, counts)
    return Table([Column(column, name) for name, column in columns.items()])
