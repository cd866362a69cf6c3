"""The tree of an ASDF file, looked at before anything is made of it, for it may say anything."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import asdf
import numpy as np
import yaml
from asdf.tags.core.ndarray import asdf_datatype_to_numpy_dtype

from .tree_checksum import END
from .versions import URI

__all__ = ["StoredArray", "collect_arrays", "load_tree", "planes_of"]

MERGE = "tag:yaml.org,2002:merge"

NDARRAY = "tag:stsci.edu:asdf/core/ndarray-"

# A tree may refer to the same node many times, but not so often that it takes ages to read.
NODES = 100_000

NODES_PER_BYTE = 10

# Bytes of all arrays but pixels: what compression can make of a file, and then some.
ARRAYS = 100_000_000

ARRAYS_PER_BYTE = 1032


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that is in a block."""

    block: int
    dtype: np.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...] | None
    offset: int

    @property
    def size(self) -> int:
        """How many bytes the block must have at least."""
        if not prod(self.shape):
            return self.offset
        if self.strides is None:
            return self.offset + prod(self.shape) * self.dtype.itemsize
        steps = zip(self.shape, self.strides, strict=True)
        return self.offset + sum((n - 1) * max(s, 0) for n, s in steps) + self.dtype.itemsize

    def of(self, content: np.ndarray) -> np.ndarray:
        """The array, a view of the content of the block."""
        return np.ndarray(self.shape, self.dtype, content, self.offset, self.strides)


def load_tree(head: bytes) -> Mapping:
    """
    The tree of a file, with tags.

    Parameters
    ----------
    head : bytes
        What is before the blocks.

    Raises
    ------
    ValueError
        If it has keys that are merged, which take for ever if there are many: asdf
        writes none.
    """
    # Without anchors there is nothing that is often merged.
    if b"&" in head:
        text = head[head.find(b"%YAML") : head.find(END) + len(END)]
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        if any(map(_merges, yaml.parse(text, Loader=loader))):
            msg = "its tree merges nodes"
            raise ValueError(msg)
    return asdf.util.load_yaml(io.BytesIO(head), tagged=True)


def _merges(event) -> bool:
    """Whether an event of the parser is a key whose value is merged."""
    if not isinstance(event, yaml.ScalarEvent):
        return False
    return event.tag == MERGE or (event.value == "<<" and event.implicit[0])


def planes_of(tree) -> list[Mapping]:
    """Nodes of the pixels of a collection, of each part."""
    parts = tree.get("parts", ()) if isinstance(tree, Mapping) else ()
    return [part["planes"] for part in parts if isinstance(part, Mapping)]


def collect_arrays(tree: Mapping, length: int) -> dict[int, StoredArray]:
    """
    Find what a tree has in blocks.

    Parameters
    ----------
    tree : mapping
        The cutouts of a file, with tags.
    length : int
        Bytes of the file.

    Returns
    -------
    dict
        By the ``id`` of the node.

    Raises
    ------
    ValueError
        If there is an array that is in another file, larger than its bytes, or
        not where it can be, if the tree is as good as endless, or if it was written
        by a later version of this package.
    """
    nodes = _Nodes()
    if nodes.count(tree) > NODES + NODES_PER_BYTE * length:
        msg = "its tree refers to the same nodes too often"
        raise ValueError(msg)
    pixels = {id(node) for planes in planes_of(tree) for some in planes.values() for node in some}
    sizes = {}
    for key, array in nodes.arrays.items():
        if key not in pixels:
            sizes[array.block] = max(array.size, sizes.get(array.block, 0))
    if sum(sizes.values()) > ARRAYS + ARRAYS_PER_BYTE * length:
        msg = "its arrays are larger than can be in a file of its size"
        raise ValueError(msg)
    columns = [nodes.arrays[id(node)].block for node in _columns(tree) if id(node) in nodes.arrays]
    if len(set(columns)) < len(columns):
        msg = "columns of several parts are in one block"
        raise ValueError(msg)
    return nodes.arrays


def _columns(tree) -> Iterator:
    """Nodes of the columns of all parts, which have blocks of their own."""
    for part in tree.get("parts", ()):
        yield from (part.get("id"), part.get("checksum"), *part["index"].values())


class _Nodes:
    """What is in a tree; each node is looked at once."""

    def __init__(self) -> None:
        self._known = asdf.AsdfFile().extension_manager
        self._counts: dict[int, int] = {}
        self.arrays: dict[int, StoredArray] = {}

    def count(self, node) -> int:
        """How many nodes there are, were each one written as often as it is referred to."""
        if not isinstance(node, Mapping | list):
            return 1
        if id(node) not in self._counts:
            self._counts[id(node)] = 0
            self._look_at(node)
            children = node.values() if isinstance(node, Mapping) else node
            self._counts[id(node)] = 1 + sum(map(self.count, children))
        elif not self._counts[id(node)]:
            msg = "its tree refers to itself"
            raise ValueError(msg)
        return self._counts[id(node)]

    def _look_at(self, node) -> None:
        tag = getattr(node, "_tag", None) or ""
        if tag.startswith(URI) and not self._known.handles_tag(tag):
            msg = f"it was written by a later version of subpixal: it holds {tag}"
            raise ValueError(msg)
        if tag.startswith(NDARRAY) and isinstance(node, Mapping) and "source" in node:
            self.arrays[id(node)] = _stored_array(node)


def _stored_array(node) -> StoredArray:
    """Raise if an array is in another file, or has more elements than bytes."""
    if type(node["source"]) is not int or node["source"] < 0:
        msg = f"an array is not in the file but in {node['source']!r}"
        raise ValueError(msg)
    shape, strides, offset = list(node["shape"]), node.get("strides"), node.get("offset", 0)
    # numpy would read what is before a block.
    if not all(type(n) is int and n >= 0 for n in (*shape, offset)):
        msg = f"an array has the shape {shape} and the offset {offset}"
        raise ValueError(msg)
    dtype = np.dtype(asdf_datatype_to_numpy_dtype(node["datatype"], node["byteorder"]))
    strides = None if strides is None else tuple(strides)
    array = StoredArray(node["source"], dtype, tuple(shape), strides, offset)
    if array.size - offset < prod(shape) * dtype.itemsize or (prod(shape) and not dtype.itemsize):
        msg = f"an array of shape {shape} and strides {strides} is larger than its bytes"
        raise ValueError(msg)
    return array
