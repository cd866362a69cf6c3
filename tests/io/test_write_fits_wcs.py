"""WCSs of cutouts in FITS files, read with astropy alone."""

import warnings

import gwcs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5
from astropy.modeling import models
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from fits_cutouts import (
    IMAGE,
    SHAPE,
    make_cutout,
    measure_pixels,
    row_to_world,
    sample_positions,
    write_fits,
)

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.errors import SubpixalWarning
from subpixal.io import read_image

KINDS = ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["images", "table"])
def test_positions_in_the_file_equal_those_of_the_cutouts(tmp_path, kind, layout):
    """Positions are exact for displaced cutouts, cutouts across a corner, and several images."""
    cutouts = [make_cutout(kind), make_cutout(kind, (-7, -4), (9, 12)), make_cutout("lookup")]
    cutouts[1].dx, cutouts[1].dy = 0.37, -2.6
    with write_fits(CutoutCollection(cutouts), tmp_path / "c.fits", layout=layout) as hdus:
        for number, cutout in enumerate(cutouts):
            if layout == "images":
                wcs = WCS(hdus["SCI", number + 1].header, hdus)
                assert wcs.pixel_shape == cutout.naxis
                world = wcs.all_pix2world(*sample_positions(cutout), 0)
            else:
                world = row_to_world(hdus, number, *sample_positions(cutout))
            assert measure_pixels(cutout, world) < 1e-6


def make_unusual_wcs(kind):
    """Return a WCS with an unusual order of axes, frame, unit or key."""
    header = make_wcs("sip", SHAPE).to_header(relax=True)
    if kind == "latitude first":
        for name in ("CTYPE", "CRVAL", "CUNIT"):
            header[f"{name}1"], header[f"{name}2"] = header[f"{name}2"], header[f"{name}1"]
        header["PC1_2"], header["PC2_1"] = header.pop("PC2_2"), header.pop("PC1_1")
    elif kind == "galactic":
        header["CTYPE1"], header["CTYPE2"] = "GLON-TAN-SIP", "GLAT-TAN-SIP"
        del header["RADESYS"]
    elif kind == "arcsec":
        for name in ("CRVAL", "CDELT"):
            header[f"{name}1"] *= 3600
            header[f"{name}2"] *= 3600
        header["CUNIT1"] = header["CUNIT2"] = "arcsec"
        return WCS(header, preserve_units=True)
    elif kind == "alternate":
        return WCS(make_wcs("tan", SHAPE).to_header(key="B"), key="B")
    return WCS(header)


@pytest.mark.parametrize("kind", ["latitude first", "galactic", "arcsec", "alternate"])
def test_unusual_wcs_gives_the_same_sky(tmp_path, kind):
    """The header gives the same sky and frame, in degrees and without an alternate key."""
    cutout = make_cutout(make_unusual_wcs(kind))
    x, y = sample_positions(cutout)
    true = cutout.wcs.pixel_to_world(x, y)
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        assert hdus["SCI"].header["WCSFIT"] is False
        sky = WCS(hdus["SCI"].header).pixel_to_world(x, y)
    assert sky.frame.is_equivalent_frame(true.frame)
    assert sky.separation(true).max().arcsec < 1e-6 * 0.05


@pytest.mark.parametrize("kind", ["lookup", "gwcs"])
def test_every_plane_has_the_wcs(tmp_path, kind):
    """Each extension of a cutout has the WCS. The WCS is a fit only for a gwcs."""
    cutout = make_cutout(kind, (-3, 2), (8, 9))
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        for name in ("SCI", "ERR", "DQ", "WHT", "MASK", "SEG"):
            wcs = WCS(hdus[name].header, hdus)
            assert measure_pixels(cutout, wcs.all_pix2world(*sample_positions(cutout), 0)) < 1e-6
            assert hdus[name].header["WCSFIT"] is (kind == "gwcs")
            assert hdus[name].header["WCSERR"] < 1e-6


