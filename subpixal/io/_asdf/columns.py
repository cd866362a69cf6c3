"""Columns as core ASDF nodes, and back.

A column whose values are all the same is that one value. Words are numbers of
words in a list. What is read is checked: a file may say anything.
"""

from __future__ import annotations

import numpy as np

from subpixal.cutout.storage import INDEX, KEPT_STATUSES, boxes_of
from subpixal.image import DATA_UNITS

__all__ = [
    "CATEGORICAL_COLUMNS",
    "escape_surrogates",
    "id_to_tree",
    "ids_to_tree",
    "index_to_tree",
    "is_literal",
    "numbers_to_tree",
    "to_1d_array",
    "to_number_column",
    "tree_to_id",
    "tree_to_ids",
    "tree_to_index",
    "tree_to_words",
    "words_to_tree",
]

# Columns of the index that are words.
CATEGORICAL_COLUMNS = {"status": KEPT_STATUSES, "data_units": DATA_UNITS}

# Columns that are left out where they are equal to others.
ELIDED_IF_EQUAL = {"original_x": "x", "original_y": "y"}

PLAIN_IDS = (bool, int, float, str, type(None))


def numbers_to_tree(values: np.ndarray):
    """A column of numbers: an array, or the one number that all of them are."""
    values = np.ascontiguousarray(values)
    if not values.size:
        return values
    first = values[0].item()
    same = values.tobytes() == np.full(values.shape, first, values.dtype).tobytes()
    return first if same else values


