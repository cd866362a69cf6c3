"""What tells contents of archives apart."""

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

# The extensions that a file needs, in an order that no two processes share.
_HISTORY = re.compile(rb"^history:\n(?: .*\n)*", re.MULTILINE)


def content_hash(what: CutoutCollection | ImageInfo) -> str:
    """
    What only collections or images have in common that are the same in all that archives keep.

    It is the same in every process. Of pixels, the checksums count.
    """
    if isinstance(what, ImageInfo):
        tree = image_to_tree(what)
    else:
        tree = collection_to_tree(what, lambda _: None)
    file = io.BytesIO()
    asdf.AsdfFile({"found": tree}).write_to(file)
    content = _HISTORY.sub(b"", file.getbuffer(), count=1)
    return hashlib.sha256(content).hexdigest()[:32]
