"""Tests of `cut_exposures` and `gather`, which cut exposures one after the other."""

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


def as_cutout(image):
    """Return a simulated image as a cutout of the whole image."""
    return Cutout(
        image.data,
        image.wcs,
        dq=image.dq,
        weight=image.weight,
        meta={"name": image.name},
        unit=image.unit,
        exptime=image.exptime,
        copy=False,
    )


@pytest.fixture(scope="module")
def primary(scene):
    return create_primary_cutouts(scene.truth, scene.segmentation, as_cutout(scene.combined), None)


def test_exposures_are_cut_as_by_create_cutouts(scene, primary):
    """The cutouts equal the results of `create_cutouts`. Each exposure is opened when it is cut."""
    opened = []

    def exposures():
        for image in scene.exposures:
            opened.append(image.name)
            yield as_cutout(image)

    drz = as_cutout(scene.combined)
    results = cut_exposures(primary, scene.segmentation, drz, exposures())
    for count, (image, result) in enumerate(zip(scene.exposures, results, strict=True), 1):
        assert len(opened) == count
        assert result.name == image.name
        flt, back = create_cutouts(
            primary, scene.segmentation, as_cutout(scene.combined), None, as_cutout(image), None
        )
        for found, expected in ((result.flt, flt), (result.drz, back)):
            assert found.ids.tolist() == expected.ids.tolist()
            assert found.table["blc"].tolist() == expected.table["blc"].tolist()


def test_one_exposure_is_in_memory_at_a_time(scene, primary):
    """Before an exposure is opened, the memory of the previous exposure and its cutouts is free."""
    references = []

    def exposures():
        for image in (*scene.exposures, *scene.exposures):
            gc.collect()
            assert [ref for ref in references if ref() is not None] == []
            exposure = as_cutout(image)
            references.append(weakref.ref(exposure))
            yield exposure
            del exposure

    results = cut_exposures(primary, scene.segmentation, as_cutout(scene.combined), exposures())
    for result in results:
        references += map(weakref.ref, (result.flt, result.drz))
        del result
    assert len(references) == 12


def test_gather_joins_all_cutouts(scene, primary):
    """
    One collection contains all cutouts and the names of their exposures.

    It lists each dropped source once.
    """
    exposures = [as_cutout(image) for image in scene.exposures]
    results = list(cut_exposures(primary, scene.segmentation, as_cutout(scene.combined), exposures))
    everything = gather(primary, results)
    assert len(everything) == len(primary) + sum(2 * len(r.flt) for r in results)
    assert len(everything.dropped) == len(primary.dropped) + sum(
        len(r.flt.dropped) for r in results
    )
    stages = [image.stage for image in everything.images]
    assert stages == ["primary", "input_image", "drz", "input_image", "drz"]
    mapped = [image.meta["exposure"] for image in everything.images if image.stage == "drz"]
    assert mapped == [image.name for image in scene.exposures]


def test_options_reach_create_cutouts(scene, primary):
    """The option ``mode`` has the same effect as in `create_cutouts`."""
    exposures = [as_cutout(scene.exposures[0])]
    (result,) = cut_exposures(
        primary, scene.segmentation, as_cutout(scene.combined), exposures, pad=5, mode="fill"
    )
    assert "filled" in result.flt.table["status"]


def test_errors_name_the_exposure(scene, primary):
    """If an exposure cannot be cut, the error begins with its name."""
    odd = Cutout(np.zeros((20, 20)), make_wcs("tan", (20, 20)), meta={"name": "odd.fits[SCI,1]"})
    with pytest.raises(ValueError, match=r"^odd\.fits\[SCI,1\]: mode must be one of"):
        list(cut_exposures(primary, scene.segmentation, as_cutout(scene.combined), [odd], mode="x"))


@pytest.mark.parametrize("exposure", ["flt.fits", np.zeros((9, 9))])
def test_exposures_of_wrong_type_are_refused(scene, primary, exposure):
    """If exposures have a wrong type, the error names the argument and the type."""
    arguments = primary, scene.segmentation, as_cutout(scene.combined)
    kind = type(exposure).__name__
    with pytest.raises(TypeError, match=f"exposures must hold Cutouts, .*, got a {kind}$"):
        list(cut_exposures(*arguments, [exposure]))
