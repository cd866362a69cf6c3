"""Numbers of calls, copies and blocks. They must stay small, so that the package is fast."""

import numpy as np
import pytest
from astropy.wcs import WCS

from subpixal import (
    CutoutCollection,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
)
from subpixal.datasets import make_scene, make_segmentation, make_wcs
from subpixal.testing import assert_cutouts_equal

FITS_CALLS = ("all_pix2world", "all_world2pix", "wcs_pix2world", "wcs_world2pix")
GWCS_CALLS = ("__call__", "invert")

# First bytes of each block in an ASDF file.
BLOCK = b"\xd3BLK"

# Largest number of bytes of pixels in a block.
BLOCK_SIZE = 4_000_000


@pytest.fixture(scope="module")
def scenes():
    """Return one scene for each type of WCS."""
    kinds = ("sip", "lookup", "gwcs", "gwcs-noinverse")
    return {kind: make_scene(40, (256, 256), exposures=[kind]) for kind in kinds}


def run_chain(scene, copies=1, **options):
    """Map the cutouts of a scene to an exposure and back. Repeat each source ``copies`` times."""
    drz, flt = scene.combined, scene.exposures[0]
    primary = create_primary_cutouts(scene.truth, scene.segmentation, drz.data, drz.wcs)
    primary = primary[np.tile(np.arange(len(primary)), copies)]
    args = scene.segmentation, drz.data, drz.wcs, flt.data, flt.wcs
    return create_cutouts(primary, *args, **options)


def count_calls(monkeypatch, scene, copies, **options) -> list[str]:
    """Return the names of all calls of FITS WCSs and gwcs during a chain."""
    import gwcs

    calls = []

    def counted(method):
        def call(*args, **kwargs):
            calls.append(method.__name__)
            return method(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        for cls, names in ((WCS, FITS_CALLS), (gwcs.WCS, GWCS_CALLS)):
            for name in names:
                patch.setattr(cls, name, counted(getattr(cls, name)))
        flt, _ = run_chain(scene, copies, **options)
    assert len(flt) % copies == 0
    assert len(flt) > 10 * copies
    return calls


@pytest.mark.parametrize("kind", ["sip", "lookup", "gwcs", "gwcs-noinverse"])
def test_number_of_wcs_calls_is_independent_of_sources(kind, scenes, monkeypatch):
    """For a hundred times as many sources, the WCSs are called equally often."""
    few, many = (count_calls(monkeypatch, scenes[kind], copies) for copies in (1, 100))
    assert few == many
    assert 4 <= len(few) < 40


def test_number_of_wcs_calls_with_labels_on_another_grid(scenes, monkeypatch):
    """The number of WCS calls also stays the same if the labels are on another grid."""
    scene = scenes["sip"]
    shift = make_wcs("tan", scene.combined.data.shape, scale=0.04)
    few, many = (
        count_calls(monkeypatch, scene, copies, segmentation_wcs=shift, flt_mask_policy="segment")
        for copies in (1, 100)
    )
    assert few == many


@pytest.mark.parametrize("kind", ["sip", "lookup", "gwcs"])
def test_no_wcs_is_copied(kind, scenes, monkeypatch):
    """No WCS is copied when cutouts are cut, mapped or accessed."""
    import gwcs

    def refuse(*_, **__):
        msg = "a WCS is copied"
        raise AssertionError(msg)

    for cls, names in (
        (WCS, ("__copy__", "__deepcopy__", "__reduce__", "copy", "deepcopy", "sub", "slice")),
        (gwcs.WCS, ("__copy__", "__deepcopy__", "__reduce__")),
    ):
        for name in names:
            monkeypatch.setattr(cls, name, refuse, raising=False)
    scene = scenes[kind]
    flt, drz = run_chain(scene)
    assert len(flt) == len(drz) > 10
    assert {id(cutout.image_wcs) for cutout in flt} == {id(scene.exposures[0].wcs)}
    assert {id(cutout.image_wcs) for cutout in drz} == {id(scene.combined.wcs)}
    assert all(np.isfinite(cutout.pix2world(*cutout.cutout_src_pos)).all() for cutout in drz)


def cut_many(count, size):
    """Return cutouts of one size with data, weight and mask."""
    shape = (20 * round(count**0.5) + 40,) * 2
    segmentation, catalog = make_segmentation(shape, count)
    pixels = np.ones(shape, np.float32)
    return create_primary_cutouts(
        catalog, segmentation, pixels, make_wcs("tan", shape), imweight=pixels, size=size
    )


def test_number_of_blocks_grows_with_bytes(tmp_path):
    """The number of blocks of an archive depends on its bytes, not on its number of cutouts."""
    blocks, path = {}, tmp_path / "cutouts.asdf"
    for count, size in ((20, 9), (400, 9), (400, 90)):
        cutouts = cut_many(count, size)
        cutouts.write(path, overwrite=True)
        blocks[count, size] = path.read_bytes().count(BLOCK)
    assert blocks[20, 9] == blocks[400, 9]
    assert len(cutouts) > 300
    planes = ("data", "weight", "mask")
    largest = 4 * len(cutouts) * 90 * 90
    more = blocks[400, 90] - blocks[400, 9]
    assert len(planes) <= more <= len(planes) * (largest / BLOCK_SIZE + 1)


def test_dropped_sources_are_stored_in_columns(scenes, tmp_path):
    """Memory and archives contain dropped sources as columns, not as one object per source."""
    scene, image = scenes["sip"], np.zeros((9, 9), np.float32)
    primary = run_chain(scene)[1]
    opposite = make_wcs("tan", image.shape, center=(scene.combined.wcs.wcs.crval[0] + 180, 0))
    entries = []
    for copies in (1, 1000):
        many = primary[np.tile(np.arange(len(primary)), copies)]
        flt, _ = create_input_image_cutouts(many, image, opposite)
        assert len(flt.dropped) == copies * len(primary) > 10
        both = flt + flt
        both.write(tmp_path / "dropped.asdf", overwrite=True)
        found = CutoutCollection.read(tmp_path / "dropped.asdf")
        assert len(found.dropped) == 2 * len(flt.dropped)
        entries.append([len(cutouts.dropped_groups) for cutouts in (flt, both, found)])
    assert entries[0] == entries[1]


def test_chunks_do_not_change_cutouts(scenes, monkeypatch):
    """Cutouts do not depend on the size of the chunks in which they are processed."""
    scene = scenes["sip"]
    options = {
        "segmentation_wcs": make_wcs("tan", scene.combined.data.shape, scale=0.04),
        "flt_mask_policy": "segment",
        "flt_dq": scene.exposures[0].dq,
        "mode": "fill",
    }
    whole, _ = run_chain(scene, keep_segmentation=True, **options)
    for module in ("cutter", "segmentation"):
        monkeypatch.setattr(f"subpixal.cutout._create.{module}.CHUNK", 500)
    chunked, _ = run_chain(scene, keep_segmentation=True, **options)
    assert sum(cutout.data.size for cutout in whole) > 10 * 500
    assert_cutouts_equal(chunked, whole)
