"""Read and write archives: ASDF files of cutouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import asdf

from subpixal.cutout import Cutout, CutoutCollection
from subpixal.io.paths import refuse_existing, replacing

from .collection import tree_to_collection
from .converters import CollectionTree
from .reader import KEY, ASDFReader, name_of
from .tree_checksum import append_tree_checksum

if TYPE_CHECKING:
    import os

__all__ = ["read_any", "read_asdf", "read_collection", "read_cutout", "write_asdf"]


def write_asdf(
    cutouts: Cutout | CutoutCollection | CollectionTree,
    path: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    compression: str | None = None,
) -> None:
    """
    Write cutouts to an ASDF file.

    Parameters
    ----------
    cutouts : Cutout or CutoutCollection
        The cutouts.
    path : str or path
        Name of the file.
    overwrite : bool
        Whether an existing file may be replaced.
    compression : str, optional
        Compression of arrays: ``'zlib'``, ``'bzp2'``, ``'lz4'``, or another method of asdf.

    Raises
    ------
    OSError
        If the file exists and ``overwrite`` is false.
    """
    refuse_existing(path, overwrite=overwrite)
    # Create the object before the context of the configuration, in which asdf would load all
    # extensions again.
    archive = asdf.AsdfFile({KEY: cutouts})
    with replacing(path) as file, asdf.config_context() as config:
        # Write no inline arrays: they are text, which does not preserve all bits.
        config.all_array_storage = config.array_inline_threshold = None
        # Write only the arrays, not the larger arrays of which they are views.
        config.default_array_save_base = False
        archive.write_to(file, all_array_compression=compression)
        append_tree_checksum(file)


def read_collection(file: Any, *, lazy: bool | None = None) -> CutoutCollection:
    """Read a collection from an ASDF file, as `read_asdf` does."""
    return read_asdf(file, CutoutCollection, lazy=lazy)


def read_cutout(file: Any) -> Cutout:
    """Read a single cutout from an ASDF file."""
    return read_asdf(file, Cutout)


def read_any(file: Any) -> CutoutCollection:
    """Read a collection or a single cutout from a file, and return a collection."""
    found = read_asdf(file)
    return CutoutCollection([found]) if isinstance(found, Cutout) else found


def read_asdf(
    file: Any,
    kind: type | tuple[type, ...] = (Cutout, CutoutCollection),
    *,
    lazy: bool | None = None,
) -> Any:
    """
    Read a cutout or a collection from an ASDF file.

    Parameters
    ----------
    file : str, path or file
        The name of a file, a URL that fsspec understands, or a file that is open for reading
        bytes.
    kind : type or tuple of type
        Class of the expected content, or several classes.
    lazy : bool, optional
        `True` to read the pixels of a collection at each access, `False` to read all pixels at
        once. The default is `True` for the name of a file. It is `False` for an open file, because
        the caller may close it.

    Returns
    -------
    Cutout or CutoutCollection
        The content of the file.

    Raises
    ------
    OSError
        If the file is missing or damaged, if its content is of another class, or if a later
        version of the package wrote the file.
    """
    name = name_of(file)
    if lazy is None:
        lazy = not hasattr(file, "read")
    found: Any
    try:
        reader = ASDFReader(file)
        found, is_collection = reader.load()
        if is_collection:
            found = tree_to_collection(found, reader, lazy=lazy)
    except FileNotFoundError as error:
        msg = f"{name}: the file does not exist"
        raise FileNotFoundError(msg) from error
    except ImportError:
        raise
    except Exception as error:
        msg = f"{name} cannot be read as an ASDF file of cutouts: {error}"
        raise OSError(msg) from error
    if not isinstance(found, kind):
        raise OSError(_unexpected(name, found, kind))
    return found


def _unexpected(name: str, found: Any, kind: type | tuple[type, ...]) -> str:
    """Return the message of the error for a file whose content has another class."""
    expected = kind.__name__ if isinstance(kind, type) else "cutouts"
    content = "nothing" if found is None else f"a {type(found).__name__}"
    return (
        f"{name} holds no {expected} under {KEY!r} but {content}; "
        "use asdf.open for other content of the file"
    )
