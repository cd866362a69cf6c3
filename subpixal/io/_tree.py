"""Cutouts as trees of core ASDF nodes, and back.

A collection is written down as it is held: images, columns, flat planes. What
is absent takes no place.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from subpixal.cutout import Cutout, CutoutCollection
from subpixal.cutout._dropped import Dropped
from subpixal.cutout._planes import PLANES, PackedPlane
from subpixal.cutout._store import INDEX, KEPT, Store
from subpixal.cutout._units import DATA_UNITS
from subpixal.geometry import PixelBox

from ._image_tree import (
    image_to_tree,
    psf_to_tree,
    tree_to_image,
    tree_to_uncertainty,
    uncertainty_to_tree,
)
from ._meta_tree import meta_to_tree

__all__ = ["collection_to_tree", "cutout_to_tree", "tree_to_collection", "tree_to_cutout"]

# Columns that an index has, those that are words, and those that follow from others.
WORDS = {"status": KEPT, "data_units": DATA_UNITS}
DERIVED = ("start",)


# Single cutouts


def cutout_to_tree(cutout: Cutout) -> dict:
    """Tree of a cutout: its image, one number for each column, 2-D planes."""
    store, i = cutout._store, cutout._i
    row = {name: _scalar(name, store.index[i][name]) for name in INDEX.names}
    tree = {
        "id": cutout.src_id,
        "image": image_to_tree(store.image),
        "index": {name: value for name, value in row.items() if name not in DERIVED},
        "planes": {n: np.ascontiguousarray(store.plane(i, n)) for n in store.plane_names(i)},
        **_rest_to_tree(store.rest(i)),
    }
    return {key: value for key, value in tree.items() if value is not None}


def tree_to_cutout(tree: Mapping) -> Cutout:
    """Cutout of a tree."""
    index = np.zeros(1, INDEX)
    for name, value in tree["index"].items():
        index[name] = _number(name, value)
    ids = np.empty(1, object)
    ids[0] = tree.get("id")
    planes = {name: np.array(pixels) for name, pixels in tree["planes"].items()}
    shape = int(index["height"][0]), int(index["width"][0])
    for name, pixels in planes.items():
        if pixels.shape != shape:
            msg = f"the plane {name!r} of a cutout has shape {pixels.shape}, not {shape}"
            raise ValueError(msg)
    own = {0: planes | _tree_to_rest(tree)}
    return Cutout._of(Store(tree_to_image(tree["image"]), index, ids, own=own), 0)


def _scalar(name, value):
    return WORDS[name][value] if name in WORDS else value.item()


def _number(name, value):
    return WORDS[name].index(value) if name in WORDS else value


def _rest_to_tree(rest: dict) -> dict:
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


def _tree_to_rest(tree: Mapping) -> dict:
    rest = {name: tree[name] for name in ("meta", "psf") if name in tree}
    if "uncertainty" in tree:
        rest["uncertainty_type"] = tree_to_uncertainty(tree["uncertainty"])
    if "available" in tree:
        rest["available"] = PixelBox(*tree["available"])
    return rest


# Collections


def collection_to_tree(collection: CutoutCollection) -> dict:
    """Tree of a collection: a part for each image, and the order of the cutouts."""
    collection = collection.copy()
    tree = {"parts": [_part_to_tree(store) for store in collection._stores]}
    order = _order(collection)
    if order is not None:
        tree["order"] = order
    if collection._dropped:
        columns = zip(*collection._dropped, strict=True)
        tree["dropped"] = dict(zip(Dropped._fields, map(list, columns), strict=True))
    return tree


def _order(collection) -> dict | None:
    """Part and row of each cutout, `None` where the parts follow one another."""
    sizes = [len(store.index) for store in collection._stores]
    part = np.repeat(np.arange(len(sizes)), sizes)
    row = np.concatenate([np.arange(n) for n in sizes]) if sizes else np.empty(0, np.intp)
    if np.array_equal(part, collection._which) and np.array_equal(row, collection._rows):
        return None
    return {"part": collection._which, "row": collection._rows}


def _part_to_tree(store: Store) -> dict:
    columns = {}
    for name in INDEX.names:
        if name not in DERIVED:
            values = np.ascontiguousarray(store.index[name])
            columns[name] = _words(name, values) if name in WORDS else values
    tree = {
        "id": store.ids.tolist() if store.ids.dtype == object else store.ids,
        "image": image_to_tree(store.image),
        "index": columns,
        "planes": {name: plane.flat for name, plane in store.planes.items()},
        "own": [
            {"row": i, "planes": {n: p for n, p in own.items() if n in PLANES},
             **_rest_to_tree(store.rest(i))}
            for i, own in sorted(store.own.items())
        ],
    }  # fmt: skip
    return {key: value for key, value in tree.items() if key != "own" or value}


def _words(name, values) -> dict:
    """A column of few words: the words, and their numbers."""
    return {"words": list(WORDS[name]), "number": values}


def tree_to_collection(tree: Mapping) -> CutoutCollection:
    """Collection of a tree."""
    stores = [_tree_to_store(part) for part in tree["parts"]]
    sizes = [len(store.index) for store in stores]
    if "order" in tree:
        which, rows = np.array(tree["order"]["part"]), np.array(tree["order"]["row"])
    else:
        which = np.repeat(np.arange(len(sizes)), sizes)
        rows = np.concatenate([np.arange(n) for n in sizes]) if sizes else []
    dropped = tree.get("dropped", {})
    entries = zip(*(dropped.get(name, ()) for name in Dropped._fields), strict=True)
    return CutoutCollection._of(stores, which, rows, [Dropped(*entry) for entry in entries])


def _tree_to_store(tree: Mapping) -> Store:
    ids = tree["id"]
    if isinstance(ids, list):
        values, ids = ids, np.empty(len(ids), object)
        ids[:] = values
    index = np.zeros(len(ids), INDEX)
    for name, column in tree["index"].items():
        index[name] = _numbers(name, column) if name in WORDS else np.asarray(column)
    pixels = index["width"].astype(np.int64) * index["height"]
    index["start"] = np.cumsum(pixels) - pixels
    planes = {}
    for name, flat in tree["planes"].items():
        if np.shape(flat) != (pixels.sum(),):
            msg = f"the plane {name!r} has shape {np.shape(flat)}, not ({pixels.sum()},)"
            raise ValueError(msg)
        planes[name] = PackedPlane(np.array(flat))
    own = {}
    for entry in tree.get("own", []):
        changed = {n: None if p is None else np.array(p) for n, p in entry["planes"].items()}
        own[int(entry["row"])] = changed | _tree_to_rest(entry)
    return Store(tree_to_image(tree["image"]), index, np.array(ids), planes=planes, own=own)


def _numbers(name, column):
    words = {word: k for k, word in enumerate(WORDS[name])}
    return np.array([words[w] for w in column["words"]])[np.asarray(column["number"])]
