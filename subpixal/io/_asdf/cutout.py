"""Single cutouts as trees of core ASDF nodes, and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import numpy as np

from subpixal.cutout import Cutout
from subpixal.cutout.storage import Store
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

__all__ = ["cutout_to_tree", "rest_to_tree", "tree_to_cutout", "tree_to_rest"]


def cutout_to_tree(cutout: Cutout) -> dict:
    """Tree of a cutout: its image, one number for each column, 2-D planes."""
    store, i = cutout._store, cutout._i
    planes = {n: np.ascontiguousarray(store.plane(i, n)) for n in store.plane_names(i)}
    for name, pixels in planes.items():
        check_kind(name, pixels.dtype)
    return {
        "id": id_to_tree(cutout.src_id),
        "image": image_to_tree(store.image),
        "index": index_to_tree(store.index[i : i + 1]),
        "planes": planes,
        **rest_to_tree(store.rest(i)),
    }


def tree_to_cutout(tree: Mapping) -> Cutout:
    """
    Cutout of a tree.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the tree is not as it must be.
    """
    index = tree_to_index(tree["index"], 1)
    shape = int(index["height"][0]), int(index["width"][0])
    planes = tree["planes"]
    if not {"data", "mask"} <= set(planes) <= set(PLANES):
        msg = f"a cutout has the planes {list(planes)}"
        raise ValueError(msg)
    own = {name: _tree_to_plane(name, node, shape) for name, node in planes.items()}
    own |= tree_to_rest(tree)
    ids = np.empty(1, object)
    ids[0] = tree_to_id(tree.get("id"))
    return Cutout._of(Store(tree_to_image(tree["image"]), index, ids, own={0: own}), 0)


def _tree_to_plane(name, node, shape) -> np.ndarray:
    if tuple(node.shape) != shape:
        msg = f"the plane {name!r} of a cutout has shape {node.shape}, not {shape}"
        raise ValueError(msg)
    pixels = np.asarray(node)
    check_kind(name, pixels.dtype)
    if not pixels.flags.c_contiguous:
        msg = f"the plane {name!r} of a cutout has strides {pixels.strides}"
        raise ValueError(msg)
    return pixels.copy()


def rest_to_tree(rest: Mapping) -> dict:
    """What a cutout has of its own besides planes."""
    tree = {}
    meta = meta_to_tree(rest.get("meta"), "a cutout")
    if meta is not None:
        tree["meta"] = meta
    if "psf" in rest:
        tree["psf"] = psf_to_tree(rest["psf"], "the PSF of a cutout")
    if "uncertainty_type" in rest:
        tree["uncertainty"] = uncertainty_to_tree(*rest["uncertainty_type"])
    if "available" in rest:
        tree["available"] = [*rest["available"].blc, *rest["available"].trc]
    return tree


def tree_to_rest(tree: Mapping) -> dict:
    """What a cutout has of its own besides planes, of the tree."""
    # Arrays in them may wait for the file, which will be closed.
    rest = {name: copy.deepcopy(tree[name]) for name in ("meta", "psf") if name in tree}
    if "uncertainty" in tree:
        rest["uncertainty_type"] = tree_to_uncertainty(tree["uncertainty"])
    if "available" in tree:
        rest["available"] = PixelBox(*tree["available"])
    return rest
