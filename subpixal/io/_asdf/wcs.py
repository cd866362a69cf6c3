"""WCSs as one ASDF node each.

A FITS WCS is a node with the tag ``fits_wcs`` and exact values. The node of asdf-astropy rounds the
values, cannot express every WCS, and takes three times longer to read. All other WCSs are the nodes
of gwcs and of the converters of their classes.
"""

from __future__ import annotations

import io
import pickle
from typing import Any
from weakref import WeakKeyDictionary

import asdf
from astropy.wcs import WCS
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from subpixal.geometry import PixelGrid
from subpixal.geometry.fits_wcs import (
    check_separation,
    exact_state,
    exact_wcs,
    find_fits_wcs,
    replace_fits_wcs,
    restore_state,
)

__all__ = ["wcs_to_node"]

# Shape of the image and content of WCSs that were checked. The check of a gwcs takes longer than
# the rest of the writing of a small archive.
_CHECKED: WeakKeyDictionary[Any, tuple[Any, bytes]] = WeakKeyDictionary()


def wcs_to_node(wcs: Any, shape: tuple[int, int] | None = None) -> Any:
    """
    Return the object that asdf writes for a WCS.

    Parameters
    ----------
    wcs : object
        The WCS of an image, which stays unchanged.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image.

    Returns
    -------
    object
        ``wcs`` itself, or the same WCS with `ExactWCS` in the place of its FITS WCS.

    Raises
    ------
    ValueError
        If ASDF has no converter for the WCS, or if the WCS that is read would differ by more
        than 1e-6 pixels.
    """
    _check_classes(wcs)
    fits_wcs = find_fits_wcs(wcs)
    try:
        _check_round_trip(wcs, fits_wcs, shape)
    except Exception as error:
        # The libraries of WCSs raise errors of any class.
        name = "" if fits_wcs is None else fits_wcs.wcs.name
        msg = f"its WCS {name!r} cannot be written: {error}".replace(" ''", "")
        raise ValueError(msg) from error
    return wcs if fits_wcs is None else replace_fits_wcs(wcs, exact_wcs(fits_wcs))


def _check_round_trip(wcs: Any, fits_wcs: WCS | None, shape: tuple[int, int] | None) -> None:
    """Raise an error if the WCS that is read would differ by more than 1e-6 pixels."""
    if fits_wcs is None:
        values = PixelGrid(wcs).to_world([-10.0, 500.0, 2000.0], [-20.0, 900.0, 1500.0])
        content = pickle.dumps(values)
    else:
        state = exact_state(fits_wcs)
        content = pickle.dumps(state)
    if _CHECKED.get(wcs) == (shape, content):
        return
    found = _read_again(wcs) if fits_wcs is None else replace_fits_wcs(wcs, restore_state(state))
    check_separation(found, wcs, shape)
    _CHECKED[wcs] = shape, content


def _read_again(wcs: Any) -> Any:
    """Write any WCS to memory, and read it."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"wcs": wcs}).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        return file["wcs"]


def _check_classes(wcs: Any) -> None:
    """Raise if ASDF has no converter for a WCS or for the WCS in a wrapper."""
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
