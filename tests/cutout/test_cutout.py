"""Constructor of a cutout: arguments, pixels and errors."""

import inspect
import re

import astropy.nddata
import numpy as np
import pytest
from astropy.nddata import (
    NDData,
    NDDataArray,
)
from astropy.utils.masked import Masked
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import subpixal
from subpixal import Cutout
from subpixal.datasets import make_wcs

SHAPE = NY, NX = 23, 31
WCS = make_wcs("sip", SHAPE)
RNG = np.random.default_rng(1)
IMAGE = RNG.normal(10, 1, SHAPE).astype(np.float32)
DQ = RNG.choice(np.array([0, 0, 0, 1, 2, 6], np.uint16), SHAPE)
WEIGHT = RNG.uniform(1, 2, SHAPE)
BAD = RNG.random(SHAPE) < 0.1
SIGMA = RNG.uniform(1, 2, SHAPE)

# Corners of cutouts of even and odd sizes that reach beyond the image.
CROSSING = {
    "left": ((-3, 4), (6, 9)),
    "right": ((25, 4), (33, 10)),
    "bottom": ((5, -1), (8, 7)),
    "top": ((5, 20), (9, 30)),
    "bottom left": ((-2, -3), (4, 4)),
    "bottom right": ((30, -4), (35, 0)),
    "top left": ((-7, 22), (0, 23)),
    "top right": ((28, 21), (33, 26)),
    "all around": ((-4, -2), (40, 27)),
}
# Corners of cutouts that lie inside the image.
INSIDE = {"inside": ((3, 5), (12, 9)), "one pixel": ((30, 22), (30, 22)), "all": ((0, 0), (30, 22))}
INNER = {"blc": (3, 5), "trc": (12, 9)}
OUTSIDE = [((-5, 3), (-1, 8)), ((31, 3), (33, 8)), ((4, -9), (9, -1)), ((4, 23), (9, 23))]


def cut_with_numpy(plane, blc, trc, fill):
    """Cut a box out of a plane with NumPy alone."""
    margin = 60
    padded = np.pad(plane, margin, constant_values=fill)
    (x1, y1), (x2, y2) = np.add((blc, trc), margin)
    return padded[y1 : y2 + 1, x1 : x2 + 1]


def mask_outside(blc, trc):
    """Return a mask of the pixels of a box outside the image."""
    return cut_with_numpy(np.zeros(SHAPE, bool), blc, trc, fill=True)


# Rectangles


@pytest.mark.parametrize(("blc", "trc"), (CROSSING | INSIDE).values(), ids=CROSSING | INSIDE)
def test_fill_values_of_each_plane(blc, trc):
    """Outside the image, each plane has its own fill value."""
    kwargs = {"weight": WEIGHT, "mask": BAD, "mode": "fill", "fillval": -99.0}
    cutout = Cutout(IMAGE, WCS, blc, trc, DQ, uncertainty=SIGMA, dqbitmask=None, **kwargs)
    assert_array_equal(cutout.data, cut_with_numpy(IMAGE, blc, trc, -99))
    assert_array_equal(cutout.mask, cut_with_numpy(BAD, blc, trc, fill=True))
    assert_array_equal(cutout.weight, cut_with_numpy(WEIGHT, blc, trc, 0))
    assert_array_equal(cutout.flags, cut_with_numpy(DQ, blc, trc, 0))
    assert_array_equal(cutout.uncertainty.array, cut_with_numpy(SIGMA, blc, trc, np.nan))
    assert cutout.dq.dtype == DQ.dtype
    assert cutout.data.dtype == IMAGE.dtype
    assert (cutout.blc, cutout.trc) == (blc, trc)
    assert cutout.status == ("filled" if mask_outside(blc, trc).any() else "ok")


def test_fill_is_nan_by_default():
    """By default, data are filled with NaN."""
    cutout = Cutout(IMAGE, WCS, (-2, 0), (2, 2), mode="fill")
    assert_array_equal(np.isnan(cutout.data), mask_outside((-2, 0), (2, 2)))


