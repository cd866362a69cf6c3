"""Galleries of cutouts."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout, CutoutCollection, create_cutouts, create_primary_cutouts
from subpixal.datasets import make_scene, make_wcs
from subpixal.plotting import choose_sources, plot_gallery

pytest.importorskip("matplotlib")
SHAPE = (30, 40)


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip", "gwcs"))


@pytest.fixture(scope="module")
def cutouts(scene):
    drz = scene.combined
    primary = create_primary_cutouts(scene.truth, scene.segmentation, drz.data, drz.wcs)
    everything = primary
    for flt in scene.exposures:
        pair = create_cutouts(
            primary, scene.segmentation, drz.data, drz.wcs, flt.data, flt.wcs, flt_dq=flt.dq
        )
        everything = everything + pair[0] + pair[1]
    return everything


def get_panels(figure, columns):
    """Return the axes of the panels, by row and column."""
    return np.array(figure.axes).reshape(-1, columns)


def test_gallery_has_a_column_for_each_image_and_the_mask(cutouts):
    """Each image has a column, except cutouts that were mapped back. Panels show data and mask."""
    ids = choose_sources(cutouts, 3)
    axes = get_panels(plot_gallery(cutouts, ids), 4)
    assert axes.shape == (3, 4)
    assert axes[0, -1].get_title() == "mask"
    for row, src_id in zip(axes, ids, strict=True):
        found = [c for c in cutouts.select(src_id) if c.image.stage != "drz"]
        assert row[0].get_ylabel() == f"source {src_id}"
        assert len(found) == 3
        for axis, cutout in zip(row, found, strict=False):
            assert axis.images[0].get_array().shape == cutout.shape
            x, y = axis.lines[0].get_xydata()[0]
            assert_allclose((x, y), cutout.cutout_src_pos)
            overlay = axis.images[1].get_array()
            assert_array_equal(np.ma.getmaskarray(overlay) | np.isnan(overlay), ~cutout.mask)
        assert_array_equal(row[-1].images[0].get_array(), found[0].mask)


def test_brighter_pixels_are_whiter(cutouts):
    """If a pixel is brighter, its color is not darker."""
    (src_id,) = choose_sources(cutouts, 1)
    cutout = cutouts.select(src_id)[0]
    drawn = plot_gallery(cutouts, [src_id]).axes[0].images[0].get_array()
    assert_array_equal(np.argsort(drawn, axis=None), np.argsort(cutout.data, axis=None))


def test_sources_in_most_images_are_chosen_first(cutouts):
    """Sources in more images come first. Sources in equally many images are sorted by size."""
    chosen = choose_sources(cutouts, 100)
    keys = [(-len(cutouts.select(i)), -cutouts.select(i)[0].size) for i in chosen]
    assert keys == sorted(keys)
    assert len(chosen) == len(set(cutouts.ids.tolist()))
    assert choose_sources(cutouts, 2) == chosen[:2]


def test_missing_cutout_has_an_empty_panel(cutouts):
    """If a source has no cutout of an image, its panel in the column of this image is empty."""
    counts = {i: len(cutouts.select(i)) for i in cutouts.ids.tolist()}
    few, many = min(counts, key=counts.get), max(counts, key=counts.get)
    axes = get_panels(plot_gallery(cutouts, [many, few]), 4)
    drawn = [[axis.axison for axis in row] for row in axes]
    assert drawn[0] == [True] * 4
    assert sum(drawn[1]) == 1 + len([c for c in cutouts.select(few) if c.image.stage != "drz"])


def test_cutouts_of_equal_images_share_a_column():
    """If cutouts of one image were made separately, they still share one column."""
    image, wcs = np.random.default_rng(1).random(SHAPE), make_wcs("tan", SHAPE)
    cutouts = CutoutCollection(
        [Cutout(image, wcs, (3 * i, 4), (3 * i + 5, 8), src_id=i) for i in range(3)]
    )
    axes = get_panels(plot_gallery(cutouts, [0, 1, 2]), 2)
    assert all(len(axis.images) == 2 for axis in axes[:, 0])


def test_collection_of_only_mapped_back_cutouts_is_drawn(cutouts):
    """If all cutouts were mapped back, the gallery has columns for them."""
    drz = CutoutCollection([c for c in cutouts if c.image.stage == "drz"])
    assert len(get_panels(plot_gallery(drz, limit=2), len(drz.images) + 1)) == 2


@pytest.mark.parametrize("dtype", [bool, np.uint8, complex, np.float32])
def test_pixels_of_all_types_are_drawn(dtype):
    """Pixels of all types are drawn, even if all of them are masked."""
    image = (np.arange(1200).reshape(SHAPE) % 7).astype(dtype)
    cutout = Cutout(image, make_wcs("tan", SHAPE), (3, 4), (9, 9))
    cutout.mask = True
    assert plot_gallery(CutoutCollection([cutout])).axes[0].images


def test_unknown_source_is_refused(cutouts):
    """If a source is unknown, the error names its identifier."""
    with pytest.raises(KeyError, match="no cutout has the id 'unknown'"):
        plot_gallery(cutouts, ["unknown"])
