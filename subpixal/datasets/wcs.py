"""Simulated WCSs of several kinds, with the same distortion."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from astropy.wcs.wcsapi import BaseLowLevelWCS
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

__all__ = ["make_wcs"]

# All kinds except 'tan' contain this distortion. Those without lookup tables map a pixel to the
# same sky position. The distorted x and y are cubic polynomials of the offset from the reference
# pixel. Their terms are in the order of PV keywords. Offsets are in units of half the longer side
# of the image, so that the distorted image has the same outline for all sizes.
CUBIC = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2), (3, 0), (2, 1), (1, 2), (0, 3))
DISTORTION = (
    (0.0, 1.0, 0.0, 0.009, -0.006, 0.003, 0.004, 0.0, 0.005, 0.0),
    (0.0, 0.0, 1.0, -0.004, 0.007, 0.006, 0.0, 0.004, 0.0, 0.003),
)


def make_wcs(
    kind: str,
    shape: tuple[int, int],
    center: tuple[float, float] = (150.1, 2.2),
    scale: float = 0.05,
    rotation: float = 0.0,
    *,
    crpix: tuple[float, float] | None = None,
) -> BaseLowLevelWCS:
    """
    Make a celestial (ICRS) WCS of a given kind.

    All kinds except 'tan' have the same cubic distortion. In the corners of a 1024 x 1024 image,
    the distortion moves positions by 2 to 15 pixels. In other images, it is proportional to the
    size of the image. With equal arguments, the WCSs 'sip', 'tpv', 'gwcs' and 'gwcs-noinverse' map
    each pixel to the same sky position.

    Parameters
    ----------
    kind : {'tan', 'sip', 'lookup', 'tpv', 'gwcs', 'gwcs-noinverse'}
        Kind of the WCS:

        - 'tan': FITS WCS without distortion;
        - 'sip': FITS WCS with SIP polynomials;
        - 'lookup': as 'sip', with lookup tables for both axes in addition. The CPDIS tables move
          positions by up to 0.3 pixels, the D2IM tables by up to 0.05 pixels;
        - 'tpv': FITS WCS with the TPV projection;
        - 'gwcs': `gwcs.wcs.WCS` with a bounding box. Its inverse is a fit with errors of some 0.01
          pixels, as for JWST;
        - 'gwcs-noinverse': as 'gwcs', without an inverse.

    shape : tuple of int
        Shape ``(ny, nx)`` of the image.
    center : tuple of float, optional
        Right ascension and declination of the reference pixel, in deg.
    scale, rotation : float, optional
        Pixel scale in arcsec, and position angle of the y axis from north through east in deg. Both
        apply at the reference pixel.
    crpix : tuple of float, optional
        Reference pixel ``(x, y)``, 1-based as in a FITS header. By default, the center of the
        image.

    Returns
    -------
    wcs : `~astropy.wcs.WCS` or `~gwcs.wcs.WCS`
        The WCS. Its attributes ``pixel_shape`` and ``array_shape`` are set.

    Examples
    --------
    >>> from subpixal.datasets import make_wcs
    >>> make_wcs("sip", shape=(400, 300)).pixel_shape
    (300, 400)
    """
    if kind not in BUILDERS:
        msg = f"kind must be one of {tuple(BUILDERS)}, got {kind!r}"
        raise ValueError(msg)
    ny, nx = shape
    cos, sin = (f(np.deg2rad(rotation)) * scale / 3600 for f in (np.cos, np.sin))
    crpix = ((nx + 1) / 2, (ny + 1) / 2) if crpix is None else crpix
    # Set LONPOLE, because its default depends on the declination and would rotate an image at the
    # pole.
    header = fits.Header({"NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny, "LONPOLE": 180.0})
    header.update(CRPIX1=crpix[0], CRPIX2=crpix[1], CRVAL1=center[0], CRVAL2=center[1])
    header.update(CD1_1=-cos, CD1_2=sin, CD2_1=sin, CD2_2=cos, RADESYS="ICRS")
    return BUILDERS[kind](header)


def _make_fits_wcs(header: fits.Header, projection: str) -> WCS:
    header.update(CTYPE1=f"RA---{projection}", CTYPE2=f"DEC--{projection}")
    return WCS(header)


def _make_sip(header: fits.Header) -> WCS:
    for letter, terms in zip("AB", _scale_distortion(header), strict=True):
        header[f"{letter}_ORDER"] = 3
        for (i, j), value in zip(CUBIC[3:], terms[3:], strict=True):
            header[f"{letter}_{i}_{j}"] = value
    return _make_fits_wcs(header, "TAN-SIP")


def _make_lookup(header: fits.Header) -> WCS:
    wcs = _make_sip(header)
    y, x = np.mgrid[0 : np.pi : 33j, 0 : np.pi : 33j]
    step = tuple((n - 1) / 32 for n in wcs.pixel_shape)
    tables = {
        "cpdis1": 0.3 * np.sin(2 * x) * np.cos(y),
        "cpdis2": 0.3 * np.cos(x) * np.cos(1.5 * y),
        "det2im1": 0.05 * np.cos(3 * x),
        "det2im2": 0.05 * np.sin(x) * np.sin(2 * y),
    }
    for name, table in tables.items():
        setattr(wcs, name, DistortionLookupTable(np.float32(table), (1, 1), (1, 1), step))
    return wcs


def _make_tpv(header: fits.Header) -> WCS:
    cd = WCS(header).wcs.cd
    plain, distorted = (cd @ offsets for offsets in _sample_distortion(header))
    for axis in (0, 1):
        # This fit is exact, because a cubic polynomial of linear functions is a cubic polynomial.
        # Skip PVi_3, which is a radial term.
        for number, value in enumerate(_fit_cubic(plain[axis], plain[1 - axis], distorted[axis])):
            header[f"PV{axis + 1}_{number + (number > 2)}"] = value
    return _make_fits_wcs(header, "TPV")


def _make_gwcs(header: fits.Header, *, inverse: bool) -> BaseLowLevelWCS:
    import gwcs
    from astropy import coordinates, units
    from astropy.modeling import Model, models

    names = [f"c{i}_{j}" for i, j in CUBIC]

    def make_polynomials(*coefficients: FloatArray) -> Model:
        x, y = (dict(zip(names, terms, strict=True)) for terms in coefficients)
        polynomials = models.Polynomial2D(3, **x) & models.Polynomial2D(3, **y)
        return models.Mapping((0, 1, 0, 1)) | polynomials

    distortion = make_polynomials(*_scale_distortion(header))
    if inverse:
        plain, distorted = _sample_distortion(header)
        x, y = distorted
        distortion.inverse = make_polynomials(*(_fit_cubic(x, y, axis) for axis in plain))
    transform = (
        models.Shift(1 - header["CRPIX1"]) & models.Shift(1 - header["CRPIX2"])
        | distortion
        | models.AffineTransformation2D(WCS(header).wcs.cd)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(header["CRVAL1"], header["CRVAL2"], 180.0)
    )
    detector = gwcs.Frame2D(name="detector", unit=(units.pix, units.pix))
    world = gwcs.CelestialFrame(name="world", reference_frame=coordinates.ICRS())
    wcs = gwcs.WCS([(detector, transform), (world, None)])
    wcs.pixel_shape = header["NAXIS1"], header["NAXIS2"]
    wcs.bounding_box = tuple((-0.5, n - 0.5) for n in wcs.pixel_shape)
    return wcs


def _scale_distortion(header: fits.Header) -> FloatArray:
    """Return the coefficients of the distortion polynomials for offsets in pixels."""
    degrees = np.sum(CUBIC, axis=1)
    return DISTORTION / (max(header["NAXIS1"], header["NAXIS2"]) / 2) ** (degrees - 1.0)


def _sample_distortion(header: fits.Header) -> tuple[FloatArray, FloatArray]:
    """Return plain and distorted offsets ``(x, y)`` from the reference pixel, on a mesh."""
    # Use closer nodes near the borders of the image, because a fit to a uniform mesh is least
    # accurate there.
    nodes = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, 25))
    axes = (1 + (header[f"NAXIS{i}"] - 1) * nodes - header[f"CRPIX{i}"] for i in (1, 2))
    plain = np.stack(np.meshgrid(*axes)).reshape(2, -1)
    return plain, _scale_distortion(header) @ _calc_powers(*plain)


def _calc_powers(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.stack([x**i * y**j for i, j in CUBIC])


def _fit_cubic(x: FloatArray, y: FloatArray, values: FloatArray) -> FloatArray:
    """Return the coefficients of the cubic polynomial that fits the values best."""
    # Scale x and y to about 1. Otherwise, powers of small or large numbers would make the matrix
    # singular.
    size = max(np.abs(x).max(), np.abs(y).max())
    solution = np.linalg.lstsq(_calc_powers(x / size, y / size).T, values, rcond=None)[0]
    return solution / size ** np.sum(CUBIC, axis=1)


BUILDERS: dict[str, Callable[[fits.Header], BaseLowLevelWCS]] = {
    "tan": partial(_make_fits_wcs, projection="TAN"),
    "sip": _make_sip,
    "lookup": _make_lookup,
    "tpv": _make_tpv,
    "gwcs": partial(_make_gwcs, inverse=True),
    "gwcs-noinverse": partial(_make_gwcs, inverse=False),
}
