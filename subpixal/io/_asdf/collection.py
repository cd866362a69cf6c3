"""
Collections as trees of core ASDF nodes, and back.

A collection is written down as it is held: images, columns, pixels in blocks.
What is absent takes no place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise

import numpy as np

from subpixal.cutout import CutoutCollection
from subpixal.cutout.storage import (
    Dropped,
    LazyPlane,
    PackedPlane,
    Selection,
    Store,
    boxes_of,
    concat_index,
    dropped_ids,
)

from .columns import (
    ids_to_tree,
    index_to_tree,
    to_number_column,
    tree_to_ids,
    tree_to_index,
    tree_to_words,
    words_to_tree,
)
from .cutout import overrides_to_tree, tree_to_overrides
from .image import image_to_tree, tree_to_image
from .pixel_blocks import BlockPixels, block_starts, check_kind, checksums, to_block

__all__ = ["collection_to_tree", "tree_to_collection"]

WORD_COLUMNS = ("status", "stage", "image", "message")


def collection_to_tree(collection: CutoutCollection, keep: Callable | None = None) -> dict:
    """
    Tree of a collection.

    Parameters
    ----------
    collection : CutoutCollection
    keep : callable, optional
        ``keep(pixels)`` returns the pixels of a block in memory that may be held
        until the tree is written.

    Returns
    -------
    dict
        As the schema of a collection describes it. Arrays are views of the pixels
        of the collection where they can be.
    """
    groups, selection = collection.selection.group()
    images = {}
    for (store, _), *_ in groups:
        images.setdefault(store.image.sharing_key, (len(images), store.image))
    numbers = {key: number for key, (number, _) in images.items()}
    tree = {
        "images": [image_to_tree(image) for _, image in images.values()],
        "parts": [
            {"image": numbers[members[0][0].image.sharing_key], **_part_to_tree(members, keep)}
            for members in groups
        ],
    }
    which, rows = selection.store_index, selection.row_index
    if not _is_in_order(which, rows):
        tree["order"] = {"part": which.astype(np.int32), "row": rows.astype(np.int32)}
    if collection.dropped_groups:
        tree["dropped"] = _dropped_to_tree(collection.dropped_groups)
    return tree


def _is_in_order(which, rows) -> bool:
    """Whether the cutouts of the parts follow one another."""
    first = np.flatnonzero(np.diff(which, prepend=-1))
    expected = np.arange(len(which)) - np.repeat(first, np.diff(first, append=len(which)))
    return bool((np.diff(which) >= 0).all() and np.array_equal(rows, expected))


def _part_to_tree(members, keep) -> dict:
    """Columns and blocks of cutouts of one image that have the same planes."""
    store, (first_store, first_rows) = concat_index(members), members[0]
    size = boxes_of(store.index).area
    dtypes = first_store.plane_dtypes(first_rows[0])
    for name, dtype in dtypes.items():
        check_kind(name, dtype)
    first = block_starts(size, max(dtype.itemsize for dtype in dtypes.values()))
    blocks, crc = {name: [] for name in dtypes}, []
    for begin, end in zip(first, [*first[1:], len(size)], strict=True):
        pixels = [_pixels(members, name, begin, end) for name in dtypes]
        crc.append(checksums(pixels, size[begin:end]))
        for name, some in zip(dtypes, pixels, strict=True):
            block = to_block(name, some)
            blocks[name].append(keep(block) if keep else block)
    tree = {
        "id": ids_to_tree(store.ids),
        "index": index_to_tree(store.index),
        "first": first,
        "checksum": np.concatenate(crc),
        "planes": blocks,
    }
    if store.overrides:
        tree["overrides"] = [
            {"row": i, **overrides_to_tree(own)} for i, own in sorted(store.overrides.items())
        ]
    return tree


def _pixels(members, name, begin, end) -> np.ndarray:
    """Pixels of some of the cutouts of a part, one cutout after the other."""
    before = np.cumsum([0, *(len(rows) for _, rows in members)])
    here = range(np.searchsorted(before, begin, side="right") - 1, np.searchsorted(before, end))
    pieces = []
    for k in here:
        store, rows = members[k]
        some = rows[max(begin - before[k], 0) : end - before[k]]
        pieces.append(store.get_pixels(name, some))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _dropped_to_tree(dropped) -> dict:
    counts = [len(group.id) for group in dropped]
    tree = {"id": ids_to_tree(dropped_ids(dropped))}
    for name in WORD_COLUMNS:
        column = [getattr(group, name) for group in dropped]
        words = {word: k for k, word in enumerate(dict.fromkeys(column))}
        dtype = np.min_scalar_type(len(words))
        numbers = np.repeat(np.array([words[word] for word in column], dtype), counts)
        tree[name] = words_to_tree(list(words), numbers)
    return tree


def tree_to_collection(tree: Mapping, source=None, *, lazy: bool = False) -> CutoutCollection:
    """
    Collection of a tree.

    Parameters
    ----------
    tree : mapping
        As the schema of a collection describes it.
    source : Source, optional
        Where blocks of pixels are read; by default in the tree itself.
    lazy : bool
        Whether pixels are read when they are asked for, or all of them now.

    Returns
    -------
    CutoutCollection

    Raises
    ------
    ValueError, KeyError, TypeError
        If the tree is not as it must be.
    """
    source = source or _TreeSource(tree)
    images = [tree_to_image(image) for image in tree["images"]]
    stores = []
    for number, part in enumerate(tree["parts"]):
        store, pixels = _tree_to_store(part, images, partial(source.block, number), source.name)
        for name, dtype in pixels.dtypes.items():
            store.planes[name] = LazyPlane(partial(pixels.fetch, name), dtype)
        if not lazy:
            store.planes = {name: PackedPlane(flat) for name, flat in pixels.everything().items()}
        stores.append(store)
    selection = _tree_to_selection(tree.get("order"), stores)
    dropped = _tree_to_dropped(tree["dropped"]) if "dropped" in tree else ()
    return CutoutCollection.from_selection(selection, dropped)


class _TreeSource:
    """Blocks of pixels in a tree."""

    name = "ASDF"

    def __init__(self, tree) -> None:
        self._tree = tree

    def block(self, part, plane, k) -> np.ndarray:
        return np.asarray(self._tree["parts"][part]["planes"][plane][k])


def _tree_to_selection(tree: Mapping | None, stores: list[Store]) -> Selection:
    """Return the cutouts of all parts in their order."""
    if tree is None:
        return Selection.of_stores(stores)
    count = len(tree["part"])
    which, rows = (to_number_column(name, tree[name], count, "i") for name in ("part", "row"))
    sizes = np.array([len(store.index) for store in stores], int)
    if (
        not ((which >= 0) & (which < len(stores)) & (rows >= 0)).all()
        or (rows >= sizes[which]).any()
    ):
        msg = "the order contains cutouts that do not exist"
        raise ValueError(msg)
    return Selection(tuple(stores), which.astype(np.intp), rows.astype(np.intp))


def _tree_to_store(tree: Mapping, images, read, where) -> tuple[Store, BlockPixels]:
    ids = tree_to_ids(tree["id"])
    # Before room is made for all columns.
    to_number_column("checksum", tree["checksum"], len(ids), "u")
    index = tree_to_index(tree["index"], len(ids))
    if not 0 <= tree["image"] < len(images) or not len(ids):
        msg = f"a part has {len(ids)} cutouts of image {tree['image']}, there are {len(images)}"
        raise ValueError(msg)
    size = boxes_of(index).area
    pixels = BlockPixels(index["start"].copy(), size, tree, read, where)
    overrides = {}
    for entry in tree.get("overrides", ()):
        if not 0 <= entry["row"] < len(ids) or entry["row"] in overrides:
            msg = f"a part of {len(ids)} cutouts says something of cutout {entry['row']} (again)"
            raise ValueError(msg)
        overrides[entry["row"]] = tree_to_overrides(entry)
    return Store(images[tree["image"]], index, ids, overrides=overrides), pixels


def _tree_to_dropped(tree: Mapping) -> list[Dropped]:
    ids = tree_to_ids(tree["id"])
    words, numbers = zip(
        *(tree_to_words(name, tree[name], len(ids)) for name in WORD_COLUMNS), strict=True
    )
    # Sources that follow one another, and were dropped for the same reason.
    new = np.zeros(len(ids), bool)
    new[:1] = True
    for column in numbers:
        new[1:] |= np.diff(column) != 0
    return [
        Dropped(ids[a:b], *(known[column[a]] for known, column in zip(words, numbers, strict=True)))
        for a, b in pairwise([*np.flatnonzero(new).tolist(), len(ids)])
    ]
