"""Sizes of cutouts: padding, fixed sizes, factors and limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal import create_primary_cutouts
from subpixal.cutout._create.box_policy import BoxPolicy
from subpixal.datasets import make_segmentation, make_wcs
from subpixal.geometry import PixelBoxes

SEGMENTS = PixelBoxes([10, 40], [20, 50], [7, 6], [4, 10])
POS = np.array([[12.2, 21.7], [np.nan, np.nan]])

boxes = st.tuples(*[st.integers(-100, 100)] * 2, *[st.integers(1, 40)] * 2).map(
    lambda b: PixelBoxes(*([n] for n in b))
)


def sizes(found):
    """Return the width and height of each box."""
    return np.stack([found.width, found.height], axis=-1).tolist()


@given(segment=boxes, pad=st.integers(0, 9))
def test_padding_adds_pixels_on_each_side(segment, pad):
    """Padding adds pixels on each side and keeps the center."""
    found = BoxPolicy(pad=pad).boxes(segment, np.full((1, 2), np.nan))
    assert_array_equal(found.low, segment.low - pad)
    assert_array_equal(found.high, segment.high + pad)


@given(segment=boxes, size=st.integers(1, 50), x=st.floats(-50, 50), y=st.floats(-50, 50))
def test_box_of_a_given_size_is_centered_on_the_source(segment, size, x, y):
    """The center of a box of a given size lies within half a pixel of the source."""
    found = BoxPolicy(pad=3, size=size).boxes(segment, np.array([[x, y]]))
    assert sizes(found) == [[size, size]]
    assert (np.abs(found.center[:, 0] - [x, y]) <= 0.5 + 1e-9).all()


@given(segment=boxes, factor=st.integers(8, 40).map(lambda n: n / 8), pad=st.integers(0, 3))
def test_factor_scales_the_segment(segment, factor, pad):
    """A factor scales the segment around its center. The box also contains the padded segment."""
    found = BoxPolicy(pad=pad, factor=factor).boxes(segment, np.zeros((1, 2)))
    expected = np.ceil(np.array(sizes(segment)) * factor) + 2 * pad
    assert_array_equal(sizes(found), expected)
    assert (found.low <= segment.low).all()
    assert (found.high >= segment.high).all()


def test_each_source_has_its_own_size():
    """
    Sizes can differ between sources.

    Without a source position, the box is centered on the segment.
    """
    found = BoxPolicy(size=np.array([5, 8])).boxes(SEGMENTS, POS)
    assert found.low.T.tolist() == [[10, 20], [39, 51]]
    assert found.high.T.tolist() == [[14, 24], [46, 58]]


def test_limits_apply_to_all_boxes():
    """The limits apply to sizes that come from segments and to fixed sizes."""
    policy = BoxPolicy(pad=1, min_size=8, max_size=9)
    assert sizes(policy.boxes(SEGMENTS, POS)) == [[9, 8], [8, 9]]
    assert sizes(BoxPolicy(size=3, min_size=8).boxes(SEGMENTS, POS)) == [[8, 8]] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must hold whole numbers .* got 0"),
        ({"size": 2.5}, "size must hold whole numbers"),
        ({"size": [1, 2, 3]}, r"size must be a number or have shape \(2,\), got shape \(3,\)"),
        ({"factor": -1}, "factor must be a positive number, got -1"),
        ({"min_size": 0}, "min_size must be a number of pixels"),
        ({"min_size": 9, "max_size": 5}, "min_size 9 is larger than max_size 5"),
    ],
)
def test_invalid_sizes_are_errors(options, message):
    """The error for an invalid size names the argument, its value and the allowed values."""
    with pytest.raises(ValueError, match=message):
        BoxPolicy(**options).boxes(SEGMENTS, POS)


def test_cutouts_have_the_given_size():
    """All cutouts have the given size. Pixels beyond the image are filled."""
    labels, catalog = make_segmentation((120, 140), 30, seed=4)
    image = np.random.default_rng(1).random(labels.shape)
    wcs = make_wcs("tan", labels.shape)
    found = create_primary_cutouts(catalog, labels, image, wcs, size=41)
    assert len(found) > 10
    assert {cutout.shape for cutout in found} == {(41, 41)}
    assert "filled" in found.table["status"]
    for cutout in found:
        x, y = cutout.cutout_src_pos
        assert abs(x - 20) <= 0.5
        assert abs(y - 20) <= 0.5
        inside = cutout.insertion_slice
        assert_array_equal(cutout.data[inside], image[cutout.extraction_slice])
