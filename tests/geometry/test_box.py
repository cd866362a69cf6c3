"""Rectangles of pixels: intersections, unions, sizes, corners, slices and invalid arguments."""

import dataclasses
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal.geometry import PixelBox

FIXED = settings(derandomize=True)

corner, size = st.integers(-30, 30), st.integers(0, 20)
shifts = st.integers(-100, 100)
edge = st.floats(-20, 20) | st.integers(-40, 40).map(lambda n: n / 2)


@st.composite
def boxes(draw):
    """Draw a random box of 1 to 21 pixels in each direction."""
    x, y = draw(corner), draw(corner)
    return PixelBox(x, y, x + draw(size), y + draw(size))


def pixels(box):
    """Return the set of the pixel coordinates (x, y) of a box."""
    if box is None:
        return set()
    rows = range(box.ymin, box.ymax + 1)
    return {(x, y) for x in range(box.xmin, box.xmax + 1) for y in rows}


@FIXED
@given(boxes(), boxes())
def test_intersection_contains_the_common_pixels(a, b):
    """
    The intersection contains exactly the common pixels.

    The order of the boxes does not matter.
    """
    assert pixels(a & b) == pixels(a) & pixels(b)
    assert (a & b) == (b & a)


@FIXED
@given(boxes(), boxes(), boxes())
def test_intersection_and_union_are_associative(a, b, c):
    """The order of two intersections, or of two unions, does not change the result."""
    assert (a | b) | c == a | (b | c) == c | a | b
    left, right = a & b, b & c
    assert (left and left & c) == (right and a & right)


@FIXED
@given(boxes(), boxes())
def test_union_is_the_smallest_box_around_both(a, b):
    """The union contains both boxes, and each side of the union touches one of them."""
    union = a | b
    assert a in union
    assert b in union
    assert union == b | a
    every = np.array(sorted(pixels(a) | pixels(b)))
    assert (*every.min(0), *every.max(0)) == (*union.blc, *union.trc)


@FIXED
@given(boxes(), boxes())
def test_box_contains_boxes_of_its_pixels(a, b):
    """A box contains another box exactly if it contains all pixels of the other box."""
    assert (a in b) == (pixels(a) <= pixels(b))
    assert a in a


@FIXED
@given(boxes(), shifts, shifts, st.integers(0, 50))
def test_opposite_shift_and_pad_restore_the_box(box, dx, dy, pad):
    """A shift or a padding, followed by its opposite, gives the original box."""
    moved = box.shift(dx, dy)
    assert moved.shift(-dx, -dy) == box
    assert moved.shape == box.shape
    assert moved.blc == (box.xmin + dx, box.ymin + dy)
    padded = box.pad(pad)
    assert padded.pad(-pad) == box
    assert padded.naxis == (box.width + 2 * pad, box.height + 2 * pad)
    assert padded.center == box.center


@FIXED
@given(boxes())
def test_sizes_count_pixels(box):
    """Sizes are numbers of pixels. Only ``shape`` has the order (y, x)."""
    assert len(pixels(box)) == box.width * box.height
    assert box.shape == (box.height, box.width)
    assert box.naxis == (box.width, box.height)
    assert box.width == len({x for x, _ in pixels(box)})
    assert PixelBox.from_shape(box.shape, box.blc) == box
    assert box.center == tuple(np.mean(sorted(pixels(box)), axis=0))


def test_values_of_one_box():
    """All attributes of a box of 10 x 5 pixels have the expected values."""
    box = PixelBox(2, 3, 11, 7)
    assert (box.blc, box.trc) == ((2, 3), (11, 7))
    assert (box.width, box.height, box.shape, box.naxis) == (10, 5, (5, 10), (10, 5))
    assert box.center == (6.5, 5.0)
    assert box.slices == (slice(3, 8), slice(2, 12))
    expected = [(1.5, 2.5), (1.5, 7.5), (11.5, 7.5), (11.5, 2.5)]
    assert_array_equal(box.corners, expected)
    assert PixelBox.from_shape((5, 10)) == PixelBox(0, 0, 9, 4)


@FIXED
@given(boxes())
def test_corners_are_the_outer_corners_of_pixels(box):
    """The corners of a box are as far apart as its width and its height, around its center."""
    corners = box.corners
    assert_array_equal(np.ptp(corners, axis=0), box.naxis)
    assert_array_equal(corners.mean(0), box.center)
    assert PixelBox.from_float(*corners.min(0), *corners.max(0)) == box