@given(st.tuples(*[st.integers(-40, 70)] * 4))
def test_any_overlapping_box(corners):
    """A box that extends beyond the image equals the same box of an image that NumPy has padded."""
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    assume(x2 >= 0 and y2 >= 0 and x1 < NX and y1 < NY)
    cutout = Cutout(IMAGE, WCS, (x1, y1), (x2, y2), mode="fill", fillval=0)
    expected = np.zeros((y2 - y1 + 1, x2 - x1 + 1), np.float32)
    expected[cutout.insertion_slice] = IMAGE[cutout.extraction_slice]
    assert_array_equal(cutout.data, cut_with_numpy(IMAGE, (x1, y1), (x2, y2), 0))
    assert_array_equal(cutout.data, expected)
    assert not cutout.mask[cutout.insertion_slice].any()
    assert cutout.mask.sum() == cutout.size - cutout.mask[cutout.insertion_slice].size


@pytest.mark.parametrize(("blc", "trc"), CROSSING.values(), ids=CROSSING)
def test_partial_overlap_is_an_error_by_default(blc, trc):
    """By default, a cutout that extends beyond the image raises the same error as in astropy."""
    with pytest.raises(astropy.nddata.PartialOverlapError, match="leaves the image of shape"):
        Cutout(IMAGE, WCS, blc, trc)


@pytest.mark.parametrize("mode", ["strict", "fill"])
@pytest.mark.parametrize(("blc", "trc"), OUTSIDE)
def test_no_overlap_is_an_error_in_all_modes(blc, trc, mode):
    """A cutout outside the image raises the same error as in astropy, in both modes."""
    with pytest.raises(astropy.nddata.NoOverlapError, match="outside the image of shape"):
        Cutout(IMAGE, WCS, blc, trc, mode=mode)


@pytest.mark.parametrize("blc", [(NX, 0), (0, NY), (100, 100)])
def test_no_overlap_without_trc(blc):
    """Without `trc`, a cutout that begins beyond the last pixel raises the same error."""
    with pytest.raises(astropy.nddata.NoOverlapError, match="outside the image of shape"):
        Cutout(IMAGE, WCS, blc)


def test_errors_are_those_of_astropy():
    """The errors belong to the classes of astropy, so that one except clause catches both."""
    for module in (subpixal, subpixal.cutout):
        assert module.NoOverlapError is astropy.nddata.NoOverlapError
        assert module.PartialOverlapError is astropy.nddata.PartialOverlapError


def test_default_is_the_whole_image():
    """Without corners, a cutout contains the whole image."""
    cutout = Cutout(IMAGE, WCS)
    assert (cutout.blc, cutout.trc, cutout.naxis) == ((0, 0), (NX - 1, NY - 1), (NX, NY))
    assert (cutout.width, cutout.height, cutout.shape) == (NX, NY, SHAPE)
    assert_array_equal(cutout.data, IMAGE)
    assert Cutout(IMAGE, WCS, (4, 3)).trc == (NX - 1, NY - 1)


def test_signature():
    """The positional arguments have the names and the order that the manual shows."""
    parameters = inspect.signature(Cutout).parameters.values()
    names = [
        "data",
        "wcs",
        "blc",
        "trc",
        "dq",
        "weight",
        "src_id",
        "data_units",
        "exptime",
        "mode",
        "fillval",
    ]
    assert [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY] == names
    defaults = [repr(p.default) for p in parameters][2:10]
    assert defaults == ["(0, 0)", "None", "None", "None", "0", "'rate'", "1", "'strict'"]


def test_defaults():
    """The attributes have the default values that the manual shows."""
    cutout = Cutout(IMAGE, WCS)
    assert (cutout.src_id, cutout.data_units, cutout.exptime) == (0, "rate", 1)
    assert (cutout.dx, cutout.dy, cutout.src_weight, cutout.unit) == (0, 0, None, None)
    assert cutout.dq is cutout.flags is cutout.weight is cutout.uncertainty is cutout.psf is None
    assert (cutout.DEFAULT_ACCURACY, cutout.DEFAULT_MAXITER) == (1e-05, 50)
    assert cutout.DEFAULT_QUIET is True


# An empty grid


def test_cutout_without_data_is_an_empty_grid():
    """A cutout without data has only fill values, because no pixels were extracted."""
    cutout = Cutout(None, WCS, (-5, 100), (-2, 106), mode="strict", fillval=7, src_id="grid")
    assert cutout.data.dtype == np.float32
    assert_array_equal(cutout.data, np.full((7, 4), 7))
    assert_array_equal(cutout.mask, np.ones((7, 4), bool))
    assert cutout.extraction_slice is None
    assert cutout.data[cutout.insertion_slice].size == 0
    assert cutout.image_wcs is WCS
    assert np.isnan(Cutout(None, WCS, trc=(2, 2)).data).all()


