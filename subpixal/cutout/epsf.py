"""Cutouts of stars for the ePSFs of photutils."""

from __future__ import annotations

import warnings

import numpy as np

from subpixal.errors import SubpixalWarning
from subpixal.geometry import low_level_wcs, offset_wcs

__all__ = ["make_epsf_stars"]


def make_epsf_stars(collection):
    """Stars of a collection; see `CutoutCollection.to_epsf_stars`."""
    from photutils.psf import EPSFStars
    from scipy.spatial import QhullError

    stars, lost = [], []
    for cutout in collection:
        try:
            stars.append(_make_star(cutout))
        except (ValueError, QhullError):
            # Photutils refuses stars without pixels, or with so few that no flux can be guessed.
            lost.append(cutout.src_id)
    if lost:
        msg = f"{len(lost)} cutouts have too few good pixels for a star: {lost[:5]}"
        warnings.warn(msg, SubpixalWarning, stacklevel=3)
    return EPSFStars(stars)


def _make_star(cutout):
    from photutils.psf import EPSFStar

    data, finite = cutout.data, np.isfinite(cutout.data)
    return EPSFStar(
        data if finite.all() else np.where(finite, data, 0),
        weights=_weights(cutout, finite & ~cutout.mask),
        cutout_center=cutout.cutout_src_pos,
        origin=cutout.blc,
        wcs_large=_image_grid(cutout),
        id_label=cutout.src_id,
    )


def _weights(cutout, good) -> np.ndarray:
    """What the fit of photutils multiplies residuals with: 1 over standard deviations."""
    error = cutout.error
    if error is None:
        return good.astype(float)
    with np.errstate(divide="ignore"):
        weights = 1 / error.astype(float)
    return np.where(good & np.isfinite(weights), weights, 0)


def _image_grid(cutout):
    """WCS of the image as it lies under the cutout: displaced, where that is."""
    if (cutout.dx, cutout.dy) == (0, 0):
        return low_level_wcs(cutout.image_wcs)
    displaced = offset_wcs(cutout.image_wcs, (-cutout.dx, -cutout.dy), cutout.shape)
    return low_level_wcs(displaced)
