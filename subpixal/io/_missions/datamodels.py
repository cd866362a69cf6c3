"""
Read images from ASDF files of missions, and from open data models of JWST and Roman.

The functions find planes and metadata by their paths in the tree. They use neither the packages of
the missions nor their ASDF tags, so the results do not depend on installed packages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import astropy.units as u
import numpy as np
from numpy.typing import NDArray

from subpixal.geometry import is_celestial
from subpixal.io.paths import is_remote, open_file

from .metadata import find_in, metadata_from_model, parse_unit
from .mission import FileImage
from .registry import MISSIONS, find_mission

__all__ = ["find_root", "model_image", "model_labels", "open_asdf"]


@contextmanager
def open_asdf(path: str) -> Iterator[Mapping[str, Any]]:
    """
    Open an ASDF file, and name the file in all errors.

    Lazy nodes of the tree, such as the tables of a WCS, must be copied before the file is closed.

    Parameters
    ----------
    path : str
        Local or remote file.

    Yields
    ------
    mapping
        The tree.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError) or damaged.
    ImportError
        If the file is remote and fsspec is not installed.
    """
    import asdf

    # With these options, asdf returns nodes of data models as plain mappings and lists.
    options = {"ignore_missing_extensions": True, "ignore_unrecognized_tag": True}
    with ExitStack() as stack:
        try:
            source = stack.enter_context(open_file(path)) if is_remote(path) else path
            file = asdf.open(source, lazy_tree=True, memmap=not is_remote(path), **options)
            stack.enter_context(file)
        except (FileNotFoundError, ImportError):
            raise
        # asdf and yaml raise errors of many types.
        except Exception as error:
            msg = f"{path}: not an ASDF file, or damaged ({error})"
            raise OSError(msg) from error
        yield file.tree


def find_root(tree: Mapping[str, Any], path: str) -> Any:
    """
    Return the node of an ASDF tree that contains the image of a mission.

    Raises
    ------
    ValueError
        If the tree has no such node.
    """
    roots = [mission.asdf_root for mission in MISSIONS if mission.asdf_root]
    for root in roots:
        if root in tree:
            return tree[root]
    found = ", ".join(map(str, tree)) or "nothing"
    msg = f"{path} has no tree {' or '.join(map(repr, roots))}, only {found}"
    raise ValueError(msg)


def model_image(model: Any, name: str | None = None) -> FileImage:
    """
    Take the image out of a data model.

    Parameters
    ----------
    model : object
        Open model of stdatamodels or roman_datamodels, or the tree of a Roman file. The attributes
        or keys ``data`` and ``meta.wcs`` are required. The planes ``err``, ``dq``, and ``weight``
        or ``wht`` are optional.
    name : str, optional
        Name of the file. The default is ``meta.filename``.

    Returns
    -------
    FileImage

    Raises
    ------
    TypeError
        If the model has no ``data`` and ``meta``.
    ValueError
        If the data are not a 2-D image, or if there is no celestial WCS.
    """
    tree = _get_tree(model)
    name = name or _get_name(model, tree)
    telescope = str(find_in(tree, "meta.telescope") or "")
    mission = find_mission(telescope, str(find_in(tree, "meta.instrument.name") or ""))
    meta, exptime = metadata_from_model(mission.model, tree)
    planes = {}
    units = {}
    for plane, nodes in mission.nodes.items():
        planes[plane], units[plane] = _first_plane(tree, nodes, name)
    data = planes["data"]
    if data is None or data.ndim != 2:
        got = "none" if data is None else f"shape {data.shape}"
        msg = f"{name} must have a 2-D image as 'data', got {got}"
        raise ValueError(msg)
    wcs = _get_celestial_wcs(tree)
    if wcs is None:
        found = find_in(tree, "meta.wcs")
        got = "there is none" if found is None else f"got {found!r:.80}"
        msg = f"{name} must have a celestial WCS of two axes as 'meta.wcs', {got}"
        raise ValueError(msg)
    unit = units["data"] or parse_unit(meta.get("bunit", ""))
    if unit is None and mission.default_unit is not None:
        unit = mission.default_unit(tree)
    return FileImage(
        **planes,
        wcs=wcs,
        unit=unit,
        exptime=exptime,
        meta={"name": name, "filename": name} | meta,
        instrument=mission.find_instrument(meta),
    )


def model_labels(model: Any, name: str | None = None) -> FileImage:
    """
    Take the segmentation image out of a data model.

    Parameters
    ----------
    model, name
        As in `model_image`. The node ``data`` contains the labels.

    Returns
    -------
    FileImage
        Labels as ``data``. The WCS is `None` if the model has no celestial WCS.

    Raises
    ------
    TypeError
        If the model has no ``data`` and ``meta``.
    ValueError
        If the data are not a 2-D image of integers.
    """
    tree = _get_tree(model)
    name = name or _get_name(model, tree)
    labels, _ = _first_plane(tree, ("data",), name)
    if labels is None or labels.ndim != 2 or labels.dtype.kind not in "iu":
        got = "none" if labels is None else f"{labels.ndim}-D data of {labels.dtype}"
        msg = f"{name} must have 2-D data of integers to be a segmentation image, got {got}"
        raise ValueError(msg)
    return FileImage(data=labels, wcs=_get_celestial_wcs(tree), meta={"name": name})


def _get_tree(model: Any) -> Any:
    """
    Return the node that contains the planes.

    Attributes of stdatamodels would create missing planes, so the function returns the tree below
    the model.
    """
    instance = getattr(model, "instance", None)
    tree = instance if isinstance(instance, Mapping) else model
    if find_in(tree, "data") is None or find_in(tree, "meta") is None:
        msg = f"an image must be a file name or a data model, got {type(model).__name__}"
        raise TypeError(msg)
    return tree


def _get_name(model: Any, tree: Any) -> str:
    return find_in(tree, "meta.filename") or type(model).__name__


def _get_celestial_wcs(tree: Any) -> Any:
    wcs = find_in(tree, "meta.wcs")
    return wcs if hasattr(wcs, "world_axis_object_classes") and is_celestial(wcs) else None


def _first_plane(
    tree: Any, nodes: tuple[str, ...], name: str
) -> tuple[NDArray[Any] | None, u.UnitBase | None]:
    """Return the pixels of the first node that exists, and their unit."""
    found = next((node for node in nodes if find_in(tree, node) is not None), None)
    if found is None:
        return None, None
    plane = find_in(tree, found)
    try:
        # In files of Roman from before 2025, planes are quantities with a unit.
        return np.asarray(plane), getattr(plane, "unit", None)
    except ImportError as error:
        msg = f"{name} is compressed, which may need: pip install 'subpixal[lz4]' ({error})"
        raise ImportError(msg) from error
    # asdf reads the pixels here, and damaged files raise errors of many types.
    except Exception as error:
        msg = f"{name}: {found} is damaged ({error})"
        raise OSError(msg) from error
