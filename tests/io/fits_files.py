"""Simulated FITS files for tests of the readers."""

import io

import asdf
import astropy.units as u
import numpy as np
from astropy.coordinates import ICRS
from astropy.io import fits
from astropy.modeling.models import (
    Mapping,
    Pix2Sky_TAN,
    RotateNative2Celestial,
    Scale,
    Shift,
    Tabular2D,
)
from gwcs import WCS as GWCS
from gwcs import coordinate_frames

SHAPE = (20, 30)


def tan_header(**cards):
    """Return a header with a TAN WCS and the given cards."""
    header = fits.Header()
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    header["CRPIX1"], header["CRPIX2"] = 15.5, 10.5
    header["CRVAL1"], header["CRVAL2"] = 150.0, 2.0
    header["CDELT1"], header["CDELT2"] = -1e-5, 1e-5
    header["RADESYS"] = "ICRS"
    header.update(cards)
    return header


def image_hdu(name, version, value, dtype="f4", **cards):
    """Return an image extension whose pixels all have one value."""
    hdu = fits.ImageHDU(np.full(SHAPE, value, dtype), tan_header(**cards), name=name)
    hdu.ver = version
    return hdu


def make_gwcs():
    """Return a TAN gwcs with a distortion table, which ASDF writes as a binary block."""
    table = 100 + np.random.default_rng(7).random(SHAPE[::-1])
    bend = Mapping((0, 1, 0, 1)) | Tabular2D(lookup_table=table) & Mapping((1,), n_inputs=2)
    bend.inputs = ("x", "y")
    sky = Scale(1e-5) & Scale(1e-5) | Pix2Sky_TAN() | RotateNative2Celestial(150, 2, 180)
    detector = coordinate_frames.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = coordinate_frames.CelestialFrame(reference_frame=ICRS(), name="icrs")
    return GWCS([(detector, bend | Shift(-100) & Shift(-10) | sky), (world, None)])


def asdf_bytes(tree):
    """Return the content of an ASDF file with the given tree."""
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    return buffer.getvalue()


def asdf_table(content):
    """Return the ASDF extension of a JWST file as a FITS table."""
    cell = np.frombuffer(content, "u1")[np.newaxis]
    column = fits.Column("ASDF_METADATA", format=f"{len(content)}B", array=cell)
    return fits.BinTableHDU.from_columns([column], name="ASDF")


def write_jwst_file(path, content, *, as_image=False, chips=1):
    """Write a JWST image with the given content of its ASDF extension, and return the path."""
    hdus = [image_hdu("SCI", v + 1, 1.5, BUNIT="MJy/sr", XPOSURE=85.9) for v in range(chips)]
    hdus[0].header["CRVAL1"] = 33.0
    hdus += [image_hdu("ERR", 1, 0.5), image_hdu("WHT", 1, 4)]
    table = fits.ImageHDU(np.frombuffer(content, "u1"), name="ASDF")
    hdus.append(table if as_image else asdf_table(content))
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path
