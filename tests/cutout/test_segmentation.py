"""Segmentation images: labels, boxes around labels, and mask policies."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.testing import assert_array_equal
from photutils.segmentation import SegmentationImage

from subpixal.cutout._create.labels import label_boxes, nearer_to_neighbor
from subpixal.cutout._create.segmentation import (
    MASK_POLICIES,
    Segmentation,
    parse_mask_policy,
    parse_segmentation,
)
from subpixal.geometry import PixelBoxes

# Few different labels make long runs of equal pixels that end at row ends. Labels are small or
# huge.
LABELS = st.sampled_from([0, 0, 1, 2, 7, -3, 2_000_000_000, -2_000_000_000])
DTYPES = ["<i4", ">i4", "<i8", ">i8"]


def get_corners(boxes):
    """Return the boxes as lists of xmin, ymin, xmax, ymax."""
    return np.concatenate([boxes.low, boxes.high]).T.tolist()


def find_boxes(segmentation):
    """Return the boxes of all labels from a separate search for each label."""
    found = {}
    for label in np.unique(segmentation):
        if label != 0:
            y, x = np.where(segmentation == label)
            found[int(label)] = [x.min(), y.min(), x.max(), y.max()]
    return found


@given(
    st.sampled_from(DTYPES).flatmap(
        lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=2, max_dims=2), elements=LABELS)
    ),
    st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda a: a[::-1, ::-1]]),
)
def test_boxes_equal_a_search_for_each_label(segmentation, layout):
    """The boxes of all labels equal the boxes from a separate search for each label."""
    labels, boxes = label_boxes(layout(segmentation))
    assert dict(zip(labels.tolist(), get_corners(boxes), strict=True)) == find_boxes(
        layout(segmentation)
    )
    assert_array_equal(labels, np.sort(labels))
    assert labels.dtype.isnative


@pytest.mark.parametrize("dtype", ["u1", "i1", ">u2", "i2", "u4", "u8"])
def test_labels_of_all_integer_types(dtype):
    """Labels can have any integer type. The largest possible label is 2**63 - 1."""
    largest = min(np.iinfo(dtype).max, 2**63 - 1)
    segmentation = np.array([[0, largest], [1, 1]], dtype)
    labels, boxes = label_boxes(segmentation)
    assert labels.tolist() == [1, largest]
    assert get_corners(boxes) == [[0, 1, 1, 1], [1, 0, 1, 0]]


def test_runs_end_with_the_row():
    """If a label ends a row and begins the next row, its box contains both pixels."""
    segmentation = np.array([[0, 0, 5], [5, 0, 0]])
    _, boxes = label_boxes(segmentation)
    assert get_corners(boxes) == [[0, 0, 2, 1]]


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (5, 0), (3, 4), (1, 1)])
def test_image_without_labels_has_no_boxes(shape):
    """An image without labels gives no boxes, and neither does an image without pixels."""
    labels, boxes = label_boxes(np.zeros(shape, np.int32))
    assert labels.shape == (0,)
    assert len(boxes) == 0


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a: a,
        lambda a: a.astype(">i4"),
        lambda a: a.tolist(),
        SegmentationImage,
        np.ma.masked_array,
        lambda a: a.view(np.uint64),
    ],
)
def test_arrays_of_integers_are_accepted(wrap):
    """All types of integer arrays and a SegmentationImage are accepted."""
    array = np.array([[0, 1, 1], [0, 0, 3]])
    assert_array_equal(parse_segmentation(wrap(array), (2, 3)), array)


def test_masked_labels_become_background():
    """Masked pixels of a segmentation image belong to the background."""
    array = np.ma.masked_equal([[4, 1], [0, 4]], 4)
    assert parse_segmentation(array, (2, 2)).tolist() == [[0, 1], [0, 0]]


def test_segmentation_image_is_not_copied():
    """A segmentation image is used without a copy, because it is large."""
    array = np.zeros((3, 4), np.int32)
    assert np.shares_memory(parse_segmentation(array), array)
    array = np.array([[0, 1], [2, 2]])
    assert np.shares_memory(parse_segmentation(SegmentationImage(array)), array)


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        (np.zeros((2, 3)), TypeError, "segmentation_image must hold integers, got float64"),
        (np.zeros((2, 3), bool), TypeError, "segmentation_image must hold integers, got bool"),
        (None, TypeError, "segmentation_image must hold integers, got NoneType"),
        ("seg.fits", TypeError, "segmentation_image must hold integers"),
        ([[1, 2], [3]], TypeError, "segmentation_image must hold integers"),
        (np.zeros(6, int), ValueError, r"segmentation_image .* 2 dimensions, got shape \(6,\)"),
        (np.zeros((3, 2), int), ValueError, r"segmentation_image has shape \(3, 2\).*\(2, 3\)"),
    ],
)
def test_invalid_segmentation_images_are_errors(bad, error, match):
    """The error names the argument, the invalid value and the required type or shape."""
    with pytest.raises(error, match=match):
        parse_segmentation(bad, (2, 3))


@pytest.mark.parametrize(
    ("mask_policy", "combine_seg_mask", "policy"),
    [
        ("segment", None, "segment"),
        (None, None, None),
        ("segment", True, "segment"),
        ("segment", False, None),
        (None, True, "segment"),
        (None, False, None),
    ],
)
def test_combine_seg_mask_overrides_mask_policy(mask_policy, combine_seg_mask, policy):
    """The older argument `combine_seg_mask` overrides `mask_policy`."""
    assert parse_mask_policy(mask_policy, combine_seg_mask) == policy


@pytest.mark.parametrize("bad", ["Segment", "", 1, True, ["segment"]])
def test_unknown_mask_policy_is_an_error(bad):
    """The error for an unknown mask policy names the argument."""
    with pytest.raises(ValueError, match="mask_policy must be one of"):
        parse_mask_policy(bad, None)


@pytest.mark.parametrize("bad", ["no", 2, [True]])
def test_combine_seg_mask_must_be_a_boolean(bad):
    """Other types are errors. Otherwise, 'no' would count as true."""
    with pytest.raises(TypeError, match="combine_seg_mask must be"):
        parse_mask_policy("segment", bad)


SCENE = np.array(
    [
        [1, 1, 0, 0, 0, 0, 2],
        [1, 0, 0, 0, 0, 0, 2],
        [0, 0, 0, 0, 0, 0, 0],
    ]
)


def test_british_spelling_of_a_mask_policy():
    """The spelling 'neighbours' of the policy 'neighbors' is accepted."""
    assert parse_mask_policy("neighbours", None) == "neighbors"


@pytest.mark.parametrize("policy", MASK_POLICIES)
def test_pixels_that_the_policies_mask(policy):
    """Each policy masks the right pixels of other sources around a given label."""
    expected = {
        "segment": (SCENE != 1, SCENE != 2),
        "neighbors": (SCENE == 2, SCENE == 1),
        "uberseg": (_is_nearer(2, 1), _is_nearer(1, 2)),
        None: (np.zeros_like(SCENE, bool),) * 2,
    }[policy]
    segmentation = Segmentation(SCENE, policy=policy)
    boxes = PixelBoxes([0, 0], [0, 0], [7, 7], [3, 3])
    labels = segmentation.cut(boxes)
    mask = segmentation.mask(labels, np.array([1, 2]), boxes)
    assert_array_equal(mask.reshape(2, 3, 7), expected)


def _is_nearer(other, own):
    """Return `True` for pixels that are nearer to `other` than to `own`."""
    pixels = np.argwhere(np.ones(SCENE.shape, bool))
    distance = {
        label: np.linalg.norm(pixels[:, None] - np.argwhere(label == SCENE), axis=-1).min(1)
        for label in (other, own)
    }
    return (distance[other] < distance[own]).reshape(SCENE.shape)


@pytest.mark.parametrize(("labels", "masked"), [([[0, 0]], False), ([[0, 5]], True)])
def test_uberseg_without_own_segment(labels, masked):
    """If a source has no segment, all pixels are masked, unless there is no neighbor."""
    assert (nearer_to_neighbor(np.array(labels), 1) == masked).all()


def test_mask_of_no_boxes_is_empty():
    """The mask for zero boxes has no pixels."""
    segmentation = Segmentation(SCENE, policy="uberseg")
    empty = PixelBoxes([], [], [], [])
    mask = segmentation.mask(segmentation.cut(empty), np.empty(0, np.int64), empty)
    assert mask.shape == (0,)
