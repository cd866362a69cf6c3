"""
Convert collections to trees of core ASDF nodes and back.

The tree contains the images and the parts. A part contains cutouts of one image that have the same
planes, as columns of numbers and blocks of pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

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

if TYPE_CHECKING:
    from subpixal.cutout.storage import Members
    from subpixal.image import ImageInfo

__all__ = ["collection_to_tree", "tree_to_collection"]

# Function that moves the pixels of a block out of memory, and returns a replacement.
Spill = Callable[[NDArray[Any]], Any]

WORD_COLUMNS = ("status", "stage", "image", "message")


def collection_to_tree(collection: CutoutCollection, spill: Spill | None = None) -> dict[str, Any]:
    """
    Return the tree of a collection.

    Parameters
    ----------
    collection : CutoutCollection
        The collection.
    spill : callable, optional
        Function that moves the pixels of each block out of memory. ``spill(pixels)`` returns a
        replacement, such as a memory map.

    Returns
    -------
    dict
        Tree that conforms to the schema of a collection. Where possible, arrays are views of the
        pixels of the collection.
    """
    groups, selection = collection.selection.group()
    images: dict[tuple[Any, ...], ImageInfo] = {}
    for (store, _), *_ in groups:
        images.setdefault(store.image.sharing_key, store.image)
    numbers = {key: number for number, key in enumerate(images)}
    tree: dict[str, Any] = {
        "images": [image_to_tree(image) for image in images.values()],
        "parts": [
            {"image": numbers[members[0][0].image.sharing_key], **_part_to_tree(members, spill)}
            for members in groups
        ],
    }
    parts = selection.store_index
    rows = selection.row_index
    if not _is_in_order(parts, rows):
        tree["order"] = {"part": parts.astype(np.int32), "row": rows.astype(np.int32)}
    if collection.dropped_groups:
        tree["dropped"] = _dropped_to_tree(collection.dropped_groups)
    return tree


def _is_in_order(parts: NDArray[np.intp], rows: NDArray[np.intp]) -> bool:
    """Return `True` if the order of the collection is that of the parts and of the rows in them."""
    first = np.flatnonzero(np.diff(parts, prepend=-1))
    expected = np.arange(len(parts)) - np.repeat(first, np.diff(first, append=len(parts)))
    return bool((np.diff(parts) >= 0).all() and np.array_equal(rows, expected))


def _part_to_tree(members: Members, spill: Spill | None) -> dict[str, Any]:
    """Return the columns and the blocks of pixels of a part."""
    store = concat_index(members)
    first_store, first_rows = members[0]
    size = boxes_of(store.index).area
    dtypes = first_store.plane_dtypes(first_rows[0])
    for name, dtype in dtypes.items():
        check_kind(name, dtype)
    first = block_starts(size, max(dtype.itemsize for dtype in dtypes.values()))
    blocks: dict[str, list[Any]] = {name: [] for name in dtypes}
    crc = []
    for begin, end in pairwise([*first, len(size)]):
        planes = {name: _get_pixels(members, name, begin, end) for name in dtypes}
        crc.append(checksums(list(planes.values()), size[begin:end]))
        for name, pixels in planes.items():
            block = to_block(name, pixels)
            blocks[name].append(spill(block) if spill else block)
    tree = {
        "id": ids_to_tree(store.ids),
        "index": index_to_tree(store.index),
        "first": first,
        "checksum": np.concatenate(crc),
        "planes": blocks,
    }
    if store.overrides:
        tree["overrides"] = [
            {"row": row, **overrides_to_tree(overrides)}
            for row, overrides in sorted(store.overrides.items())
        ]
    return tree


def _get_pixels(members: Members, name: str, begin: int, end: int) -> NDArray[Any]:
    """Return the pixels of the cutouts from ``begin`` to ``end``, one cutout after the other."""
    before = np.cumsum([0, *(len(rows) for _, rows in members)])
    first = int(np.searchsorted(before, begin, side="right")) - 1
    stop = int(np.searchsorted(before, end))
    pieces = []
    for k in range(first, stop):
        store, rows = members[k]
        some = rows[max(begin - before[k], 0) : end - before[k]]
        pieces.append(store.get_pixels(name, some))
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def _dropped_to_tree(dropped: Sequence[Dropped]) -> dict[str, Any]:
    counts = [len(group.id) for group in dropped]
    tree = {"id": ids_to_tree(dropped_ids(dropped))}
    for name in WORD_COLUMNS:
        column = [getattr(group, name) for group in dropped]
        words = {word: k for k, word in enumerate(dict.fromkeys(column))}
        dtype = np.min_scalar_type(len(words))
        numbers = np.repeat(np.array([words[word] for word in column], dtype), counts)
        tree[name] = words_to_tree(list(words), numbers)
    return tree


def tree_to_collection(
    tree: Mapping[str, Any], reader: Any = None, *, lazy: bool = False
) -> CutoutCollection:
    """
    Return the collection that a tree describes.

    Parameters
    ----------
    tree : mapping
        Tree as the schema of a collection describes it.
    reader : ASDFReader, optional
        Reader of the blocks of pixels. By default, the blocks are taken from the tree.
    lazy : bool
        `True` to read pixels at each access, `False` to read all pixels now.

    Returns
    -------
    CutoutCollection

    Raises
    ------
    ValueError, KeyError, TypeError
        If the tree does not conform to the schema, or if its nodes contradict each other.
    """
    reader = reader or _TreeReader(tree)
    images = [tree_to_image(image) for image in tree["images"]]
    stores = []
    for number, part in enumerate(tree["parts"]):
        store, pixels = _tree_to_store(part, images, partial(reader.block, number), reader.name)
        if lazy:
            for name, dtype in pixels.dtypes.items():
                store.planes[name] = LazyPlane(partial(pixels.fetch, name), dtype)
        else:
            for name, flat in pixels.read_all().items():
                store.planes[name] = PackedPlane(flat)
        stores.append(store)
    selection = _tree_to_selection(tree.get("order"), stores)
    dropped = _tree_to_dropped(tree["dropped"]) if "dropped" in tree else ()
    return CutoutCollection.from_selection(selection, dropped)


class _TreeReader:
    """Reader that takes blocks of pixels from the tree."""

    name = "ASDF"

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = tree

    def block(self, part: int, plane: str, number: int) -> NDArray[Any]:
        """Return a block of pixels."""
        return np.asarray(self._tree["parts"][part]["planes"][plane][number])


def _tree_to_selection(tree: Mapping[str, Any] | None, stores: Sequence[Store]) -> Selection:
    """Return the cutouts of all parts, in the order of the collection."""
    if tree is None:
        return Selection.of_stores(stores)
    count = len(tree["part"])
    parts = to_number_column("part", tree["part"], count, "i").astype(np.intp)
    rows = to_number_column("row", tree["row"], count, "i").astype(np.intp)
    sizes = np.array([len(store.index) for store in stores], int)
    is_part = (parts >= 0) & (parts < len(stores))
    if not is_part.all() or not ((rows >= 0) & (rows < sizes[parts])).all():
        msg = "the order contains cutouts that do not exist"
        raise ValueError(msg)
    return Selection(tuple(stores), parts, rows)


def _tree_to_store(
    tree: Mapping[str, Any],
    images: Sequence[ImageInfo],
    read: Callable[[str, int], NDArray[Any]],
    file_name: str,
) -> tuple[Store, BlockPixels]:
    """Return a store of the cutouts of a part without planes, and an object to read the pixels."""
    ids = tree_to_ids(tree["id"])
    # Check the number of cutouts here, before memory for the columns is allocated.
    to_number_column("checksum", tree["checksum"], len(ids), "u")
    index = tree_to_index(tree["index"], len(ids))
    if not 0 <= tree["image"] < len(images) or not len(ids):
        msg = f"a part has {len(ids)} cutouts of image {tree['image']}, there are {len(images)}"
        raise ValueError(msg)
    size = boxes_of(index).area
    pixels = BlockPixels(index["start"].copy(), size, tree, read, file_name)
    overrides = {}
    for entry in tree.get("overrides", ()):
        row = entry["row"]
        if not 0 <= row < len(ids) or row in overrides:
            msg = f"the overrides of cutout {row} of {len(ids)} do not belong to one cutout"
            raise ValueError(msg)
        overrides[row] = tree_to_overrides(entry)
    return Store(images[tree["image"]], index, ids, overrides=overrides), pixels


def _tree_to_dropped(tree: Mapping[str, Any]) -> Iterable[Dropped]:
    """Return groups of dropped sources. Consecutive sources with the same words are one group."""
    ids = tree_to_ids(tree["id"])
    columns = [tree_to_words(name, tree[name], len(ids)) for name in WORD_COLUMNS]
    is_first = np.zeros(len(ids), bool)
    is_first[:1] = True
    for _, numbers in columns:
        is_first[1:] |= np.diff(numbers) != 0
    return [
        Dropped(ids[begin:end], *(words[numbers[begin]] for words, numbers in columns))
        for begin, end in pairwise([*np.flatnonzero(is_first).tolist(), len(ids)])
    ]
