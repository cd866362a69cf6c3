"""Positions of cutouts. The same rules hold for all types of WCSs, which describe the same sky."""

import pickle
from functools import lru_cache

import astropy.wcs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import proj_plane_pixel_area
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSWrapper
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout, NotConvergedError
from subpixal.datasets import make_wcs

SHAPE = NY, NX = 120, 150
# Pixels are coarse and near the origin of the sky, so that rounding errors are far below 1e-9
# pixels.
SKY = {"center": (1.5, 1.0), "scale": 2.0, "rotation": 25.0}
DEG = SKY["scale"] / 3600
KINDS = ("tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse")
WRAPPED_KINDS = ("low level", "high level")
IMAGE = np.arange(NX * NY, dtype=np.float32).reshape(SHAPE)


class LowLevelOnly(BaseWCSWrapper):
    """WCS that has only the low-level interface of APE 14."""

    def pixel_to_world_values(self, *pixel):
        return self._wcs.pixel_to_world_values(*pixel)

    def world_to_pixel_values(self, *world):
        return self._wcs.world_to_pixel_values(*world)


@lru_cache
def make_image_wcs(kind):
    """Return the WCS of the image."""
    if kind == "low level":
        return LowLevelOnly(make_image_wcs("sip"))
    if kind == "high level":
        return HighLevelWCSWrapper(make_image_wcs("low level"))
    return make_wcs(kind, SHAPE, **SKY)


def map_to_world(wcs, x, y):
    """Return world values of pixels, also outside the image, directly from the WCS."""
    if not isinstance(wcs, BaseLowLevelWCS):
        wcs = wcs.low_level_wcs
    if hasattr(wcs, "bounding_box"):
        return wcs(x, y, with_bounding_box=False)
    return wcs.pixel_to_world_values(x, y)


def assert_same_sky(actual, expected, pixels=1e-9):
    """Check that two sets of world values, in degrees near the equator, agree in pixels."""
    assert_allclose(actual, expected, rtol=0, atol=pixels * DEG)


def make_cutout(position, wcs):
    """Return a cutout, and the position of its pixel (0, 0) in the image."""
    if position == "strict":
        return Cutout(IMAGE, wcs, (20, 31), (59, 49)), (20, 31)
    if position == "filled":
        return Cutout(IMAGE, wcs, (-7, -12), (20, 16), mode="fill"), (-7, -12)
    if position == "empty":
        return Cutout(None, wcs, (140, -30), (170, -5)), (140, -30)
    cutout = Cutout(IMAGE, wcs, (20, 31), (59, 49))
    if position == "moved":
        cutout.blc = (-5, 101)
        return cutout, (-5, 101)
    cutout.dx, cutout.dy = 0.3, -1.7
    return cutout, (20 - 0.3, 31 + 1.7)


POSITIONS = ("strict", "filled", "empty", "moved", "displaced")
X = np.array([0.0, 3.0, 7.25, -0.5, 18.5])
Y = np.array([0.0, 11.0, 2.5, 14.49, -0.5])

every_kind = pytest.mark.parametrize("kind", KINDS + WRAPPED_KINDS)
every_position = pytest.mark.parametrize("position", POSITIONS)


# On the sky


@every_kind
@every_position
def test_pix2world_adds_the_origin_and_subtracts_the_displacement(kind, position):
    """Pixel ``x`` of the cutout is at pixel ``x + blc - dx`` of the image."""
    wcs = make_image_wcs(kind)
    cutout, (x0, y0) = make_cutout(position, wcs)
    assert_same_sky(cutout.pix2world(X, Y), map_to_world(wcs, X + x0, Y + y0))
    assert cutout.image_wcs is wcs


@every_kind
@every_position
def test_wcs_maps_like_pix2world(kind, position):
    """The WCS of a cutout gives the same positions as `pix2world`, with the displacement."""
    cutout, _ = make_cutout(position, make_image_wcs(kind))
    assert_same_sky(map_to_world(cutout.wcs, X, Y), cutout.pix2world(X, Y))
    sky = cutout.wcs.pixel_to_world(X, Y)
    assert isinstance(sky, SkyCoord)
    assert_same_sky((sky.ra.deg, sky.dec.deg), cutout.pix2world(X, Y))
    assert cutout.wcs.low_level_wcs.array_shape == cutout.shape
    assert cutout.wcs.low_level_wcs.pixel_shape == cutout.naxis


