"""Converters between cutouts and ASDF."""

from __future__ import annotations

from asdf.extension import Converter

__all__ = [
    "CollectionConverter",
    "CollectionTree",
    "CutoutConverter",
    "FITSWCSConverter",
    "OffsetConverter",
]


class CollectionTree(dict):
    """The tree of a collection, written as the collection is."""


class CutoutConverter(Converter):
    """A cutout, with 2-D planes."""

    tags = ("asdf://subpixal.org/tags/cutout-*",)
    # As a string, the class is not imported before there is one.
    types = ("subpixal.cutout.Cutout",)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of a cutout."""
        from .cutout import cutout_to_tree

        return cutout_to_tree(obj)

    def from_yaml_tree(self, node, tag, ctx):
        """Cutout of a tree."""
        from .cutout import tree_to_cutout

        return tree_to_cutout(node)


class CollectionConverter(Converter):
    """A collection, with columns and pixels in blocks."""

    tags = ("asdf://subpixal.org/tags/cutout_collection-*",)
    types = ("subpixal.cutout.CutoutCollection", CollectionTree)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of a collection."""
        from .collection import collection_to_tree

        return dict(obj) if isinstance(obj, CollectionTree) else collection_to_tree(obj)

    def from_yaml_tree(self, node, tag, ctx):
        """Collection of a tree, with pixels of its own."""
        from .collection import tree_to_collection

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


class FITSWCSConverter(Converter):
    """A FITS WCS with exact values, which is read as an `astropy.wcs.WCS`."""

    tags = ("asdf://subpixal.org/tags/fits_wcs-*",)
    types = ("subpixal.geometry.fits_wcs.ExactWCS",)

    def to_yaml_tree(self, obj, tag, ctx):
        """Tree of the WCS."""
        from subpixal.geometry.fits_wcs import exact_state

        return exact_state(obj.wcs)

    def from_yaml_tree(self, node, tag, ctx):
        """WCS of a tree."""
        from subpixal.geometry.fits_wcs import restore_state

        return restore_state(node)
