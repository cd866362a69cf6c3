"""Segmentation images on a grid that differs from the grid of the image to cut."""

import numpy as np
import pytest
from astropy.nddata import NDData
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import (
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.datasets import make_scene, make_wcs
from subpixal.geometry import PixelMap, offset_wcs
from subpixal.testing import assert_cutouts_equal

KINDS = ["sip", "lookup", "gwcs"]


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_sources=40, shape=(300, 320), seed=6, exposures=KINDS)


@pytest.fixture(scope="module")
def primary(scene):
    drz = scene.combined
    return create_primary_cutouts(
        scene.truth, scene.segmentation, drz.data, drz.wcs, keep_segmentation=True
    )


def map_labels(cutout, scene):
    """Return the labels of the pixels of a cutout. Each pixel is mapped without interpolation."""
    ny, nx = scene.segmentation.shape
    y, x = np.indices(cutout.shape)
    x, y = PixelMap(cutout.image_wcs, scene.combined.wcs)(x + cutout.blc[0], y + cutout.blc[1])
    i, j = np.floor(x + 0.5), np.floor(y + 0.5)
    inside = (i >= 0) & (i < nx) & (j >= 0) & (j < ny)
    labels = np.zeros(cutout.shape, int)
    labels[inside] = scene.segmentation[j[inside].astype(int), i[inside].astype(int)]
    return labels


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("number", range(len(KINDS)), ids=KINDS)
def test_labels_on_exposures(scene, primary, number, copy):
    """A pixel of an exposure gets the label of the nearest pixel of the segmentation image."""
    flt = scene.exposures[number]
    found, _ = create_input_image_cutouts(
        primary, flt.data, flt.wcs, segmentation_image=scene.segmentation,
        segmentation_wcs=scene.combined.wcs, mask_policy="segment", keep_segmentation=True,
        mode="fill", copy=copy,
    )  # fmt: skip
    assert len(found) > 20
    differing = total = 0
    for cutout in found:
        labels = map_labels(cutout, scene)
        differing += (cutout.segmentation != labels).sum()
        total += labels.size
        bad = ~np.isfinite(cutout.data) | (cutout.segmentation != cutout.src_id)
        assert_array_equal(cutout.mask, bad)
    # If the center maps to the border between two pixels, both labels are right.
    assert differing <= 0.002 * total


def test_kept_labels_equal_the_segmentation_image(scene, primary):
    """A cutout on the same grid has the labels of the segmentation image."""
    for cutout in primary:
        inside = scene.segmentation[cutout.extraction_slice]
        assert_array_equal(cutout.segmentation[cutout.insertion_slice], inside)
        assert cutout.segmentation.dtype == scene.segmentation.dtype


@pytest.mark.parametrize("policy", ["segment", "neighbors", "uberseg", None])
def test_exposure_and_combined_image_have_their_own_policy(scene, primary, policy):
    """The mask policies of the images are separate options. One option keeps the labels of both."""
    drz, flt = scene.combined, scene.exposures[0]
    flt_cutouts, drz_cutouts = create_cutouts(
        primary, scene.segmentation, drz.data, drz.wcs, flt.data, flt.wcs,
        flt_mask_policy=policy, mask_policy=None, keep_segmentation=True,
    )  # fmt: skip
    assert not any(c.mask[c.insertion_slice].any() for c in drz_cutouts)
    for cutout in flt_cutouts:
        other = (cutout.segmentation != 0) & (cutout.segmentation != cutout.src_id)
        if policy is None:
            assert not cutout.mask.any()
        elif policy == "segment":
            assert_array_equal(cutout.mask, cutout.segmentation != cutout.src_id)
        else:
            assert (cutout.mask >= other).all()
            assert not cutout.mask[cutout.segmentation == cutout.src_id].any()
            assert policy == "uberseg" or not cutout.mask[~other].any()


def test_sources_of_another_grid(scene):
    """Sources in a segmentation image on another grid are cut at their positions in the image."""
    flt = scene.exposures[0]
    found = create_primary_cutouts(
        scene.truth["id", "ra", "dec"], scene.segmentation, flt.data, flt.wcs,
        segmentation_wcs=scene.combined.wcs,
    )  # fmt: skip
    assert len(found) > 15
    truth = flt.positions[found.ids - 1]
    assert_allclose(found.table["src_pos"], truth, atol=1e-4)
    for cutout in found:
        y, x = np.nonzero(scene.segmentation == cutout.src_id)
        x, y = PixelMap(scene.combined.wcs, flt.wcs)(x, y)
        (x1, y1), (x2, y2) = cutout.blc, cutout.trc
        assert ((x > x1 - 0.5) & (x < x2 + 0.5) & (y > y1 - 0.5) & (y < y2 + 0.5)).all()
        assert (~cutout.mask).sum() > 3
    assert len(found) + len(found.dropped) == len(scene.truth)