@every_kind
@every_position
def test_world2pix_inverts_pix2world(kind, position):
    """World positions map back to the original pixels, even if the WCS has no inverse."""
    cutout, _ = make_cutout(position, make_image_wcs(kind))
    assert_allclose(cutout.world2pix(*cutout.pix2world(X, Y)), (X, Y), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS[1:] + WRAPPED_KINDS)
def test_kinds_of_wcs_describe_the_same_sky(kind):
    """The WCSs in these tests agree to half a pixel, so that results can be compared."""
    cutout, _ = make_cutout("filled", make_image_wcs(kind))
    reference, _ = make_cutout("filled", make_image_wcs("sip"))
    assert_same_sky(cutout.pix2world(X, Y), reference.pix2world(X, Y), pixels=0.5)


@pytest.mark.parametrize("kind", KINDS[:4])
def test_cutout_of_a_fits_image_has_a_fits_wcs(kind):
    """A cutout of an image with a FITS WCS has a FITS WCS. The WCS of the image does not change."""
    before = pickle.dumps(make_image_wcs(kind))
    cutout, _ = make_cutout("displaced", make_image_wcs(kind))
    assert type(cutout.wcs) is astropy.wcs.WCS
    assert_allclose(cutout.wcs.wcs.crpix, make_image_wcs(kind).wcs.crpix - (19.7, 32.7), rtol=1e-14)
    assert pickle.dumps(make_image_wcs(kind)) == before


@pytest.mark.parametrize("kind", KINDS[4:])
def test_cutout_of_a_gwcs_image_has_a_gwcs(kind):
    """A cutout of an image with a gwcs has a gwcs without a bounding box."""
    gwcs = pytest.importorskip("gwcs")
    cutout, _ = make_cutout("filled", make_image_wcs(kind))
    assert type(cutout.wcs) is gwcs.WCS
    assert cutout.wcs.bounding_box is None
    assert cutout.wcs.pixel_shape == cutout.naxis
    assert make_image_wcs(kind).bounding_box is not None


@pytest.mark.parametrize("kind", WRAPPED_KINDS)
def test_other_wcs_are_wrapped(kind):
    """A cutout of an image with another type of WCS has a wrapper around this WCS."""
    assert isinstance(make_cutout("moved", make_image_wcs(kind))[0].wcs, HighLevelWCSWrapper)


def test_wcs_is_made_again_after_a_move():
    """The WCS of a cutout is made once, and again after each change of the position."""
    cutout, _ = make_cutout("strict", make_image_wcs("sip"))
    first = cutout.wcs
    assert cutout.wcs is first
    for move in ({"dx": 0.5}, {"blc": (3, 4)}, {"dy": -2}, {"trc": (70, 80)}):
        for name, value in move.items():
            setattr(cutout, name, value)
        assert cutout.wcs is not first
        assert_same_sky(map_to_world(cutout.wcs, X, Y), cutout.pix2world(X, Y))


def test_wcs_cannot_be_set():
    cutout, _ = make_cutout("strict", make_image_wcs("tan"))
    for name in ("wcs", "image_wcs"):
        with pytest.raises(AttributeError):
            setattr(cutout, name, make_image_wcs("sip"))


