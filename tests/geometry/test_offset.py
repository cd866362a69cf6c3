"""WCSs of rectangles of an image. The origin of such a WCS is the first pixel of the rectangle."""

import copy
import pickle

import gwcs
import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.data import get_pkg_data_filename
from astropy.wcs import WCS
from astropy.wcs.wcsapi import BaseHighLevelWCS, BaseLowLevelWCS, SlicedLowLevelWCS
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import OffsetLowLevelWCS, PixelGrid, offset_wcs

OFFSETS = [(0, 0), (17, 5), (-40, -3), (-5.25, 3.5), (120.125, -60.75), (1e-4, 0.3)]
GWCS_KINDS = {"gwcs", "gwcs-noinverse", "sliced-gwcs", "radian", "quantity"}
WRAPPED_KINDS = {"low", "high"}
TABLES = ("cpdis1", "cpdis2", "det2im1", "det2im2")
SCALE = np.deg2rad(0.05 / 3600)


def low_level(wcs):
    """Return the low-level interface of a WCS."""
    return wcs if isinstance(wcs, BaseLowLevelWCS) else wcs.low_level_wcs


def world_values(wcs, x, y):
    """Return world values from the methods of the WCS itself."""
    if isinstance(wcs, gwcs.WCS):
        # gwcs 1.0 fails on arrays with a bounding box that has units.
        return wcs(x, y, with_bounding_box=False)
    return low_level(wcs).pixel_to_world_values(x, y)


def unit_vectors(wcs, x, y):
    """Return unit vectors for the world values of the WCS."""
    return PixelGrid(wcs).world.vectors(world_values(wcs, x, y))


def assert_same_sky(actual, expected, atol=1e-9):
    """Check that unit vectors agree to a fraction of a pixel. Pixels have a size of 0.05 arcsec."""
    assert np.isfinite(expected).all()
    assert np.linalg.norm(actual - expected, axis=0).max() < atol * SCALE


def positions(shape, n=40, seed=3):
    """Return random pixel positions on an image."""
    y, x = np.random.default_rng(seed).uniform(0, np.array(shape)[:, None] - 1, (2, n))
    return x, y


def assert_fits_offset_is_exact(parent, offset, shape, atol=1e-9):
    """Check that a FITS WCS with a new origin gives the same sky on the image and around it."""
    ny, nx = parent.array_shape
    x, y = np.random.default_rng(4).uniform(-0.2, 1.2, (2, 500)) * [[nx], [ny]]
    child = offset_wcs(parent, offset, shape)
    actual = child.all_pix2world(x - offset[0], y - offset[1], 0)
    expected = parent.all_pix2world(x, y, 0)
    plain = PixelGrid(parent).world
    assert_same_sky(plain.vectors(actual), plain.vectors(expected), atol=atol)


@pytest.mark.parametrize("offset", OFFSETS)
def test_pixels_have_the_sky_of_the_image(build, kind, offset):
    """Pixels of the rectangle have the same sky positions as these pixels of the image."""
    wcs = build(kind)
    child = offset_wcs(wcs, offset, (30, 20))
    x, y = positions((300, 400))
    assert_same_sky(unit_vectors(child, x - offset[0], y - offset[1]), unit_vectors(wcs, x, y))
    one = low_level(child).pixel_to_world_values(5.0 - offset[0], 6.0 - offset[1])
    assert_allclose(one, low_level(wcs).pixel_to_world_values(5.0, 6.0), rtol=1e-13)


