"""Convert a WCS to an object that asdf can write.

A FITS WCS becomes a node with the tag ``fits_wcs`` and exact values. The converter of asdf-astropy
is not used, because it rounds the values, does not support every WCS, and takes three times longer
to read. Other WCSs are written by gwcs or by the converters of their classes.
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

# For each WCS that was checked, the shape of the image and the content of the WCS. The cache avoids
# repeated checks: to check a gwcs takes longer than to write the rest of a small archive.
_CHECKED: WeakKeyDictionary[Any, tuple[Any, bytes]] = WeakKeyDictionary()


def wcs_to_node(wcs: Any, shape: tuple[int, int] | None = None) -> Any:
    """
    Return the object that asdf writes for a WCS.

    Parameters
    ----------
    wcs : object
        The WCS of an image. The function does not change it.
    shape : tuple of int, optional
        ``(ny, nx)`` of the image.

    Returns
    -------
    object
        ``wcs`` itself, or a copy in which an `ExactWCS` replaces the FITS WCS.

    Raises
    ------
    ValueError
        If ASDF has no converter for the WCS, or if writing and reading would change the WCS by more
        than 1e-6 pixels.
    """
    _check_classes(wcs)
    fits_wcs = find_fits_wcs(wcs)
    try:
        _check_round_trip(wcs, fits_wcs, shape)
    except Exception as error:
        # The libraries of WCSs may raise errors of any class.
        name = "" if fits_wcs is None else fits_wcs.wcs.name
        msg = f"its WCS {name!r} cannot be written: {error}".replace(" ''", "")
        raise ValueError(msg) from error
    return wcs if fits_wcs is None else replace_fits_wcs(wcs, exact_wcs(fits_wcs))


def _check_round_trip(wcs: Any, fits_wcs: WCS | None, shape: tuple[int, int] | None) -> None:
    """Raise an error if writing and reading would change a WCS by more than 1e-6 pixels."""
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
    """Write a WCS to memory, read it, and return the result."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"wcs": wcs}).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        return file["wcs"]


def _check_classes(wcs: Any) -> None:
    """Raise an error if ASDF has no converter for a WCS, or for the WCS in a wrapper."""
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