@given(
    blc=st.tuples(st.integers(-60, 140), st.integers(-60, 110)),
    naxis=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    displacement=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
    at=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_methods_and_wcs_agree_at_any_position(blc, naxis, displacement, at):
    """The methods and the WCS of a cutout give the same positions as the image."""
    wcs = make_image_wcs("sip")
    cutout = Cutout(None, wcs, blc, np.add(blc, naxis) - 1)
    cutout.dx, cutout.dy = displacement
    x, y = np.multiply(at, naxis) - 0.5
    world = cutout.pix2world(x, y)
    expected = wcs.pixel_to_world_values(*(np.add((x, y), blc) - displacement))
    assert_same_sky(world, expected)
    assert_same_sky(cutout.wcs.pixel_to_world_values(x, y), world)
    assert_allclose(cutout.world2pix(*world), (x, y), rtol=0, atol=1e-5)


# Forms of arguments and results


@pytest.mark.parametrize("kind", ["sip", "gwcs", "gwcs-noinverse"])
def test_positions_come_in_the_form_of_the_arguments(kind):
    """Two arrays give two arrays of the same shape. One table of positions gives one table."""
    cutout, _ = make_cutout("displaced", make_image_wcs(kind))
    table = np.stack([X, Y], axis=-1)
    for method in (cutout.pix2world, cutout.world2pix):
        columns = method(*table.T)
        assert isinstance(columns, tuple)
        assert method(table).shape == (5, 2)
        assert_array_equal(method(table), np.transpose(columns))
        assert_array_equal(method(table.tolist()), np.transpose(columns))
        square = method(*(c[:4].reshape(2, 2) for c in table.T))
        assert_allclose(square, np.reshape([c[:4] for c in columns], (2, 2, 2)), rtol=1e-12)
        assert np.shape(method(*table[1])) == (2,)
        assert_allclose(method(*table[1]), np.transpose(columns)[1], rtol=1e-12)
        assert [c.shape for c in method([], [])] == [(0,), (0,)]
        assert method(np.empty((0, 2))).shape == (0, 2)
        table = np.transpose(columns)


def test_world_values_keep_the_order_and_units_of_the_wcs():
    """
    World values have the order and the units of the WCS.

    Here, these are latitude first and arcsec.
    """
    header = make_image_wcs("sip").to_header(relax=True)
    header.update(
        CTYPE1="GLAT-TAN", CTYPE2="GLON-TAN", CRVAL1=3600, CRVAL2=7200, CDELT1=2, CDELT2=2
    )
    header.update(CUNIT1="arcsec", CUNIT2="arcsec")
    for name in ("A", "B"):
        for key in header[f"{name}_*"]:
            del header[key]
    wcs = astropy.wcs.WCS(header, preserve_units=True)
    cutout, _ = make_cutout("strict", wcs)
    latitude, longitude = cutout.pix2world(X, Y)
    assert_array_equal((latitude, longitude), wcs.pixel_to_world_values(X + 20, Y + 31))
    assert_allclose(latitude, 3600, atol=300)
    assert_allclose(longitude, 7200, atol=300)
    assert_allclose(cutout.world2pix(latitude, longitude), (X, Y), rtol=0, atol=1e-5)
    assert_allclose(cutout.wcs.pixel_to_world_values(X, Y), (latitude, longitude), rtol=1e-12)


def test_coordinates_are_broadcast():
    """Coordinates ``x`` and ``y`` follow the broadcasting rules of NumPy."""
    cutout, _ = make_cutout("strict", make_image_wcs("sip"))
    x, y = np.arange(3), np.arange(4)[:, None]
    assert_array_equal(cutout.pix2world(x, y), cutout.pix2world(*np.broadcast_arrays(x, y)))


@pytest.mark.parametrize("kind", ["sip", "gwcs"])
def test_origin_of_one(kind):
    """With ``origin=1``, the first pixel has the coordinate 1."""
    cutout, _ = make_cutout("displaced", make_image_wcs(kind))
    world = cutout.pix2world(X, Y)
    assert_same_sky(cutout.pix2world(X + 1, Y + 1, origin=1), world)
    moved = np.subtract(cutout.world2pix(*world, origin=1), cutout.world2pix(*world))
    assert_allclose(moved, 1, rtol=0, atol=1e-9)


@pytest.mark.parametrize("origin", [2, -1, 0.5, None])
def test_invalid_origin_is_an_error(origin):
    cutout, _ = make_cutout("strict", make_image_wcs("tan"))
    with pytest.raises(ValueError, match=f"origin must be 0 or 1, got {origin}"):
        cutout.pix2world(1, 2, origin=origin)


@pytest.mark.parametrize(
    "args", [(1,), (1, 2, 3), (np.zeros((2, 5)),), (np.zeros(2),), (np.zeros((1, 3)),), ()]
)
def test_invalid_forms_of_positions_are_errors(args):
    cutout, _ = make_cutout("strict", make_image_wcs("tan"))
    for method in (cutout.pix2world, cutout.world2pix):
        with pytest.raises(ValueError, match=r"2 arrays, or one array of shape \(N, 2\); got"):
            method(*args)


@pytest.mark.parametrize("kind", ["tan", "sip", "gwcs", "gwcs-noinverse"])
def test_positions_that_do_not_map(kind):
    """If a position does not map, it is NaN, or an error contains its number."""
    cutout, _ = make_cutout("strict", make_image_wcs(kind))
    ra, dec = np.transpose([cutout.pix2world(3, 4), (181.5, 1.0), (np.nan, 1.0), (91.5, 80.0)])
    x, y = cutout.world2pix(ra, dec)
    assert_allclose((x[0], y[0]), (3, 4), rtol=0, atol=1e-5)
    assert_array_equal(np.isnan([x, y]), [[False, True, True, True]] * 2)
    with pytest.raises(NotConvergedError, match=r"3 of 4 world positions .* number 1") as caught:
        cutout.world2pix(ra, dec, quiet=False)
    assert_array_equal(caught.value.where, [1, 2, 3])
    assert cutout.world2pix(ra[0], dec[0], quiet=False)


def test_class_constants_are_defaults():
    """The constants of the class are the default arguments of `world2pix`."""

    class Loud(Cutout):
        DEFAULT_QUIET = False

    class Hasty(Cutout):
        DEFAULT_MAXITER = 0

    class Sloppy(Cutout):
        DEFAULT_ACCURACY = 3.0

    wcs = make_image_wcs("gwcs-noinverse")
    with pytest.raises(NotConvergedError):
        Loud(IMAGE, wcs).world2pix(181.5, 1.0)
    world = Cutout(IMAGE, wcs).pix2world(13.3, 14.1)
    assert np.isnan(Hasty(IMAGE, wcs).world2pix(*world)).all()
    assert not np.isnan(Hasty(IMAGE, wcs).world2pix(*world, maxiter=50)).any()
    # The first guess of the inverse has a large error, because it ignores the distortion tables.
    wcs = make_image_wcs("lookup")
    world = Cutout(IMAGE, wcs).pix2world(13.3, 14.1)
    error = np.hypot(*np.subtract(Sloppy(IMAGE, wcs).world2pix(*world), (13.3, 14.1)))
    fine = Sloppy(IMAGE, wcs).world2pix(*world, accuracy=1e-8)
    assert_allclose(fine, (13.3, 14.1), rtol=0, atol=1e-8)
    assert 1e-7 < error < 3


# The bounding box


def test_bbox_holds_outer_corners():
    """The bounding box contains the outer corners of the corner pixels, in the documented order."""
    cutout, _ = make_cutout("displaced", make_image_wcs("sip"))
    x1, y1, x2, y2 = 19.5, 30.5, 59.5, 49.5
    assert_array_equal(cutout.get_bbox(), [(x1, y1), (x1, y2), (x2, y2), (x2, y1)])
    assert_array_equal(cutout.get_bbox("orig"), cutout.get_bbox())
    w, h = 39.5, 18.5
    assert_array_equal(cutout.get_bbox("blc"), [(-0.5, -0.5), (-0.5, h), (w, h), (w, -0.5)])


@every_kind
def test_bbox_on_the_sky_includes_the_displacement(kind):
    """The bounding box on the sky contains the sky positions of the displaced corners."""
    cutout, _ = make_cutout("displaced", make_image_wcs(kind))
    assert cutout.get_bbox("world").shape == (4, 2)
    assert_array_equal(cutout.get_bbox(wrt="world"), cutout.pix2world(cutout.get_bbox("blc")))
    at_rest, _ = make_cutout("strict", make_image_wcs(kind))
    assert np.abs(at_rest.get_bbox("world") - cutout.get_bbox("world")).max() > DEG


def test_bbox_of_unknown_coordinates_is_an_error():
    with pytest.raises(ValueError, match="wrt must be 'orig', 'blc' or 'world', got 'sky'"):
        make_cutout("strict", make_image_wcs("tan"))[0].get_bbox("sky")


# Moving


def test_move_keeps_pixels_and_slices():
    """Assigning a corner moves the pixels of the cutout. The slices do not change."""
    cutout = Cutout(IMAGE, make_image_wcs("sip"), (-3, 4), (10, 20), mode="fill")
    pixels, slices = cutout.data.copy(), (cutout.extraction_slice, cutout.insertion_slice)
    assert slices == (np.s_[4:21, 0:11], np.s_[0:17, 3:14])
    cutout.blc = (7, -8)
    assert (cutout.blc, cutout.trc, cutout.naxis) == ((7, -8), (20, 8), (14, 17))
    assert_array_equal(cutout.get_bbox()[[0, 2]], [(6.5, -8.5), (20.5, 8.5)])
    cutout.trc = (np.int64(130), 110)
    assert (cutout.blc, cutout.trc) == ((117, 94), (130, 110))
    assert_array_equal(cutout.data, pixels)
    assert (cutout.extraction_slice, cutout.insertion_slice) == slices
    assert (cutout.box.blc, cutout.box.trc) == (cutout.blc, cutout.trc)


@pytest.mark.parametrize("name", ["blc", "trc"])
@pytest.mark.parametrize("value", [(1.5, 2), (1.0, 2.0), 3, None, (1, 2, 3), "ab"])
def test_corners_must_be_integers(name, value):
    cutout, _ = make_cutout("strict", make_image_wcs("tan"))
    with pytest.raises(TypeError, match=rf"{name} must be two integers \(x, y\), got"):
        setattr(cutout, name, value)
    assert cutout.blc == (20, 31)


@pytest.mark.parametrize("name", ["dx", "dy"])
@pytest.mark.parametrize("value", [np.nan, np.inf, None, "far"])
def test_displacements_must_be_finite_numbers(name, value):
    cutout, _ = make_cutout("displaced", make_image_wcs("tan"))
    with pytest.raises(ValueError, match=f"{name} must be a finite number, got {value!r}"):
        setattr(cutout, name, value)
    assert (cutout.dx, cutout.dy) == (0.3, -1.7)


def test_source_position_stays_after_a_move():
    """The source position is relative to the image. Displacements and moves do not change it."""
    cutout = Cutout(IMAGE, make_image_wcs("sip"), (20, 31), (59, 48), src_pos=(33.25, 40.5))
    assert cutout.src_pos == (33.25, 40.5)
    assert cutout.cutout_src_pos == (13.25, 9.5)
    cutout.dx, cutout.dy = 0.5, -2
    assert cutout.src_pos == (33.25, 40.5)
    assert cutout.cutout_src_pos == (13.75, 7.5)
    cutout.blc = (19, 30)
    assert cutout.src_pos == (33.25, 40.5)
    assert cutout.cutout_src_pos == (14.75, 8.5)
    source = map_to_world(cutout.image_wcs, *cutout.src_pos)
    assert_same_sky(cutout.pix2world(*cutout.cutout_src_pos), source)


def test_source_position_can_be_set():
    """By default, the source position is the center. It can be set to any two numbers."""
    cutout = Cutout(IMAGE, make_image_wcs("sip"), (20, 31), (59, 49))
    assert cutout.src_pos == (39.5, 40)
    cutout.src_pos = np.array([-3, 1e4])
    assert cutout.src_pos == (-3, 1e4)
    for value in (None, 5, (1, 2, 3), (np.nan, 1), "ab"):
        with pytest.raises(ValueError, match=r"src_pos must be two finite numbers \(x, y\), got"):
            cutout.src_pos = value
    assert cutout.src_pos == (-3, 1e4)


# Scale


@pytest.mark.parametrize("kind", KINDS)
def test_pscale_is_in_degrees(kind):
    """
    The pixel scale is in degrees and equals the one of astropy.

    Distortion tables change it slightly.
    """
    cutout, _ = make_cutout("displaced", make_image_wcs(kind))
    assert_allclose(cutout.pscale, DEG, rtol=2e-2 if kind == "lookup" else 1e-4)
    if kind == "tan":
        assert_allclose(
            cutout.pscale, np.sqrt(proj_plane_pixel_area(make_image_wcs(kind))), rtol=1e-8
        )


# Apertures of photutils


# photutils would call the numerical inverse of gwcs, which does not support TAN.
@pytest.mark.parametrize("kind", [k for k in KINDS + WRAPPED_KINDS if k != "gwcs-noinverse"])
def test_sky_aperture_measures_the_same_on_cutout_and_image(kind):
    """The sum in an aperture on the sky is the same on a cutout and on the image."""
    photutils = pytest.importorskip("photutils.aperture")
    from astropy.nddata import NDData, StdDevUncertainty

    wcs, sigma = make_image_wcs(kind), np.sqrt(IMAGE + 1)
    x, y = np.array([38.0, 41.7]), np.array([40.2, 39.0])
    aperture = photutils.SkyCircularAperture(
        SkyCoord(*map_to_world(wcs, x, y), unit="deg"), 7 * u.arcsec
    )
    image = NDData(IMAGE * u.ct, wcs=wcs, uncertainty=StdDevUncertainty(sigma), mask=IMAGE % 7 == 0)
    whole = photutils.aperture_photometry(image, aperture)
    cutout = Cutout(image, None, (20, 31), (59, 49))
    part = photutils.aperture_photometry(cutout, aperture)
    for name in ("aperture_sum", "aperture_sum_err"):
        assert_allclose(part[name].value, whole[name].value, rtol=1e-4)
        assert part[name].unit == u.ct
    cutout.blc, cutout.dx = (19, 31), -1
    moved = photutils.aperture_photometry(cutout, aperture)
    assert_allclose(moved["aperture_sum"].value, whole["aperture_sum"].value, rtol=1e-4)
