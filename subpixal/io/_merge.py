"""Many archives made one, without their pixels in memory."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import asdf
import numpy as np

from subpixal.cutout import Cutout, CutoutCollection
from subpixal.cutout._image import Image

from ._asdf_file import read_asdf, write_asdf
from ._collection_tree import collection_to_tree
from ._converters import CollectionTree
from ._files import refuse_existing
from ._image_tree import image_to_tree
from ._source import is_mapped

__all__ = ["merge_archives"]


def merge_archives(paths: Iterable, output, *, overwrite=False, compression=None) -> None:
    """
    Write the cutouts of archives to one archive.

    An image that is the same in several archives is in the new one once. The
    output may be one of the inputs.

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
        false. Then nothing is written.
    """
    refuse_existing(output, overwrite=overwrite)
    images, merged = {}, CutoutCollection()
    for path in paths:
        found = read_asdf(path)
        found = CutoutCollection([found]) if isinstance(found, Cutout) else found
        merged = merged + _with_known_images(found, images)
    with tempfile.TemporaryFile(dir=Path(output).resolve().parent) as spool:
        tree = collection_to_tree(merged, lambda pixels: _put_aside(pixels, spool))
        write_asdf(
            CollectionTree(tree),
            output,
            overwrite=overwrite,
            compression=compression,
        )


def _with_known_images(cutouts: CutoutCollection, images: dict[bytes, Image]) -> CutoutCollection:
    """The cutouts, with the image of an earlier archive where it is the same."""
    known = {
        store.image: images.setdefault(_fingerprint(store.image), store.image)
        for store in dict.fromkeys(cutouts._stores)
    }
    stores = [store.with_image(known[store.image]) for store in cutouts._stores]
    return CutoutCollection._of(stores, cutouts._which, cutouts._rows, cutouts._dropped)


def _fingerprint(image: Image) -> bytes:
    """What only images have in common that are the same in all that archives keep."""
    file = io.BytesIO()
    asdf.AsdfFile({"image": image_to_tree(image)}).write_to(file)
    return hashlib.sha256(file.getbuffer()).digest()


def _put_aside(pixels: np.ndarray, spool: BinaryIO) -> np.ndarray:
    """Pixels in a file, not in memory."""
    if is_mapped(pixels) or not pixels.size:
        return pixels
    offset = spool.seek(0, 2)
    spool.write(np.ascontiguousarray(pixels).data)
    spool.flush()
    return np.asarray(np.memmap(spool, pixels.dtype, "r", offset, pixels.shape))
