"""What is looked at in a file before asdf is let at it, for a file may say anything."""

from __future__ import annotations

import os
from collections.abc import Mapping
from math import prod
from typing import BinaryIO

import asdf
from asdf.tags.core.ndarray import asdf_datatype_to_numpy_dtype

from ._blocks import Blocks
from .integration import URI

__all__ = ["vet_tree"]

NDARRAY = "tag:stsci.edu:asdf/core/ndarray-"

# A tree may refer to the same node many times, but not so often that it takes ages to read.
NODES = 100_000
NODES_PER_BYTE = 10


def vet_tree(file: BinaryIO, key: str, blocks: Blocks, *, with_content: bool) -> list[dict]:
    """
    Raise if asdf would read other files, much more than there is, or what nothing vouches for.

    Parameters
    ----------
    file : file
        An ASDF file.
    key : str
        Where the cutouts are in its tree.
    blocks : Blocks
        Its blocks.
    with_content : bool
        Whether the content of blocks must have the checksums that their headers say.
        Pixels of a collection have their own checksums in the tree.

    Returns
    -------
    list of dict
        Numbers of the blocks of each part of a collection, by names of planes.

    Raises
    ------
    ValueError
        If an array is outside the file or larger than its block, if the tree was
        written by a later version of this package, or if a block is not as it was
        written.
    """
    length = file.seek(0, os.SEEK_END)
    file.seek(0)
    tree = asdf.util.load_yaml(file, tagged=True)
    nodes, pixels = _Nodes(), _Nodes()
    if nodes.count(tree) > NODES + NODES_PER_BYTE * length:
        msg = "its tree refers to the same nodes too often"
        raise ValueError(msg)
    planes = _planes(tree.get(key, {}))
    pixels.count(planes)
    for number in sorted(nodes.blocks - pixels.blocks):
        blocks.check(number, with_content=with_content)
    return [
        {name: [block.get("source") for block in some] for name, some in part.items()}
        for part in planes
    ]


def _planes(tree) -> list:
    """Nodes of the pixels of a collection."""
    parts = tree.get("parts", ()) if isinstance(tree, Mapping) else ()
    return [part.get("planes") for part in parts if isinstance(part, Mapping)]


class _Nodes:
    """What is in a tree; each node is looked at once."""

    def __init__(self) -> None:
        self._known = asdf.AsdfFile().extension_manager
        self._counts: dict[int, int] = {}
        # Numbers of the blocks that arrays are in.
        self.blocks: set[int] = set()

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
            _check_array(node)
            self.blocks.add(node["source"])


def _check_array(node) -> None:
    """Raise if an array is in another file, or has more elements than bytes."""
    if type(node["source"]) is not int or node["source"] < 0:
        msg = f"an array is not in the file but in {node['source']!r}"
        raise ValueError(msg)
    shape, strides = list(node["shape"]), node.get("strides")
    # numpy would read what is before a block.
    if not all(type(n) is int and n >= 0 for n in (*shape, node.get("offset", 0))):
        msg = f"an array has the shape {shape} and the offset {node.get('offset', 0)}"
        raise ValueError(msg)
    itemsize = asdf_datatype_to_numpy_dtype(node["datatype"], node["byteorder"]).itemsize
    # Without strides numpy sees whether the block is as large as the array.
    extent = prod(shape) * itemsize
    if strides is not None:
        extent = itemsize + sum((n - 1) * abs(s) for n, s in zip(shape, strides, strict=True))
    if prod(shape) and (not itemsize or extent < prod(shape) * itemsize):
        msg = f"an array of shape {shape} and strides {strides} is larger than its bytes"
        raise ValueError(msg)
