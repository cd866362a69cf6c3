"""Interpolation of the mapped positions of all pixels of boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.datasets import make_wcs
from subpixal.geometry import InterpolatedCenters, PixelBoxes, PixelMap

SHAPE = (300, 400)


def centers(box):
    """Return the centers of the pixels of one box, row by row."""
    v, u = np.mgrid[box.ymin : box.ymax + 1, box.xmin : box.xmax + 1]
    return u.ravel().astype(float), v.ravel().astype(float)


class Counter:
    """Map that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, x, y):
        self.calls += 1
        return self.function(x, y)


@pytest.mark.parametrize("kind", ["sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"])
def test_interpolated_positions_equal_exact_positions(kind):
    """Interpolated positions differ from exact positions by at most 0.002 pixels."""
    pixel_map = PixelMap(
        make_wcs("tan", SHAPE, rotation=20), make_wcs(kind, SHAPE, scale=0.06, rotation=-75)
    )
    boxes = PixelBoxes([50, 200, 310, 7], [60, 110, 250, 3], [25, 1, 40, 60], [31, 1, 12, 8])
    counter = Counter(pixel_map)
    mapped = InterpolatedCenters(counter, boxes).mapped()
    exact = np.hstack([pixel_map(*centers(box)) for box in boxes])
    assert counter.calls == 1
    # The interpolation smooths the kinks of lookup tables.
    assert_allclose(mapped, exact, atol=0.02 if kind == "lookup" else 0.002)


@given(
    coefficients=st.lists(st.floats(-3, 3), min_size=12, max_size=12),
    box=st.tuples(*[st.integers(-50, 50)] * 2, *[st.integers(1, 30)] * 2),
)
def test_quadratic_maps_have_rounding_errors_only(coefficients, box):
    """The interpolation reproduces a biquadratic map exactly, except for rounding errors."""
    a = np.array(coefficients).reshape(2, 6)

    def transform(x, y):
        return [c @ [np.ones_like(x), x, y, x * y / 50, x * x / 50, y * y / 50] for c in a]

    boxes = PixelBoxes(*([number] for number in box))
    mapped = InterpolatedCenters(transform, boxes).mapped()
    assert_allclose(mapped, transform(*centers(next(iter(boxes)))), atol=1e-9)


def test_maps_that_are_not_smooth_are_exact():
    """If the interpolation of a box is not accurate, one more call maps all its pixels."""

    def transform(x, y):
        return x + 3 * np.sin(x), y + np.where(x > 100, 3 * np.cos(2 * y), 0.0)

    counter = Counter(transform)
    boxes = PixelBoxes([0, 120], [0, 5], [12, 9], [7, 20])
    exact = np.hstack([transform(*centers(box)) for box in boxes])
    mapped = InterpolatedCenters(counter, boxes)
    assert_allclose(mapped.mapped(), exact, atol=1e-12)
    assert_array_equal(
        np.hstack([mapped.mapped(slice(0, 1)), mapped.mapped(slice(1, 2))]), mapped.mapped()
    )
    assert counter.calls == 2


def test_pixels_without_a_position_are_nan():
    """Pixels without a position are NaN. Adjacent pixels keep their positions."""

    def transform(x, y):
        return np.where(x < 5, x, np.nan), y

    mapped = InterpolatedCenters(transform, PixelBoxes([0], [0], [10], [4])).mapped()
    assert np.isnan(mapped[0].reshape(4, 10)[:, 5:]).all()
    assert np.isfinite(mapped[0].reshape(4, 10)[:, :5]).all()


def test_no_boxes_give_no_positions():
    """For zero boxes, the result is an empty array."""
    boxes = PixelBoxes([], [], [], [])
    assert InterpolatedCenters(lambda x, y: (x, y), boxes).mapped().shape == (2, 0)