@pytest.mark.parametrize("offset", OFFSETS)
def test_inverse_equals_inverse_of_the_image(build, kind, offset):
    """The inverse equals the shifted inverse of the WCS of the image, with the same errors."""
    wcs = build(kind)
    child = offset_wcs(wcs, offset, (30, 20))
    if kind == "gwcs-noinverse":
        with pytest.raises(NotImplementedError, match="inverse"):
            _ = child.backward_transform
        return
    # The positions avoid the edge, because a gwcs with a bounding box has no inverse there.
    x, y = positions((200, 300)) + np.array([[50], [50]])
    world = [np.asarray(w) for w in world_values(wcs, x, y)]
    if kind == "quantity":
        expected = wcs.invert(*world, with_bounding_box=False)
    else:
        expected = low_level(wcs).world_to_pixel_values(*world)
    assert np.isfinite(expected).all()
    actual = low_level(child).world_to_pixel_values(*world)
    assert_allclose(np.add(actual, np.reshape(offset, (2, 1))), expected, rtol=0, atol=1e-8)


def test_rectangle_keeps_type_and_has_its_shape(build, kind):
    """A FITS WCS gives a FITS WCS, and a gwcs gives a gwcs. The shape is the new one."""
    child = offset_wcs(build(kind), (3.5, -2), (30, 20))
    assert isinstance(child, BaseHighLevelWCS)
    if kind in WRAPPED_KINDS:
        assert type(child.low_level_wcs) is OffsetLowLevelWCS
    else:
        assert type(child) is (gwcs.WCS if kind in GWCS_KINDS else WCS)
    assert low_level(child).array_shape == (30, 20)
    assert low_level(child).pixel_shape == (20, 30)
    assert low_level(child).pixel_bounds is None


def test_sky_coordinates_have_the_frame_of_the_image(build, kind):
    """Sky coordinates of the rectangle equal those of the image and have the same frame."""
    wcs = build(kind)
    child = offset_wcs(wcs, (7.5, -3), (30, 20))
    world = PixelGrid(wcs).world
    sky = child.pixel_to_world(10.0, 20.0)
    assert sky.frame.is_equivalent_frame(world.frame)
    expected = world.vectors(PixelGrid(wcs).to_world(17.5, 17.0))
    assert_same_sky(np.array(sky.cartesian.xyz)[:, None], expected[:, None])


@pytest.mark.parametrize("made", ["sip", "lookup", "tpv", "tan"])
def test_fits_parent_is_not_changed(build, made):
    """Making the WCS of a rectangle does not change the FITS WCS of the image or its tables."""
    wcs = build(made)
    wcs.pixel_bounds = [(-0.5, 399.5), None]
    before, tables = wcs.deepcopy(), [getattr(wcs, name) for name in TABLES]
    child = offset_wcs(wcs, (-5.25, 8), (30, 20))
    assert child.pixel_bounds == [(4.75, 404.75), None]
    assert wcs.pixel_bounds == [(-0.5, 399.5), None]
    assert wcs.wcs.compare(before.wcs)
    assert wcs.pixel_shape == before.pixel_shape == (400, 300)
    assert [getattr(wcs, name) for name in TABLES] == tables
    for name, table in zip(TABLES, tables, strict=True):
        if table is not None:
            assert_array_equal(table.crval, getattr(before, name).crval)
            assert_array_equal(table.data, getattr(before, name).data)
    if wcs.sip is not None:
        assert_array_equal(wcs.sip.crpix, before.sip.crpix)
        # Changing the WCS of the rectangle does not change the WCS of the image.
        child.wcs.crval = [0, 0]
        assert wcs.wcs.compare(before.wcs)


def test_gwcs_shares_transforms_and_parent_keeps_its_bounding_box(build):
    """Image and rectangle share the transforms of a gwcs. Only the image has a bounding box."""
    wcs = build("gwcs")
    wcs.name = "image"
    box, steps = wcs.pixel_bounds, list(wcs.pipeline)
    child = offset_wcs(wcs, (-5.25, 8), (30, 20))
    assert child.bounding_box is None
    assert wcs.pixel_bounds == box == ((-0.5, 399.5), (-0.5, 299.5))
    assert np.isnan(wcs(-1, 0)).all()
    assert np.isfinite(child(-100, 0)).all()
    assert [step.transform for step in child.pipeline[1:]] == [step.transform for step in steps]
    assert all(a is b for a, b in zip(wcs.pipeline, steps, strict=True))
    assert child.pipeline[1].transform is steps[0].transform
    assert (wcs.pixel_shape, child.pixel_shape) == ((400, 300), (20, 30))
    assert child.available_frames == ["cutout", "detector", "world"]
    assert child.name == wcs.name == "image"