def test_cutout_without_data_needs_trc():
    with pytest.raises(ValueError, match="trc must be given where data is None"):
        Cutout(None, WCS, (2, 3))


@pytest.mark.parametrize("name", ["dq", "weight", "mask", "uncertainty"])
def test_planes_without_data_are_errors(name):
    """Planes without data raise an error. They are not ignored."""
    with pytest.raises(ValueError, match=f"{name} must be None where data is None"):
        Cutout(None, WCS, trc=(3, 3), **{name: np.ones((4, 4), int)})


# Invalid arguments


@pytest.mark.parametrize(
    ("error", "message", "kwargs"),
    [
        (ValueError, r"mode must be one of .*'strict', 'fill'.* got 'full'", {"mode": "full"}),
        (TypeError, r"blc must be two integers \(x, y\), got \(1.0, 2\)", {"blc": (1.0, 2)}),
        (TypeError, r"trc must be two integers \(x, y\), got 5", {"trc": 5}),
        (ValueError, r"trc must not .* got trc \(2, 9\) and blc \(3, 4\)",
         {"blc": (3, 4), "trc": (2, 9)}),
        (ValueError, r"dq has shape \(2, 2\), .* \(23, 31\)", {"dq": np.ones((2, 2), int)}),
        (ValueError, r"weight has shape \(31, 23\), .* \(23, 31\)", {"weight": IMAGE.T}),
        (ValueError, r"mask .* shape \(3,\), .* \(23, 31\)", {"mask": np.zeros(3, bool)}),
        (ValueError, r"uncertainty has shape \(31, 23\), .* \(23, 31\)", {"uncertainty": SIGMA.T}),
        (TypeError, "dq must hold integers or booleans, got .* float32", {"dq": IMAGE}),
        (TypeError, "weight must hold numbers, got .*U1", {"weight": np.full(SHAPE, "a")}),
        (ValueError, "data_units must be one of .* got 'flux'", {"data_units": "flux"}),
        (ValueError, "exptime must be a finite number of seconds, 0 or more", {"exptime": np.nan}),
        (ValueError, "src_pos must be two finite numbers .* got 3", {"src_pos": 3}),
        (ValueError, "src_pos must be two finite numbers", {"src_pos": (1, np.nan)}),
        (TypeError, "meta must be a mapping, got str", {"meta": "header"}),
        (TypeError, "wcs must be an APE 14 WCS .* got str", {"wcs": "sky"}),
        (ValueError, "wcs must be given", {"wcs": None}),
    ],
)  # fmt: skip
def test_invalid_arguments_are_errors(error, message, kwargs):
    """The message begins with the argument. It contains the value and the allowed values."""
    with pytest.raises(error, match=message):
        Cutout(**{"data": IMAGE, "wcs": WCS, **kwargs})


@pytest.mark.parametrize("data", [IMAGE[0], np.zeros((2, 3, 4)), 5.0])
def test_image_must_have_two_axes(data):
    with pytest.raises(ValueError, match="data must have 2 dimensions, got shape"):
        Cutout(data, WCS)


def test_wcs_must_have_two_axes():
    """The WCS of a cube is not accepted for an image."""
    with pytest.raises(ValueError, match="wcs must have 2 pixel axes, got 3"):
        Cutout(IMAGE, astropy.wcs.WCS(naxis=3))


# Types of pixels


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "i8", "?"])
def test_integers_cannot_be_filled_with_nan(dtype):
    """An integer image raises an error only if its type cannot hold a fill value that is needed."""
    image = np.ones(SHAPE, dtype)
    assert Cutout(image, WCS, **INNER, mode="fill").data.dtype == dtype
    assert Cutout(image, WCS, (-1, 0), (2, 2), mode="fill", fillval=0).data.dtype == dtype
    with pytest.raises(ValueError, match=f"fillval nan cannot be held by pixels of {image.dtype}"):
        Cutout(image, WCS, (-1, 0), (2, 2), mode="fill")


