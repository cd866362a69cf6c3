"""Boxes around mapped rectangles contain all mapped pixels and are hardly larger than necessary."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import PixelBox, whole_pixels
from subpixal.geometry.enclosing import extents, perimeter

FIXED = settings(derandomize=True, max_examples=60)


@st.composite
def boxes(draw, size=100):
    """Draw the edges (xmin, ymin, xmax, ymax) of a random rectangle of whole pixels."""
    x, y = draw(st.integers(-500, 500)), draw(st.integers(-500, 500))
    width, height = draw(st.integers(1, size)), draw(st.integers(1, size))
    return np.array([x, y, x + width, y + height]) - 0.5


@st.composite
def maps(draw):
    """Draw a rotated cubic map. Its distortion of 5 % at 500 pixels is more than in any camera."""
    angle, scale = draw(st.floats(0, 7)), draw(st.floats(0.4, 2.5))
    coefficients = [draw(st.floats(-1, 1)) for _ in range(14)]

    def forward(x, y):
        a, b = np.asarray(x) / 500, np.asarray(y) / 500
        powers = [a * a, a * b, b * b, a**3, a * a * b, a * b * b, b**3]
        u = x + 25 * sum(c * p for c, p in zip(coefficients[:7], powers, strict=True)) / 7
        v = y + 25 * sum(c * p for c, p in zip(coefficients[7:], powers, strict=True)) / 7
        cos, sin = scale * np.cos(angle), scale * np.sin(angle)
        return cos * u - sin * v + 13.3, sin * u + cos * v - 7.7

    return forward


def enclose(edges, forward):
    """Return the boxes around mapped rectangles, with shape (4, N)."""
    x, y, start = perimeter(*edges)
    return extents(*forward(x, y), start)[0]


def sample_edges(edges, n):
    """Return points on the four edges of a rectangle, closer together than those of `perimeter`."""
    x1, y1, x2, y2 = edges
    t, one = np.linspace(0, 1, n), np.ones(n)
    x, y = x1 + (x2 - x1) * t, y1 + (y2 - y1) * t
    return np.concatenate([x, x2 * one, x, x1 * one]), np.concatenate([y1 * one, y, y2 * one, y])


def sample_pixels(edges):
    """Return the centers and corners of all pixels of a box."""
    x1, y1, x2, y2 = edges
    return np.meshgrid(np.arange(x1, x2 + 0.25, 0.5), np.arange(y1, y2 + 0.25, 0.5))


def extremes(x, y):
    """Return the edges (xmin, ymin, xmax, ymax) of the smallest box around points."""
    return np.array([x.min(), y.min(), x.max(), y.max()])


@FIXED
@given(st.lists(boxes(), min_size=1, max_size=4), st.sampled_from([1, 4, 16]))
def test_perimeter_goes_around_each_rectangle(rectangles, refinement):
    """The points go around each rectangle and include its corners, with a limited spacing."""
    x, y, start = perimeter(*np.transpose(rectangles), refinement=refinement)
    assert start[0] == 0
    for k, (x1, y1, x2, y2) in enumerate(rectangles):
        part = slice(start[k], start[k + 1] if k + 1 < len(start) else None)
        u, v = x[part], y[part]
        count, odd = divmod(len(u), 8)
        assert not odd  # Each of the four edges has an even number of intervals.
        assert count >= 1
        assert ((u == x1) | (u == x2) | (v == y1) | (v == y2)).all()
        corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
        assert list(zip(u[:: 2 * count], v[:: 2 * count], strict=True)) == corners
        # The last step goes back to the first point.
        steps = np.hypot(np.roll(u, -1) - u, np.roll(v, -1) - v)
        assert steps.max() <= 16 / refinement
        assert steps.sum() == pytest.approx(2 * (x2 - x1 + y2 - y1))
        middle = u[count : 2 * count + 1 : count], v[count : 2 * count + 1 : count]
        assert_allclose([m[0] for m in middle], [(x1 + x2) / 2, y1], rtol=1e-12)
        area = (u * np.roll(v, -1) - v * np.roll(u, -1)).sum() / 2
        # The area is positive because the points go around anticlockwise.
        assert area == pytest.approx((x2 - x1) * (y2 - y1))


def test_no_boxes_give_empty_arrays():
    """For zero boxes, the functions return arrays of length zero."""
    x, y, start = perimeter(*np.empty((4, 0)))
    assert x.shape == y.shape == start.shape == (0,)
    assert [part.shape for part in extents(x, y, start)] == [(4, 0), (0,)]
    assert whole_pixels(np.empty((4, 0))).shape == (4, 0)


def test_box_that_is_not_finite_becomes_nan():
    """A box with an edge that is not finite becomes NaN. The other boxes do not change."""
    edges = np.array([[np.nan, 0, 0], [0, 1, 0], [3, 4, np.inf], [5, 6, 5]])
    found = enclose(edges, lambda x, y: (x + 1, y))
    assert np.isnan(found[:, [0, 2]]).all()
    assert_array_equal(found[:, 1], [1, 1, 5, 6])


def test_point_that_does_not_map_makes_its_box_nan():
    """If a point of a box maps to NaN, all edges of this box are NaN. Other boxes do not change."""
    edges = np.array([[0.0, 10, 20], [0, 0, 0], [5, 15, 25], [5, 5, 5]])
    x, y, start = perimeter(*edges)
    for k in range(start[1], start[2]):
        lost = y.copy()
        lost[k] = np.nan
        found, _ = extents(x, lost, start)
        assert np.isnan(found[:, 1]).all()
        assert_array_equal(found[:, [0, 2]], edges[:, [0, 2]])


@FIXED
@given(boxes(), st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_translation_keeps_the_size(edges, dx, dy):
    """A translation changes the size of a box only by rounding errors."""
    found = enclose(edges[:, None], lambda x, y: (x + dx, y + dy))[:, 0]
    assert_allclose(found, edges + np.array([dx, dy, dx, dy]), rtol=0, atol=1e-10)


@FIXED
@given(boxes(), st.integers(-5000, 5000), st.integers(-5000, 5000))
def test_translation_by_whole_pixels_is_exact(edges, dx, dy):
    """A translation by a whole number of pixels, or by zero, shifts the pixels of a box exactly."""
    box = PixelBox.from_float(*edges)
    found = enclose(edges[:, None], lambda x, y: (x + dx, y + dy))
    moved = whole_pixels(found, tolerance=1e-9)
    assert PixelBox(*moved[:, 0]) == box.shift(dx, dy)


@FIXED
@given(boxes(), maps())
@example(np.array([-0.5, -0.5, 0.5, 0.5]), lambda x, y: (x, y))
def test_box_encloses_every_pixel(edges, forward):
    """A box contains the mapped centers, corners and edges of all pixels."""
    found = enclose(edges[:, None], forward)
    box = whole_pixels(found, tolerance=1e-9)[:, 0]
    for u, v in (forward(*sample_pixels(edges)), forward(*sample_edges(edges, 999))):
        low, high = box[:2] - 0.5, box[2:] + 0.5
        within = extremes(u, v)
        assert (low - 1e-8 <= within[:2]).all()
        assert (within[2:] <= high + 1e-8).all()


@FIXED
@given(boxes(), maps())
def test_box_is_hardly_larger_than_needed(edges, forward):
    """On each side, a box exceeds the smallest possible box by at most one pixel."""
    box = whole_pixels(enclose(edges[:, None], forward), tolerance=1e-9)[:, 0]
    exact = extremes(*forward(*sample_edges(edges, 999)))
    tight = whole_pixels(exact[:, None], tolerance=1e-9)[:, 0]
    outwards = np.concatenate([tight[:2] - box[:2], box[2:] - tight[2:]])
    assert outwards.min() >= 0
    assert outwards.max() <= 1


@FIXED
@given(
    *(st.floats(-0.01, 0.01) for _ in range(3)),
    st.integers(1, 60),
    st.integers(1, 60),
    st.floats(0, 7),
)
def test_bulge_of_a_quadratic_is_bounded(a, b, c, width, height, angle):
    """For any number of samples, the extents contain a quadratic also between the samples."""

    def forward(x, y):
        u, v = x + a * y * y + b * x * y, y + c * x * x
        return np.cos(angle) * u - np.sin(angle) * v, np.sin(angle) * u + np.cos(angle) * v

    edges = np.array([0.0, 0.0, width, height])
    found = enclose(edges[:, None], forward)[:, 0]
    within = extremes(*forward(*sample_edges(edges, 2001)))
    assert (found[:2] <= within[:2] + 1e-9).all()
    assert (found[2:] >= within[2:] - 1e-9).all()


def test_box_contains_an_edge_that_bulges_between_corners():
    """A box contains the middle of a curved edge. A box around the mapped corners would not."""

    def forward(x, y):
        return x, y + 0.002 * (x - 50) ** 2

    edges = np.array([[0.0], [0.0], [100.0], [20.0]])
    corners = forward(edges[[0, 2], 0], edges[[1, 3], 0])
    assert corners[1].min() == 5
    assert_allclose(enclose(edges, forward)[:, 0], [0, 0, 100, 25], atol=0.7)


@pytest.mark.parametrize("kink", [3.0, 8.0, 12.5, 31.0, 50.0])
def test_box_contains_an_edge_with_a_kink(kink):
    """A box contains an edge with a kink at any place, as in a lookup table."""

    def forward(x, y):
        return x, y - 0.05 * np.abs(x - kink)

    edges = np.array([[0.0], [0.0], [100.0], [20.0]])
    x, y, start = perimeter(*edges)
    (_, _, _, top), bulge = extents(*forward(x, y), start)
    assert 20 <= top[0] <= 20 + bulge[0]


@FIXED
@given(st.lists(boxes(30), min_size=2, max_size=6), maps())
def test_boxes_do_not_depend_on_each_other(rectangles, forward):
    """A box has the same extents alone as together with other boxes."""
    together = enclose(np.transpose(rectangles), forward)
    alone = [enclose(edges[:, None], forward)[:, 0] for edges in rectangles]
    # The length of an array can change the instructions that NumPy uses for powers.
    assert_allclose(together.T, alone, rtol=1e-13, atol=1e-11)


@FIXED
@given(st.lists(boxes(), min_size=1, max_size=5), st.floats(-0.49, 0.49))
def test_whole_pixels_agree_with_from_float(rectangles, fraction):
    """Many boxes at once equal the boxes that `PixelBox.from_float` returns one by one."""
    edges = np.transpose(rectangles) + np.array([[fraction], [0], [-fraction], [fraction]])
    edges[2:] = np.maximum(edges[:2], edges[2:])
    found = whole_pixels(edges)
    assert found.dtype == np.int64
    for column, box in zip(edges.T, found.T, strict=True):
        assert PixelBox(*box) == PixelBox.from_float(*column)


def test_whole_pixels_ignore_overlaps_within_the_tolerance():
    """A box excludes a pixel if it overlaps the pixel by no more than the tolerance."""
    edges = np.array([[-0.501, -0.52], [-0.5, -0.5], [9.501, 9.52], [4.5, 4.5]])
    assert_array_equal(whole_pixels(edges).T, [[-1, 0, 10, 4], [-1, 0, 10, 4]])
    assert_array_equal(whole_pixels(edges, tolerance=0.01).T, [[0, 0, 9, 4], [-1, 0, 10, 4]])
    # A rectangle of width 0 gives one pixel.
    assert_array_equal(whole_pixels(np.full((4, 1), 2.5), tolerance=0.1)[:, 0], [3, 3, 3, 3])
