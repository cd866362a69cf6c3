"""Exposures one after the other."""

import gc
import weakref

import numpy as np
import pytest

from subpixal import Cutout, create_cutouts, create_primary_cutouts
from subpixal.batch import cut_exposures, gather
from subpixal.datasets import make_scene, make_wcs


@pytest.fixture(scope="module")
def scene():
    return make_scene(n_sources=25, shape=(200, 220), seed=2, exposures=("sip", "gwcs"))


def whole(image):
    return Cutout(
        image.data, image.wcs, dq=image.dq, weight=image.weight, meta={"name": image.name},
        unit=image.unit, exptime=image.exptime, copy=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def primary(scene):
    return create_primary_cutouts(scene.truth, scene.segmentation, whole(scene.combined), None)


def test_as_create_cutouts(scene, primary):
    """Each exposure gives what create_cutouts gives, when it is its turn."""
    opened = []

    def exposures():
        for image in scene.exposures:
            opened.append(image.name)
            yield whole(image)

    drz = whole(scene.combined)
    results = cut_exposures(primary, scene.segmentation, drz, exposures())
    for count, (image, result) in enumerate(zip(scene.exposures, results, strict=True), 1):
        assert len(opened) == count
        assert result.name == image.name
        flt, back = create_cutouts(
            primary, scene.segmentation, whole(scene.combined), None, whole(image), None
        )
        for mine, theirs in ((result.flt, flt), (result.drz, back)):
            assert mine.ids.tolist() == theirs.ids.tolist()
            assert mine.table["blc"].tolist() == theirs.table["blc"].tolist()


def test_nothing_is_held(scene, primary):
    """When the next exposure is opened, the last one and its cutouts are gone."""
    known = []

    def exposures():
        for image in (*scene.exposures, *scene.exposures):
            gc.collect()
            assert [known for known in known if known() is not None] == []
            exposure = whole(image)
            known.append(weakref.ref(exposure))
            yield exposure
            del exposure

    results = cut_exposures(primary, scene.segmentation, whole(scene.combined), exposures())
    for result in results:
        known += map(weakref.ref, (result.flt, result.drz))
        del result
    assert len(known) == 12


def test_gather(scene, primary):
    """All cutouts in one collection, each dropped source once, the exposures told apart."""
    exposures = [whole(image) for image in scene.exposures]
    results = list(cut_exposures(primary, scene.segmentation, whole(scene.combined), exposures))
    everything = gather(primary, results)
    assert len(everything) == len(primary) + sum(2 * len(r.flt) for r in results)
    assert len(everything.dropped) == len(primary.dropped) + sum(
        len(r.flt.dropped) for r in results
    )
    stages = [image.stage for image in everything.images]
    assert stages == ["primary", "input_image", "drz", "input_image", "drz"]
    mapped = [image.meta["exposure"] for image in everything.images if image.stage == "drz"]
    assert mapped == [image.name for image in scene.exposures]


def test_options(scene, primary):
    """Options reach create_cutouts."""
    exposures = [whole(scene.exposures[0])]
    (result,) = cut_exposures(
        primary, scene.segmentation, whole(scene.combined), exposures, pad=5, mode="fill"
    )
    assert "filled" in result.flt.table["status"]


def test_errors_name_the_exposure(scene, primary):
    """What goes wrong with an exposure says with which."""
    odd = Cutout(np.zeros((20, 20)), make_wcs("tan", (20, 20)), meta={"name": "odd.fits[SCI,1]"})
    with pytest.raises(ValueError, match=r"^odd\.fits\[SCI,1\]: mode must be one of"):
        list(cut_exposures(primary, scene.segmentation, whole(scene.combined), [odd], mode="x"))


@pytest.mark.parametrize("exposure", ["flt.fits", np.zeros((9, 9))])
def test_exposures_that_are_none(scene, primary, exposure):
    """What is no exposure is said to be none, and not to have no attribute."""
    arguments = primary, scene.segmentation, whole(scene.combined)
    kind = type(exposure).__name__
    with pytest.raises(TypeError, match=f"exposures must hold Cutouts, .*, got a {kind}$"):
        list(cut_exposures(*arguments, [exposure]))
