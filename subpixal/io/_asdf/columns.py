"""Convert columns of numbers, words and identifiers to ASDF nodes and back.

If all values of a column are equal, the node is this single value. The functions that read nodes
check all values, because a damaged or hostile file may contain any values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subpixal.cutout.storage import INDEX, KEPT_STATUSES, boxes_of
from subpixal.image import DATA_UNITS

__all__ = [
    "escape_surrogates",
    "id_to_tree",
    "ids_to_tree",
    "index_to_tree",
    "is_literal",
    "to_number_column",
    "tree_to_id",
    "tree_to_ids",
    "tree_to_index",
    "tree_to_words",
    "words_to_tree",
]

PLAIN_IDS = (bool, int, float, str, type(None))


@dataclass(frozen=True)
class Column:
    """
    A column of the index.

    Attributes
    ----------
    name : str
        Name of the field in the index and of the node.
    words : tuple of str
        Words for the numbers 0, 1 ... in the index. Empty for a column of numbers.
    default : str
        Name of an earlier column. If both columns are equal, the node of this column is absent.
    """

    name: str
    words: tuple[str, ...] = ()
    default: str = ""

    def to_tree(self, values: NDArray[Any]) -> Any:
        """Return the node for the values of the column."""
        return words_to_tree(self.words, values) if self.words else _numbers_to_tree(values)

    def read(self, node: Any, count: int) -> NDArray[Any]:
        """
        Return the values of the column from its node.

        Raises
        ------
        ValueError
            If the number of values is not ``count``, or if a value is not allowed.
        """
        if self.words:
            words, numbers = tree_to_words(self.name, node, count)
            return np.array([self._find_word(word) for word in words], np.uint8)[numbers]
        dtype = INDEX[self.name]
        found = to_number_column(self.name, node, count, "iu" if dtype.kind == "i" else "iuf")
        values = found.astype(dtype)
        if dtype.kind == "i" and not np.array_equal(values, found):
            msg = f"{self.name} has values that are no pixels"
            raise ValueError(msg)
        return values

    def _find_word(self, word: str) -> int:
        if word not in self.words:
            msg = f"{self.name} is {word!r}, not one of {list(self.words)}"
            raise ValueError(msg)
        return self.words.index(word)


# All columns of the index except ``start``, which is computed from the widths and heights.
COLUMNS = (
    Column("x"),
    Column("y"),
    Column("original_x", default="x"),
    Column("original_y", default="y"),
    Column("width"),
    Column("height"),
    Column("dx"),
    Column("dy"),
    Column("src_x"),
    Column("src_y"),
    Column("src_weight"),
    Column("exptime"),
    Column("data_units", words=DATA_UNITS),
    Column("status", words=KEPT_STATUSES),
)


def index_to_tree(index: NDArray[Any]) -> dict[str, Any]:
    """Return the nodes of the columns of an index, except columns that equal their default."""
    return {
        column.name: column.to_tree(index[column.name])
        for column in COLUMNS
        if not (column.default and np.array_equal(index[column.name], index[column.default]))
    }


def tree_to_index(tree: Mapping[str, Any], count: int) -> NDArray[Any]:
    """
    Return the index from the nodes of its columns.

    Parameters
    ----------
    tree : mapping
        Nodes of the columns.
    count : int
        Number of cutouts.

    Raises
    ------
    ValueError
        If a column is missing or unknown, or if it has a wrong length or invalid values.
    """
    unknown = set(tree) - {column.name for column in COLUMNS}
    missing = {column.name for column in COLUMNS if not column.default} - set(tree)
    if unknown or missing:
        msg = f"the index has unknown columns {sorted(unknown)}, misses {sorted(missing)}"
        raise ValueError(msg)
    index = np.zeros(count, INDEX)
    for column in COLUMNS:
        if column.name in tree:
            index[column.name] = column.read(tree[column.name], count)
        else:
            index[column.name] = index[column.default]
    if count and (index["width"].min() < 1 or index["height"].min() < 1):
        msg = "a cutout has a width or a height below 1"
        raise ValueError(msg)
    boxes = boxes_of(index)
    if boxes.area.astype(float).sum() > np.iinfo(np.int64).max:
        msg = "the cutouts have more pixels than 64 bits can count"
        raise ValueError(msg)
    index["start"] = boxes.starts
    return index


def _numbers_to_tree(values: NDArray[Any]) -> Any:
    """Return an array, or a single number if all values have the same bits."""
    values = np.ascontiguousarray(values)
    if not values.size:
        return values
    first = values[0].item()
    same = values.tobytes() == np.full(values.shape, first, values.dtype).tobytes()
    return first if same else values


def to_number_column(name: str, node: Any, count: int, kinds: str) -> NDArray[Any]:
    """
    Return the values of a column of numbers from its node.

    Parameters
    ----------
    name : str
        Name of the column in messages of errors.
    node : array or number
        Node of the column.
    count : int
        Required number of values.
    kinds : str
        Allowed kinds of dtype, such as ``'iu'``.

    Raises
    ------
    ValueError
        If the node is not a column of numbers with ``count`` values.
    """
    if isinstance(node, bool | int | float):
        node = np.full(count, node)
    values = _to_1d_array(name, node)
    if values.shape != (count,) or values.dtype.kind not in kinds:
        msg = f"{name} is {values.dtype} of shape {values.shape}, not {count} numbers"
        raise ValueError(msg)
    return values


def _to_1d_array(name: str, node: Any) -> NDArray[Any]:
    """
    Return the 1-D array of a node without copying it.

    Raises
    ------
    ValueError
        If the node is not a 1-D array, or if its elements are not contiguous.
    """
    if not hasattr(node, "shape"):
        msg = f"{name} is a {type(node).__name__}, not an array"
        raise ValueError(msg)
    values = np.asarray(node)
    if values.ndim != 1 or (values.size > 1 and values.strides != (values.itemsize,)):
        msg = f"{name} has shape {values.shape} and strides {values.strides}"
        raise ValueError(msg)
    return values


def escape_surrogates(word: str) -> str:
    """
    Replace lone surrogates in a word, which UTF-8 cannot encode, with escape sequences.

    Python inserts lone surrogates into names of files that are not encoded as UTF-8.
    """
    return word.encode("utf-8", "backslashreplace").decode()


def words_to_tree(words: Sequence[str], numbers: NDArray[Any]) -> dict[str, Any] | str:
    """
    Return the node for a column of words.

    Parameters
    ----------
    words : sequence of str
        Different words, which the numbers refer to.
    numbers : array of int, shape (N,)
        For each row, the number of its word.

    Returns
    -------
    dict or str
        The word, if it is the same in all rows. Otherwise the words that occur, and for each row
        the number of its word.
    """
    used = np.unique(numbers)
    if len(used) == 1:
        return escape_surrogates(words[used[0]])
    numbers = np.searchsorted(used, numbers).astype(np.min_scalar_type(len(used)))
    return {"words": [escape_surrogates(words[k]) for k in used.tolist()], "number": numbers}


def tree_to_words(name: str, node: Any, count: int) -> tuple[list[str], NDArray[Any]]:
    """
    Return the words of a column, and for each row the number of its word.

    Raises
    ------
    ValueError
        If the node is not a column of words with ``count`` rows.
    """
    if isinstance(node, str):
        return [node], np.zeros(count, int)
    words = list(node["words"])
    numbers = to_number_column(name, node["number"], count, "iu").astype(int)
    if count and not 0 <= numbers.min() <= numbers.max() < len(words):
        msg = f"{name} has words {numbers.min()} to {numbers.max()}, there are {len(words)}"
        raise ValueError(msg)
    return words, numbers


def is_literal(value: int) -> bool:
    """Return `True` if ASDF can store an integer outside an array."""
    return -(2**63) + 1 < value < 2**63


def id_to_tree(value: Any) -> Any:
    """
    Return the node for an identifier.

    Raises
    ------
    TypeError
        If the identifier is neither a number, a string, None, nor a tuple of these.
    ValueError
        If the identifier is an integer of more than 64 bits, or text that UTF-8 cannot encode.
    """
    if isinstance(value, tuple):
        return [id_to_tree(part) for part in value]
    if isinstance(value, str) and value != escape_surrogates(value):
        msg = f"the id {str(value)!r} cannot be written: UTF-8 has no lone surrogates"
        raise ValueError(msg)
    if isinstance(value, int) and not is_literal(value):
        msg = (
            f"the id {value} cannot be written: ASDF holds integers of 64 bits, and unsigned "
            "ones only if all ids of an image are unsigned"
        )
        raise ValueError(msg)
    if not isinstance(value, PLAIN_IDS):
        msg = (
            f"the id {value!r} cannot be written: only numbers, strings, None and tuples of them "
            "can"
        )
        raise TypeError(msg)
    return value


def ids_to_tree(ids: NDArray[Any]) -> Any:
    """Return the node for identifiers: an array of numbers or strings, or a list of other types."""
    if ids.dtype != object:
        return np.ascontiguousarray(ids)
    return [id_to_tree(value) for value in ids.tolist()]


def tree_to_id(node: Any) -> Any:
    """Return the identifier from a node. Lists become tuples."""
    return tuple(map(tree_to_id, node)) if isinstance(node, list) else node


def tree_to_ids(node: Any) -> NDArray[Any]:
    """
    Return the identifiers from a node.

    Raises
    ------
    ValueError
        If the node is neither a list nor an array of numbers or strings.
    """
    if isinstance(node, list):
        ids = np.empty(len(node), object)
        ids[:] = [tree_to_id(value) for value in node]
        return ids
    ids = _to_1d_array("id", node)
    if ids.dtype.kind not in "iufU" or not ids.itemsize:
        msg = f"id has elements of {ids.dtype}"
        raise ValueError(msg)
    return np.array(ids)
