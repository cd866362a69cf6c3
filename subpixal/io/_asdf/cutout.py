"""Convert single cutouts to trees of core ASDF nodes and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from subpixal.cutout import Cutout
from subpixal.cutout.storage import FROM_IMAGE, Overrides, Store
from subpixal.geometry import PixelBox
from subpixal.image import PLANES

from .columns import id_to_tree, index_to_tree, tree_to_id, tree_to_index
from .image import (
    image_to_tree,
    psf_to_tree,
    tree_to_image,
    tree_to_uncertainty,
    uncertainty_to_tree,
)
from .metadata import meta_to_tree
from .pixel_blocks import check_kind

__all__ = ["cutout_to_tree", "overrides_to_tree", "tree_to_cutout", "tree_to_overrides"]


def cutout_to_tree(cutout: Cutout) -> dict[str, Any]:
    """Return the tree of a cutout, with its image, one number for each column, and 2-D planes."""
    store = cutout.store
    row = cutout.row
    existing = store.existing_planes(row)
    planes = {name: np.ascontiguousarray(pixels) for name, pixels in existing.items()}
    for name, pixels in planes.items():
        check_kind(name, pixels.dtype)
    return {
        "id": id_to_tree(cutout.src_id),
        "image": image_to_tree(store.image),
        "index": index_to_tree(store.index[row : row + 1]),
        "planes": planes,
        **overrides_to_tree(store.get_overrides(row)),
    }


def tree_to_cutout(tree: Mapping[str, Any]) -> Cutout:
    """
    Return the cutout that a tree describes.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the tree does not conform to the schema, or if a plane has a wrong shape.
    """
    index = tree_to_index(tree["index"], 1)
    shape = int(index["height"][0]), int(index["width"][0])
    planes = tree["planes"]
    if not {"data", "mask"} <= set(planes) <= set(PLANES):
        msg = f"a cutout has the planes {list(planes)}"
        raise ValueError(msg)
    overrides = tree_to_overrides(tree)
    overrides.planes = {n: _tree_to_plane(n, node, shape) for n, node in planes.items()}
    ids = np.empty(1, object)
    ids[0] = tree_to_id(tree.get("id"))
    store = Store(tree_to_image(tree["image"]), index, ids, overrides={0: overrides})
    return Cutout.from_store(store, 0)


def _tree_to_plane(name: str, node: Any, shape: tuple[int, int]) -> NDArray[Any]:
    if tuple(node.shape) != shape:
        msg = f"the plane {name!r} of a cutout has shape {node.shape}, not {shape}"
        raise ValueError(msg)
    pixels = np.asarray(node)
    check_kind(name, pixels.dtype)
    if not pixels.flags.c_contiguous:
        msg = f"the plane {name!r} of a cutout has strides {pixels.strides}"
        raise ValueError(msg)
    return pixels.copy()


def overrides_to_tree(overrides: Overrides) -> dict[str, Any]:
    """Return the tree of the overrides of a cutout, without planes."""
    tree: dict[str, Any] = {}
    meta = meta_to_tree(overrides.meta or None, "a cutout")
    if meta is not None:
        tree["meta"] = meta
    if overrides.psf is not FROM_IMAGE:
        tree["psf"] = psf_to_tree(overrides.psf, "the PSF of a cutout")
    if overrides.uncertainty_type is not None:
        tree["uncertainty"] = uncertainty_to_tree(*overrides.uncertainty_type)
    if overrides.parent_box is not None:
        tree["parent_box"] = [*overrides.parent_box.blc, *overrides.parent_box.trc]
    return tree


def tree_to_overrides(tree: Mapping[str, Any]) -> Overrides:
    """Return the overrides of a cutout, without planes, from their tree."""
    overrides = Overrides()
    # Copy values, because their arrays may refer to the file, which will be closed.
    if "meta" in tree:
        overrides.meta = copy.deepcopy(tree["meta"])
    if "psf" in tree:
        overrides.psf = copy.deepcopy(tree["psf"])
    if "uncertainty" in tree:
        overrides.uncertainty_type = tree_to_uncertainty(tree["uncertainty"])
    if "parent_box" in tree:
        overrides.parent_box = PixelBox(*tree["parent_box"])
    return overrides
