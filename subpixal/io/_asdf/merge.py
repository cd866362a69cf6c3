"""Many archives made one, without their pixels in memory."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

import numpy as np

from subpixal.cutout import CutoutCollection
from subpixal.cutout.storage import concat_index
from subpixal.image import ImageInfo
from subpixal.io.paths import check_archive

from .archive import read_any, write_asdf
from .collection import collection_to_tree
from .content_hash import content_hash
from .converters import CollectionTree
from .reader import is_mapped

__all__ = ["merge_archives"]

# Archives that are open at a time where nobody says how many files may be.
MOST = 100

# Bytes of a file that are mapped at a time, and multiples of which arrays begin at.
PIECE = 1 << 30

ALIGNED = 16


def merge_archives(paths: Iterable, output, *, overwrite=False, compression=None) -> None:
    """
    Write the cutouts of archives to one archive.

    Images, and primary cutouts that are the same in all they have, are in the new
    archive once: archives of several exposures share them. The output may be one of the
    inputs.

    Parameters
    ----------
    paths : iterable of str or path
        ASDF files of cutouts, in the order in which their cutouts follow.
    output : str or path
        ASDF file that is written.
    overwrite : bool
        Whether an existing file may be replaced.
    compression : str, optional
        How arrays are compressed: ``'zlib'``, ``'bzp2'``, ``'lz4'``, or what else
        asdf knows.

    Raises
    ------
    OSError
        If an archive cannot be read, or the output exists and ``overwrite`` is
        false, or cannot be written.
    TypeError, ValueError
        If the paths are one name, a file is there twice, the output is named as a FITS
        file, or asdf does not know the compression. In any case, nothing is written.
    """
    if isinstance(paths, str | os.PathLike):
        msg = f"paths must be names of files, not one name: [{os.fspath(paths)!r}]"
        raise TypeError(msg)
    check_archive(output, overwrite=overwrite, compression=compression)
    paths, most = list(paths), _most()
    path, times = Counter(map(os.path.realpath, paths)).most_common(1)[0] if paths else ("", 0)
    if times > 1:
        msg = f"paths must be different files, {path} is there {times} times"
        raise ValueError(msg)
    with tempfile.TemporaryDirectory(prefix=".merge-", dir=Path(output).resolve().parent) as folder:
        for number in count():
            if len(paths) <= most:
                break
            groups = [paths[k : k + most] for k in range(0, len(paths), most)]
            paths = [Path(folder) / f"{number}-{k}.asdf" for k in range(len(groups))]
            for group, path in zip(groups, paths, strict=True):
                # Not compressed, or it would have to be put aside to be read.
                _merge(group, path)
        _merge(paths, output, overwrite=overwrite, compression=compression)


def _most() -> int:
    """How many archives may be open at a time: each takes two files, what is put aside some."""
    with suppress(ImportError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            return max(2, (limit - len([*Path("/dev/fd").iterdir()])) // 3)
    return MOST


def _merge(paths, output, **options) -> None:
    images, found = {}, [read_any(path) for path in paths]
    merged = _without_repeated([_with_known_images(some, images) for some in found])
    with tempfile.TemporaryFile(dir=Path(output).resolve().parent) as file:
        tree = collection_to_tree(merged, _SpillFile(file).spill)
        write_asdf(CollectionTree(tree), output, **options)


def _with_known_images(cutouts: CutoutCollection, images: dict[str, ImageInfo]) -> CutoutCollection:
    """The cutouts, with the image of an earlier archive where it is the same."""
    known = {
        store.image: images.setdefault(content_hash(store.image), store.image)
        for store in cutouts.selection.stores
    }
    selection = cutouts.selection
    stores = [store.with_image(known[store.image]) for store in selection.stores]
    return CutoutCollection.from_selection(selection.with_stores(stores), cutouts.dropped_groups)


def _without_repeated(found: list[CutoutCollection]) -> CutoutCollection:
    """The cutouts of archives, without primary cutouts that an archive before has."""
    cutouts = sum(found, CutoutCollection())
    archive = np.repeat(np.arange(len(found)), [*map(len, found)])
    new, numbers = np.ones(len(cutouts), bool), cutouts.image_numbers
    for k, image in enumerate(cutouts.images):
        here = np.flatnonzero(numbers == k)
        # Of images that one archive has no pixels need be read.
        if image.stage == "primary" and np.ptp(archive[here]):
            first = {}
            keys = zip(_keys(cutouts[here]), archive[here].tolist(), strict=True)
            new[here] = [first.setdefault(key, number) == number for key, number in keys]
    dropped, first, sharing = [], {}, set(archive[~new].tolist())
    for number, group in (
        (k, group) for k, some in enumerate(found) for group in some.dropped_groups
    ):
        before = number
        if group.stage == "primary":
            before = first.setdefault((*group.id.tolist(), *group[1:]), number)
        if before == number or number not in sharing:
            dropped.append(group)
    return cutouts[new].with_dropped(dropped)


def _keys(cutouts: CutoutCollection) -> list[tuple]:
    """What only cutouts of an image have in common that are the same in all they have."""
    groups, selection = cutouts.selection.group()
    parts = collection_to_tree(cutouts, lambda _: None)["parts"]
    keys = []
    for number, (members, part) in enumerate(zip(groups, parts, strict=True)):
        store = concat_index(members)
        store.index["start"] = 0
        own = {row: pickle.dumps(rest) for row, rest in store.overrides.items()}
        columns = store.ids.tolist(), map(bytes, store.index), part["checksum"].tolist()
        rows_of_part = enumerate(zip(*columns, strict=True))
        keys.append([(number, own.get(row), *key) for row, key in rows_of_part])
    places = zip(selection.store_index.tolist(), selection.row_index.tolist(), strict=True)
    return [keys[k][row] for k, row in places]


class _SpillFile:
    """Pixels in a file that are mapped in large pieces: each piece takes a file that is open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._begin, self._stop = file, 0, 0
        self._mapped = np.empty(0, np.uint8)

    def spill(self, pixels: np.ndarray) -> np.ndarray:
        """The same pixels, not in memory."""
        if is_mapped(pixels) or not pixels.size:
            return pixels
        if self._stop + pixels.nbytes > self._begin + self._mapped.size:
            self._begin = self._stop = -(-self._stop // ALIGNED) * ALIGNED
            size = max(PIECE, pixels.nbytes)
            # What is not written to takes no place on the disk.
            self._file.truncate(self._begin + size)
            self._mapped = np.memmap(self._file, np.uint8, "r", self._begin, (size,))
        self._file.seek(self._stop)
        # Writing to what is mapped would end the process when the disk is full.
        self._file.write(np.ascontiguousarray(pixels).data)
        self._file.flush()
        begin = self._stop - self._begin
        self._stop += -(-pixels.nbytes // ALIGNED) * ALIGNED
        return np.ndarray(pixels.shape, pixels.dtype, self._mapped, begin)
