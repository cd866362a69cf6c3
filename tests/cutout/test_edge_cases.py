"""Behavior in rare cases."""

import pickle

import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty
from numpy.testing import assert_allclose

from subpixal import Cutout, CutoutCollection, drz_from_input_cutouts
from subpixal.cutout._create.segmentation import Segmentation
from subpixal.datasets import make_wcs

SHAPE = (30, 40)
WCS = make_wcs("sip", SHAPE)
IMAGE = np.random.default_rng(1).random(SHAPE)


def test_cached_pixel_grid_is_not_pickled():
    """
    A pickle does not contain the cached values of a WCS.

    They are computed again after reading.
    """
    cutout = Cutout(IMAGE, WCS)
    before = len(pickle.dumps(cutout))
    cutout.world2pix(*cutout.pix2world(3, 4))
    after = pickle.dumps(cutout)
    assert len(after) == before
    assert_allclose(pickle.loads(after).pix2world(3, 4), cutout.pix2world(3, 4), rtol=1e-12)


def test_images_with_different_uncertainty_types_differ():
    """Images are not merged if the types of their uncertainties differ."""
    one = Cutout(IMAGE, WCS, uncertainty=StdDevUncertainty(IMAGE))
    two = Cutout(IMAGE, WCS, uncertainty=InverseVariance(IMAGE))
    assert len(CutoutCollection([one, two]).images) == 2
    assert len(CutoutCollection([one, Cutout(IMAGE, WCS, uncertainty=IMAGE)]).images) == 1


def test_labels_extend_to_the_edges_of_pixels():
    """A label covers its pixels up to their edges, half a pixel from the center."""
    segmentation = Segmentation(np.full((4, 6), 7))
    x = np.array([-0.5, -0.51, 5.49, 5.5, 2.0, 2.0, 2.0, 2.0, np.nan])
    y = np.array([1.0, 1.0, 1.0, 1.0, -0.5, -0.51, 3.49, 3.5, 1.0])
    assert segmentation._nearest(x, y).tolist() == [7, 0, 7, 0, 7, 0, 7, 0, 0]


@pytest.mark.parametrize(("policy", "status"), [("neighbors", None), ("segment", 1)])
def test_source_without_label_is_rejected_only_for_policy_segment(policy, status):
    """A source without a segment is rejected only if the mask policy needs its segment."""
    labels = np.zeros(SHAPE, int)
    labels[12:15, 12:15] = 2
    cutout = Cutout(IMAGE, WCS, (10, 10), (20, 20), src_id=1)
    found, _ = drz_from_input_cutouts([cutout], labels, IMAGE, WCS, mask_policy=policy)
    if status is None:
        assert found[0].mask.sum() == 9
    else:
        assert found.dropped["status"].tolist() == ["not_in_segmentation"]


def test_world2pix_of_a_cutout_far_outside_its_image():
    """World positions map to pixels of a cutout that is at any distance from its image."""
    wcs = make_wcs("tan", SHAPE)
    grid = Cutout(None, wcs, (20_000, 9_000), (20_010, 9_010))
    x, y = np.array([0.25, 10.0]), np.array([3.5, -0.5])
    assert_allclose(grid.world2pix(*grid.pix2world(x, y)), (x, y), rtol=0, atol=1e-5)


def test_masked_array_as_data_sets_the_mask():
    """Assigning a masked array to the data masks its masked pixels in the cutout."""
    cutout = Cutout(IMAGE, WCS, (0, 0), (3, 2))
    cutout.data = np.ma.masked_greater(np.arange(12.0).reshape(3, 4), 9)
    assert cutout.mask.sum() == 2
    assert cutout.data[2, 3] == 11


def test_booleans_are_no_indices():
    """A boolean as the index of a collection is an error."""
    collection = CutoutCollection([Cutout(IMAGE, WCS)])
    for item in (True, np.True_, np.False_):
        with pytest.raises(IndexError):
            collection[item]


def test_cutouts_of_one_cutout_share_one_image():
    """All cutouts of a cutout share one image and its metadata."""
    whole = Cutout(IMAGE, WCS, meta={"filter": "F140W"})
    parts = CutoutCollection([Cutout(whole, None, (i, 0), (i + 3, 3)) for i in range(4)])
    assert len(parts.images) == 1
    assert parts[2].meta["filter"] == "F140W"
