"""Pixel areas, pixel scales and Jacobians on the sky."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area
from astropy.wcs.wcsapi import SlicedLowLevelWCS
from numpy.testing import assert_allclose

from subpixal.geometry import PixelGrid

SHAPE = (300, 400)
# Right ascension 0 or a pole is in these images, at their edges, or just outside.
POINTINGS = [
    (0.0, 0.0), (359.9985, -45.0), (0.00277, 60.0), (150.1, 2.2), (80.0, 89.997),
    (10.0, 90.0), (200.0, -90.0), (300.0, -89.99),
]  # fmt: skip


def positions(shape=SHAPE, margin=100, n=200, seed=5):
    """Return random pixel positions on the image and in a margin around it."""
    ny, nx = shape
    t = np.random.default_rng(seed).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


def make_header(projection="TAN", shape=SHAPE, scale=1e-5, center=(30.0, 20.0), **more):
    """Return the header of an image. The reference point is the center of the image."""
    ny, nx = shape
    values = {
        "NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": (nx + 1) / 2, "CRPIX2": (ny + 1) / 2, "CRVAL1": center[0], "CRVAL2": center[1],
        "CDELT1": -scale, "CDELT2": scale,
    }  # fmt: skip
    return fits.Header(values | more)


def test_pixel_area_of_tan_decreases_with_cos_cubed():
    """The area of a TAN pixel decreases as cos^3 of the distance to the reference point."""
    for more in ({}, {"CD1_1": -1e-5, "CD1_2": 4e-6, "CD2_1": 3e-6, "CD2_2": 2e-5}):
        wcs = WCS(make_header(**more))
        image = PixelGrid(wcs)
        expected = proj_plane_pixel_area(wcs)
        assert image.pixel_area(*image.reference) == pytest.approx([expected], rel=1e-8)
    wide = WCS(make_header(scale=0.05, shape=(1000, 1000)))
    x = np.linspace(0, 999, 7)
    theta = np.arctan(np.deg2rad(0.05) * np.abs(x - 499.5))
    found = PixelGrid(wide).pixel_area(x, np.full(7, 499.5))
    assert_allclose(found, 0.05**2 * np.cos(theta) ** 3, rtol=1e-5)


def test_pixel_area_equals_area_between_corners(build, kind):
    """The area of a pixel equals the area between its four mapped corners."""
    image = PixelGrid(build(kind))
    x, y = positions(n=50)
    corners = [(x - 0.5, y - 0.5), (x + 0.5, y - 0.5), (x + 0.5, y + 0.5), (x - 0.5, y + 0.5)]
    points = [image.world.vectors(image.to_world(*corner)) for corner in corners]
    diagonals = np.cross(points[2] - points[0], points[3] - points[1], axis=0)
    expected = np.linalg.norm(diagonals, axis=0) / 2 * np.rad2deg(1) ** 2
    assert_allclose(image.pixel_area(x, y), expected, rtol=2e-4)
    assert image.pixel_area(3.0, 4.0).shape == (1,)


@pytest.mark.parametrize("center", POINTINGS)
def test_jacobian_equals_offsets_of_skycoord(build, kind, center):
    """A step of one pixel gives the offsets to the east and north that SkyCoord calculates."""
    image = PixelGrid(build(kind, center=center, rotation=30))
    x, y = positions(n=20)
    found = image.jacobian(x, y)
    assert found.shape == (20, 2, 2)
    lon, lat = np.rad2deg(image.world.lonlat(image.to_world(x, y)))
    centers = SkyCoord(lon, lat, unit="deg", frame=image.world.frame)
    for column, (dx, dy) in enumerate([(0.5, 0), (0, 0.5)]):
        ends = [image.world.lonlat(image.to_world(x + s * dx, y + s * dy)) for s in (-1, 1)]
        there = [SkyCoord(*end, unit="rad", frame=image.world.frame) for end in ends]
        east, north = (
            np.subtract(*(centers.spherical_offsets_to(end)[axis].deg for end in there[::-1]))
            for axis in (0, 1)
        )
        # The tolerance is large enough for the kinks of lookup tables.
        size = np.hypot(east, north).max()
        assert_allclose(found[:, 0, column], east, rtol=0, atol=1e-5 * size)
        assert_allclose(found[:, 1, column], north, rtol=0, atol=1e-5 * size)
    area = np.abs(np.linalg.det(found))
    assert_allclose(image.pixel_area(x, y), area, rtol=1e-3)
    assert_allclose(image.pixel_scale(x, y), np.sqrt(image.pixel_area(x, y)))


def test_jacobian_of_a_plain_world_equals_its_matrix():
    """If there is no sky, the Jacobian contains the derivatives of the world values."""
    matrix = [[3.0, 1.0], [-0.5, 2.0]]
    header = {f"CD{i}_{j}": matrix[i - 1][j - 1] for i in (1, 2) for j in (1, 2)}
    image = PixelGrid(WCS(fits.Header({"NAXIS": 2, "NAXIS1": 40, "NAXIS2": 30} | header)))
    assert_allclose(image.jacobian([1.0, 7], [2.0, 9]), [matrix, matrix], rtol=1e-9)


def test_slice_has_reference_and_scale_of_the_whole():
    """A slice of a FITS WCS has the reference point and the pixel scale of the whole WCS."""
    wcs = WCS(make_header(scale=0.02, shape=(1000, 1000)))
    part = PixelGrid(SlicedLowLevelWCS(wcs, (slice(900, 1000), slice(800, 1000))))
    whole = PixelGrid(wcs)
    assert part.reference == pytest.approx((whole.reference[0] - 800, whole.reference[1] - 900))
    assert part.pixel_scale(*part.reference) == pytest.approx(whole.pixel_scale(*whole.reference))
