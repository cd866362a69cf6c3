"""Errors of the create functions: sources that cannot be mapped, and invalid arguments."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import NDData
from numpy.testing import assert_array_equal

from subpixal import (
    Cutout,
    CutoutCollection,
    NotConvergedError,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.datasets import make_wcs

SHAPE = (60, 80)
DRZ_WCS, FLT_WCS = make_wcs("tan", SHAPE), make_wcs("sip", SHAPE, rotation=20)
DATA = np.arange(4800.0).reshape(SHAPE).astype(np.float32)
SEGMENTATION = np.zeros(SHAPE, np.int32)
SEGMENTATION[28:33, 38:44] = 1
SEGMENTATION[40:45, 50:54] = 2


def cut(src_id=1, blc=(38, 28), trc=(43, 32), wcs=DRZ_WCS, **keywords):
    """Cut a box out of the combined image."""
    return Cutout(DATA, wcs, blc, trc, src_id=src_id, mode="fill", **keywords)


def get_reasons(cutouts):
    """Return the status of each rejected source, by its id."""
    return {row["id"]: row["status"] for row in cutouts.dropped}


def make_primary():
    """Return cutouts of two valid sources, and of one source for each reason for a rejection."""
    twisted = make_wcs("tan", SHAPE, center=(10.0, 2.2))
    return [
        cut(1),
        cut("antipode", wcs=make_wcs("tan", SHAPE, center=(330.1, -2.2))),
        cut("other field", wcs=twisted),
        Cutout(None, DRZ_WCS, (-40, -30), (-12, -11), src_id="off the detector"),
        cut("on the edge", (0, 25), (6, 29)),
        cut("no position on the sky", src_pos=(1e7, 0)),
        cut("position elsewhere", src_pos=(1e5, 1e5)),
        cut(2, (50, 40), (53, 44)),
        cut("spoilt", (20, 25), (23, 28)),
    ]


EXPECTED = {
    "antipode": "no_overlap",
    "other field": "no_overlap",
    "off the detector": "no_overlap",
    "on the edge": "partial_overlap",
    "no position on the sky": "not_converged",
    "position elsewhere": "not_converged",
    "spoilt": "all_masked",
}


@pytest.mark.parametrize("kind", ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"])
@pytest.mark.parametrize("copy", [True, False])
def test_bad_sources_do_not_stop_a_batch(kind, copy):
    """Each invalid source is rejected for its own reason, and the valid sources are cut."""
    data = DATA.copy()
    data[22:38, 15:30] = np.nan
    wcs = make_wcs(kind, SHAPE)
    cutouts, valid = create_input_image_cutouts(make_primary(), data, wcs, copy=copy)
    assert [c.src_id for c in cutouts] == [c.src_id for c in valid] == [1, 2]
    assert get_reasons(cutouts) == get_reasons(valid) == EXPECTED


def test_fill_mode_keeps_sources_on_the_edge():
    """In the mode "fill", sources that overlap the image partially are also cut."""
    wcs = make_wcs("sip", SHAPE)
    cutouts, _ = create_input_image_cutouts(make_primary(), DATA, wcs, mode="fill")
    assert [c.src_id for c in cutouts] == [1, "on the edge", 2, "spoilt"]
    assert [c.status for c in cutouts] == ["ok", "filled", "ok", "ok"]


@pytest.mark.parametrize(
    ("blc", "touches"),
    [((-4, 5), False), ((-3, 5), True), ((5, -4), False), ((5, -3), True),
     ((79, 5), True), ((80, 5), False), ((5, 59), True), ((5, 60), False)],
)  # fmt: skip
def test_box_overlaps_the_image_by_one_pixel(blc, touches):
    """A box with a single row or column on the image overlaps the image."""
    grid = Cutout(None, DRZ_WCS, blc, (blc[0] + 3, blc[1] + 3))
    filled, _ = create_input_image_cutouts([grid], DATA, DRZ_WCS, mode="fill", pad=0)
    assert [c.blc for c in filled] == [blc] * touches
    strict, _ = create_input_image_cutouts([grid], DATA, DRZ_WCS, pad=0)
    assert get_reasons(strict) == {0: "partial_overlap" if touches else "no_overlap"}


def test_box_far_larger_than_the_image():
    """A box that contains the whole exposure is mapped. Its overlap is partial."""
    wide_wcs = make_wcs("tan", (4000, 4000))
    wide_cutout = Cutout(np.zeros((4000, 4000), np.float32), wide_wcs, src_id=7)
    flt_wcs = make_wcs("sip", SHAPE)
    strict, _ = create_input_image_cutouts([wide_cutout, cut(1)], DATA, flt_wcs)
    assert get_reasons(strict) == {7: "partial_overlap"}
    filled, _ = create_input_image_cutouts([wide_cutout, cut(1)], DATA, flt_wcs, mode="fill")
    assert [c.src_id for c in filled] == [7, 1]
    ny, nx = SHAPE
    assert filled[0].extraction_slice == (slice(0, ny), slice(0, nx))


def test_box_that_cannot_be_mapped():
    """If a box reaches the fold of the distortion, its status is "not_converged"."""
    wide_wcs = make_wcs("tan", (40, 40), scale=500.0)
    wide_cutout = Cutout(np.zeros((40, 40), np.float32), wide_wcs, src_id=7)
    for mode in ("strict", "fill"):
        cutouts, _ = create_input_image_cutouts(
            [wide_cutout, cut(1)], DATA, make_wcs("sip", SHAPE), mode=mode
        )
        assert [c.src_id for c in cutouts] == [1]
        assert get_reasons(cutouts) == {7: "not_converged"}
    with pytest.raises(NotConvergedError, match="1 sources have no position: 7"):
        create_input_image_cutouts([wide_cutout, cut(1)], DATA, make_wcs("sip", SHAPE), quiet=False)


def test_box_on_the_image_and_on_the_fold():
    """A box that overlaps the exposure and reaches the fold is not reported as outside."""
    wide_wcs = make_wcs("tan", (40, 40), scale=500.0)
    wide_cutout = Cutout(np.zeros((40, 40), np.float32), wide_wcs, src_id=7, src_pos=(1.0, 1.0))
    twice = [cut(7), wide_cutout]
    cutouts, _ = create_input_image_cutouts(twice, DATA, make_wcs("sip", SHAPE), mode="fill")
    assert cutouts.dropped["status"].tolist() == ["not_converged"]
    with pytest.raises(NotConvergedError) as error:
        create_input_image_cutouts(twice, DATA, make_wcs("sip", SHAPE), quiet=False)
    assert error.value.where.tolist() == [1]


@pytest.mark.parametrize("src_id", [0, "J1234+5", None, 2.5, np.nan, (1, 2)])
def test_invalid_labels_have_no_segment(src_id):
    """A source has no segment if its id is not a label. The label 0 is the background."""
    cutouts, valid = drz_from_input_cutouts([cut(src_id), cut(1)], SEGMENTATION, DATA, DRZ_WCS)
    assert [c.src_id for c in cutouts] == [c.src_id for c in valid] == [1]
    assert cutouts.dropped["status"].tolist() == ["not_in_segmentation"]
    cutouts, _ = drz_from_input_cutouts(
        [cut(src_id), cut(1)], SEGMENTATION, DATA, DRZ_WCS, mask_policy=None
    )
    assert len(cutouts) == 2


@pytest.mark.parametrize("src_id", [1, np.int16(1), 1.0, np.uint64(1)])
def test_numbers_of_any_type_are_labels(src_id):
    """A whole number of any type is a valid label."""
    (cutout,), _ = drz_from_input_cutouts([cut(src_id)], SEGMENTATION, DATA, DRZ_WCS)
    y, x = cutout.extraction_slice
    assert_array_equal(cutout.mask, SEGMENTATION[y, x] != 1)


@pytest.mark.parametrize("copy", [True, False])
def test_label_outside_the_box_is_not_masked(copy):
    """The status of a source without a pixel in its box is "not_in_segmentation"."""
    cutouts, _ = drz_from_input_cutouts(
        [cut(2), cut(1), cut(77)], SEGMENTATION, DATA, DRZ_WCS, copy=copy
    )
    assert [c.src_id for c in cutouts] == [1]
    assert get_reasons(cutouts) == {2: "not_in_segmentation", 77: "not_in_segmentation"}


def test_same_cutout_may_occur_twice():
    """If the input contains a cutout twice, the result contains two cutouts."""
    source = cut(1)
    cutouts, valid = create_input_image_cutouts([source, source], DATA, FLT_WCS)
    assert len(cutouts) == len(valid) == 2
    assert valid[0] is valid[1] is source


def test_empty_grids_can_be_mapped():
    """A cutout without pixels can be mapped, because it has a position."""
    grid = Cutout(None, DRZ_WCS, (38, 28), (43, 32), src_id=1)
    (actual,), _ = create_input_image_cutouts([grid], DATA, FLT_WCS)
    (expected,), _ = create_input_image_cutouts([cut(1)], DATA, FLT_WCS)
    assert actual.box == expected.box


def test_any_iterable_of_cutouts_is_accepted():
    """Lists, tuples, iterators and collections of cutouts are accepted."""
    sources = make_primary()[:1]
    for iterable in (sources, tuple(sources), iter(sources), CutoutCollection(sources)):
        cutouts, valid = create_input_image_cutouts(iterable, DATA, FLT_WCS)
        assert len(cutouts) == 1
        assert valid[0] is sources[0]


def test_explicit_arguments_override_nddata():
    """Arguments override the attributes of an NDData object. Masks of both are combined."""
    mask = DATA % 2 == 1
    meta = {"FILENAME": "a_flt.fits"}
    nd = NDData(DATA, wcs=FLT_WCS, unit="electron", mask=mask, meta=meta)
    flags = (DATA % 3 == 0).astype(int)
    cutouts, _ = create_input_image_cutouts([cut(1), cut(5, (0, 0), (1, 1))], nd, None, flags)
    (cutout,) = cutouts
    assert_array_equal(cutout.mask, (cutout.data % 2 == 1) | (cutout.data % 3 == 0))
    assert cutout.unit == "electron"
    assert cutout.image_wcs is FLT_WCS
    assert cutouts.dropped["image"].tolist() == ["a_flt.fits"]
    other, _ = create_input_image_cutouts([cut(1)], nd, DRZ_WCS)
    assert other[0].image_wcs is DRZ_WCS


def test_cutouts_of_a_part_equal_cutouts_of_the_image():
    """A part of an image gives the same cutouts as the whole image."""
    part = Cutout(DATA, FLT_WCS, (20, 10), (69, 49), dq=np.zeros(SHAPE, int), exptime=7)
    (inner,), _ = create_input_image_cutouts([cut(1)], part, None)
    (expected,), _ = create_input_image_cutouts([cut(1)], DATA, FLT_WCS)
    assert_array_equal(inner.data, expected.data)
    assert inner.exptime == 7
    assert inner.box == expected.box
    np.testing.assert_allclose(inner.src_pos, expected.src_pos, atol=1e-6)


def test_arguments_reach_their_image():
    """Each argument of `create_cutouts` affects only the image in its name."""
    ones = np.ones(SHAPE, np.float32)
    flt, drz = create_cutouts(
        [cut(1)], SEGMENTATION, DATA, DRZ_WCS, -DATA, FLT_WCS,
        drz_dq=np.full(SHAPE, 2), drz_weight=3 * ones, drz_data_units="rate", drz_exptime=4,
        flt_dq=np.full(SHAPE, 5), flt_weight=6 * ones, flt_data_units="counts", flt_exptime=7,
        drz_uncertainty=8 * ones, drz_dqbitmask=2, flt_uncertainty=9 * ones, flt_dqbitmask=5,
    )  # fmt: skip
    for cutout, sign, dq, weight, units, exptime, error, wcs in (
        (drz[0], 1, 2, 3, "rate", 4, 8, DRZ_WCS),
        (flt[0], -1, 5, 6, "counts", 7, 9, FLT_WCS),
    ):
        assert (sign * cutout.data > 0).all()
        assert (cutout.dq == dq).all()
        assert (cutout.weight == weight).all()
        assert (cutout.data_units, cutout.exptime) == (units, exptime)
        assert (cutout.uncertainty.array == error).all()
        assert cutout.image_wcs is wcs
        assert not cutout.mask.all()


BAD_IMAGES = [
    ("data", None, TypeError, "{}data must"),
    ("data", np.ones(30), ValueError, "{}data must have 2 dimensions"),
    ("wcs", None, ValueError, "{}wcs must be given"),
    ("wcs", "wcs", TypeError, "wcs must be an APE 14 WCS"),
    ("dq", np.zeros(SHAPE), TypeError, "{}dq must hold integers"),
    ("dq", np.zeros((3, 4), int), ValueError, r"{}dq has shape \(3, 4\)"),
    ("weight", np.zeros((3, 4)), ValueError, r"{}weight has shape \(3, 4\)"),
    ("weight", "ivar", TypeError, "{}weight must hold numbers"),
    ("data_units", "count", ValueError, "data_units must be"),
]
BAD_OTHERS = [
    ("uncertainty", np.ones((3, 3)), ValueError, r"uncertainty has shape \(3, 3\)"),
    ("dqbitmask", "cosmics", ValueError, "{}dqbitmask must"),
]
BAD_COMMON = [
    ("pad", -1, ValueError, "pad must be"),
    ("pad", "2", ValueError, "pad must be"),
    ("fillval", "0", TypeError, "fillval must be a number"),
]
BAD_SEGMENTATIONS = [
    ("segmentation_image", np.zeros(SHAPE), TypeError, "segmentation_image must hold integers"),
    ("segmentation_image", np.zeros((3, 4), int), ValueError, "segmentation_image has shape"),
    ("mask_policy", "uber", ValueError, "mask_policy must be"),
    ("combine_seg_mask", 3, TypeError, "combine_seg_mask must be"),
]
BAD_CUTOUTS = [
    (None, "must be a CutoutCollection or an iterable of Cutouts"),
    (cut(1), "must be a CutoutCollection or an iterable of Cutouts"),
    ([cut(1), DATA], "number 1 is a ndarray"),
    (DATA, "number 0 is a ndarray"),
]


@pytest.mark.parametrize(
    ("name", "value", "error", "match"),
    [
        *((f"im{name}" if name != "data_units" else name, *rest) for name, *rest in BAD_IMAGES),
        *BAD_OTHERS,
        *BAD_COMMON,
        *BAD_SEGMENTATIONS,
        ("mode", "Fill", ValueError, "mode must be one of"),
        ("mode", None, ValueError, "mode must be one of"),
        *(("cutouts", value, TypeError, match) for value, match in BAD_CUTOUTS),
    ],
)
def test_invalid_arguments_are_named(name, value, error, match):
    """All functions raise an error that names the argument, even without sources."""
    functions = [create_input_image_cutouts, drz_from_input_cutouts]
    if name == "mode":
        del functions[1]
    elif name in {name for name, *_ in BAD_SEGMENTATIONS}:
        del functions[0]
    for function in functions:
        good = {"imdata": DATA, "imwcs": FLT_WCS, "imdq": np.zeros(SHAPE, int)}
        first = ["primary_cutouts" if function is create_input_image_cutouts else "input_cutouts"]
        if function is drz_from_input_cutouts:
            good["segmentation_image"] = SEGMENTATION
        bad = {first[0] if name == "cutouts" else name: value}
        prefix = "" if name == "dqbitmask" else "im"
        pattern = f"{first[0]} .*{match}" if name == "cutouts" else match.format(prefix)
        with pytest.raises(error, match=pattern):
            function(**({first[0]: []} | good | bad))


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"catalog": None}, TypeError, "catalog must be"),
        ({"segmentation_image": np.zeros((30, 30))}, TypeError, "segmentation_image must"),
        ({"segmentation_image": np.zeros((30, 31), int)}, ValueError, "segmentation_image has sh"),
        ({"segmentation_image": None}, TypeError, "segmentation_image must"),
        ({"imdata": None}, TypeError, "imdata must"),
        ({"imdata": np.ones(30)}, ValueError, "imdata must have 2 dimensions"),
        ({"imdata": np.full((30, 30), "a")}, TypeError, "imdata must hold numbers"),
        ({"imwcs": None}, ValueError, "imwcs must be given"),
        ({"imwcs": "wcs"}, TypeError, "wcs must be an APE 14 WCS"),
        ({"imdata": fits.ImageHDU()}, TypeError, "imdata must hold numbers, got ImageHDU"),
        ({"imdq": np.zeros((30, 30))}, TypeError, "imdq must hold integers"),
        ({"imdq": np.zeros((30, 31), int)}, ValueError, r"imdq has shape \(30, 31\)"),
        ({"imweight": np.zeros((31, 30))}, ValueError, r"imweight has shape \(31, 30\)"),
        ({"imweight": 1.0}, ValueError, "imweight must have 2 dimensions"),
        ({"data_units": "count"}, ValueError, "data_units must be"),
        ({"pad": -1}, ValueError, "pad must be"),
        ({"pad": 1.5}, ValueError, "pad must be"),
        ({"pad": np.nan}, ValueError, "pad must be"),
        ({"pad": np.inf}, ValueError, "pad must be"),
        ({"pad": "1"}, ValueError, "pad must be"),
        ({"pad": None}, ValueError, "pad must be"),
        ({"pad": [1, 1]}, ValueError, "pad must be"),
        ({"uncertainty": np.ones(3)}, ValueError, "uncertainty must have 2 dimensions"),
        ({"uncertainty": np.ones((3, 3))}, ValueError, r"uncertainty has shape \(3, 3\)"),
        ({"dqbitmask": "cosmics"}, ValueError, "dqbitmask"),
        ({"dqbitmask": 1.5}, TypeError, "dqbitmask"),
        ({"mask_policy": "uber"}, ValueError, "mask_policy must be"),
        ({"combine_seg_mask": "no"}, TypeError, "combine_seg_mask must be"),
        ({"src_pos": [1, 2]}, ValueError, "src_pos must have shape"),
        ({"src_weight": [1, 2]}, ValueError, "src_weight must have shape"),
        ({"src_weight": "flux"}, ValueError, "no column 'flux'"),
        ({"fillval": "nan"}, TypeError, "fillval must be a number"),
        ({"fillval": None}, TypeError, "fillval must be a number"),
        ({"fillval": [1, 2]}, TypeError, "fillval must be a number"),
        ({"fillval": 1j}, TypeError, "fillval must be a number"),
    ],
)
@pytest.mark.parametrize("copy", [True, False])
def test_invalid_arguments_of_primary_cutouts_are_named(arguments, error, match, copy):
    """An error names the invalid argument before any pixel is cut."""
    good = {
        "catalog": {"id": [1]},
        "segmentation_image": SEGMENTATION,
        "imdata": DATA,
        "imwcs": DRZ_WCS,
        "imdq": np.zeros(SHAPE, int),
        "copy": copy,
    }
    with pytest.raises(error, match=match):
        create_primary_cutouts(**(good | arguments))


@pytest.mark.parametrize("prefix", ["drz_", "flt_"])
@pytest.mark.parametrize(("name", "value", "error", "match"), [*BAD_IMAGES, *BAD_OTHERS])
def test_invalid_arguments_of_two_images_are_named(prefix, name, value, error, match):
    """`create_cutouts` names the invalid argument and its image before any image is cut."""
    good = {"primary_cutouts": [], "segmentation_image": SEGMENTATION, "drz_data": DATA,
            "drz_wcs": DRZ_WCS, "flt_data": DATA, "flt_wcs": FLT_WCS,
            "flt_dq": np.zeros(SHAPE, int)}  # fmt: skip
    with pytest.raises(error, match=match.format(prefix)):
        create_cutouts(**(good | {prefix + name: value}))


@pytest.mark.parametrize(
    ("name", "value", "error", "match"),
    [
        *BAD_COMMON,
        *BAD_SEGMENTATIONS,
        ("mode", "Fill", ValueError, "mode must be one of"),
        ("primary_cutouts", [DATA], TypeError, "primary_cutouts .* number 0 is a ndarray"),
    ],
)
def test_invalid_common_arguments_are_named(name, value, error, match):
    """The error names an invalid argument that applies to both images."""
    good = {"primary_cutouts": [], "segmentation_image": SEGMENTATION, "drz_data": DATA,
            "drz_wcs": DRZ_WCS, "flt_data": DATA, "flt_wcs": FLT_WCS}  # fmt: skip
    with pytest.raises(error, match=match):
        create_cutouts(**(good | {name: value}))


def test_accuracy_and_maxiter_limit_the_search():
    """A low accuracy changes the positions. A search without iterations does not converge."""
    wcs = make_wcs("lookup", SHAPE, rotation=20)
    exact, _ = create_input_image_cutouts([cut()], DATA, wcs, mode="fill")
    rough, _ = create_input_image_cutouts([cut()], DATA, wcs, mode="fill", accuracy=0.3)
    assert 0 < np.abs(np.subtract(exact[0].src_pos, rough[0].src_pos)).max() < 0.3
    none, _ = create_input_image_cutouts([cut()], DATA, wcs, mode="fill", maxiter=0)
    assert get_reasons(none) == {1: "not_converged"}


@pytest.mark.parametrize(
    ("name", "value"), [("accuracy", 0), ("accuracy", "high"), ("maxiter", -1), ("maxiter", 2.5)]
)
def test_invalid_accuracy_and_maxiter_are_errors(name, value):
    """The error contains the name and the value of the argument."""
    with pytest.raises(ValueError, match=f"{name} must be a .* number.*, got {value!r}"):
        create_input_image_cutouts([cut()], DATA, FLT_WCS, **{name: value})


def make_labels():
    """Return a segmentation image of six sources, and a catalog of their sky positions."""
    labels = np.zeros(SHAPE, int)
    x, y = 20 + 10 * np.arange(6), np.full(6, 30)
    for k in range(6):
        labels[y[k] - 2 : y[k] + 3, x[k] - 2 : x[k] + 3] = k + 1
    ra, dec = DRZ_WCS.pixel_to_world_values(x, y)
    return labels, {"id": np.arange(1, 7), "ra": ra, "dec": dec}


@pytest.mark.parametrize("shift", [0.01, 1, 90, 180])
def test_catalog_of_another_field_is_an_error(shift):
    """If all sources of a catalog are off their segments, by any distance, this is an error."""
    labels, catalog = make_labels()
    image = np.ones(labels.shape)
    assert len(create_primary_cutouts(catalog, labels, image, DRZ_WCS)) == 6
    catalog["ra"] = catalog["ra"] + shift
    with pytest.raises(ValueError, match="do not belong together: 6 of 6 positions"):
        create_primary_cutouts(catalog, labels, image, DRZ_WCS)


def test_catalog_may_cover_a_larger_field():
    """Sources without a segment are rejected. The check of positions ignores these sources."""
    labels, catalog = make_labels()
    labels[labels > 3] = 0
    catalog["ra"][3:] += 50
    cutouts = create_primary_cutouts(catalog, labels, np.ones(labels.shape), DRZ_WCS)
    assert cutouts.ids.tolist() == [1, 2, 3]
    assert set(cutouts.dropped["status"]) == {"not_in_segmentation"}


def test_file_names_are_errors_with_the_reader():
    """The error for a file name as an image names the function that reads files."""
    labels, pixels = np.ones((5, 5), int), np.ones((5, 5))
    wcs, catalog = make_wcs("tan", (5, 5)), {"id": [1]}
    for arguments, reader in (
        (("cat.fits", labels, pixels, wcs), "read_catalog"),
        ((catalog, "seg.fits", pixels, wcs), "read_segmentation"),
        ((catalog, labels, Path("image.fits"), wcs), "read_image"),
    ):
        with pytest.raises(TypeError, match=rf"subpixal\.io\.{reader}"):
            create_primary_cutouts(*arguments)