def to_number_column(name: str, node, count: int, kinds: str) -> np.ndarray:
    """
    A column of numbers.

    Parameters
    ----------
    name : str
        What it is called in errors.
    node : array or number
    count : int
        How many there must be.
    kinds : str
        Allowed kinds of dtype.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(node, bool | int | float):
        node = np.full(count, node)
    values = to_1d_array(name, node)
    if values.shape != (count,) or values.dtype.kind not in kinds:
        msg = f"{name} is {values.dtype} of shape {values.shape}, not {count} numbers"
        raise ValueError(msg)
    return values


def to_1d_array(name: str, node) -> np.ndarray:
    """
    A one-dimensional array of a node, without a copy.

    Raises
    ------
    ValueError
        If it is none, or claims to be larger than its block is.
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
    A word as ASDF can hold it.

    Names of files that are not UTF-8 have halves of pairs (surrogates), which become escapes.
    """
    return word.encode("utf-8", "backslashreplace").decode()


def words_to_tree(words, numbers: np.ndarray) -> dict | str:
    """A column of words, given by number: the one word that all are, or words and numbers."""
    used = np.unique(numbers)
    if len(used) == 1:
        return escape_surrogates(words[used[0]])
    numbers = np.searchsorted(used, numbers).astype(np.min_scalar_type(len(used)))
    return {"words": [escape_surrogates(words[k]) for k in used.tolist()], "number": numbers}


def tree_to_words(name: str, node, count: int) -> tuple[list[str], np.ndarray]:
    """
    A column of words: the words, and which of them each one is.

    Raises
    ------
    ValueError
        If it is something else.
    """
    if isinstance(node, str):
        return [node], np.zeros(count, int)
    words = list(node["words"])
    numbers = to_number_column(name, node["number"], count, "iu").astype(int)
    if count and not 0 <= numbers.min() <= numbers.max() < len(words):
        msg = f"{name} has words {numbers.min()} to {numbers.max()}, there are {len(words)}"
        raise ValueError(msg)
    return words, numbers


def ids_to_tree(ids: np.ndarray):
    """Identifiers: an array of numbers or words, a list of whatever they are otherwise."""
    if ids.dtype != object:
        return np.ascontiguousarray(ids)
    return [id_to_tree(value) for value in ids.tolist()]


def is_literal(value: int) -> bool:
    """Whether ASDF takes an integer outside arrays: neither -(2**63) nor the next."""
    return -(2**63) + 1 < value < 2**63


def id_to_tree(value):
    """
    An identifier as a node.

    Raises
    ------
    TypeError
        If it is not a number, a word, nothing, or a tuple of such.
    ValueError
        If it is an integer that is too large, or no text that UTF-8 can hold.
    """
    if isinstance(value, tuple):
        return [id_to_tree(part) for part in value]
    if isinstance(value, str) and value != escape_surrogates(value):
        msg = f"the id {str(value)!r} cannot be written: UTF-8 has no lone surrogates"
        raise ValueError(msg)
    if isinstance(value, int) and not is_literal(value):
        msg = (
            f"the id {value} cannot be written: ASDF holds integers of 64 bits, and unsigned "
            "ones only where all ids of an image are"
        )
        raise ValueError(msg)
    if not isinstance(value, PLAIN_IDS):
        msg = (
            f"the id {value!r} cannot be written: only numbers, strings, None and tuples of them "
            "can"
        )
        raise TypeError(msg)
    return value


def tree_to_id(node):
    """Identifier of a node; lists were tuples."""
    return tuple(map(tree_to_id, node)) if isinstance(node, list) else node


def tree_to_ids(node) -> np.ndarray:
    """Identifiers of a node."""
    if isinstance(node, list):
        ids = np.empty(len(node), object)
        ids[:] = [tree_to_id(value) for value in node]
        return ids
    ids = to_1d_array("id", node)
    if ids.dtype.kind not in "iufU" or not ids.itemsize:
        msg = f"id has elements of {ids.dtype}"
        raise ValueError(msg)
    return np.array(ids)


def index_to_tree(index: np.ndarray) -> dict:
    """Columns of an index, without what follows from others."""
    tree = {}
    for name in INDEX.names:
        if name in CATEGORICAL_COLUMNS:
            tree[name] = words_to_tree(CATEGORICAL_COLUMNS[name], index[name])
        elif name != "start" and not _is_same(index, name):
            tree[name] = numbers_to_tree(index[name])
    return tree


def _is_same(index, name) -> bool:
    return name in ELIDED_IF_EQUAL and np.array_equal(index[name], index[ELIDED_IF_EQUAL[name]])


def tree_to_index(tree, count: int) -> np.ndarray:
    """
    Index of columns.

    Raises
    ------
    ValueError
        If a column is missing, unknown, of another length, or has values that it
        must not have.
    """
    index = np.zeros(count, INDEX)
    unknown = set(tree) - set(INDEX.names) | {"start"} & set(tree)
    missing = set(INDEX.names) - set(tree) - set(ELIDED_IF_EQUAL) - {"start"}
    if unknown or missing:
        msg = f"the index has unknown columns {sorted(unknown)}, misses {sorted(missing)}"
        raise ValueError(msg)
    for name, node in tree.items():
        if name in CATEGORICAL_COLUMNS:
            words, numbers = tree_to_words(name, node, count)
            known = np.array([_known(name, word) for word in words], np.uint8)
            index[name] = known[numbers]
        else:
            integral = INDEX[name].kind == "i"
            values = to_number_column(name, node, count, "iu" if integral else "iuf")
            index[name] = values
            if integral and not np.array_equal(index[name], values):
                msg = f"{name} has values that are no pixels"
                raise ValueError(msg)
    for name, other in ELIDED_IF_EQUAL.items():
        if name not in tree:
            index[name] = index[other]
    if count and (index["width"].min() < 1 or index["height"].min() < 1):
        msg = "a cutout has a width or a height below 1"
        raise ValueError(msg)
    boxes = boxes_of(index)
    if boxes.area.astype(float).sum() > np.iinfo(np.int64).max:
        msg = "the cutouts have more pixels than there can be"
        raise ValueError(msg)
    index["start"] = boxes.starts
    return index


def _known(name, word) -> int:
    if word not in CATEGORICAL_COLUMNS[name]:
        msg = f"{name} is {word!r}, not one of {list(CATEGORICAL_COLUMNS[name])}"
        raise ValueError(msg)
    return CATEGORICAL_COLUMNS[name].index(word)
