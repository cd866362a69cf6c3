"""Boxes in columns have the same values as single boxes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal.geometry import PixelBox, PixelBoxes

columns = st.lists(
    st.tuples(*[st.integers(-30, 30)] * 2, *[st.integers(1, 12)] * 2), max_size=8
).map(lambda rows: np.array(rows, int).reshape(-1, 4).T)
shapes = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(columns=columns, pad=st.integers(0, 5), shape=shapes)
def test_boxes_equal_single_boxes(columns, pad, shape):
    """Each property and each method gives the same values as for single boxes."""
    boxes, image = PixelBoxes(*columns), PixelBox.from_shape(shape)
    single = [PixelBox.from_shape((h, w), (x, y)) for x, y, w, h in columns.T.tolist()]
    assert list(boxes) == single
    assert list(boxes.pad(pad)) == [box.pad(pad) for box in single]
    assert list(boxes.shift(3, -4)) == [box.shift(3, -4) for box in single]
    assert boxes.are_inside(shape).tolist() == [box in image for box in single]
    assert boxes.are_touching(shape).tolist() == [box & image is not None for box in single]
    assert boxes.center.T.tolist() == [list(box.center) for box in single]
    assert boxes.area.tolist() == [box.width * box.height for box in single]
    assert list(PixelBoxes.from_corners(np.concatenate([boxes.low, boxes.high]))) == single


@given(columns=columns, max_pixels=st.integers(1, 200))
def test_chunks_contain_all_pixels_in_order(columns, max_pixels):
    """
    Chunks are contiguous and have at most ``max_pixels`` pixels.

    Chunks of one box can be larger.
    """
    boxes = PixelBoxes(*columns)
    chunks = list(boxes.iter_chunks(max_pixels))
    assert [i for selected, _ in chunks for i in range(len(boxes))[selected]] == [
        *range(len(boxes))
    ]
    for selected, pixels in chunks:
        assert pixels.stop - pixels.start == boxes[selected].total_area
        assert pixels.start == boxes.starts[selected][0]
        assert len(boxes[selected]) == 1 or boxes[selected].total_area <= max_pixels


def test_pixel_positions_run_along_rows():
    """The positions of a box are ordered row by row. The positions of the next box follow."""
    x, y = PixelBoxes([5, 0], [7, 0], [2, 1], [2, 1]).pixel_positions()
    assert_array_equal(x, [5, 6, 5, 6, 0])
    assert_array_equal(y, [7, 7, 8, 8, 0])


@pytest.mark.parametrize("selection", [[True, False, True], [0, 2], slice(None, None, 2)])
def test_selected_boxes_have_new_starts(selection):
    """After a selection of boxes, their pixels are contiguous again."""
    boxes = PixelBoxes([1, 2, 3], [4, 5, 6], [2, 3, 4], [1, 1, 1])[selection]
    assert boxes.xmin.tolist() == [1, 3]
    assert boxes.starts.tolist() == [0, 2]