def test_pixel_positions_refer_to_the_segmentation_image(scene):
    """With `segmentation_wcs`, pixel positions of the catalog refer to the segmentation image."""
    flt, drz = scene.exposures[0], scene.combined
    options = {"segmentation_wcs": drz.wcs}
    by_sky = create_primary_cutouts(
        scene.truth["id", "ra", "dec"], scene.segmentation, flt.data, flt.wcs, **options
    )
    catalog = {"id": scene.truth["id"], "x": drz.positions[:, 0], "y": drz.positions[:, 1]}
    by_pixel = create_primary_cutouts(catalog, scene.segmentation, flt.data, flt.wcs, **options)
    assert_array_equal(by_pixel.ids, by_sky.ids)
    assert_allclose(by_pixel.table["src_pos"], by_sky.table["src_pos"], atol=1e-4)


def test_copy_of_the_wcs_as_segmentation_wcs(scene):
    """A copy of the WCS of the image as `segmentation_wcs` does not change the cutouts."""
    drz = scene.combined
    wcs = make_wcs("tan", drz.data.shape)
    options = {"data_units": "rate"}
    one = create_primary_cutouts(scene.truth, scene.segmentation, drz.data, wcs, **options)
    two = create_primary_cutouts(
        scene.truth, scene.segmentation, drz.data, wcs, **options, segmentation_wcs=wcs.deepcopy()
    )
    assert_array_equal(one.ids, two.ids)
    for a, b in zip(one, two, strict=True):
        assert a.blc == b.blc
        assert a.trc == b.trc
        assert_array_equal(a.mask, b.mask)
        assert_allclose(a.src_pos, b.src_pos, atol=1e-5)


def test_combined_image_on_another_grid(scene, primary):
    """The combined image and the segmentation image can have different grids."""
    flt, drz = scene.exposures[0], scene.combined
    cutouts, _ = create_input_image_cutouts(primary, flt.data, flt.wcs)
    other = make_wcs("tan", (150, 160), scale=0.08)
    image = np.ones((150, 160))
    found, valid = drz_from_input_cutouts(
        cutouts, scene.segmentation, image, other, segmentation_wcs=drz.wcs
    )
    assert len(found) == len(valid) > 15
    area = {c.src_id: (~c.mask).sum() for c in primary}
    ratio = [(~c.mask).sum() / area[c.src_id] for c in found if area[c.src_id] > 100]
    # A pixel has four times the area of a pixel of the segmentation image.
    assert_allclose(np.median(ratio), 0.25, rtol=0.05)


def test_mask_policy_needs_a_segmentation_image(scene, primary):
    """A mask policy without a segmentation image is an error."""
    flt = scene.exposures[0]
    with pytest.raises(ValueError, match="segmentation_image must be given"):
        create_input_image_cutouts(primary, flt.data, flt.wcs, mask_policy="segment")


@pytest.mark.parametrize("kind", ["tan", "gwcs"])
@pytest.mark.parametrize("off", [0, 0.3, 0.7, 1000, 1e6])
def test_wcs_of_the_segmentation_image_must_match(kind, off, scene):
    """A segmentation image with a different WCS is an error without the argument for its WCS."""
    wcs = make_wcs(kind, scene.segmentation.shape)
    other = offset_wcs(wcs, (off, 0), scene.segmentation.shape)
    catalog, data = {"id": scene.truth["id"]}, scene.combined.data
    labels = NDData(scene.segmentation, wcs=other)
    expected = create_primary_cutouts(catalog, scene.segmentation, data, wcs)
    if off < 0.5:
        assert_cutouts_equal(create_primary_cutouts(catalog, labels, data, wcs), expected)
        return
    with pytest.raises(ValueError, match=r"segmentation_image has a WCS .* pixels"):
        create_primary_cutouts(catalog, labels, data, wcs)
    create_primary_cutouts(catalog, labels, data, wcs, segmentation_wcs=other)
    assert_cutouts_equal(create_primary_cutouts(catalog, labels.data, data, wcs), expected)
