"""ASDF files of cutouts."""

from __future__ import annotations

import asdf

from subpixal.cutout import Cutout, CutoutCollection
from subpixal.io.paths import refuse_existing, replacing

from .collection import tree_to_collection
from .reader import KEY, ASDFReader, name_of
from .tree_checksum import append_tree_checksum

__all__ = ["read_any", "read_asdf", "read_collection", "read_cutout", "write_asdf"]


def write_asdf(cutouts: Cutout | CutoutCollection, path, *, overwrite=False, compression=None):
    """
    Write cutouts to an ASDF file.

    Parameters
    ----------
    cutouts : Cutout or CutoutCollection
    path : str or path
    overwrite : bool
        Whether an existing file may be replaced.
    compression : str, optional
        How arrays are compressed: ``'zlib'``, ``'bzp2'``, ``'lz4'``, or what else
        asdf knows.

    Raises
    ------
    OSError
        If the file exists and ``overwrite`` is false.
    """
    refuse_existing(path, overwrite=overwrite)
    # Outside the context, which would load all extensions of asdf for itself.
    archive = asdf.AsdfFile({KEY: cutouts})
    with replacing(path) as file, asdf.config_context() as config:
        # Text of numbers in the tree would not be the pixels, bit for bit.
        config.all_array_storage = config.array_inline_threshold = None
        # Blocks would be all that their arrays are views of.
        config.default_array_save_base = False
        archive.write_to(file, all_array_compression=compression)
        append_tree_checksum(file)


def read_collection(file, *, lazy: bool | None = None) -> CutoutCollection:
    """Read a collection from an ASDF file, as `read_asdf` does."""
    return read_asdf(file, CutoutCollection, lazy=lazy)


def read_cutout(file) -> Cutout:
    """Read a cutout from an ASDF file."""
    return read_asdf(file, Cutout)


def read_any(file) -> CutoutCollection:
    """Read a collection, also of a file that holds a single cutout."""
    found = read_asdf(file)
    return CutoutCollection([found]) if isinstance(found, Cutout) else found


def read_asdf(
    file, kind=(Cutout, CutoutCollection), *, lazy: bool | None = None
) -> Cutout | CutoutCollection:
    """
    Read what was written to an ASDF file, a cutout or a collection.

    Parameters
    ----------
    file : str, path or file
        The name of a file, a URL that fsspec understands, or a file that is open
        for reading bytes.
    kind : type or tuple of type
        What is expected.
    lazy : bool, optional
        Whether pixels of a collection are read when they are asked for, or all of
        them now. By default they wait, except in a file that is open already:
        it must stay open then.

    Returns
    -------
    Cutout or CutoutCollection

    Raises
    ------
    OSError
        If the file is missing, damaged, holds something else, or was written by a
        later version.
    """
    name = name_of(file)
    lazy = not hasattr(file, "read") if lazy is None else lazy
    try:
        source = ASDFReader(file)
        found, is_collection = source.load()
        if is_collection:
            found = tree_to_collection(found, source, lazy=lazy)
    except FileNotFoundError as error:
        msg = f"{name}: there is no such file"
        raise FileNotFoundError(msg) from error
    except ImportError:
        raise
    except Exception as error:
        msg = f"{name} cannot be read as an ASDF file of cutouts: {error}"
        raise OSError(msg) from error
    if not isinstance(found, kind):
        raise OSError(_unexpected(name, found, kind))
    return found


def _unexpected(name, found, kind) -> str:
    """What to say of a file that holds something else."""
    wanted = kind.__name__ if isinstance(kind, type) else "cutouts"
    what = "nothing" if found is None else f"a {type(found).__name__}"
    return (
        f"{name} holds no {wanted} under {KEY!r} but {what}; "
        "asdf.open gives what is elsewhere in the file"
    )
