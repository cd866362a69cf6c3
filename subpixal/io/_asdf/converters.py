"""Converters between objects and ASDF nodes.

asdf loads this module in every process that uses asdf. Therefore a converter imports other modules
only when asdf calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from asdf.extension import Converter

from .versions import URI, upgrade

if TYPE_CHECKING:
    from subpixal.cutout import Cutout, CutoutCollection
    from subpixal.geometry import OffsetLowLevelWCS
    from subpixal.geometry.fits_wcs import ExactWCS

__all__ = ["CONVERTERS", "CollectionTree"]


class CollectionTree(dict[str, Any]):
    """The tree of a collection. asdf writes it in the same way as a collection."""


class CutoutConverter(Converter):
    """Converter of a cutout with 2-D planes."""

    tags = (f"{URI}/tags/cutout-*",)
    # Give the name of the class, so that the class is not imported here.
    types = ("subpixal.cutout.Cutout",)

    def to_yaml_tree(self, obj: Cutout, tag: str, ctx: Any) -> dict[str, Any]:
        """Return the tree of a cutout."""
        from .cutout import cutout_to_tree

        return cutout_to_tree(obj)

    def from_yaml_tree(self, node: Any, tag: str, ctx: Any) -> Cutout:
        """Return the cutout that a tree describes."""
        from .cutout import tree_to_cutout

        return tree_to_cutout(upgrade(node, tag))


class CollectionConverter(Converter):
    """Converter of a collection with columns and blocks of pixels."""

    tags = (f"{URI}/tags/cutout_collection-*",)
    types = ("subpixal.cutout.CutoutCollection", CollectionTree)

    def to_yaml_tree(
        self, obj: CutoutCollection | CollectionTree, tag: str, ctx: Any
    ) -> dict[str, Any]:
        """Return the tree of a collection."""
        from .collection import collection_to_tree

        return dict(obj) if isinstance(obj, CollectionTree) else collection_to_tree(obj)

    def from_yaml_tree(self, node: Any, tag: str, ctx: Any) -> CutoutCollection:
        """Return the collection that a tree describes, with all pixels in memory."""
        from .collection import tree_to_collection

        return tree_to_collection(upgrade(node, tag))


class OffsetConverter(Converter):
    """Converter of a wrapper that shifts the pixel origin of a WCS."""

    tags = (f"{URI}/tags/offset_wcs-*",)
    types = ("subpixal.geometry.OffsetLowLevelWCS",)

    def to_yaml_tree(self, obj: OffsetLowLevelWCS, tag: str, ctx: Any) -> dict[str, Any]:
        """Return the tree of a wrapper."""
        tree = {"wcs": obj._wcs, "offset": list(obj.offset)}
        if obj.array_shape is not None:
            tree["shape"] = [int(n) for n in obj.array_shape]
        return tree

    def from_yaml_tree(self, node: Any, tag: str, ctx: Any) -> OffsetLowLevelWCS:
        """Return the wrapper that a tree describes."""
        from subpixal.geometry import OffsetLowLevelWCS

        node = upgrade(node, tag)
        return OffsetLowLevelWCS(node["wcs"], node["offset"], node.get("shape"))


class FITSWCSConverter(Converter):
    """Converter of a FITS WCS with exact values, which asdf reads as an `astropy.wcs.WCS`."""

    tags = (f"{URI}/tags/fits_wcs-*",)
    types = ("subpixal.geometry.fits_wcs.ExactWCS",)

    def to_yaml_tree(self, obj: ExactWCS, tag: str, ctx: Any) -> dict[str, Any]:
        """Return the tree of a WCS."""
        from subpixal.geometry.fits_wcs import exact_state

        return exact_state(obj.wcs)

    def from_yaml_tree(self, node: Any, tag: str, ctx: Any) -> Any:
        """Return the WCS that a tree describes."""
        from subpixal.geometry.fits_wcs import restore_state

        return restore_state(upgrade(node, tag))


CONVERTERS = (CutoutConverter, CollectionConverter, OffsetConverter, FITSWCSConverter)
