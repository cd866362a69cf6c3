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
    x, y = draw(corner), draw(corner)
    return PixelBox(x, y, x + draw(size), y + draw(size))


def pixels(box):
    """The pixels of a box, one by one."""
    if box is None:
        return set()
    rows = range(box.ymin, box.ymax + 1)
    return {(x, y) for x in range(box.xmin, box.xmax + 1) for y in rows}


@FIXED
@given(boxes(), boxes())
def test_intersection_is_that_of_the_pixels(a, b):
    """The common box has the common pixels, whichever comes first."""
    assert pixels(a & b) == pixels(a) & pixels(b)
    assert (a & b) == (b & a)


@FIXED
@given(boxes(), boxes(), boxes())
def test_intersection_and_union_are_associative(a, b, c):
    """Three boxes may be taken together in any order."""
    assert (a | b) | c == a | (b | c) == c | a | b
    left, right = a & b, b & c
    assert (left and left & c) == (right and a & right)


@FIXED
@given(boxes(), boxes())
def test_union_is_the_smallest_box_around_both(a, b):
    """The union contains both, and no side of it can be moved inwards."""
    union = a | b
    assert a in union
    assert b in union
    assert union == b | a
    every = np.array(sorted(pixels(a) | pixels(b)))
    assert (*every.min(0), *every.max(0)) == (*union.blc, *union.trc)


@FIXED
@given(boxes(), boxes())
def test_contains_is_that_of_the_pixels(a, b):
    """A box is in another if all of its pixels are."""
    assert (a in b) == (pixels(a) <= pixels(b))
    assert a in a


@FIXED
@given(boxes(), shifts, shifts, st.integers(0, 50))
def test_shift_and_pad_have_inverses(box, dx, dy, pad):
    """Moving or padding and undoing it gives the box again."""
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
def test_sizes(box):
    """Sizes count pixels; shape is (y, x), everything else (x, y)."""
    assert len(pixels(box)) == box.width * box.height
    assert box.shape == (box.height, box.width)
    assert box.naxis == (box.width, box.height)
    assert box.width == len({x for x, _ in pixels(box)})
    assert PixelBox.from_shape(box.shape, box.blc) == box
    assert box.center == tuple(np.mean(sorted(pixels(box)), axis=0))


def test_values_of_one_box():
    """The numbers of a box that is easy to draw."""
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
def test_corners_are_the_outer_ones(box):
    """The corners span as many units as there are pixels, around the centre."""
    corners = box.corners
    assert_array_equal(np.ptp(corners, axis=0), box.naxis)
    assert_array_equal(corners.mean(0), box.center)
    assert PixelBox.from_float(*corners.min(0), *corners.max(0)) == box


@FIXED
@given(boxes())
def test_slices_cut_the_pixels(box):
    """The slices of a box cut its pixels out of an array; a negative corner has none."""
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
def test_from_float_against_pixel_by_pixel(a, b, c, d):
    """The box has the pixels into which the rectangle reaches."""
    (x1, x2), (y1, y2) = sorted((a, b)), sorted((c, d))
    box = PixelBox.from_float(x1, y1, x2, y2)
    for low, high, first, last in ((x1, x2, box.xmin, box.xmax), (y1, y2, box.ymin, box.ymax)):
        reached = [i for i in range(-30, 31) if low < i + 0.5 and high > i - 0.5]
        if reached:
            assert (first, last) == (reached[0], reached[-1])
        else:  # nothing but a border between two pixels
            assert first == last
            assert low == high
            assert abs(low - first) == 0.5


def test_from_float_at_borders():
    """An edge on the border of two pixels adds none, one beyond it does."""
    assert PixelBox.from_float(-0.5, -0.5, 3.5, 1.5) == PixelBox(0, 0, 3, 1)
    assert PixelBox.from_float(-0.6, -0.5, 3.5, 1.51) == PixelBox(-1, 0, 3, 2)
    assert PixelBox.from_float(2, 3, 2, 3) == PixelBox(2, 3, 2, 3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", range(4))
def test_from_float_refuses_what_is_not_finite(bad, place):
    """An edge that is not finite is refused, and shown."""
    edges = [0.0, 0.0, 5.0, 5.0]
    edges[place] = bad
    with pytest.raises(ValueError, match=r"edges of a box must be finite, got .*(nan|inf)"):
        PixelBox.from_float(*edges)


@pytest.mark.parametrize("edges", [(10, 0, 0, 5), (0, 5, 10, 4)])
def test_from_float_refuses_reversed_edges(edges):
    """Edges in the wrong order make no box, not even of one pixel."""
    with pytest.raises(ValueError, match="must be in the order xmin, ymin, xmax, ymax"):
        PixelBox.from_float(*edges)


@pytest.mark.parametrize("bad", [1.0, 1.5, np.float32(2), "1", None])
@pytest.mark.parametrize("name", ["xmin", "ymin", "xmax", "ymax"])
def test_corners_are_integers(name, bad):
    """A corner that is not an integer is refused by its name, a whole float too."""
    arguments = {"xmin": 0, "ymin": 0, "xmax": 9, "ymax": 9, name: bad}
    with pytest.raises(TypeError, match=f"{name} must be an integer, got"):
        PixelBox(**arguments)


def test_numpy_integers_are_integers():
    """Integers of any kind are kept as int."""
    box = PixelBox(np.int16(1), np.uint8(2), np.int64(3), 4)
    assert box == PixelBox(1, 2, 3, 4)
    assert {type(value) for value in dataclasses.astuple(box)} == {int}


@pytest.mark.parametrize("corners", [(1, 0, 0, 5), (0, 1, 5, 0)])
def test_no_empty_box(corners):
    """There is no box without a pixel."""
    with pytest.raises(ValueError, match="xmax and ymax must not be less"):
        PixelBox(*corners)


def test_no_pixel_left():
    """Taking away more pixels than there are is refused; a float does not move a box."""
    with pytest.raises(ValueError, match="xmax and ymax must not be less"):
        PixelBox(0, 0, 3, 9).pad(-2)
    with pytest.raises(TypeError, match="must be an integer"):
        PixelBox(0, 0, 3, 9).shift(0.5, 0)


def test_frozen_and_hashable():
    """A box does not change, and serves as a key."""
    box = PixelBox(0, 1, 2, 3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        box.xmin = 5
    assert len({box, PixelBox(0, 1, 2, 3), PixelBox(0, 1, 2, 4)}) == 2
    assert pickle.loads(pickle.dumps(box)) == box


@pytest.mark.parametrize("other", [(0, 0, 1, 1), 3, None])
def test_only_boxes_combine(other):
    """What is not a box neither combines with one nor equals one."""
    box = PixelBox(0, 0, 1, 1)
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = box & other
    with pytest.raises(TypeError, match="unsupported operand"):
        _ = box | other
    assert box != other
