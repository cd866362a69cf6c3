"""ASDF files of cutouts."""

from __future__ import annotations

import asdf

from subpixal.cutout import Cutout, CutoutCollection

from ._files import refuse_existing, replacing

__all__ = ["read_asdf", "read_collection", "read_cutout", "write_asdf"]

KEY = "cutouts"


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
        How arrays are compressed: ``'zlib'``, ``'bzp2'``, ``'lz4'``.

    Raises
    ------
    OSError
        If the file exists and ``overwrite`` is false.
    """
    refuse_existing(path, overwrite=overwrite)
    with replacing(path) as file:
        asdf.AsdfFile({KEY: cutouts}).write_to(file, all_array_compression=compression)


def read_collection(path) -> CutoutCollection:
    """Read a collection from an ASDF file."""
    return read_asdf(path, CutoutCollection)


def read_cutout(path) -> Cutout:
    """Read a cutout from an ASDF file."""
    return read_asdf(path, Cutout)


def read_asdf(path, kind=(Cutout, CutoutCollection)) -> Cutout | CutoutCollection:
    """
    Read what was written to an ASDF file, a cutout or a collection.

    Parameters
    ----------
    path : str, path or file
    kind : type or tuple of type
        What is expected.

    Returns
    -------
    Cutout or CutoutCollection

    Raises
    ------
    OSError
        If the file is missing, damaged, or holds something else.
    """
    # Where the format was found from the contents, the registry hands on an open file.
    name = getattr(path, "name", path)
    with asdf.config_context() as config:
        # A node that cannot be read is an error, not a raw dict.
        config.warn_on_failed_conversion = False
        try:
            with asdf.open(path, lazy_load=False, memmap=False) as file:
                found = file.tree.get(KEY)
        except FileNotFoundError as error:
            msg = f"{name}: there is no such file"
            raise FileNotFoundError(msg) from error
        except Exception as error:
            msg = f"{name} cannot be read as an ASDF file of cutouts: {error}"
            raise OSError(msg) from error
    if not isinstance(found, kind):
        wanted = kind.__name__ if isinstance(kind, type) else "cutouts"
        what = "nothing" if found is None else f"a {type(found).__name__}"
        msg = (
            f"{name} holds no {wanted} under {KEY!r} but {what}; "
            "asdf.open gives what is elsewhere in the file"
        )
        raise OSError(msg)
    return found
