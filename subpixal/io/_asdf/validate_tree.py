"""
Validate the tree of an ASDF file before it is converted to objects.

asdf accepts trees that this module refuses. For example, asdf reads arrays from other files,
accepts arrays that overlap themselves or exceed their blocks, and expands merged nodes without
limit. If a later version of this package wrote a file, asdf only warns. In
tests/io/test_archive_faults.py, these tests need this module: test_hostile_arrays,
test_hostile_text, test_merged_nodes, test_bombs, test_parts_that_share and test_later_version.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import asdf
import numpy as np
import yaml
from asdf.tags.core.ndarray import asdf_datatype_to_numpy_dtype
from numpy.typing import NDArray

from .tree_checksum import END
from .versions import URI

__all__ = ["StoredArray", "collect_arrays", "find_planes", "load_tree"]

MERGE = "tag:yaml.org,2002:merge"

NDARRAY = "tag:stsci.edu:asdf/core/ndarray-"

# Largest number of nodes in a tree: a constant, plus a number for each byte of the file. A node is
# counted as often as the tree refers to it.
NODES = 100_000

NODES_PER_BYTE = 10

# Largest total size of all arrays except pixels, in bytes: a constant, plus a number for each byte
# of the file. The number is the largest compression ratio of zlib.
ARRAYS = 100_000_000

ARRAYS_PER_BYTE = 1032


@dataclass(frozen=True, eq=False)
class StoredArray:
    """Place and type of an array in a block."""

    block: int
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    offset: int

    @property
    def size(self) -> int:
        """Smallest possible size of the block that contains the array, in bytes."""
        if not prod(self.shape):
            return self.offset
        if self.strides is None:
            return self.offset + prod(self.shape) * self.dtype.itemsize
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((n - 1) * max(s, 0) for n, s in steps) + self.dtype.itemsize

    def view(self, content: NDArray[np.uint8]) -> NDArray[Any]:
        """Return the array as a view of the bytes of its block."""
        return np.ndarray(self.shape, self.dtype, content, self.offset, self.strides)


def load_tree(head: bytes) -> Mapping[str, Any]:
    """
    Return the tree of a file as tagged mappings and lists, without conversion to objects.

    Parameters
    ----------
    head : bytes
        The bytes before the first block.

    Raises
    ------
    ValueError
        If the tree contains merged nodes. asdf never writes them, and many of them would take
        endless time.
    """
    # Repeated merges need anchors, so skip the search if there are none.
    if b"&" in head:
        text = head[head.find(b"%YAML") : head.find(END) + len(END)]
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(map(_is_merge, yaml.parse(text, Loader=loader))):
            msg = "the tree has merged keys, which asdf never writes"
            raise ValueError(msg)
    return asdf.util.load_yaml(io.BytesIO(head), tagged=True)


def _is_merge(event: yaml.Event) -> bool:
    """Return `True` for a key that merges another node."""
    if not isinstance(event, yaml.ScalarEvent):
        return False
    return event.tag == MERGE or (event.value == "<<" and event.implicit[0])


def find_planes(tree: Any) -> list[Mapping[str, Any]]:
    """Return the node ``planes`` of each part of a collection."""
    parts = tree.get("parts", ()) if isinstance(tree, Mapping) else ()
    return [part["planes"] for part in parts if isinstance(part, Mapping)]


def collect_arrays(tree: Mapping[str, Any], length: int) -> dict[int, StoredArray]:
    """
    Validate a tree, and return its arrays that are stored in blocks.

    Parameters
    ----------
    tree : mapping
        The node of the cutouts in the tree of a file, with tags.
    length : int
        Size of the file in bytes.

    Returns
    -------
    dict
        Mapping from the ``id`` of a node to its array.

    Raises
    ------
    ValueError
        If an array is in another file, exceeds its block or overlaps itself, if the tree or its
        arrays are too large for the file, or if a later version of this package wrote the tree.
    """
    walker = _TreeWalker()
    if walker.count(tree) > NODES + NODES_PER_BYTE * length:
        msg = "the tree refers to the same nodes too often"
        raise ValueError(msg)
    arrays = walker.arrays
    pixels = {id(node) for part in find_planes(tree) for some in part.values() for node in some}
    sizes: dict[int, int] = {}
    for key, array in arrays.items():
        if key not in pixels:
            sizes[array.block] = max(array.size, sizes.get(array.block, 0))
    if sum(sizes.values()) > ARRAYS + ARRAYS_PER_BYTE * length:
        msg = "the arrays are larger than a file of this size can hold"
        raise ValueError(msg)
    columns = [arrays[id(node)].block for node in _iter_columns(tree) if id(node) in arrays]
    if len(set(columns)) < len(columns):
        msg = "columns of several parts share one block"
        raise ValueError(msg)
    return arrays


def _iter_columns(tree: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the nodes of the columns of all parts. Different parts must not share a block."""
    for part in tree.get("parts", ()):
        yield from (part.get("id"), part.get("checksum"), *part["index"].values())


class _TreeWalker:
    """
    Walk through a tree, which visits each node once.

    Attributes
    ----------
    arrays : dict
        Mapping from the ``id`` of a node to its array in a block.
    """

    def __init__(self) -> None:
        self._manager = asdf.AsdfFile().extension_manager
        self._counts: dict[int, int] = {}
        self.arrays: dict[int, StoredArray] = {}

    def count(self, node: Any) -> int:
        """Return the number of nodes. A node is counted as often as the tree refers to it."""
        if not isinstance(node, Mapping | list):
            return 1
        if id(node) not in self._counts:
            self._counts[id(node)] = 0
            self._visit(node)
            children = node.values() if isinstance(node, Mapping) else node
            self._counts[id(node)] = 1 + sum(map(self.count, children))
        elif not self._counts[id(node)]:
            msg = "the tree contains itself"
            raise ValueError(msg)
        return self._counts[id(node)]

    def _visit(self, node: Any) -> None:
        tag = getattr(node, "_tag", None) or ""
        if tag.startswith(URI) and not self._manager.handles_tag(tag):
            msg = f"a later version of subpixal wrote the file: it holds {tag}"
            raise ValueError(msg)
        if tag.startswith(NDARRAY) and isinstance(node, Mapping) and "source" in node:
            self.arrays[id(node)] = _parse_array(node)


def _parse_array(node: Mapping[str, Any]) -> StoredArray:
    """
    Return the place of the array of a node.

    Raise an error if the array is in another file, or if its elements overlap.
    """
    if type(node["source"]) is not int or node["source"] < 0:
        msg = f"an array is outside the file, in {node['source']!r}"
        raise ValueError(msg)
    shape = tuple(node["shape"])
    offset = node.get("offset", 0)
    # Refuse a negative offset, with which NumPy would read bytes before the block.
    if not all(type(n) is int and n >= 0 for n in (*shape, offset)):
        msg = f"an array has the shape {shape} and the offset {offset}"
        raise ValueError(msg)
    dtype = np.dtype(asdf_datatype_to_numpy_dtype(node["datatype"], node["byteorder"]))
    strides = None if node.get("strides") is None else tuple(node["strides"])
    array = StoredArray(node["source"], dtype, shape, strides, offset)
    bytes_of_elements = prod(shape) * dtype.itemsize
    if array.size - offset < bytes_of_elements or (prod(shape) and not dtype.itemsize):
        msg = f"an array of shape {shape} and strides {strides} is larger than its bytes"
        raise ValueError(msg)
    return array