@pytest.mark.parametrize(
    ("dtype", "fillval"),
    [
        ("u1", -1),
        ("u2", 70000),
        ("i4", 0.5),
        ("f4", 1e300),
        ("f8", "zero"),
        ("f8", "5"),
        ("f8", None),
    ],
)
def test_fill_values_must_fit_the_pixels(dtype, fillval):
    """A fill value is an error if the type of the pixels cannot hold it exactly."""
    with pytest.raises(ValueError, match=f"fillval {re.escape(repr(fillval))} cannot be held"):
        Cutout(IMAGE.astype(dtype), WCS, (-1, 0), (2, 2), mode="fill", fillval=fillval)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i4", "?"])
def test_flags_stay_integers(dtype):
    """Flags keep their integer type for any fill value of the data."""
    cutout = Cutout(IMAGE, WCS, (-3, -3), (5, 5), DQ.astype(dtype), mode="fill", fillval=np.nan)
    assert cutout.flags.dtype == dtype
    assert not cutout.flags[mask_outside((-3, -3), (5, 5))].any()


def test_byte_order_becomes_native():
    """Pixels in another byte order are converted to the native order with the same values."""
    planes = {
        "dq": DQ.astype(">u2"),
        "weight": WEIGHT.astype(">f8"),
        "uncertainty": SIGMA.astype(">f4"),
    }
    cutout = Cutout(IMAGE.astype(">f4"), WCS, **INNER, **planes)
    assert_array_equal(cutout.data, IMAGE[5:10, 3:13])
    assert_array_equal(cutout.dq, DQ[5:10, 3:13])
    for plane in (cutout.data, cutout.dq, cutout.weight, cutout.uncertainty.array):
        assert plane.dtype.isnative


def test_lists_are_accepted_as_data():
    assert_array_equal(Cutout([[1.0, 2.0], [3.0, 4.0]], WCS, (1, 0)).data, [[2], [4]])


# Masks


def test_pixels_that_are_not_finite_are_masked():
    image = IMAGE.copy()
    image[6, 4], image[7, 5], image[8, 6] = np.nan, np.inf, -np.inf
    cutout = Cutout(image, WCS, **INNER)
    assert_array_equal(cutout.mask, ~np.isfinite(cutout.data))
    assert cutout.mask.sum() == 3


@pytest.mark.parametrize(
    ("dqbitmask", "bad"),
    [(0, DQ != 0), (None, DQ < 0), (2, DQ & 5 != 0), ([2, 4], DQ == 1), ("1,2", DQ & 4 != 0),
     ("~1", DQ & 1 != 0), (7, DQ < 0)],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["u1", "i2", ">u2", "u4", "i8", "u8"])
def test_dqbitmask_lists_good_flags(dqbitmask, bad, dtype):
    """A flag masks its pixel unless `dqbitmask` contains the flag, as in astropy."""
    cutout = Cutout(IMAGE, WCS, **INNER, dq=DQ.astype(dtype), dqbitmask=dqbitmask)
    assert_array_equal(cutout.mask, bad[5:10, 3:13])


def test_boolean_flags_mask():
    assert_array_equal(Cutout(IMAGE, WCS, dq=BAD).mask, BAD)


def test_weight_does_not_mask():
    """The constructor does not mask pixels with a weight of 0. Only the create functions do."""
    assert not Cutout(IMAGE, WCS, weight=np.zeros(SHAPE)).mask.any()


@pytest.mark.parametrize(
    "data",
    [
        np.ma.array(IMAGE, mask=BAD),
        Masked(IMAGE, BAD),
        NDData(IMAGE, mask=BAD),
        NDDataArray(IMAGE, mask=BAD),
    ],
    ids=["masked array", "Masked", "NDData", "NDDataArray"],
)
def test_mask_of_the_data_and_mask_argument_are_combined(data):
    """A pixel is masked if the mask of the data or the argument `mask` contains it."""
    assert_array_equal(Cutout(data, WCS).mask, BAD)
    assert_array_equal(Cutout(data, WCS, mask=DQ > 2).mask, BAD | (DQ > 2))
    assert_array_equal(Cutout(data, WCS).data, IMAGE)


@pytest.mark.parametrize("value", [True, False, np.True_])
def test_scalar_mask(value):
    """A scalar mask applies to all pixels. The mask of the data is added to it."""
    assert_array_equal(Cutout(IMAGE, WCS, mask=value).mask, np.full(SHAPE, value))
    assert_array_equal(Cutout(NDData(IMAGE, mask=BAD), WCS, mask=value).mask, BAD | value)


def test_masked_array_without_mask():
    assert_array_equal(Cutout(np.ma.array(IMAGE), WCS).mask, np.zeros(SHAPE, bool))
