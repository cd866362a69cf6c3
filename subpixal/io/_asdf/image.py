"""Convert records of images, without pixels, to trees of core ASDF nodes and back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from astropy import nddata
from astropy import units as u

from subpixal.image import ImageInfo, validate_data_units, validate_exptime

from .columns import escape_surrogates, is_literal
from .metadata import check_writable, is_plain_array, meta_to_tree
from .wcs import wcs_to_node

__all__ = [
    "image_to_tree",
    "psf_to_tree",
    "tree_to_image",
    "tree_to_uncertainty",
    "uncertainty_to_tree",
]

UNCERTAINTIES = {
    "std": nddata.StdDevUncertainty,
    "var": nddata.VarianceUncertainty,
    "ivar": nddata.InverseVariance,
    "unknown": nddata.UnknownUncertainty,
}


def image_to_tree(image: ImageInfo) -> dict[str, Any]:
    """
    Return the tree of an image.

    Raises
    ------
    ValueError
        If an archive cannot contain the WCS, the PSF, the unit, the class of the uncertainty or the
        bit mask.
    """
    what = f"the image {image.name!r}" if image.name else "an image without name"
    try:
        tree = {
            "name": escape_surrogates(image.name),
            "stage": image.stage,
            "wcs": wcs_to_node(image.wcs, image.shape),
            "shape": None if image.shape is None else [int(n) for n in image.shape],
            "unit": _unit_to_string(image.unit),
            "data_units": image.data_units,
            "exptime": image.exptime,
            "dqbitmask": _check_bit_mask(image.dqbitmask) or None,
            "uncertainty": uncertainty_to_tree(image.uncertainty_type, image.uncertainty_unit),
            "psf": psf_to_tree(image.psf),
            "meta": meta_to_tree(image.meta, what),
        }
    except ValueError as error:
        msg = f"{what} cannot be written: {error}"
        raise ValueError(msg) from error
    # Distinguish None (flags do not mask pixels) from 0 (all flags mask pixels).
    if image.dqbitmask is None:
        tree["flags_mask"] = False
    return {key: value for key, value in tree.items() if value is not None}


def tree_to_image(tree: Mapping[str, Any]) -> ImageInfo:
    """
    Return the image that a tree describes.

    Raises
    ------
    ValueError, KeyError, TypeError
        If the tree does not conform to the schema.
    """
    kind, unit = tree_to_uncertainty(tree.get("uncertainty"))
    shape = tree.get("shape")
    if shape is not None and [type(n) is int and n > 0 for n in shape] != [True, True]:
        msg = f"an image has the shape {shape}"
        raise ValueError(msg)
    return ImageInfo(
        wcs=tree["wcs"],
        shape=None if shape is None else tuple(shape),
        unit=_string_to_unit(tree.get("unit")),
        data_units=validate_data_units(tree["data_units"]),
        exptime=validate_exptime("exptime", tree["exptime"]),
        uncertainty_type=kind,
        uncertainty_unit=unit,
        # Copy values, because their arrays may refer to the file, which will be closed.
        psf=copy.deepcopy(tree.get("psf")),
        meta=dict(copy.deepcopy(tree.get("meta", {}))),
        dqbitmask=tree.get("dqbitmask", 0) if tree.get("flags_mask", True) else None,
        name=tree.get("name", ""),
        stage=tree.get("stage", ""),
    )


def _check_bit_mask(dqbitmask: int | None) -> int | None:
    if dqbitmask is not None and not is_literal(dqbitmask):
        same = dqbitmask - 2**64
        msg = f"its dqbitmask {dqbitmask} is too large for ASDF; {same} has the same bits"
        raise ValueError(msg)
    return dqbitmask


def uncertainty_to_tree(kind: Any, unit: u.UnitBase | None) -> dict[str, Any] | None:
    """Return the tree of the class and the unit of an uncertainty."""
    if kind is None:
        return None
    names = {value: key for key, value in UNCERTAINTIES.items()}
    if kind not in names:
        msg = f"an uncertainty of class {kind.__name__} cannot be written, only {list(names)}"
        raise ValueError(msg)
    tree = {"type": names[kind], "unit": _unit_to_string(unit)}
    return {key: value for key, value in tree.items() if value is not None}


def tree_to_uncertainty(tree: Mapping[str, Any] | None) -> tuple[Any, Any]:
    """Return the class and the unit of an uncertainty from their tree."""
    if tree is None:
        return None, None
    return UNCERTAINTIES[tree["type"]], _string_to_unit(tree.get("unit"))


def _unit_to_string(unit: Any) -> str | None:
    """
    Return a string from which astropy reads exactly the same unit.

    Raises
    ------
    ValueError
        If there is no such string.
    """
    if unit is None:
        return None
    texts = [unit.to_string()]
    if isinstance(unit, u.CompositeUnit):
        # Write the scale here, because astropy rounds it to six digits.
        bases = u.CompositeUnit(1, unit.bases, unit.powers)
        texts.append(f"{unit.scale!r} {bases.to_string()}".strip())
    for text in texts:
        if _string_to_unit(text) == unit:
            return text
    msg = f"the unit {texts[0]!r} cannot be written: it would not be read as the same unit"
    raise ValueError(msg)


def _string_to_unit(text: str | None) -> Any:
    """Return the unit of a string, or an `UnrecognizedUnit` if it is not a unit of astropy."""
    return None if text is None else u.Unit(text, parse_strict="silent")


def psf_to_tree(psf: Any, what: str = "its PSF") -> Any:
    """
    Check that ASDF can store a PSF, and return the PSF unchanged.

    Raises
    ------
    ValueError
        If ASDF cannot store the PSF.
    """
    if psf is None or is_plain_array(psf):
        return psf
    try:
        check_writable(psf)
    except ValueError as error:
        msg = (
            f"{what} cannot be written: {error}; "
            "an array can be, models of astropy.modeling, or None"
        )
        raise ValueError(msg) from error
    return psf
