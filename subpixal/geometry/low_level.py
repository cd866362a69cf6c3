"""What kinds of WCS there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from astropy.coordinates import SkyCoord
from astropy.wcs.wcsapi import BaseLowLevelWCS

if TYPE_CHECKING:
    pass


__all__ = ["is_celestial", "is_gwcs", "is_plain_fits", "low_level_wcs", "physical_axes"]


def low_level_wcs(wcs) -> BaseLowLevelWCS:
    """
    Low-level APE 14 interface of any WCS.

    Parameters
    ----------
    wcs : object
        An APE 14 WCS, low or high level.

    Raises
    ------
    TypeError
        If ``wcs`` is neither.
    ValueError
        If it does not have two pixel axes.
    """
    low = wcs if isinstance(wcs, BaseLowLevelWCS) else getattr(wcs, "low_level_wcs", None)
    if not isinstance(low, BaseLowLevelWCS):
        msg = f"wcs must be an APE 14 WCS (low or high level), got {type(wcs).__name__}"
        raise TypeError(msg)
    if is_plain_fits(low):
        # One that was just filled in has no units before it is set up or used.
        low.wcs.set()
    if low.pixel_n_dim != 2:
        msg = f"wcs must have 2 pixel axes, got {low.pixel_n_dim}"
        raise ValueError(msg)
    return low


def is_gwcs(wcs: BaseLowLevelWCS) -> bool:
    """Whether a low-level WCS is a gwcs, without importing gwcs."""
    return any(c.__name__ == "WCS" and c.__module__.startswith("gwcs") for c in type(wcs).__mro__)


def is_plain_fits(wcs: BaseLowLevelWCS) -> bool:
    """Whether a low-level WCS is an `astropy.wcs.WCS` with the values of one."""
    from astropy.wcs import WCS

    # A subclass may have values of its own.
    methods = ("pixel_to_world_values", "world_to_pixel_values")
    return isinstance(wcs, WCS) and all(getattr(type(wcs), m) is getattr(WCS, m) for m in methods)


def physical_axes(wcs: BaseLowLevelWCS) -> tuple[list, list, dict, list]:
    """
    What the world axes of a WCS mean, in the terms of APE 14.

    Parameters
    ----------
    wcs : `~astropy.wcs.wcsapi.BaseLowLevelWCS`
        A low-level WCS.

    Returns
    -------
    types, units : list
        Physical types and units of the axes.
    classes : dict
        Object classes.
    components : list
        Object components.
    """
    if is_gwcs(wcs) and wcs.output_frame is None:
        # A frame that is nothing but a name raises when it is asked for anything else.
        types = [f"custom:{wcs.available_frames[-1]}"] * wcs.world_n_dim
        return types, [""] * len(types), {}, []
    return (
        list(wcs.world_axis_physical_types),
        list(wcs.world_axis_units),
        wcs.world_axis_object_classes,
        list(wcs.world_axis_object_components),
    )


def is_celestial(wcs) -> bool:
    """Whether a WCS turns two pixel axes into a position on the sky, and nothing else."""
    world = [kind[0] for kind in wcs.world_axis_object_classes.values()]
    return SkyCoord in world and wcs.pixel_n_dim == wcs.world_n_dim == 2
