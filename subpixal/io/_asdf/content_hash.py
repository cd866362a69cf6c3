"""Hash of the content of images and collections."""

from __future__ import annotations

import hashlib
import io
import re

import asdf

from subpixal.cutout import CutoutCollection
from subpixal.image import ImageInfo

from .collection import collection_to_tree
from .image import image_to_tree

__all__ = ["content_hash"]

# The list of extensions that asdf writes into a file, in a random order.
_HISTORY = re.compile(rb"^history:\n(?: .*\n)*", re.MULTILINE)


def content_hash(content: CutoutCollection | ImageInfo) -> str:
    """
    Return a hash of the archive of a collection or of the tree of an image.

    Equal contents have the same hash in every process. The hash includes checksums of the pixels of
    a collection, in place of the pixels.
    """
    if isinstance(content, ImageInfo):
        tree = image_to_tree(content)
    else:
        tree = collection_to_tree(content, lambda _: None)
    file = io.BytesIO()
    asdf.AsdfFile({"found": tree}).write_to(file)
    text = _HISTORY.sub(b"", file.getbuffer(), count=1)
    return hashlib.sha256(text).hexdigest()[:32]
