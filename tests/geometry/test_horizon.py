"""Boxes near the horizon of a projection, mapped from images that extend across the horizon."""

import numpy as np
import pytest
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal.geometry import PixelMap

FEW = settings(max_examples=25)
SCALE = 0.5
SIZE = 400
HALF = np.array([[-0.5], [-0.5], [0.5], [0.5]])


def make_wcs(projection, center, angle=0.0):
    """Return a WCS of 400 x 400 pixels of half a degree."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = [f"RA---{projection}", f"DEC--{projection}"]
    wcs.wcs.crval = center
    wcs.wcs.crpix = [(SIZE + 1) / 2] * 2
    cos, sin = SCALE * np.cos(angle), SCALE * np.sin(angle)
    wcs.wcs.cd = [[-cos, sin], [sin, cos]]
    wcs.wcs.lonpole = 180
    wcs.pixel_shape = SIZE, SIZE
    wcs.wcs.set()
    return wcs


def axes(center):
    """Return the unit vectors to the east, to the north and to the tangent point."""
    lon, lat = np.deg2rad(center)
    east = np.array([-np.sin(lon), np.cos(lon), 0])
    toward = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    return np.array([east, np.cross(toward, east), toward])


@st.composite
def fields(draw):
    """Draw a tangent point, an image of more than half the sky, and boxes near the horizon."""
    center = draw(st.tuples(st.floats(0, 360), st.floats(-89, 89)))
    # In the image, the horizon is a circle around the center or another curve.
    middle = draw(st.sampled_from([center, (center[0] + 70, -center[1]), (center[0] + 180, 0)]))
    image_in = make_wcs(draw(st.sampled_from(["ZEA", "ARC"])), middle, draw(st.floats(0, 7)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    distance, angle = np.deg2rad(rng.uniform(82, 90, 12)), rng.uniform(0, 7, 12)
    plane = np.array([np.sin(angle), np.cos(angle), 1 / np.tan(distance)]) * np.sin(distance)
    x, y, z = axes(center).T @ plane
    sky = np.degrees([np.arctan2(y, x), np.arcsin(z)])
    sizes = np.where(
        rng.random(12) < 0.5, rng.integers(2, 6, (2, 12)), rng.integers(2, 60, (2, 12))
    )
    low = np.rint(np.array(image_in.wcs_world2pix(*sky, 0)) - sizes / 2).astype(int)
    return center, image_in, np.concatenate([low, low + sizes - 1])


def map_densely(image_in, image_out, box, step=0.25):
    """
    Return the box around a mapped box, and the height of the mapped box above the horizon.

    The formula of the projection maps dense points of the box to a TAN or SIN image. The height is
    the smallest height of all points, in degrees.
    """
    (x1, y1, x2, y2), half = box, 0.5
    x, y = np.meshgrid(np.arange(x1 - half, x2 + 0.51, step), np.arange(y1 - half, y2 + 0.51, step))
    lon, lat = np.deg2rad(image_in.wcs_pix2world(x.ravel(), y.ravel(), 0))
    sky = np.array([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
    east, north, toward = axes(image_out.wcs.crval) @ sky
    divisor = np.maximum(np.abs(toward), 1e-12) if image_out.wcs.ctype[0].endswith("TAN") else 1
    plane = np.degrees([east / divisor, north / divisor])
    u, v = np.linalg.inv(image_out.wcs.cd) @ plane + image_out.wcs.crpix[:, None] - 1
    tight = np.array([u.min(), v.min(), u.max(), v.max()])
    return tight, np.degrees(np.arcsin(toward)).min()


@pytest.mark.parametrize("projection", ["TAN", "SIN"])
@FEW
@given(field=fields(), angle=st.floats(0, 7))
def test_boxes_near_the_horizon(projection, field, angle):
    """Boxes across the horizon are NaN. Other boxes are complete and hardly too large."""
    center, image_in, boxes = field
    image_out = make_wcs(projection, center, angle)
    # Boxes need a large reach, because the image ends far from the horizon.
    found, *_, candidate = PixelMap(image_in, image_out).boxes(boxes + HALF, reach=2000)
    good = np.isfinite(found).all(0)
    assert_array_equal(np.isfinite(found).any(0), good)
    for k, box in enumerate(boxes.T):
        tight, height = map_densely(image_in, image_out, box)
        if not np.isfinite(tight).all():
            # A part of this box is beyond the horizon of the first image.
            assert not good[k]
            continue
        if height < -1e-6:
            assert not good[k]
        # The scale of a TAN grows without limit towards the horizon. Boxes there are too large.
        if height > (4 if projection == "TAN" else 1e-3):
            assert candidate[k]
            assert good[k]
        if good[k] and height > 1e-3:
            size = (tight[2:] - tight[:2]).max()
            outward = (found[:, k] - tight) * [-1, -1, 1, 1]
            assert outward.min() > -1e-9 * size - 1e-6
            # The box around the dense points is smaller than the true box by a tiny fraction.
            assert outward.max() < 0.25 + 0.003 * size
