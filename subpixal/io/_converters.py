"""Converters between cutouts and ASDF."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from asdf.extension import Converter

__all__ = [
    "CollectionConverter",
    "CutoutConverter",
    "OffsetConverter",
    "RawCutouts",
    "raw_cutouts",
]

_RAW = ContextVar("raw", default=False)


@dataclass
class RawCutouts:
    """A cutout or a collection that is still a tree."""

    tree: dict
    convert: Callable[[dict], object]

    def __deepcopy__(self, memo):
        """What it is the tree of, with everything in memory."""
        return self.convert(copy.deepcopy(self.tree, memo))


@contextmanager
def raw_cutouts() -> Iterator[None]:
    """Leave cutouts trees when files are opened, so that nothing is read but the tree."""
    token = _RAW.set(True)
    try:
        yield
    finally:
        _RAW.reset(token)


class CutoutConverter(Converter):
    """A cutout, with 2-D planes."""

    tags = ("asdf://subpixal.org/tags/cutout-*",)
    # As a string, the class is not imported before there is one.
    types = ("subpixal.cutout.Cutout",)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of a cutout."""
        from ._cutout_tree import cutout_to_tree

        return cutout_to_tree(obj)

    def from_yaml_tree(self, node, tag, ctx):
        """Cutout of a tree."""
        from ._cutout_tree import tree_to_cutout

        return RawCutouts(node, tree_to_cutout) if _RAW.get() else tree_to_cutout(node)


class CollectionConverter(Converter):
    """A collection, with columns and pixels in blocks."""

    tags = ("asdf://subpixal.org/tags/cutout_collection-*",)
    types = ("subpixal.cutout.CutoutCollection", RawCutouts)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of a collection."""
        from ._collection_tree import collection_to_tree

        return obj.tree if isinstance(obj, RawCutouts) else collection_to_tree(obj)

    def from_yaml_tree(self, node, tag, ctx):
        """Collection of a tree, with pixels of its own."""
        from ._collection_tree import tree_to_collection

        if _RAW.get():
            return RawCutouts(node, tree_to_collection)
        return tree_to_collection(node)


class OffsetConverter(Converter):
    """A WCS that is seen from another origin."""

    tags = ("asdf://subpixal.org/tags/offset_wcs-*",)
    types = ("subpixal.geometry.OffsetLowLevelWCS",)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of the wrapper."""
        tree = {"wcs": obj._wcs, "offset": list(obj.offset)}
        if obj.array_shape is not None:
            tree["shape"] = [int(n) for n in obj.array_shape]
        return tree

    def from_yaml_tree(self, node, tag, ctx):
        """Wrapper of a tree."""
        from subpixal.geometry import OffsetLowLevelWCS

        return OffsetLowLevelWCS(node["wcs"], node["offset"], node.get("shape"))