@FIXED
@given(boxes())
def test_slices_cut_the_pixels(box):
    """The slices select the pixels of the box in an array. Negative corners are an error."""
    if min(box.blc) < 0:
        with pytest.raises(ValueError, match=r"blc must not be negative .*\(.*\)"):
            _ = box.slices
        box = box.shift(60, 60)
    y, x = np.mgrid[:120, :120]
    cut_x, cut_y = x[box.slices], y[box.slices]
    assert cut_x.shape == box.shape
    assert set(zip(cut_x.ravel().tolist(), cut_y.ravel().tolist(), strict=True)) == pixels(box)


@FIXED
@given(edge, edge, edge, edge)
def test_from_float_gives_the_pixels_of_the_rectangle(a, b, c, d):
    """The box contains exactly the pixels that overlap the rectangle."""
    (x1, x2), (y1, y2) = sorted((a, b)), sorted((c, d))
    box = PixelBox.from_float(x1, y1, x2, y2)
    for low, high, first, last in ((x1, x2, box.xmin, box.xmax), (y1, y2, box.ymin, box.ymax)):
        reached = [i for i in range(-30, 31) if low < i + 0.5 and high > i - 0.5]
        if reached:
            assert (first, last) == (reached[0], reached[-1])
        else:  # The rectangle is a point on the border between two pixels.
            assert first == last
            assert low == high
            assert abs(low - first) == 0.5


def test_from_float_of_edges_on_pixel_borders():
    """An edge on the border of two pixels includes one of them, and an edge beyond it both."""
    assert PixelBox.from_float(-0.5, -0.5, 3.5, 1.5) == PixelBox(0, 0, 3, 1)
    assert PixelBox.from_float(-0.6, -0.5, 3.5, 1.51) == PixelBox(-1, 0, 3, 2)
    assert PixelBox.from_float(2, 3, 2, 3) == PixelBox(2, 3, 2, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_from_float_of_edges_that_are_not_finite_is_an_error(bad, place):
    """The error contains the value of the edge that is not finite."""
    edges = [0.0, 0.0, 5.0, 5.0]
    edges[place] = bad
    with pytest.raises(ValueError, match=r"edges of a box must be finite, got .*(nan|inf)"):
        PixelBox.from_float(*edges)


@pytest.mark.parametrize("edges", [(10, 0, 0, 5), (0, 5, 10, 4)])
def test_from_float_of_reversed_edges_is_an_error(edges):
    """An upper edge below the lower edge is an error, even if they differ by one pixel."""
    with pytest.raises(ValueError, match="must be in the order xmin, ymin, xmax, ymax"):
        PixelBox.from_float(*edges)


@pytest.mark.parametrize("bad", [1.0, 1.5, np.float32(2), "1", None])
@pytest.mark.parametrize("name", ["xmin", "ymin", "xmax", "ymax"])
def test_corners_must_be_integers(name, bad):
    """The error names the corner that is not an integer. Floats such as 1.0 are errors, too."""
    arguments = {"xmin": 0, "ymin": 0, "xmax": 9, "ymax": 9, name: bad}
    with pytest.raises(TypeError, match=f"{name} must be an integer, got"):
        PixelBox(**arguments)


def test_numpy_integers_become_int():
    """A box converts NumPy integers of all types to `int`."""
    box = PixelBox(np.int16(1), np.uint8(2), np.int64(3), 4)
    assert box == PixelBox(1, 2, 3, 4)
    assert {type(value) for value in dataclasses.astuple(box)} == {int}


@pytest.mark.parametrize("corners", [(1, 0, 0, 5), (0, 1, 5, 0)])
def test_box_without_pixels_is_an_error(corners):
    """A box is an error if its last pixel is before its first pixel."""
    with pytest.raises(ValueError, match="xmax and ymax must not be less"):
        PixelBox(*corners)


def test_invalid_pad_and_shift_are_errors():
    """A negative padding is an error if no pixel remains. A shift by a float is also an error."""
    with pytest.raises(ValueError, match="xmax and ymax must not be less"):
        PixelBox(0, 0, 3, 9).pad(-2)
    with pytest.raises(TypeError, match="must be an integer"):
        PixelBox(0, 0, 3, 9).shift(0.5, 0)


def test_box_is_frozen_and_hashable():
    """
    The corners of a box cannot change.

    Equal boxes have equal hashes. A pickle restores the box.
    """
    box = PixelBox(0, 1, 2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        box.xmin = 5
    assert len({box, PixelBox(0, 1, 2, 3), PixelBox(0, 1, 2, 4)}) == 2
    assert pickle.loads(pickle.dumps(box)) == box


@pytest.mark.parametrize("other", [(0, 0, 1, 1), 3, None])
def test_boxes_combine_with_boxes_only(other):
    """A box cannot be combined with an object of another type and never equals one."""
    box = PixelBox(0, 0, 1, 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = box & other
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = box | other
    assert box != other