def test_gwcs_of_a_rectangle_of_a_rectangle(build):
    """The offsets of nested rectangles of a gwcs add up. Each pixel frame has its own name."""
    wcs = build("gwcs")
    inner = offset_wcs(offset_wcs(wcs, (10.5, -4), (90, 80)), (-3, 2.25), (30, 20))
    assert len(set(inner.available_frames)) == 4
    assert_same_sky(unit_vectors(inner, 5.0, 6.0)[:, None], unit_vectors(wcs, 12.5, 4.25)[:, None])


@pytest.mark.parametrize("made", ["low", "high"])
def test_wrapper_of_a_wrapper_is_one_wrapper(build, made):
    """A wrapper of a wrapper becomes one wrapper of the original WCS. Both offsets add up."""
    wcs = build(made)
    child = offset_wcs(offset_wcs(wcs, (10.5, -4), (90, 80)), (-3, 2.25), (30, 20)).low_level_wcs
    assert child.offset == (7.5, -1.75)
    assert child._wcs is low_level(wcs)
    direct = OffsetLowLevelWCS(OffsetLowLevelWCS(low_level(wcs), (1, 2), (9, 9)), (3, 4))
    assert direct.offset == (4.0, 6.0)
    assert direct._wcs is low_level(wcs)
    assert direct.array_shape is direct.pixel_shape is None


def test_wrapper_of_a_slice(plain_low_level, build):
    """A wrapper of a slice replaces the slice of a 2-D WCS, but not the slice of a cube."""
    plain = plain_low_level(build("sip"))
    sliced = SlicedLowLevelWCS(plain, (slice(20, 50), slice(None, 30)))
    child = offset_wcs(sliced, (0.5, -3), (30, 20)).low_level_wcs
    assert child._wcs is plain
    assert child.offset == (0.5, 17.0)
    cube = WCS(naxis=3)
    cube.wcs.ctype = ["RA---TAN", "DEC--TAN", "WAVE"]
    plane = SlicedLowLevelWCS(cube, (4, slice(20, 50), slice(10, 30)))
    child = offset_wcs(plane, (0.5, -3), (30, 20)).low_level_wcs
    assert child._wcs is plane
    expected = plane.pixel_to_world_values(10.5, 2.0)
    assert_allclose(child.pixel_to_world_values(10, 5), expected, rtol=1e-14)


def test_subclass_of_fits_keeps_overridden_values(build):
    """If a subclass overrides the world values, the rectangle has the overridden values."""

    class Halved(WCS):
        def pixel_to_world_values(self, x, y):
            return super().pixel_to_world_values(np.divide(x, 2), np.divide(y, 2))

    wcs = Halved(build("tan").to_header())
    child = offset_wcs(wcs, (10, 20), (30, 20))
    expected = wcs.pixel_to_world_values(11.0, 22.0)
    assert_allclose(low_level(child).pixel_to_world_values(1.0, 2.0), expected, rtol=1e-14)


@pytest.mark.parametrize("twin", [("cpdis1", "cpdis2"), ("det2im1", "det2im2")])
def test_table_shared_by_both_axes_moves_once(build, twin):
    """If both axes share one table, the offset moves the table only once."""
    wcs = build("lookup")
    setattr(wcs, twin[1], getattr(wcs, twin[0]))
    assert getattr(wcs, twin[0]) is getattr(wcs, twin[1])
    assert_fits_offset_is_exact(wcs, (3.5, -2.0), (30, 20))


