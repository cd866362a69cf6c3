"""FITS WCSs in ASDF, to the last bit.

The converter of asdf-astropy writes header cards, which round doubles to 12 to
15 digits. The doubles stand beside them.
"""

from __future__ import annotations

import numpy as np

__all__ = ["exact_doubles", "restore_doubles"]

_ARRAYS = ("crpix", "crval", "cdelt", "lonpole", "latpole", "restfrq", "restwav", "mjdobs")


def exact_doubles(wcs) -> dict | None:
    """
    The doubles of a FITS WCS that header cards round.

    Parameters
    ----------
    wcs : object
        Any WCS.

    Returns
    -------
    dict or None
        `None` if it is no FITS WCS.
    """
    from astropy.wcs import WCS

    if type(wcs) is not WCS:
        return None
    params = wcs.wcs
    names = list(_ARRAYS)
    if params.has_cd():
        # wcslib then leaves cdelt alone, and warns who looks at it.
        names[names.index("cdelt")] = "cd"
    elif params.has_pc():
        names.append("pc")
    doubles = {name: np.array(getattr(params, name), float) for name in names}
    exact = {name: value.tolist() for name, value in doubles.items() if np.isfinite(value).all()}
    exact["pv"] = [[int(i), int(m), float(value)] for i, m, value in params.get_pv()]
    return {name: value for name, value in exact.items() if value != []}


def restore_doubles(wcs, doubles: dict | None) -> None:
    """Put the doubles of a FITS WCS back in place."""
    if doubles is None:
        return
    params = wcs.wcs
    for name, value in doubles.items():
        if name == "pv":
            params.set_pv([(int(i), int(m), float(v)) for i, m, v in value])
        else:
            setattr(params, name, np.array(value, float) if np.ndim(value) else float(value))
    params.set()