@pytest.mark.parametrize("center", [(0.0001, -40.0), (150.1, 89.9999), (12.3, -90.0)])
def test_fit_of_gwcs_is_exact_at_poles_and_right_ascension_0(tmp_path, center):
    """At these places, the WCS that is fitted to a large cutout has errors below 1e-6 pixels."""
    cutout = make_cutout(make_wcs("gwcs", SHAPE, center), (-3, 2), (70, 50))
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        world = WCS(hdus["SCI"].header).all_pix2world(*sample_positions(cutout), 0)
        assert measure_pixels(cutout, world) < 1e-6


def test_fit_has_the_frame_of_the_image(tmp_path):
    """The fit has the frame and the sky of the gwcs: FK5 J1975, arcsec, latitude first."""
    forward = (
        models.Shift(-30.0) & models.Shift(-20.0)
        | models.Scale(1e-5) & models.Scale(1e-5)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(100.0, 40.0, 180.0)
        | models.Mapping((1, 0))
        | models.Scale(3600.0) & models.Scale(3600.0)
    )
    frame = gwcs.CelestialFrame(
        reference_frame=FK5(equinox="J1975"), axes_order=(1, 0), unit=(u.arcsec, u.arcsec),
        axes_names=("lon", "lat"),
    )  # fmt: skip
    wcs = gwcs.WCS([(gwcs.Frame2D(name="detector", unit=(u.pix, u.pix)), forward), (frame, None)])
    wcs.pixel_shape = SHAPE[::-1]
    cutout = make_cutout(wcs)
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        found = WCS(hdus["SCI"].header)
        x, y = sample_positions(cutout)
        sky, true = found.pixel_to_world(x, y), cutout.wcs.pixel_to_world(x, y)
    assert sky.frame.is_equivalent_frame(true.frame)
    assert sky.separation(true).max().deg < 1e-11


def test_wrapped_fits_wcs_is_written_without_a_fit(tmp_path):
    """The header of a sliced FITS WCS is exact and includes its lookup tables."""
    wcs = make_wcs("lookup", SHAPE)
    sliced = HighLevelWCSWrapper(SlicedLowLevelWCS(wcs, np.s_[10:50, 20:60]))
    cutout = Cutout(IMAGE[10:50, 20:60], sliced, (3, 4), (12, 20))
    for layout in ("images", "table"):
        with write_fits(cutout, tmp_path / f"{layout}.fits", layout=layout) as hdus:
            if layout == "images":
                assert hdus["SCI"].header["WCSFIT"] is False
                world = WCS(hdus["SCI"].header, hdus).all_pix2world(*sample_positions(cutout), 0)
            else:
                world = row_to_world(hdus, 0, *sample_positions(cutout))
        assert measure_pixels(cutout, world) < 1e-6


def test_wcs_without_an_exact_header_is_fitted(tmp_path):
    """
    The WCS is fitted if its SIP polynomials have an origin other than CRPIX.

    Headers cannot contain this origin.
    """
    wcs = make_wcs("sip", SHAPE)
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, wcs.sip.crpix + 20)
    cutout = make_cutout(wcs)
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        assert hdus["SCI"].header["WCSFIT"] is True
        world = WCS(hdus["SCI"].header).all_pix2world(*sample_positions(cutout), 0)
    assert measure_pixels(cutout, world) < 1e-6


