"""Merge archives without loading their pixels into memory."""

from __future__ import annotations

import os
import pickle
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from subpixal.cutout import CutoutCollection
from subpixal.cutout.storage import Dropped, concat_index
from subpixal.image import ImageInfo
from subpixal.io.paths import check_archive

from .archive import read_any, write_asdf
from .collection import collection_to_tree
from .content_hash import content_hash
from .converters import CollectionTree
from .reader import is_mapped

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["merge_archives"]

# Largest number of archives to open at the same time, if the system does not limit open files.
DEFAULT_OPEN_ARCHIVES = 100

# Size of the pieces in which the spill file is mapped, in bytes. Arrays in the file start at
# multiples of `ALIGNMENT`.
MAPPED_BYTES = 1 << 30

ALIGNMENT = 16


def merge_archives(
    paths: Iterable[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compression: str | None = None,
) -> None:
    """
    Merge the cutouts of several archives into one archive.

    Archives of several exposures may contain the same images and the same primary cutouts. The
    output contains each of them only once. The output may replace one of the inputs.

    Parameters
    ----------
    paths : iterable of str or path
        ASDF files of cutouts. Their order determines the order of the cutouts in the output.
    output : str or path
        Name of the new ASDF file.
    overwrite : bool
        Whether an existing file may be replaced.
    compression : str, optional
        Compression of arrays: ``'zlib'``, ``'bzp2'``, ``'lz4'``, or another method of asdf.

    Raises
    ------
    OSError
        If an archive cannot be read, if the output exists and ``overwrite`` is false, or if
        the output cannot be written.
    TypeError, ValueError
        If ``paths`` is a single name or contains a file twice, if the name of the output is that of
        a FITS file, or if the compression is unknown. In these cases, no file is written.
    """
    if isinstance(paths, str | os.PathLike):
        msg = f"paths must be names of files, not one name: [{os.fspath(paths)!r}]"
        raise TypeError(msg)
    check_archive(output, overwrite=overwrite, compression=compression)
    inputs = list(paths)
    _check_repeated(inputs)
    limit = _max_open_archives()
    with tempfile.TemporaryDirectory(prefix=".merge-", dir=Path(output).resolve().parent) as folder:
        for level in count():
            if len(inputs) <= limit:
                break
            groups = [inputs[k : k + limit] for k in range(0, len(inputs), limit)]
            inputs = [Path(folder) / f"{level}-{k}.asdf" for k in range(len(groups))]
            for group, path in zip(groups, inputs, strict=True):
                # Do not compress the intermediate archive, so that the next step can map it.
                _merge(group, path)
        _merge(inputs, output, overwrite=overwrite, compression=compression)


def _check_repeated(paths: list[str | os.PathLike[str]]) -> None:
    """Raise an error if two paths are the same file."""
    for path, times in Counter(map(os.path.realpath, paths)).most_common(1):
        if times > 1:
            msg = f"paths must be different files, {path} is there {times} times"
            raise ValueError(msg)


def _max_open_archives() -> int:
    """Return the largest number of archives to open. An archive needs up to three open files."""
    with suppress(ImportError, OSError):
        import resource

        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit != resource.RLIM_INFINITY:
            return max(2, (limit - len([*Path("/dev/fd").iterdir()])) // 3)
    return DEFAULT_OPEN_ARCHIVES


def _merge(paths: Iterable[str | os.PathLike[str]], output: Any, **options: Any) -> None:
    images: dict[str, ImageInfo] = {}
    parts = [_share_images(read_any(path), images) for path in paths]
    merged = _drop_repeated(parts)
    with tempfile.TemporaryFile(dir=Path(output).resolve().parent) as file:
        tree = collection_to_tree(merged, _SpillFile(file).spill)
        write_asdf(CollectionTree(tree), output, **options)


def _share_images(cutouts: CutoutCollection, images: dict[str, ImageInfo]) -> CutoutCollection:
    """Return cutouts in which images that equal earlier images are replaced by these."""
    shared = {
        store.image: images.setdefault(content_hash(store.image), store.image)
        for store in cutouts.selection.stores
    }
    selection = cutouts.selection
    stores = [store.with_image(shared[store.image]) for store in selection.stores]
    return CutoutCollection.from_selection(selection.with_stores(stores), cutouts.dropped_groups)


def _drop_repeated(parts: list[CutoutCollection]) -> CutoutCollection:
    """Join archives, and keep only the first of equal primary cutouts and dropped sources."""
    cutouts = sum(parts, CutoutCollection())
    archives = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    is_new = _find_new(cutouts, archives)
    sharing = set(archives[~is_new].tolist())
    return cutouts[is_new].with_dropped(_merge_dropped(parts, sharing))


def _find_new(cutouts: CutoutCollection, archives: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Return an array that is `False` for primary cutouts that an earlier archive also contains."""
    is_new = np.ones(len(cutouts), bool)
    numbers = cutouts.image_numbers
    for k, image in enumerate(cutouts.images):
        selected = np.flatnonzero(numbers == k)
        # If only one archive contains the image, do not read its pixels for a comparison.
        if image.stage == "primary" and np.ptp(archives[selected]):
            first: dict[tuple, int] = {}
            keys = zip(_make_keys(cutouts[selected]), archives[selected].tolist(), strict=True)
            is_new[selected] = [first.setdefault(key, archive) == archive for key, archive in keys]
    return is_new


def _merge_dropped(parts: list[CutoutCollection], sharing: set[int]) -> list[Dropped]:
    """
    Return the dropped sources of archives.

    If archives share primary cutouts, dropped sources of the primary step occur only once in the
    result.
    """
    dropped = []
    first: dict[tuple, int] = {}
    for number, part in enumerate(parts):
        for group in part.dropped_groups:
            earliest = number
            if group.stage == "primary":
                earliest = first.setdefault((*group.id.tolist(), *group[1:]), number)
            if earliest == number or number not in sharing:
                dropped.append(group)
    return dropped


def _make_keys(cutouts: CutoutCollection) -> list[tuple]:
    """Return a key for each cutout. Equal keys of cutouts of one image mean equal content."""
    groups, selection = cutouts.selection.group()
    parts = collection_to_tree(cutouts, lambda _: None)["parts"]
    keys = []
    for number, (members, part) in enumerate(zip(groups, parts, strict=True)):
        store = concat_index(members)
        store.index["start"] = 0
        overrides = {row: pickle.dumps(own) for row, own in store.overrides.items()}
        columns = store.ids.tolist(), map(bytes, store.index), part["checksum"].tolist()
        rows = enumerate(zip(*columns, strict=True))
        keys.append([(number, overrides.get(row), *key) for row, key in rows])
    places = zip(selection.store_index.tolist(), selection.row_index.tolist(), strict=True)
    return [keys[k][row] for k, row in places]


class _SpillFile:
    """Temporary file for pixels, which is mapped in large pieces, so that few maps are open."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._begin = 0
        self._stop = 0
        self._mapped: np.ndarray = np.empty(0, np.uint8)

    def spill(self, pixels: np.ndarray) -> np.ndarray:
        """Write pixels to the file, and return them as a view of a memory map."""
        if is_mapped(pixels) or not pixels.size:
            return pixels
        if self._stop + pixels.nbytes > self._begin + self._mapped.size:
            self._begin = self._stop = -(-self._stop // ALIGNMENT) * ALIGNMENT
            size = max(MAPPED_BYTES, pixels.nbytes)
            # Extend the file. Bytes that are never written need no space on the disk.
            self._file.truncate(self._begin + size)
            self._mapped = np.memmap(self._file, np.uint8, "r", self._begin, (size,))
        self._file.seek(self._stop)
        # Write to the file: writing to the map would crash the process if the disk is full.
        self._file.write(np.ascontiguousarray(pixels).data)
        self._file.flush()
        begin = self._stop - self._begin
        self._stop += -(-pixels.nbytes // ALIGNMENT) * ALIGNMENT
        return np.ndarray(pixels.shape, pixels.dtype, self._mapped, begin)
