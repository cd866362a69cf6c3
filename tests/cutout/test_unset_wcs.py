"""A FITS WCS that was filled in by hand and never used."""

import numpy as np
from astropy.wcs import WCS

from subpixal import Cutout


def test_wcs_that_was_never_set_up():
    """It has no units before it is set up; that is done for the user."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [10, 20], [5, 5], [-1e-4, 1e-4]
    cutout = Cutout(np.zeros((10, 10)), wcs, (2, 2), (5, 5))
    np.testing.assert_allclose(cutout.pix2world(2, 2), (10, 20))