def test_header_contains_the_error_of_the_fit(tmp_path):
    """
    WCSERR contains the error of the fit.

    Polynomials cannot fit a single lookup table exactly.
    """
    wcs = make_wcs("lookup", (1000, 1000))
    wcs.cpdis2 = wcs.det2im1 = wcs.det2im2 = None
    cutout = Cutout(np.zeros((1000, 1000)), wcs, (100, 100), (160, 160))
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        header = hdus["SCI"].header
        assert header["WCSFIT"] is True
        error = measure_pixels(cutout, WCS(header).all_pix2world(*sample_positions(cutout), 0))
    assert 1e-5 < error < 0.01
    assert header["WCSERR"] == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_wcs_without_a_good_fit_is_an_error(tmp_path, layout):
    """If a WCS cannot be fitted well, or has no sky, this is an error and no file is written."""
    wcs = make_wcs("lookup", (1000, 1000))
    wcs.cpdis1.data[::2] += 3
    wcs.cpdis2 = None
    cutout = Cutout(np.zeros((1000, 1000)), wcs, src_id="here", meta={"name": "here"})
    path = tmp_path / "c.fits"
    with pytest.raises(ValueError, match=r"'here' has no FITS header .* 0.01 pixels .* format="):
        write_fits(cutout, path, layout=layout)
    frame = gwcs.Frame2D(name="plane", unit=(u.pix, u.pix))
    shift = models.Shift(1.0) & models.Shift(2.0)
    flat = gwcs.WCS([(gwcs.Frame2D(name="detector", unit=(u.pix, u.pix)), shift), (frame, None)])
    with pytest.raises(ValueError, match="over 80x60 pixels: there is none; format='asdf'"):
        write_fits(Cutout(IMAGE, flat), path, layout=layout)
    assert not any(tmp_path.iterdir())


def test_linear_wcs_without_sky_is_written(tmp_path):
    """The header of a linear WCS gives the same world values as the WCS."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "XPOS", "YPOS"
    wcs.wcs.cdelt = 2.0, 3.0
    cutout = Cutout(IMAGE, wcs, (3, 4), (8, 9))
    with write_fits(cutout, tmp_path / "c.fits") as hdus:
        found = WCS(hdus["SCI"].header).all_pix2world(*sample_positions(cutout), 0)
    np.testing.assert_allclose(found, cutout.pix2world(*sample_positions(cutout)), atol=1e-9)


def test_wcs_keywords_in_metadata_are_ignored(tmp_path):
    """WCS keywords in the metadata do not replace the WCS of the cutout."""
    hdus = make_wcs("lookup", SHAPE).to_fits(relax=True)
    header = hdus[0].header
    header["DATE-OBS"], header["FILTER"] = "2020-01-02", "F606W"
    header["COMMENT"] = "one"
    cutout = make_cutout("sip", meta=header)
    with pytest.warns(SubpixalWarning, match="metadata: COMMENT"):
        found = write_fits(cutout, tmp_path / "c.fits")
    with found:
        wcs = WCS(found["SCI"].header)
        assert found["SCI"].header["FILTER"] == "F606W"
        assert wcs.cpdis1 is None
        assert measure_pixels(cutout, wcs.all_pix2world(*sample_positions(cutout), 0)) < 1e-6


@pytest.mark.parametrize(
    "name",
    [
        "hst_wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
        "full_distortion_wcs/acs_wfc_full_wcs.fits.gz[SCI,1]",
        "jwst_nircam_sim/jw00000_nrcb1_cal.fits.gz",
        "ground_tpv/tpv_ctio_mosaic2.fits.gz",
    ],
)
def test_positions_of_real_images_are_exact(tmp_path, shared_data, name):
    """In both layouts, cutouts of real images have exact positions."""
    image = read_image(shared_data / name)
    nx, ny = image.naxis
    boxes = [(-5, -5), (nx // 2, ny // 3), (nx - 20, ny - 20)]
    cutouts = CutoutCollection(
        Cutout(image, None, (x, y), (x + 24, y + 24), mode="fill", fillval=0) for x, y in boxes
    )
    cutouts[1].dx = -0.3
    for layout in ("images", "table"):
        with warnings.catch_warnings():
            # astropy warns about two keywords with the same date in different formats.
            warnings.simplefilter("ignore", AstropyWarning)
            with write_fits(cutouts, tmp_path / f"{layout}.fits", layout=layout) as hdus:
                for number, cutout in enumerate(cutouts):
                    if layout == "images":
                        header = hdus["SCI", number + 1].header
                        world = WCS(header, hdus).all_pix2world(*sample_positions(cutout), 0)
                    else:
                        world = row_to_world(hdus, number, *sample_positions(cutout))
                    assert measure_pixels(cutout, world) < 1e-6
