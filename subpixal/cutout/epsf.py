"""Stars for the effective PSFs of photutils."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from subpixal.errors import SubpixalWarning
from subpixal.geometry import low_level_wcs, offset_wcs

from .cutout import Cutout

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from photutils.psf import EPSFStar, EPSFStars

__all__ = ["make_epsf_stars"]


def make_epsf_stars(cutouts: Iterable[Cutout]) -> EPSFStars:
    """Return the stars of cutouts; see `CutoutCollection.to_epsf_stars`."""
    from photutils.psf import EPSFStars
    from scipy.spatial import QhullError

    stars, lost = [], []
    for cutout in cutouts:
        try:
            stars.append(_make_star(cutout))
        except (ValueError, QhullError):
            # photutils raises these errors for stars with too few good pixels to estimate a flux.
            lost.append(cutout.src_id)
    if lost:
        msg = f"{len(lost)} cutouts have too few good pixels for a star: {lost[:5]}"
        warnings.warn(msg, SubpixalWarning, stacklevel=3)
    return EPSFStars(stars)


def _make_star(cutout: Cutout) -> EPSFStar:
    from photutils.psf import EPSFStar

    data = cutout.data
    finite = np.isfinite(data)
    return EPSFStar(
        data if finite.all() else np.where(finite, data, 0),
        weights=_make_weights(cutout, finite & ~cutout.mask),
        cutout_center=cutout.cutout_src_pos,
        origin=cutout.blc,
        wcs_large=_displaced_wcs(cutout),
        id_label=cutout.src_id,
    )


def _make_weights(cutout: Cutout, good: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return inverse standard deviations, by which photutils multiplies residuals."""
    error = cutout.error
    if error is None:
        return good.astype(float)
    with np.errstate(divide="ignore"):
        weights = 1 / error.astype(float)
    return np.where(good & np.isfinite(weights), weights, 0)


def _displaced_wcs(cutout: Cutout) -> Any:
    """Return the WCS of the image after its displacement by ``dx, dy`` of the cutout."""
    if (cutout.dx, cutout.dy) == (0, 0):
        return low_level_wcs(cutout.image_wcs)
    displaced = offset_wcs(cutout.image_wcs, (-cutout.dx, -cutout.dy), cutout.shape)
    return low_level_wcs(displaced)
