"""FITS WCS whose attributes are set one by one, without a call of its method ``set``."""

import numpy as np
from astropy.wcs import WCS

from subpixal import Cutout


def test_wcs_without_units_is_set_up():
    """The WCS has no units before a call of ``set``. `Cutout` calls this method."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cdelt = [10, 20], [5, 5], [-1e-4, 1e-4]
    cutout = Cutout(np.zeros((10, 10)), wcs, (2, 2), (5, 5))
    np.testing.assert_allclose(cutout.pix2world(2, 2), (10, 20))
