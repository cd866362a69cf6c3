"""Which data quality flags are good, by mission and instrument."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

__all__ = ["good_flags"]

# Flags of HST pixels that can be used, as bits of the instrument handbooks.
_HST_GOOD = {
    # Warm pixels, blobs, signal in the zeroth read; cosmic rays are removed
    # from the ramp already, and what AstroDrizzle flags of them afterwards (4096) is
    # fifteen times as frequent on the cores of sources as elsewhere.
    ("WFC3", "IR"): 64 + 512 + 2048 + 4096 + 8192,
    # Warm and hot pixels that the dark corrects, full-well saturation.
    ("WFC3", "UVIS"): 16 + 64 + 256,
    ("ACS", "WFC"): 16 + 64 + 256,
}

# JWST and Roman call a pixel that nobody should use DO_NOT_USE or NON_SCIENCE.
_NOT_USABLE = 1 + 512


def good_flags(meta: Mapping, dtype: np.dtype | None) -> int:
    """
    Flags that do not make a pixel bad.

    Parameters
    ----------
    meta : mapping
        ``telescope``, ``instrument`` and ``detector``, as far as they are known.
    dtype : dtype or None
        Type of the flags.

    Returns
    -------
    int
        As ``dqbitmask``; 0, every flag is bad, where the instrument is unknown.
    """
    instrument = str(meta.get("instrument", "")).upper()
    detector = str(meta.get("detector", "")).upper()
    if (instrument, detector) in _HST_GOOD:
        return _HST_GOOD[instrument, detector]
    if instrument in ("NIRCAM", "NIRISS", "NIRSPEC", "MIRI", "FGS", "WFI"):
        bits = 31 if dtype is None else 8 * dtype.itemsize - (dtype.kind == "i")
        return (2**bits - 1) & ~_NOT_USABLE
    return 0
