"""Images of data models: Roman's ASDF files, and open models of JWST and Roman.

Everything is found by where it stands in the tree. Neither the mission's
packages nor their ASDF tags are needed, and nothing changes where they are installed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import astropy.units as u
import numpy as np
from astropy.table import Table

from subpixal.geometry import is_celestial
from subpixal.io.paths import is_remote

from .metadata import find_in, metadata_from_model, parse_unit

__all__ = [
    "model_images",
    "model_labels",
    "read_asdf_catalog",
    "read_asdf_images",
    "read_asdf_labels",
]


def read_asdf_images(path: str) -> list[dict[str, Any]]:
    """
    Read the image of a Roman L2 or L3 file.

    Parameters
    ----------
    path : str

    Returns
    -------
    list of dict
        Arguments of `~subpixal.cutout.Cutout` for the one image that there is. Other planes
        of the file are not read.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError) or damaged.
    ValueError
        If it has no 2-D image, or no celestial WCS with it.
    ImportError
        If it is compressed in a way that needs a package which is not installed.
    """
    with _open_roman(path) as tree:
        return [
            image | {"wcs": copy.deepcopy(image["wcs"])}
            for image in model_images(tree, Path(path).name)
        ]


def read_asdf_labels(path: str) -> tuple[np.ndarray, Any, str]:
    """Read the segmentation image of a Roman file, as `model_labels` returns it."""
    with _open_roman(path) as tree:
        labels, wcs, name = model_labels(tree, Path(path).name)
        return labels, copy.deepcopy(wcs), name


def read_asdf_catalog(path: str) -> Table:
    """Read the source catalogue of a Roman file; a ValueError if it has none."""
    with _open_roman(path) as tree:
        catalog = find_in(tree, "source_catalog")
        if isinstance(catalog, Table):
            return Table(catalog, copy=True)
    msg = f"{path}: there is no source_catalog in the file"
    raise ValueError(msg)


def model_images(model, name: str | None = None) -> list[dict[str, Any]]:
    """
    Take the image out of a data model.

    Parameters
    ----------
    model : object
        It has ``data`` and ``meta.wcs``, and may have ``err``, ``dq`` and ``weight`` or
        ``wht``, as attributes or keys: an open model of stdatamodels or
        roman_datamodels, or the tree of a Roman file.
    name : str, optional
        File name, by default ``meta.filename``.

    Returns
    -------
    list of dict
        Arguments of `~subpixal.cutout.Cutout` for the one image that there is.

    Raises
    ------
    TypeError
        If the model has no ``data`` and ``meta``.
    ValueError
        If the data are not a 2-D image, or there is no celestial WCS with them.
    """
    tree, name = _tree_of(model), _name_of(model, name)
    data, unit = _plane(tree, "data", name)
    wcs = _celestial(tree)
    if data is None or data.ndim != 2:
        got = "none" if data is None else f"shape {data.shape}"
        msg = f"{name} must have a 2-D image as 'data', got {got}"
        raise ValueError(msg)
    if wcs is None:
        found = find_in(tree, "meta.wcs")
        got = "there is none" if found is None else f"got {found!r:.80}"
        msg = f"{name} must have a celestial WCS of two axes as 'meta.wcs', {got}"
        raise ValueError(msg)
    error, weight, wht = (_plane(tree, key, name)[0] for key in ("err", "weight", "wht"))
    weight = wht if weight is None else weight
    meta, exptime = metadata_from_model(tree)
    unit = unit or parse_unit(meta.get("bunit", ""))
    if unit is None and meta.get("telescope") == "ROMAN":
        unit = _roman_unit(tree, weight)
    return [
        {
            "data": data,
            "wcs": wcs,
            "uncertainty": error,
            "dq": _plane(tree, "dq", name)[0],
            "weight": weight,
            "unit": unit,
            "exptime": exptime,
            "meta": {"name": name, "filename": name} | meta,
        }
    ]


def model_labels(model, name: str | None = None) -> tuple[np.ndarray, Any, str]:
    """
    Take the labels out of a data model.

    Parameters
    ----------
    model, name
        As of `model_images`; ``data`` are the labels.

    Returns
    -------
    labels : (ny, nx) array of int
    wcs : object or None
        None if the model has no celestial WCS.
    name : str
        File name.

    Raises
    ------
    TypeError
        If the model has no ``data`` and ``meta``.
    ValueError
        If the data are not a 2-D image of integers.
    """
    tree, name = _tree_of(model), _name_of(model, name)
    labels, _ = _plane(tree, "data", name)
    if labels is None or labels.ndim != 2 or labels.dtype.kind not in "iu":
        got = "none" if labels is None else f"{labels.ndim}-D data of {labels.dtype}"
        msg = f"{name} must have 2-D data of integers to be a segmentation image, got {got}"
        raise ValueError(msg)
    return labels, _celestial(tree), name


@contextmanager
def _open_roman(path: str) -> Iterator[Mapping]:
    """
    Open the tree of a Roman file, with errors that name the file.

    Tables of a WCS are read when they are used, for the last time before the
    file is closed: what outlives it has to be copied.
    """
    import asdf

    from subpixal.io._asdf.reader import KEY

    # A tag that only the mission's data models know is a plain node without them.
    known = {"ignore_missing_extensions": True, "ignore_unrecognized_tag": True}
    with ExitStack() as stack:
        try:
            source = stack.enter_context(_open_remote(path)) if is_remote(path) else path
            options = {"lazy_tree": True, "memmap": not is_remote(path)}
            file = stack.enter_context(asdf.open(source, **options, **known))
        except (FileNotFoundError, ImportError):
            raise
        # asdf and yaml have errors of their own.
        except Exception as error:
            msg = f"{path}: not an ASDF file, or damaged ({error})"
            raise OSError(msg) from error
        if KEY in file.tree:
            msg = f"{path} is an archive of cutouts and no image; CutoutCollection.read reads it"
            raise ValueError(msg)
        if "roman" not in file.tree:
            msg = f"{path} has no tree 'roman', only {', '.join(file.tree) or 'nothing'}"
            raise ValueError(msg)
        yield file.tree["roman"]


def _open_remote(path: str):
    try:
        import fsspec
    except ImportError as error:
        msg = f"{path} is remote, which needs: pip install 'subpixal[remote]' ({error})"
        raise ImportError(msg) from error
    return fsspec.open(path, "rb")


def _tree_of(model):
    """What holds the planes; models of stdatamodels would make those that are missing."""
    instance = getattr(model, "instance", None)
    tree = instance if isinstance(instance, Mapping) else model
    if find_in(tree, "data") is None or find_in(tree, "meta") is None:
        msg = f"an image must be a file name or a data model, got {type(model).__name__}"
        raise TypeError(msg)
    return tree


def _name_of(model, name) -> str:
    return name or find_in(_tree_of(model), "meta.filename") or type(model).__name__


def _celestial(tree):
    wcs = find_in(tree, "meta.wcs")
    return wcs if hasattr(wcs, "world_axis_object_classes") and is_celestial(wcs) else None


def _plane(tree, key: str, name: str) -> tuple[np.ndarray | None, u.UnitBase | None]:
    """Pixels of a plane and their unit, None where there is none."""
    plane = find_in(tree, key)
    if plane is None:
        return None, None
    try:
        # Up to 2024, planes of Roman were quantities.
        return np.asarray(plane), getattr(plane, "unit", None)
    except ImportError as error:
        msg = f"{name} is compressed, which may need: pip install 'subpixal[lz4]' ({error})"
        raise ImportError(msg) from error
    # Blocks are read only now; they can be wrong in many ways.
    except Exception as error:
        msg = f"{name}: {key} is damaged ({error})"
        raise OSError(msg) from error


def _roman_unit(tree, weight) -> u.UnitBase:
    """Unit of an image of Roman, which its file does not say."""
    calibrated = find_in(tree, "meta.cal_step.flux") == "COMPLETE"
    return u.MJy / u.sr if weight is not None or calibrated else u.DN / u.s
