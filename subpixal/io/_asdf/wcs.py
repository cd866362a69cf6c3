"""WCSs as one ASDF node each.

The node is the one of asdf-astropy or gwcs if the WCS that is read from it agrees to a millionth of
a pixel. For other FITS WCSs, the node has the tag ``fits_wcs`` and the exact values.
"""

from __future__ import annotations

import io
import pickle
import warnings
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

# Measured WCSs: the shape of the image and the content at that time, and `True` if the WCS needs
# an exact node. The measurement takes longer than the rest of the writing of a small archive.
_MEASURED: WeakKeyDictionary[Any, tuple[Any, bytes, bool]] = WeakKeyDictionary()


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
        if _needs_exact_node(wcs, fits_wcs, shape):
            return replace_fits_wcs(wcs, exact_wcs(fits_wcs))
    except Exception as error:
        # The libraries of WCSs raise errors of any class.
        name = "" if fits_wcs is None else fits_wcs.wcs.name
        msg = f"its WCS {name!r} cannot be written: {error}".replace(" ''", "")
        raise ValueError(msg) from error
    return wcs


def _needs_exact_node(wcs: Any, fits_wcs: WCS | None, shape: tuple[int, int] | None) -> bool:
    content = _get_content(wcs, fits_wcs)
    known = _MEASURED.get(wcs)
    if known is None or known[:2] != (shape, content):
        known = (shape, content, _measure(wcs, fits_wcs, shape))
        _MEASURED[wcs] = known
    return known[2]


def _get_content(wcs: Any, fits_wcs: WCS | None) -> bytes:
    """Return bytes that change with the WCS."""
    if fits_wcs is not None:
        return pickle.dumps(exact_state(fits_wcs))
    return pickle.dumps(PixelGrid(wcs).to_world([-10.0, 500.0, 2000.0], [-20.0, 900.0, 1500.0]))


def _measure(wcs: Any, fits_wcs: WCS | None, shape: tuple[int, int] | None) -> bool:
    """
    Read the node of a WCS again.

    Returns
    -------
    bool
        `True` if the WCS needs an exact node.

    Raises
    ------
    ValueError
        If no node is good enough.
    """
    if fits_wcs is None:
        check_separation(_read_again(wcs), wcs, shape)
        return False
    try:
        found = replace_fits_wcs(wcs, _read_fits_wcs_again(fits_wcs))
        check_separation(found, wcs, shape)
    except Exception:  # noqa: BLE001
        # The reader of headers raises errors of any class.
        exact = restore_state(exact_state(fits_wcs))
        check_separation(replace_fits_wcs(wcs, exact), wcs, shape)
        return True
    return False


def _read_again(wcs: Any) -> Any:
    """Write any WCS to memory, and read it."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"wcs": wcs}).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        return file["wcs"]


def _read_fits_wcs_again(wcs: WCS) -> WCS:
    """Return a FITS WCS from the node of asdf-astropy, without a file, which takes long."""
    from asdf_astropy.converters.wcs.wcs import WCSConverter

    converter = WCSConverter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return converter.from_yaml_tree(converter.to_yaml_tree(wcs, None, None), None, None)


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
