"""WCSs of all types for the same part of the sky."""

import gwcs
import numpy as np
import pytest
from astropy import coordinates as coord
from astropy import units as u
from astropy.modeling import models
from astropy.wcs import WCS, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper

from subpixal.datasets import make_wcs

MADE = ("tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse")
DERIVED = ("low", "high", "sliced", "sliced-gwcs", "lat-first", "arcsec", "radian", "quantity")
SHAPE, ORIGIN = (300, 400), (70, 50)


class PlainLowLevelWCS(BaseWCSWrapper):
    """WCS with only the low-level interface. It records its calls."""

    def __init__(self, wcs):
        super().__init__(wcs)
        self.calls = []

    @property
    def array_shape(self):
        return self._wcs.array_shape

    def pixel_to_world_values(self, *pixels):
        self.calls.append("forward")
        return self._wcs.pixel_to_world_values(*pixels)

    def world_to_pixel_values(self, *world):
        self.calls.append("backward")
        return self._wcs.world_to_pixel_values(*world)


class PlainHighLevelWCS:
    """WCS with only the high-level interface."""

    def __init__(self, wcs):
        self._high = HighLevelWCSWrapper(PlainLowLevelWCS(wcs))

    def __getattr__(self, name):
        return getattr(self._high, name)


def make_larger(wcs):
    """Return the FITS WCS of a larger image. In it, the image of ``wcs`` begins at ORIGIN."""
    wcs = wcs.deepcopy()
    wcs.wcs.crpix = wcs.wcs.crpix + ORIGIN
    if wcs.sip is not None:
        wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, wcs.sip.crpix + ORIGIN)
    wcs.pixel_shape = [n + 2 * o for n, o in zip(wcs.pixel_shape, ORIGIN, strict=True)]
    return wcs


def cut_larger(wcs):
    """Return the slice of the WCS of a larger image that begins at ORIGIN."""
    nx, ny = SHAPE[::-1]
    part = slice(ORIGIN[1], ORIGIN[1] + ny), slice(ORIGIN[0], ORIGIN[0] + nx)
    return SlicedLowLevelWCS(wcs, part)


def make_gwcs(wcs, before=None, after=None, unit=u.deg):
    """Return a copy of a gwcs with one more transform, either before or after its own transform."""
    transform = wcs.forward_transform.copy()
    transform.bounding_box = None
    transform = transform if before is None else before | transform
    transform = transform if after is None else transform | after
    detector = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = gwcs.CelestialFrame(name="world", reference_frame=coord.ICRS(), unit=(unit, unit))
    new = gwcs.WCS([(detector, transform), (world, None)])
    new.pixel_shape = wcs.pixel_shape
    new.bounding_box = tuple((-0.5, n - 0.5) for n in wcs.pixel_shape)
    return new


def make_quantity_gwcs(wcs):
    """Return a gwcs like a TAN WCS, with units in its transforms and its bounding box."""
    (ra, dec), (x, y) = wcs.wcs.crval, wcs.wcs.crpix - 1
    matrix = wcs.pixel_scale_matrix * u.deg
    transform = (
        models.Shift(-x * u.pix) & models.Shift(-y * u.pix)
        | models.Multiply(1 / u.pix) & models.Multiply(1 / u.pix)
        | models.AffineTransformation2D(matrix.value)
        | models.Multiply(1 * u.deg) & models.Multiply(1 * u.deg)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(ra * u.deg, dec * u.deg, 180 * u.deg)
    )
    detector = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = gwcs.CelestialFrame(name="world", reference_frame=coord.ICRS(), unit=(u.deg, u.deg))
    new = gwcs.WCS([(detector, transform), (world, None)])
    new.pixel_shape = wcs.pixel_shape
    new.bounding_box = tuple((-0.5 * u.pix, (n - 0.5) * u.pix) for n in wcs.pixel_shape)
    return new


def swap_axes(wcs):
    """Return a FITS WCS with latitude as the first axis."""
    header = wcs.to_header(relax=True)
    new = wcs.deepcopy()
    new.wcs.ctype = [header["CTYPE2"], header["CTYPE1"]]
    new.wcs.crval = wcs.wcs.crval[::-1]
    new.wcs.cd = wcs.wcs.cd[::-1]
    new.wcs.set()
    return new


def use_arcsec(wcs):
    """Return a FITS WCS with world values in arcsec."""
    header = wcs.to_header(relax=True)
    header["NAXIS"], header["NAXIS1"], header["NAXIS2"] = 2, *wcs.pixel_shape
    header["CUNIT1"] = header["CUNIT2"] = "arcsec"
    for key in ("CRVAL1", "CRVAL2", "CDELT1", "CDELT2"):
        header[key] *= 3600
    return WCS(header, preserve_units=True)


def build_wcs(kind, **arguments):
    """Return a WCS of the given type. The other arguments are those of `make_wcs`."""
    arguments = {"shape": SHAPE, "center": (1.1, 0.7), "rotation": 33.0} | arguments
    if kind in MADE:
        return make_wcs(kind, **arguments)
    if kind == "quantity":
        return make_quantity_gwcs(make_wcs("tan", **arguments))
    if kind == "sliced-gwcs":
        move = models.Shift(-ORIGIN[0]) & models.Shift(-ORIGIN[1])
        large = make_gwcs(make_wcs("gwcs", **arguments), before=move)
        nx, ny = SHAPE[1] + 2 * ORIGIN[0], SHAPE[0] + 2 * ORIGIN[1]
        large.pixel_shape = nx, ny
        # The bounding box contains only the image, and not the pixels around the image.
        large.bounding_box = (69.5, nx - 70.5), (49.5, ny - 50.5)
        return cut_larger(large)
    if kind == "radian":
        degree = np.deg2rad(1)
        after = models.Scale(degree) & models.Scale(degree)
        return make_gwcs(make_wcs("gwcs", **arguments), after=after, unit=u.rad)
    make = {
        "low": PlainLowLevelWCS,
        "high": PlainHighLevelWCS,
        "sliced": lambda wcs: cut_larger(make_larger(wcs)),
        "lat-first": swap_axes,
        "arcsec": use_arcsec,
    }
    return make[kind](make_wcs("sip", **arguments))


@pytest.fixture(params=MADE + DERIVED)
def kind(request):
    """Yield the name of each type of WCS."""
    return request.param


@pytest.fixture(scope="session")
def build():
    """Return the function that builds a WCS of a given type."""
    return build_wcs


@pytest.fixture(scope="session")
def plain_low_level():
    """Return the class of the low-level WCSs that record their calls."""
    return PlainLowLevelWCS
