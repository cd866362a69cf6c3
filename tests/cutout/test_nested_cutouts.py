"""NDData, CCDData and cutouts as images give the same cutouts as arrays."""

import pickle
from functools import cache

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.masked import Masked
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import (
    Cutout,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.cutout import CutoutCollection
from subpixal.datasets import make_scene
from subpixal.testing import assert_cutouts_equal

SCENE = make_scene(n_sources=25, shape=(200, 220), seed=4)
XY = SCENE.combined.wcs.wcs_world2pix(SCENE.truth["ra"], SCENE.truth["dec"], 0)
CATALOG = {"id": SCENE.truth["id"], "x": XY[0], "y": XY[1]}
KINDS = (StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty)
UNIT = u.electron / u.s
OPTIONS = {"dqbitmask": 2, "exptime": 7, "keep_segmentation": True, "pad": 3}


@cache
def planes(number):
    """Return all planes of the combined image (-1) or of an exposure."""
    image = SCENE.combined if number < 0 else SCENE.exposures[number]
    rng = np.random.default_rng(number + 10)
    shape = image.data.shape
    return {
        "data": image.data,
        "wcs": image.wcs,
        "mask": rng.random(shape) < 0.02,
        "dq": rng.choice(np.array([0, 0, 0, 0, 0, 1, 2], np.uint16), shape),
        "weight": rng.uniform(1, 2, shape),
        "sigma": rng.uniform(1, 2, shape).astype(np.float32),
    }


def make_image_arguments(number, kind, uncertainty=StdDevUncertainty):
    """Return positional and keyword arguments for an image with all planes."""
    p = planes(number)
    error, nd = uncertainty(p["sigma"]), {name: p[name] for name in ("wcs", "mask")}
    nd |= {"unit": UNIT, "uncertainty": error}
    if kind == "arrays":
        masked = Masked(p["data"] << UNIT, mask=p["mask"])
        return (masked, p["wcs"], p["dq"], p["weight"]), {"uncertainty": error}
    if kind == "nddata":
        return (NDData(p["data"], **nd), None, p["dq"], p["weight"]), {}
    if kind == "ccddata":
        # CCDData accepts only a FITS WCS. The other exposures need the argument for the WCS.
        wcs = None if number < 2 else nd.pop("wcs")
        return (CCDData(p["data"], flags=p["dq"], **nd), wcs, None, p["weight"]), {}
    whole = Cutout(
        p["data"], p["wcs"], dq=p["dq"], weight=p["weight"], unit=UNIT, uncertainty=error,
        mask=p["mask"], dqbitmask=2,
    )  # fmt: skip
    return (whole, None), {}


@cache
def cut_primary():
    return create_primary_cutouts(CATALOG, SCENE.segmentation, SCENE.combined.data,
                                  SCENE.combined.wcs, pad=2)  # fmt: skip


def cut_primary_from(image, arguments, options, at=(0, 0), size=None):
    """Cut primary cutouts out of an image, or out of the part of it that begins at `at`."""
    x0, y0 = at
    ny, nx = SCENE.segmentation.shape if size is None else size
    labels = SCENE.segmentation[y0 : y0 + ny, x0 : x0 + nx]
    catalog = CATALOG | {"x": CATALOG["x"] - x0, "y": CATALOG["y"] - y0}
    return create_primary_cutouts(catalog, labels, *image, **arguments, **options)


def cut_exposure(image, arguments, options, **_):
    arguments = arguments | {"segmentation_image": SCENE.segmentation}
    arguments |= {"segmentation_wcs": SCENE.combined.wcs}
    return create_input_image_cutouts(cut_primary(), *image, **arguments, **options)[0]


def cut_combined(image, arguments, options, **_):
    exposure = SCENE.exposures[1]
    flt, _ = create_input_image_cutouts(cut_primary(), exposure.data, exposure.wcs)
    arguments = arguments | {"segmentation_wcs": SCENE.combined.wcs}
    return drz_from_input_cutouts(flt, SCENE.segmentation, *image, **arguments, **options)[0]


CUTTERS = {
    "primary": (cut_primary_from, -1),
    "flt": (cut_exposure, 0),
    "lookup": (cut_exposure, 1),
    "gwcs": (cut_exposure, 2),
    "drz": (cut_combined, -1),
}


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("kind", ["nddata", "ccddata", "cutout"])
@pytest.mark.parametrize("step", CUTTERS)
def test_all_kinds_of_images_give_the_same_cutouts(step, kind, copy):
    """All types of images give the same planes, boxes and WCSs as arrays, bit for bit."""
    cut, number = CUTTERS[step]
    options = OPTIONS | {"copy": copy}
    for uncertainty in KINDS:
        expected = cut(*make_image_arguments(number, "arrays", uncertainty), options)
        actual = cut(*make_image_arguments(number, kind, uncertainty), options)
        assert len(expected) >= 10
        assert_cutouts_equal(actual, expected)


def assert_same_cutouts(actual, expected):
    """Check that two collections have the same pixels at the same positions in one image."""
    assert actual.ids.tolist() == expected.ids.tolist()
    for one, other in zip(actual, expected, strict=True):
        assert one.planes == other.planes
        for name in one.planes:
            plane, expected_plane = (getattr(c, name) for c in (one, other))
            assert_array_equal(
                getattr(plane, "array", plane), getattr(expected_plane, "array", expected_plane)
            )
        assert type(one.uncertainty) is type(other.uncertainty)
        assert (one.box, one.unit, one.exptime) == (other.box, other.unit, other.exptime)
        assert one.extraction_slice == other.extraction_slice
        assert one.insertion_slice == other.insertion_slice
        assert one.status == other.status
        assert_allclose(one.src_pos, other.src_pos, rtol=0, atol=1e-5)
        assert one.image_wcs is other.image_wcs
        assert one.image.shape == other.image.shape
        assert_allclose(one.pix2world(0, 0), other.pix2world(0, 0), rtol=0, atol=1e-12)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("step", CUTTERS)
def test_parts_give_the_same_cutouts_as_the_image(step, copy, tmp_path):
    """If a cutout is completely on a part of an image, it equals the cutout of the image."""
    cut, number = CUTTERS[step]
    options = OPTIONS | {"copy": copy}
    expected = cut(*make_image_arguments(number, "cutout"), options)
    whole, _ = make_image_arguments(number, "cutout")[0]
    ny, nx = whole.shape
    at = 15, 20
    part = Cutout(whole, None, at, (nx - 11, ny - 9))
    options |= {} if step in ("primary", "drz") else {"mode": "strict"}
    actual = cut((part, None), {}, options, at=at, size=part.shape)
    inside = np.array([c.box in part.box for c in expected])
    inside &= np.isin(expected.ids, actual.ids)
    assert 5 <= inside.sum() <= len(expected)
    complete = np.array([c.status == "ok" for c in actual])
    assert_same_cutouts(actual[complete], expected[inside])
    # Copies, pickles and archives contain new arrays of pixels.
    assert_cutouts_equal(actual.copy(), actual)
    assert_cutouts_equal(pickle.loads(pickle.dumps(actual)), actual)
    actual.write(tmp_path / "cutouts.asdf")
    assert_cutouts_equal(CutoutCollection.read(tmp_path / "cutouts.asdf"), actual)


@pytest.mark.parametrize("copy", [True, False])
def test_pixels_beyond_a_part_are_filled(copy):
    """Pixels outside a part of an image are filled, even where the image has values."""
    whole, _ = make_image_arguments(0, "cutout")[0]
    part = Cutout(whole, None, (60, 30), (110, 110))
    cutouts, sources = create_input_image_cutouts(
        cut_primary(), part, None, mode="fill", copy=copy, fillval=-7
    )
    filled = [c for c in cutouts if c.status == "filled"]
    assert filled
    assert len(filled) < len(cutouts)
    for cutout in cutouts:
        inside_image = np.zeros(cutout.shape, bool)
        inside_image[cutout.insertion_slice] = True
        assert_array_equal(
            cutout.data[inside_image].reshape(cutout.data[cutout.insertion_slice].shape),
            whole.data[cutout.extraction_slice],
        )
        assert (cutout.data[~inside_image] == -7).all()
        assert cutout.mask[~inside_image].all()
    # Boxes on the combined image contain the boxes of the primary cutouts.
    back, _ = drz_from_input_cutouts(
        cutouts, SCENE.segmentation, SCENE.combined.data, SCENE.combined.wcs, mask_policy=None
    )
    origin = dict(zip(sources.ids.tolist(), sources, strict=True))
    assert all(origin[c.src_id].box in c.box for c in back)


def test_parts_give_the_same_cutouts_in_both_directions():
    """Parts of exposures and of combined images give the same cutouts as the whole images."""
    image, exposure = SCENE.combined, SCENE.exposures[1]
    drz, flt = Cutout(image.data, image.wcs), Cutout(exposure.data, exposure.wcs)
    options = {"mask_policy": "segment", "flt_mask_policy": "neighbors"}
    labels = SCENE.segmentation
    expected = create_cutouts(cut_primary(), labels, drz, None, flt, None, **options)
    parts = drz[3:-2, 4:-3], flt[5:-5, 2:-2]
    actual = create_cutouts(
        cut_primary(), labels[3:-2, 4:-3], parts[0], None, parts[1], None, **options
    )
    for partial, complete in zip(actual, expected, strict=True):
        same = np.isin(complete.ids, partial.ids)
        assert same.sum() > 10
        unfilled = np.array([c.status == "ok" for c in partial])
        assert_same_cutouts(partial[unfilled], complete[same][unfilled])


def test_filled_part_has_only_the_pixels_of_the_part():
    """Cutouts of a part that is filled to the size of its image are filled outside the part."""
    whole, _ = make_image_arguments(-1, "cutout")[0]
    ny, nx = whole.shape
    filled = Cutout(whole[30:, 40:], None, (-40, -30), (nx - 41, ny - 31), mode="fill")
    assert (filled.box, filled.origin) == (whole.box, (0, 0))
    for cutout in create_primary_cutouts(CATALOG, SCENE.segmentation, filled, None):
        inside = cutout.box in whole[30:, 40:].box
        assert cutout.status == ("ok" if inside else "filled")
        assert inside == (cutout.insertion_slice == (slice(0, cutout.height),
                                                     slice(0, cutout.width)))  # fmt: skip


def test_cutouts_of_a_displaced_and_moved_part():
    """If a part is displaced or moved, its cutouts are displaced or moved by the same amount."""
    exposure = SCENE.exposures[0]
    part = Cutout(exposure.data, exposure.wcs, (20, 10), (140, 110))
    part.dx, part.dy = 0.25, -0.5
    part.blc = 21, 10
    cutouts, _ = create_input_image_cutouts(cut_primary(), part, None)
    assert len(cutouts) > 3
    sky = dict(zip(CATALOG["id"].tolist(), zip(SCENE.truth["ra"], SCENE.truth["dec"], strict=True),
                   strict=True))  # fmt: skip
    for cutout in cutouts:
        assert (cutout.dx, cutout.dy) == (0.25, -0.5)
        assert_array_equal(exposure.data[cutout.extraction_slice], cutout.data)
        assert_allclose(cutout.pix2world(*cutout.cutout_src_pos), sky[cutout.src_id], atol=1e-8)
        x, y = np.subtract(cutout.blc, part.blc)
        assert_array_equal(part[y : y + cutout.height, x : x + cutout.width].data, cutout.data)
        assert_allclose(cutout.pix2world(0, 0), part.pix2world(x, y), rtol=0, atol=1e-12)


def test_cutouts_of_parts_share_one_image():
    """Cutouts of several parts of an image all belong to this image."""
    image = SCENE.combined
    whole = Cutout(image.data, image.wcs, exptime=5)
    labels = SCENE.segmentation
    parts = [(slice(0, 120), slice(None)), (slice(80, None), slice(None))]
    everything = CutoutCollection()
    for part in parts:
        everything += create_primary_cutouts(
            {"id": CATALOG["id"]}, labels[part], whole[part], None, exptime=5
        )
    assert len(everything) > len(cut_primary()) / 2
    assert len(everything.images) == 1


def test_segmentation_of_a_cutout_is_cut():
    """If a cutout has a segmentation plane, its own cutouts have the same part of the plane."""
    p = planes(-1)
    (parent, *_) = create_primary_cutouts(CATALOG, SCENE.segmentation, p["data"], p["wcs"],
                                          keep_segmentation=True, size=21)  # fmt: skip
    inner = Cutout(parent, None, (3, 2), (12, 9))
    assert_array_equal(inner.segmentation, parent.segmentation[2:10, 3:13])
    filled = Cutout(parent, None, (-2, 0), (2, 3), mode="fill")
    assert_array_equal(filled.segmentation[:, :2], 0)
    assert filled.segmentation.dtype == parent.segmentation.dtype