@pytest.mark.parametrize("offset", [(13, 7), (-6.5, 40.25)])
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_offset_of_real_lookup_tables_is_exact(offset):
    """Rectangles of a distorted ACS image of astropy have the sky positions of the image."""
    name = get_pkg_data_filename("tests/data/dist_lookup.fits.gz", package="astropy.wcs")
    with fits.open(name) as hdus:
        wcs = WCS(hdus[1].header, hdus)
        assert wcs.cpdis1 is not None
        assert wcs.det2im1 is not None
        # Right ascensions of hundreds of degrees have rounding errors of 1e-9 pixels.
        assert_fits_offset_is_exact(wcs, offset, (30, 20), atol=5e-9)


@pytest.mark.parametrize("offset", [(1300, 700), (-61.5, 1040.25)])
@pytest.mark.parametrize("name", ["acs_wfc_full_wcs.fits.gz", "uvis_c6_full_wcs_IDC.fits.gz"])
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
def test_offset_of_real_hst_detectors_is_exact(shared_data, name, offset):
    """Rectangles of HST detectors have the sky positions of the whole detectors."""
    with fits.open(shared_data / "full_distortion_wcs" / name) as hdus:
        chips = [hdu for hdu in hdus if hdu.name == "SCI"]
        assert len(chips) == 2
        for hdu in chips:
            wcs = WCS(hdu.header, hdus)
            assert wcs.sip is not None
            assert wcs.cpdis1 is not None
            assert_fits_offset_is_exact(wcs, offset, (30, 20), atol=5e-9)


def test_copies_and_pickles_are_equal(build, kind):
    """Pickles and deep copies of the WCS of a rectangle give the same sky positions."""
    child = offset_wcs(build(kind), (3.25, -2.5), (30, 20))
    for twin in (pickle.loads(pickle.dumps(child)), copy.deepcopy(child)):
        assert type(twin) is type(child)
        assert low_level(twin).pixel_shape == (20, 30)
        assert_same_sky(
            unit_vectors(twin, *positions((30, 20))), unit_vectors(child, *positions((30, 20)))
        )


def test_unknown_pixel_bounds_stay_unknown(plain_low_level, build):
    """The offset moves the pixel bounds of a WCS. Bounds of `None` stay `None`."""
    wcs = build("sip")
    wcs.pixel_bounds = [None, (-0.5, 299.5)]
    child = OffsetLowLevelWCS(plain_low_level(wcs), (10, -2.5), (30, 20))
    assert child.pixel_bounds == [None, (2.0, 302.0)]
    x, y = np.array([5.0, 5.0]), np.array([2.5, 1.5])
    assert_array_equal(np.isnan(child.pixel_to_world_values(x, y)[0]), [False, True])
    assert OffsetLowLevelWCS(plain_low_level(build("sip")), (1, 2)).pixel_bounds is None


@pytest.mark.parametrize("made", ["sip", "gwcs", "low"])
def test_offsets_accept_all_types_of_numbers(build, made):
    """Offset and shape can be tuples, lists or arrays, and their elements can be NumPy numbers."""
    wcs = build(made)
    expected = unit_vectors(offset_wcs(wcs, (3, -2), (30, 20)), 1.0, 2.0)
    for offset in (np.array([3, -2]), (np.int64(3), np.float32(-2)), [3.0, -2.0]):
        child = offset_wcs(wcs, offset, [np.int64(30), np.int64(20)])
        assert_array_equal(unit_vectors(child, 1.0, 2.0), expected)
        assert low_level(child).pixel_shape == (20, 30)


@pytest.mark.parametrize("wcs", [None, "TAN", {"CTYPE1": "RA---TAN"}])
def test_object_without_wcs_interface_is_an_error(wcs):
    """If an object has no interface of a WCS, the error names its type."""
    with pytest.raises(TypeError, match=r"wcs must be an APE 14 WCS .* got (NoneType|str|dict)"):
        offset_wcs(wcs, (0, 0), (5, 5))


def test_wcs_of_three_axes_is_an_error():
    """The error for the WCS of a cube contains its number of axes."""
    with pytest.raises(ValueError, match="wcs must have 2 pixel axes, got 3"):
        offset_wcs(WCS(naxis=3), (0, 0), (5, 5))
