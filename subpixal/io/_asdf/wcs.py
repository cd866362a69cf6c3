"""WCSs in ASDF, such that world values come back as they were.

The converters of asdf-astropy and gwcs write the WCS, for everybody to read. What
those of FITS WCSs round or cannot say stands beside it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from weakref import WeakKeyDictionary

import asdf
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from subpixal.geometry.fits_wcs import (
    check_restored,
    exact_state,
    express_in_header,
    find_fits_wcs,
    restore_state,
    table_pixels,
)

__all__ = ["skip_header_parsing", "tree_to_wcs", "wcs_to_tree"]

FITS_WCS = "tag:astropy.org:astropy/wcs/wcs-1."

# States of FITS WCSs that were found to come back, with the pixels of their tables and
# the shapes of the images. A state that is the same object is written once.
_CHECKED = WeakKeyDictionary()


def wcs_to_tree(wcs, shape: tuple[int, int] | None = None) -> dict:
    """
    Nodes of a WCS.

    Parameters
    ----------
    wcs : object
        The WCS of an image; it is not changed.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image.

    Returns
    -------
    dict
        ``wcs``: the WCS; ``fits_wcs``: for one that is or has inside a FITS WCS, its
        exact values.

    Raises
    ------
    ValueError
        If it cannot be written, or would come back wrong by more than 1e-6 pixels.
    """
    _check_classes(wcs)
    fits_wcs = find_fits_wcs(wcs)
    if fits_wcs is None:
        return {"wcs": wcs}
    try:
        state = _check_state(fits_wcs, shape)
    except Exception as error:
        # Of wcslib, there may be any.
        msg = f"its WCS {fits_wcs.wcs.name!r} cannot be written: {error}".replace(" ''", "")
        raise ValueError(msg) from error
    return {"wcs": express_in_header(wcs, state), "fits_wcs": state}


def tree_to_wcs(tree: Mapping):
    """WCS of the nodes that `wcs_to_tree` made."""
    wcs, state = tree["wcs"], tree.get("fits_wcs")
    return wcs if state is None else restore_state(wcs, state)


def skip_header_parsing(images: Iterable[Mapping]) -> None:
    """
    Put WCSs in the place of nodes that are headers only, in place.

    To read a header takes longer than all the rest of a tree, and `tree_to_wcs` makes
    any FITS WCS without lookup tables what it was.

    Parameters
    ----------
    images : iterable of mapping
        Trees of images, with tags.
    """
    from astropy.wcs import WCS

    made = {}
    for image in images:
        node, state = image.get("wcs"), image.get("fits_wcs")
        is_fits = (getattr(node, "_tag", None) or "").startswith(FITS_WCS)
        if is_fits and state and not state["tables"] and node["attrs"]["naxis"] == 2:
            if id(node) not in made:
                wcs = made[id(node)] = WCS(naxis=2)
                wcs.pixel_shape = node["attrs"]["pixel_shape"]
                wcs.pixel_bounds = node["attrs"]["pixel_bounds"]
            image["wcs"] = made[id(node)]


def _check_state(wcs, shape) -> dict:
    """Exact values of a FITS WCS, after they were seen to come back."""
    state, pixels = exact_state(wcs), table_pixels(wcs)
    known = _CHECKED.get(wcs)
    if known is None or (known[0], known[1]) != (state, pixels):
        known = _CHECKED[wcs] = state, pixels, set()
    state, _, shapes = known
    if shape not in shapes:
        found = _read_again(express_in_header(wcs, state))
        restore_state(found, state)
        if table_pixels(found) != pixels:
            msg = "its lookup tables would come back as others"
            raise ValueError(msg)
        check_restored(found, wcs, shape)
        shapes.add(shape)
    return state


def _read_again(wcs):
    """A FITS WCS as who reads the file gets it."""
    from asdf_astropy.converters.wcs.wcs import WCSConverter

    converter = WCSConverter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converter.from_yaml_tree(converter.to_yaml_tree(wcs, None, None), None, None)


def _check_classes(wcs) -> None:
    """Refuse what ASDF has no converter for, in terms that help."""
    known = asdf.AsdfFile().extension_manager
    while True:
        if not known.handles_type(type(wcs)):
            name = f"{type(wcs).__module__}.{type(wcs).__qualname__}"
            hint = "CutoutCollection.with_image_wcs puts another in its place"
            if type(wcs).__name__ == "SlicedFITSWCS":
                hint = "SlicedLowLevelWCS(wcs, slices) is the same and can be written"
            msg = f"its WCS is a {name}, for which there is no ASDF converter; {hint}"
            raise ValueError(msg)
        if not isinstance(wcs, HighLevelWCSWrapper | BaseWCSWrapper):
            return
        wcs = wcs.low_level_wcs if isinstance(wcs, HighLevelWCSWrapper) else wcs._wcs
