"""Primary cutouts: pixels, masks, rejected sources and errors."""

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import (
    CCDData,
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from photutils.segmentation import SegmentationImage

from subpixal import Cutout, create_primary_cutouts
from subpixal.datasets import make_wcs

WCS = make_wcs("tan", (40, 40))
PLANES = ("data", "mask", "uncertainty", "flags", "weight")


def make_scene(seed, shape):
    """
    Return planes with all types of bad pixels, and a segmentation image.

    The boxes of its segments overlap.
    """
    rng = np.random.default_rng(seed)
    segmentation = np.zeros(shape, np.int32)
    for label in rng.permutation(np.arange(1, 7)):
        y, x = rng.integers(0, shape)
        segmentation[y : y + rng.integers(1, 6), x : x + rng.integers(1, 6)] = label
    random = rng.random(shape)
    data = rng.normal(size=shape).astype(np.float32)
    data[random < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    weight = rng.random(shape).astype(np.float32)
    weight[random > 0.95] = rng.choice([0, np.nan])
    return {
        "data": data,
        "mask": rng.random(shape) < 0.1,
        "uncertainty": rng.random(shape).astype(np.float32),
        "flags": rng.choice([0, 0, 0, 1, 4096], shape).astype(np.int16),
        "weight": weight,
    }, segmentation


def cut_slowly(array, box, fill):
    """Cut a box out of an image. Pixels beyond the image have the given value."""
    x1, y1, x2, y2 = box
    large = np.pad(array, 100, constant_values=fill)
    return large[y1 + 100 : y2 + 101, x1 + 100 : x2 + 101]


def calculate_slowly(planes, segmentation, label, pad, policy, good_flags):
    """Return the box and the planes of a source, computed with NumPy alone."""
    y, x = np.where(segmentation == label)
    box = x.min() - pad, y.min() - pad, x.max() + pad, y.max() + pad
    bad = ~np.isfinite(planes["data"]) | planes["mask"]
    bad |= (planes["flags"] & ~good_flags) != 0
    bad |= ~np.isfinite(planes["weight"]) | (planes["weight"] == 0)
    if policy == "segment":
        bad |= segmentation != label
    fills = {"data": np.nan, "mask": True, "uncertainty": np.nan, "flags": 0, "weight": 0}
    return box, {n: cut_slowly((planes | {"mask": bad})[n], box, fills[n]) for n in PLANES}


def find_reason(ids, i, segmentation):
    """Return the expected status of a source that must be rejected, or None."""
    y, x = np.where(segmentation == ids[i])
    ny, nx = segmentation.shape
    if ids[i] in ids[:i]:
        return "duplicate_id"
    if ids[i] == 0 or not x.size:
        return "not_in_segmentation"
    if x.min() == 0 or y.min() == 0 or x.max() == nx - 1 or y.max() == ny - 1:
        return "edge_of_segmentation"
    return None


def get_pixels(cutout, name):
    """Return a plane as an array."""
    pixels = getattr(cutout, name)
    return pixels.array if name == "uncertainty" else pixels


def get_dropped(cutouts):
    """Return the id and the status of the rejected sources."""
    return {(row["id"], row["status"]) for row in cutouts.dropped}


@given(
    seed=st.integers(0, 2**32 - 1),
    shape=st.tuples(st.integers(1, 18), st.integers(1, 18)),
    ids=st.lists(st.integers(0, 8), max_size=10),
    pad=st.integers(0, 12),
    policy=st.sampled_from(["segment", None]),
    good_flags=st.sampled_from([0, 1, 4096]),
    order=st.sampled_from("<>"),
    copy=st.booleans(),
)
def test_cutouts_equal_a_slow_calculation(seed, shape, ids, pad, policy, good_flags, order, copy):
    """Boxes, planes, masks, order and reasons for rejections equal a calculation in plain NumPy."""
    planes, segmentation = make_scene(seed, shape)
    given = {name: p.astype(p.dtype.newbyteorder(order)) for name, p in planes.items()}
    nd = NDData(given["data"], mask=given["mask"])
    cutouts = create_primary_cutouts(
        {"id": np.array(ids, int)}, segmentation.astype(f"{order}i4"), nd, WCS,
        given["flags"], given["weight"], uncertainty=given["uncertainty"], pad=pad,
        mask_policy=policy, dqbitmask=good_flags, copy=copy,
    )  # fmt: skip
    kept, dropped = [], []
    for i, label in enumerate(ids):
        reason = find_reason(ids, i, segmentation)
        if reason is None:
            found = calculate_slowly(planes, segmentation, label, pad, policy, good_flags)
            reason = "all_masked" if found[1]["mask"].all() else None
        if reason is None:
            kept.append((label, *found))
        else:
            dropped.append((label, reason))
    assert sorted((d["id"], d["status"]) for d in cutouts.dropped) == sorted(dropped)
    assert [c.src_id for c in cutouts] == [label for label, *_ in kept]
    for cutout, (_, (x1, y1, x2, y2), pixels) in zip(cutouts, kept, strict=True):
        assert (cutout.blc, cutout.trc) == ((x1, y1), (x2, y2))
        inside = x1 >= 0 and y1 >= 0 and x2 < shape[1] and y2 < shape[0]
        assert cutout.status == ("ok" if inside else "filled")
        for name in PLANES:
            assert_array_equal(get_pixels(cutout, name), pixels[name], err_msg=name)
            # A view of a big-endian image keeps the byte order.
            assert get_pixels(cutout, name).dtype.newbyteorder("=") == pixels[name].dtype
            assert get_pixels(cutout, name).dtype.isnative or not copy
        assert cutout.src_pos == ((x1 + x2) / 2, (y1 + y2) / 2)


@pytest.fixture
def scene():
    """
    An image and a segmentation image with 9 sources of 3 x 3 pixels.

    The first source is at (1, 1).
    """
    segmentation = np.zeros((30, 30), np.int32)
    for k in range(9):
        y, x = 1 + 12 * (k // 3), 1 + 12 * (k % 3)
        segmentation[y : y + 3, x : x + 3] = k + 1
    y, x = np.mgrid[:30, :30]
    return (100.0 * y + x).astype(np.float32), segmentation


def test_padding_beyond_the_image_is_filled(scene):
    """If only the padding of a box lies beyond the image, it is filled there."""
    data, segmentation = scene
    cutouts = create_primary_cutouts({"id": range(1, 10)}, segmentation, data, WCS, pad=4)
    by_id = {c.src_id: c for c in cutouts}
    assert sorted(by_id) == list(range(1, 10))
    assert by_id[5].status == "ok"
    insertion = {
        1: np.s_[3:, 3:], 2: np.s_[3:, :], 3: np.s_[3:, :9],
        4: np.s_[:, 3:], 6: np.s_[:, :9], 7: np.s_[:9, 3:], 8: np.s_[:9, :], 9: np.s_[:9, :9],
    }  # fmt: skip
    for label, inside in insertion.items():
        cutout = by_id[label]
        assert cutout.status == "filled"
        assert cutout.shape == (11, 11)
        outside = np.ones(cutout.shape, bool)
        outside[inside] = False
        assert_array_equal(np.isnan(cutout.data), outside)
        assert cutout.mask[outside].all()
        y, x = np.mgrid[:11, :11] + np.array(cutout.blc[::-1])[:, None, None]
        assert_array_equal(cutout.data[inside], (100 * y + x)[inside])
        assert_array_equal(cutout.data[inside], data[cutout.extraction_slice])
        assert_array_equal(
            ~cutout.mask, cut_slowly(segmentation, (*cutout.blc, *cutout.trc), 0) == label
        )


def make_bad_sources():
    """Return a catalog, labels and data with valid sources, and one source for each rejection."""
    segmentation = np.zeros((30, 30), np.int32)
    for label, (x, y) in {1: (10, 10), 2: (0, 5), 3: (20, 4), 4: (15, 15), 5: (27, 20)}.items():
        segmentation[y : y + 3, x : x + 3] = label
    segmentation[29, 20] = 6
    segmentation[0, 12] = -7
    segmentation[20, 3] = 2_000_000_000
    data = np.ones(segmentation.shape)
    data[segmentation == 3] = np.nan
    ids = [5, 99, 2_000_000_000, 1, 2, 1, 0, 3, 6, 99, -7, 4]
    return {"id": ids}, segmentation, data


def test_each_rejected_row_has_a_reason():
    """Each rejected row has one reason. The other sources keep their order."""
    catalog, segmentation, data = make_bad_sources()
    meta = {"filename": "drz.fits"}
    cutouts = create_primary_cutouts(catalog, segmentation, NDData(data, meta=meta), WCS)
    assert [c.src_id for c in cutouts] == [2_000_000_000, 1, 4]
    assert sorted((d["id"], d["status"]) for d in cutouts.dropped) == [
        (-7, "edge_of_segmentation"),
        (0, "not_in_segmentation"),
        (1, "duplicate_id"),
        (2, "edge_of_segmentation"),
        (3, "all_masked"),
        (5, "edge_of_segmentation"),
        (6, "edge_of_segmentation"),
        (99, "duplicate_id"),
        (99, "not_in_segmentation"),
    ]
    assert cutouts.dropped.colnames == ["id", "status", "stage", "image", "message"]
    assert set(cutouts.dropped["stage"]) == {"primary"}
    assert set(cutouts.dropped["image"]) == {"drz.fits"}
    assert all(cutouts.dropped["message"])


@pytest.mark.parametrize("copy", [True, False])
def test_only_bad_sources_give_an_empty_collection(copy):
    """If all sources are rejected, the collection is empty and lists the reason for each source."""
    catalog, segmentation, data = make_bad_sources()
    data[:] = np.nan
    cutouts = create_primary_cutouts(catalog, segmentation, data, WCS, copy=copy)
    assert len(cutouts) == 0
    assert list(cutouts) == []
    assert len(cutouts.dropped) == len(catalog["id"])


@pytest.mark.parametrize("copy", [True, False])
def test_empty_catalog_gives_an_empty_collection(scene, copy):
    """An empty catalog and an empty segmentation image give an empty collection."""
    data, segmentation = scene
    for catalog in (Table({"id": []}), Table({"id": [], "x": [], "y": []}), {"label": []}):
        cutouts = create_primary_cutouts(catalog, segmentation, data, WCS, copy=copy)
        assert (len(cutouts), len(cutouts.dropped)) == (0, 0)
    cutouts = create_primary_cutouts({"id": [1]}, segmentation * 0, data, WCS, copy=copy)
    assert get_dropped(cutouts) == {(1, "not_in_segmentation")}


def test_labels_without_a_row_are_ignored(scene):
    """A label without a row in the catalog is not cut."""
    data, segmentation = scene
    cutouts = create_primary_cutouts({"id": [8, 5]}, segmentation, data, WCS)
    assert [c.src_id for c in cutouts] == [8, 5]
    assert len(cutouts.dropped) == 0


def test_segment_of_the_whole_image_touches_the_edge():
    """If a segment covers the whole image, it touches the edge."""
    cutouts = create_primary_cutouts({"id": [1]}, np.ones((1, 1), int), np.ones((1, 1)), WCS)
    assert get_dropped(cutouts) == {(1, "edge_of_segmentation")}


def test_positions_and_weights_belong_to_their_sources(scene):
    """Each source keeps its position and its weight when other sources are rejected."""
    data, segmentation = scene
    segmentation[0, 1] = 1
    catalog = {"id": [9, 1, 77, 5], "x": [26.6, 2, 3, np.nan], "y": [25.7, 2, 3, 4.5]}
    cutouts = create_primary_cutouts(catalog, segmentation, data, WCS, src_weight=[4, 3, 2, np.nan])
    assert [c.src_id for c in cutouts] == [9, 5]
    assert [c.src_pos for c in cutouts] == [(26.6, 25.7), (14, 14)]
    assert [c.src_weight for c in cutouts] == [4, None]
    assert cutouts[0].cutout_src_pos == pytest.approx((2.6, 1.7))


def test_positions_may_be_far_from_the_segment(scene):
    """The argument `src_pos` accepts positions far from the segments."""
    data, segmentation = scene
    cutouts = create_primary_cutouts(
        {"id": [5]}, segmentation, data, WCS, src_pos=[[1000.5, -3]], copy=False
    )
    assert cutouts[0].src_pos == (1000.5, -3)


SCIENCE = {
    "array": lambda data: data,
    "big-endian": lambda data: data.astype(">f4"),
    "quantity": lambda data: data * u.ct,
    "masked": lambda data: np.ma.masked_array(data, data % 2 == 1),
    "nddata": lambda data: NDData(data, unit="ct", mask=data % 2 == 1, wcs=WCS),
    "ccddata": lambda data: CCDData(data, unit="ct", mask=data % 2 == 1, wcs=WCS),
    "cutout": lambda data: Cutout(data, WCS, mask=data % 2 == 1),
    "subclass": lambda data: data.view(np.recarray),
    "fortran": np.asfortranarray,
}


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("kind", SCIENCE)
def test_images_of_all_kinds(kind, copy, scene):
    """Each supported type of image is accepted. Its mask and its unit are used."""
    data, segmentation = scene
    image = SCIENCE[kind](data)
    cutouts = create_primary_cutouts(
        {"id": [5]}, SegmentationImage(segmentation), image, WCS, mask_policy=None, copy=copy
    )
    (cutout,) = cutouts
    assert_array_equal(cutout.data, data[12:17, 12:17])
    assert type(cutout.data) is np.ndarray
    masks = kind in {"masked", "nddata", "ccddata", "cutout"}
    assert_array_equal(cutout.mask, (cutout.data % 2 == 1) & masks)
    assert cutout.unit == (u.ct if kind in {"quantity", "nddata", "ccddata"} else None)
    assert cutout.image_wcs is WCS
    if kind in {"nddata", "ccddata", "cutout"}:
        cutouts = create_primary_cutouts({"id": [5]}, segmentation, image, None)
        assert cutouts[0].image_wcs is WCS


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("u1", "f4"), ("i1", "f4"), (">i2", "f4"), ("u2", "f4"), (bool, "f4"),
     ("i4", "f8"), (">u4", "f8"), ("i8", "f8"), ("f2", "f2"), (">f8", "f8"), ("f4", "f4")],
)  # fmt: skip
@pytest.mark.parametrize("copy", [True, False])
def test_integers_become_floats(dtype, expected, copy, scene):
    """Integers become floats that can hold all their values and NaN."""
    data, segmentation = scene
    image = (data % 100).astype(dtype)
    cutouts = create_primary_cutouts({"id": [5, 1]}, segmentation, image, WCS, pad=3, copy=copy)
    for cutout in cutouts:
        assert cutout.data.dtype.newbyteorder("=") == np.dtype(expected)
        assert cutout.weight is None
        assert cutout.flags is None
    assert_array_equal(cutouts[0].data, image[10:19, 10:19].astype(float))
    assert np.isnan(cutouts[1].data[0, 0])


@pytest.mark.parametrize("dtype", ["u1", "i2", ">i4", "u8", bool])
def test_flags_keep_their_type(dtype, scene):
    """Flags have the same integer type in all cutouts, also in filled ones."""
    data, segmentation = scene
    flags = (data % 3 == 0).astype(dtype)
    cutouts = create_primary_cutouts({"id": [1, 5]}, segmentation, data, WCS, flags, pad=3)
    for cutout in cutouts:
        assert cutout.flags.dtype == np.dtype(dtype).newbyteorder("=")
        good = ~cutout.mask
        assert not cutout.flags[good].any()
        assert good.any()
    assert cutouts[0].flags[0, 0] == 0
    assert cutouts[0].mask[0, 0]


@pytest.mark.parametrize(
    ("uncertainty", "kind", "fill"),
    [
        (np.asarray, StdDevUncertainty, np.nan),
        (StdDevUncertainty, StdDevUncertainty, np.nan),
        (VarianceUncertainty, VarianceUncertainty, np.nan),
        (InverseVariance, InverseVariance, 0),
        (UnknownUncertainty, UnknownUncertainty, np.nan),
    ],
)
def test_uncertainties_keep_their_kind(uncertainty, kind, fill, scene):
    """Each type of uncertainty is kept and has its own fill value."""
    data, segmentation = scene
    cutouts = create_primary_cutouts(
        {"id": [1]}, segmentation, data, WCS, pad=2, uncertainty=uncertainty(data + 1)
    )
    found = cutouts[0].uncertainty
    assert type(found) is kind
    assert_array_equal(found.array[1:, 1:], data[:6, :6] + 1)
    assert_array_equal(found.array[0], np.full(7, fill))


@pytest.mark.parametrize("fillval", [-1, 0.5, np.float32(7), np.inf])
@pytest.mark.parametrize("weight", [None, 1.0])
def test_fillval_applies_to_data_only(fillval, weight, scene):
    """Only data are filled with the argument `fillval`. Filled pixels are masked."""
    data, segmentation = scene
    if weight is not None:
        weight = np.full_like(data, weight)
    (cutout,) = create_primary_cutouts(
        {"id": [1]}, segmentation, data, WCS, imweight=weight, pad=3, fillval=fillval,
        mask_policy=None,
    )  # fmt: skip
    assert (cutout.data[:2] == fillval).all()
    outside = np.ones((9, 9), bool)
    outside[2:, 2:] = False
    assert_array_equal(cutout.mask, outside)
    assert weight is None or (cutout.weight[:2] == 0).all()


def test_dqbitmask_lists_good_flags(scene):
    """The flags in `dqbitmask` mask no pixels. They are none, some bits or all bits."""
    data, segmentation = scene
    flags = np.where(data % 2 == 1, 4, 3)
    arguments = {"id": [5]}, segmentation, data, WCS, flags

    def count(dqbitmask):
        return sum(
            int((~c.mask).sum()) for c in create_primary_cutouts(*arguments, dqbitmask=dqbitmask)
        )

    odd = int((data[13:16, 13:16] % 2 == 1).sum())
    assert [count(m) for m in (None, 7, [1, 2, 4], "~0")] == [9] * 4
    assert count(0) == 0
    assert (count(4), count(3), count("1,2")) == (odd, 9 - odd, 9 - odd)


@pytest.mark.parametrize("mask", [None, False, True, np.ma.nomask])
def test_mask_may_be_a_boolean(mask, scene):
    """A single boolean is a mask for the whole image."""
    data, segmentation = scene
    cutouts = create_primary_cutouts({"id": [5]}, segmentation, NDData(data, mask=mask), WCS)
    assert get_dropped(cutouts) == ({(5, "all_masked")} if mask is True else set())


def test_pixels_are_copied(scene):
    """
    Changing the image does not change the cutouts.

    Changing a cutout does not change the image.
    """
    data, segmentation = scene
    cutouts = create_primary_cutouts({"id": [5]}, segmentation, data, WCS)
    before = cutouts[0].data.copy()
    data[:] = 0
    assert_array_equal(cutouts[0].data, before)
    cutouts[0].data[:] = -1
    assert (data == 0).all()


def test_views_are_read_only(scene):
    """
    With `copy=False`, pixels are read-only views of the image.

    A copy of the cutout is writable.
    """
    data, segmentation = scene
    cutouts = create_primary_cutouts(
        {"id": [5, 1]}, segmentation, data, WCS, imweight=data + 1, pad=2, copy=False
    )
    inside, filled = cutouts
    assert np.shares_memory(inside.data, data)
    with pytest.raises(ValueError, match="read-only"):
        inside.data[0, 0] = 1
    with pytest.raises(ValueError, match="read-only"):
        filled.data[0, 0] = 1
    inside.mask[0, 0] = True
    detached = cutouts.copy()
    assert not np.shares_memory(detached[0].data, data)
    detached[0].data[0, 0] = 1


@pytest.mark.parametrize("pad", [0, 1, 5, 2.0, np.int16(3)])
def test_pad_is_added_on_each_side(pad, scene):
    """The argument `pad` adds pixels on each side of the box."""
    data, segmentation = scene
    (cutout,) = create_primary_cutouts({"id": [5]}, segmentation, data, WCS, pad=pad)
    assert cutout.blc == (13 - pad, 13 - pad)
    assert cutout.trc == (15 + pad, 15 + pad)


def test_unit_overrides_data_units(scene):
    """The argument `data_units` is used only if the unit could be one of counts or of rates."""
    data, segmentation = scene
    for unit, argument, expected in (("ct/s", "counts", "rate"), (None, "counts", "counts"),
                              (None, "rate", "rate"), ("MJy/sr", "counts", "rate")):  # fmt: skip
        (cutout,) = create_primary_cutouts(
            {"id": [5]},
            segmentation,
            NDData(data, unit=unit),
            WCS,
            data_units=argument,
            exptime=300,
        )
        assert cutout.data_units == expected
        assert cutout.exptime == 300
