"""Arithmetic of cutouts: pixels follow NDData arithmetic, other attributes come from the cutout."""

from itertools import product
from operator import is_

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    CCDData,
    IncompatibleUncertaintiesException,
    InverseVariance,
    NDData,
    NDDataArray,
    NDDataRef,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from numpy.testing import assert_array_equal

from subpixal import Cutout
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = (23, 31)
WCS = make_wcs("sip", SHAPE)
RNG = np.random.default_rng(8)
IMAGE = RNG.normal(10, 1, SHAPE).astype(np.float32)
OTHER = RNG.normal(20, 1, SHAPE)
SIGMA = RNG.uniform(1, 2, SHAPE)
DQ = RNG.choice(np.array([0, 0, 0, 1, 2, 6], np.uint16), SHAPE)
BOX = {"blc": (-2, 3), "trc": (10, 11), "mode": "fill", "fillval": 1}
CORNER = (9, 13)

KINDS = [None, StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty]
MASKS = {
    "no mask": np.zeros(CORNER, bool),
    "some masked": np.arange(117).reshape(CORNER) % 7 == 0,
    "all masked": np.ones(CORNER, bool),
}
UNITS = [None, u.electron / u.s]

all_kinds = pytest.mark.parametrize("kind", KINDS)
all_masks = pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
all_units = pytest.mark.parametrize("unit", UNITS, ids=str)
operations = pytest.mark.parametrize("operation", ["add", "subtract", "multiply", "divide"])


class Special(Cutout):
    """Example of a subclass that a user defines."""


def make_cutout(kind=StdDevUncertainty, mask=None, unit=None, image=IMAGE, *, cls=Cutout, **kwargs):
    """Return a displaced cutout that is partly outside its image."""
    kwargs = {"src_id": "a7", "exptime": 50, "src_pos": (5.5, 4.25), "src_weight": 0.5,
              "meta": {"FILENAME": "j.fits"}, "data_units": "counts"} | kwargs  # fmt: skip
    cutout = cls(image, WCS, unit=unit, **BOX, **kwargs)
    # The uncertainty of filled pixels would be NaN, which is not equal to itself.
    cutout.uncertainty = None if kind is None else kind(1 + np.arange(117).reshape(CORNER) / 50)
    cutout.mask = mask
    cutout.dx, cutout.dy = 0.25, -0.5
    cutout.segmentation = np.arange(cutout.size).reshape(cutout.shape)
    return cutout


def as_ref(cutout):
    """Return an NDDataRef with copies of the planes of a cutout."""
    uncertainty = cutout.uncertainty
    if uncertainty is not None:
        uncertainty = type(uncertainty)(uncertainty.array.copy(), unit=uncertainty.unit)
    return NDDataRef(
        cutout.data.copy(), mask=cutout.mask.copy(), uncertainty=uncertainty, unit=cutout.unit
    )


def outcome(function, *args, **kwargs):
    """Return the result of a function, or the type and the message of its error."""
    try:
        return function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


def assert_same(actual, expected):
    """Check that two results have equal pixels and units, or that two errors are equal."""
    if isinstance(expected, tuple):
        assert actual == expected
        return
    assert_array_equal(actual.data, expected.data, strict=True)
    assert_array_equal(actual.mask, expected.mask, strict=True)
    assert actual.unit == expected.unit
    assert type(actual.uncertainty) is type(expected.uncertainty)
    if expected.uncertainty is not None:
        assert_array_equal(actual.uncertainty.array, expected.uncertainty.array, strict=True)
        assert actual.uncertainty.unit == expected.uncertainty.unit
        assert actual.uncertainty.parent_nddata is actual


# Pixels: results equal the results of NDDataRef


@pytest.mark.parametrize(
    "item", [np.s_[2:6, 3:9], np.s_[2:6], np.s_[..., -4:], np.s_[:, :], np.s_[8:, 12:]], ids=str
)
@all_units
@all_masks
@all_kinds
def test_slice_equals_slice_of_nddata(kind, mask, unit, item):
    cutout = make_cutout(kind, mask, unit)
    assert_same(cutout[item], as_ref(cutout)[item])


def make_operands(kind, unit):
    """Return operands of many types, by name."""
    data, masked = OTHER[:9, :13], MASKS["some masked"]
    same = None if kind is None else kind(SIGMA[:9, :13])
    return {
        "number": 2,
        "numpy number": np.float64(2.5),
        "array": data,
        "row": data[0],
        "quantity": 3 * (unit or u.dimensionless_unscaled),
        "masked array": np.ma.masked_array(data, data > 20),
        "NDData": NDData(data, unit=unit),
        "masked NDData": NDData(data, unit=unit, mask=masked, uncertainty=same),
        "cutout": make_cutout(kind, masked, unit, OTHER),
        "cutout without uncertainty": make_cutout(None, masked, unit, OTHER),
        "other uncertainty": make_cutout(InverseVariance, masked, unit, OTHER),
        "other unit": 3 * u.s,
    }


@operations
@all_units
@all_masks
@all_kinds
def test_results_equal_nddata_arithmetic(kind, mask, unit, operation):
    cutout, errors = make_cutout(kind, mask, unit), set()
    ref = as_ref(cutout)
    for name, operand in make_operands(kind, unit).items():
        plain = as_ref(operand) if isinstance(operand, Cutout) else operand
        expected = outcome(getattr(ref, operation), plain)
        assert_same(outcome(getattr(cutout, operation), operand), expected)
        # When called on the class, the method accepts the cutout as the first or the second
        # operand.
        assert_same(outcome(getattr(Cutout, operation), cutout, operand), expected)
        if isinstance(expected, tuple):
            errors.add(name)
        expected = outcome(getattr(NDDataRef, operation), plain, ref)
        assert_same(outcome(getattr(Cutout, operation), operand, cutout), expected)
        assert_same(outcome(getattr(cutout, operation), operand, cutout), expected)
    if kind is not UnknownUncertainty and unit is None:
        assert errors <= {"other uncertainty", "other unit"}


OPTIONS = (
    {"propagate_uncertainties": None},
    {"propagate_uncertainties": False},
    {"uncertainty_correlation": 0.4},
    {"handle_mask": np.logical_xor},
    {"handle_mask": "first_found"},
)


@operations
@all_units
@all_masks
@all_kinds
def test_options_equal_nddata_options(kind, mask, unit, operation):
    """Options of NDData arithmetic have the same effect on cutouts as on NDDataRef."""
    a, b = make_cutout(kind, mask, unit), make_cutout(kind, MASKS["some masked"], unit, OTHER)
    for options in OPTIONS:
        expected = outcome(getattr(as_ref(a), operation), as_ref(b), **options)
        assert_same(outcome(getattr(a, operation), b, **options), expected)
        assert not isinstance(expected, tuple) or kind is UnknownUncertainty or unit is not None


def test_handle_mask_none_gives_no_mask():
    """With ``handle_mask=None``, the result has no masked pixels."""
    a = make_cutout(mask=MASKS["all masked"])
    assert_array_equal(a.add(a, handle_mask=None).mask, np.zeros(CORNER, bool), strict=True)


@pytest.mark.parametrize("operation", ["sum", "mean", "min", "max"])
@all_units
@all_masks
@all_kinds
def test_collapsed_cutout_is_nddata(kind, mask, unit, operation):
    """A sum over pixels is an NDDataRef, because it has no position in an image."""
    cutout = make_cutout(kind, mask, unit)
    done = 0
    for axis, ignore, propagate in product((None, 0, 1, (0, 1)), (False, True), (True, None)):
        options = {"operation_ignores_mask": ignore, "propagate_uncertainties": propagate}
        expected = outcome(getattr(as_ref(cutout), operation), axis=axis, **options)
        actual = outcome(getattr(cutout, operation), axis=axis, **options)
        assert_same(actual, expected)
        if not isinstance(actual, tuple):
            assert type(actual) is NDDataRef
            assert actual.wcs is None
            done += 1
    # Without the propagation of uncertainties, the operation works for each class of uncertainty.
    assert done >= 8
    assert_same(outcome(getattr(cutout, operation)), outcome(getattr(as_ref(cutout), operation)))


def test_variances_are_propagated():
    """A sum has the sum of the variances, and a product the sum of the relative variances."""
    a, b = make_cutout(VarianceUncertainty), make_cutout(VarianceUncertainty, None, None, OTHER)
    var_a, var_b = a.uncertainty.array, b.uncertainty.array
    np.testing.assert_allclose(a.subtract(b).uncertainty.array, var_a + var_b)
    np.testing.assert_allclose(
        a.multiply(b).uncertainty.array, var_a * b.data**2 + var_b * a.data.astype(float) ** 2
    )
    np.testing.assert_allclose(a.multiply(3).uncertainty.array, 9 * var_a)


def test_unknown_uncertainty_cannot_be_propagated():
    """An uncertainty of unknown type raises an error, unless an option drops it."""
    with pytest.raises(IncompatibleUncertaintiesException):
        make_cutout(UnknownUncertainty).add(1)
    assert make_cutout(UnknownUncertainty).add(1, propagate_uncertainties=None).uncertainty is None


def test_uncertainty_without_values_is_none():
    """An uncertainty without values becomes None, as an operand and as an attribute."""
    cutout, other = make_cutout(None), NDData(IMAGE[:9, :13], uncertainty=StdDevUncertainty(None))
    assert cutout.add(other, propagate_uncertainties=False).uncertainty is None
    cutout = make_cutout()
    cutout.uncertainty = VarianceUncertainty(None)
    assert cutout.uncertainty is None


# All other attributes: results have the attributes of the cutout


@operations
def test_result_keeps_attributes_of_the_cutout(operation):
    """The result has the position, source, image and segmentation of the cutout."""
    cutout = make_cutout()
    cutout.meta["own"], cutout.weight, cutout.psf = 1, np.full(CORNER, 2.0), np.eye(3)
    cutout.flags = np.ones(CORNER, np.uint8)
    cutout.blc = (100, 200)
    new = getattr(cutout, operation)(2)
    expected = cutout.copy()
    expected.data, expected.uncertainty = new.data, new.uncertainty
    assert_cutouts_equal(new, expected, wcs_tolerance=0)
    assert new.image is cutout.image
    assert new.image_wcs is WCS
    assert_array_equal(new.wcs.wcs.crpix, cutout.wcs.wcs.crpix)


def test_operands_stay_unchanged():
    """Arithmetic does not change the operands, and the result has its own pixels."""
    a, b = make_cutout(weight=SIGMA, dq=DQ), make_cutout(None, dq=DQ, image=OTHER)
    before = a.copy(), b.copy()
    new = a.add(b)
    new.meta["new"] = 1
    for name in new.planes:
        plane = getattr(new, name)
        plane = plane.array if name == "uncertainty" else plane
        plane[:] = 0
    new.src_id, new.dx = 8, 9
    assert_cutouts_equal(a, before[0])
    assert_cutouts_equal(b, before[1])
    assert "new" not in a.meta


def test_result_of_views_is_writable():
    """Arithmetic with views of an image gives writable pixels that are not part of the image."""
    image = IMAGE.copy()
    cutout = Cutout(image, WCS, (2, 3), (8, 9), DQ, copy=False)
    new = cutout.add(1)
    new.data[:], new.flags[:], new.mask[:] = 0, 0, True
    assert_array_equal(image, IMAGE)
    assert (DQ > 0).any()


@pytest.mark.parametrize(
    ("a", "b", "dtype"),
    [("u1", "u2", "u2"), ("u2", "i2", "i4"), ("i4", "i4", "i4"), ("u1", "?", "u1"),
     ("i8", "u8", "u8")],
)  # fmt: skip
def test_flags_are_combined(a, b, dtype):
    """Flags of all integer types are combined with a bitwise "or"."""
    first, second = make_cutout(), make_cutout()
    first.flags = RNG.integers(0, 2, CORNER).astype(a)
    second.flags = (4 * RNG.integers(0, 2, CORNER)).astype(b)
    new = first.add(second)
    assert_array_equal(
        new.flags, (first.flags.astype(int) | second.flags.astype(int)).astype(dtype)
    )
    assert new.flags.dtype == dtype
    assert_array_equal(first.subtract(3).flags, first.flags)
    assert_array_equal(make_cutout().add(second).flags, second.flags)


def test_flags_keep_the_sign_bit():
    """The sign bit of a signed integer counts as a flag."""
    first, second = make_cutout(), make_cutout()
    first.flags, second.flags = np.full(CORNER, -(2**63)), np.ones(CORNER, np.uint64)
    assert_array_equal(first.add(second).flags, np.full(CORNER, 2**63 + 1, np.uint64))


@pytest.mark.parametrize("kind", [NDDataArray, CCDData])
def test_flags_of_other_classes_are_combined(kind):
    """The flags of an operand of another NDData class are combined with the flags of the cutout."""
    flags = np.arange(117).reshape(CORNER)
    other = kind(np.ones(CORNER), flags=flags, unit="electron")
    assert_array_equal(make_cutout(unit=u.electron).add(other).flags, flags)
    assert make_cutout(unit=u.electron).add(NDData(other)).flags is None
    # The attribute `flags` of a NumPy array describes its memory and not its pixels.
    assert make_cutout().add(np.ones(CORNER)).flags is None


@pytest.mark.parametrize(("name", "one", "other"), [
    ("weight", np.full(CORNER, 2.0), np.full(CORNER, 3.0)),
    ("psf", np.eye(3), np.eye(5)),
    ("psf", object(), object()),
])  # fmt: skip
def test_weight_and_psf_are_kept_if_equal(name, one, other):
    """The result keeps weight and PSF, unless the other operand has different ones."""
    a, b = make_cutout(), make_cutout()
    setattr(a, name, one)
    assert_array_equal(getattr(a.add(b), name), one)
    assert getattr(b.add(a), name) is None
    setattr(b, name, getattr(a, name))
    assert_array_equal(getattr(a.add(b), name), one)
    setattr(b, name, other)
    assert getattr(a.add(b), name) is None
    assert_array_equal(getattr(a, name), one)


@pytest.mark.parametrize(
    ("unit", "operation", "operand", "expected"),
    [
        (u.electron, "add", 1 * u.electron, "counts"),
        (u.electron, "multiply", 1 / u.s, "rate"),
        (u.electron / u.s, "multiply", 50 * u.s, "counts"),
        (u.electron, "divide", 1 * u.electron, "counts"),
        (None, "multiply", 2, "counts"),
    ],
)
def test_data_units_follow_the_unit(unit, operation, operand, expected):
    """
    The unit of the result determines `data_units`.

    Without a unit, `data_units` does not change.
    """
    cutout = make_cutout(unit=unit, data_units="rate" if unit == u.electron / u.s else "counts")
    new = getattr(cutout, operation)(operand)
    assert new.data_units == new.image.data_units == expected
    assert new.copy().unit == new.unit == new.image.unit


def test_first_cutout_determines_the_attributes():
    """
    The result has the attributes of the first cutout.

    The method's owner determines its class.
    """
    a, b = make_cutout(src_id="a"), make_cutout(src_id="b")
    assert Cutout.subtract(2, b).src_id == "b"
    assert Cutout.subtract(a, b).src_id == "a"
    assert b.subtract(NDData(IMAGE[:9, :13]), a).src_id == "a"
    special = make_cutout(cls=Special)
    assert type(special.add(a)) is type(special.add(a, a)) is type(Special.add(a, 1)) is Special
    assert type(a.add(special)) is type(Cutout.add(special, 1)) is Cutout


def test_positions_are_compared_on_demand():
    """Only the option to compare WCSs takes the position of the second cutout into account."""
    a, b = make_cutout(), make_cutout()
    b.blc = (50, 60)
    assert a.subtract(b).blc == a.blc
    with pytest.raises(ValueError, match="WCS are not equal"):
        a.subtract(b, compare_wcs=lambda x, y: (x.wcs.crpix == y.wcs.crpix).all())
    assert a.subtract(a, compare_wcs=is_).blc == a.blc
    calls = []
    a.subtract(b, compare_wcs=lambda *wcs, **kw: calls.append((wcs, kw)) or True, wcs_rtol=1)
    assert calls == [((a.wcs, b.wcs), {"rtol": 1})]


def test_metadata_are_kept():
    """The result has the metadata of the cutout, unless an option changes them."""
    a, b = make_cutout(), make_cutout(meta={"b": 1})
    a.meta["own"] = 2
    assert dict(a.add(b).meta) == {"FILENAME": "j.fits", "own": 2}
    assert dict(a.add(b, handle_meta=None).meta) == {}
    assert dict(a.add(b, handle_meta=lambda x, y: {**x, **y}).meta) == {
        "FILENAME": "j.fits", "own": 2, "b": 1,
    }  # fmt: skip
    assert dict(a.meta) == {"FILENAME": "j.fits", "own": 2}


def test_invalid_operands_are_errors():
    cutout = make_cutout()
    with pytest.raises(TypeError, match="add needs two operands"):
        Cutout.add(cutout)
    with pytest.raises(TypeError, match="divide needs a Cutout among its operands, got int and "):
        Cutout.divide(1, NDData(1))
    with pytest.raises(ValueError, match=r"data has shape \(2, 9, 13\), the cutout has \(9, 13\)"):
        cutout.add(np.ones((2, *CORNER)))
    with pytest.raises(u.UnitConversionError):
        cutout.add(1 * u.Jy)


def test_cutout_is_an_operand_of_nddata():
    """The methods of an NDDataRef accept a cutout like any NDData."""
    cutout = make_cutout(unit=u.electron)
    assert_same(as_ref(cutout).add(cutout), as_ref(cutout).add(as_ref(cutout)))
    assert cutout.uncertainty.parent_nddata is cutout


@operations
def test_error_of_different_shapes_names_the_operands(operation):
    """The error for different shapes contains the type and the shape of both operands."""
    one, other = make_cutout(), make_cutout()[:5, :4]
    other.src_id = "b8"
    message = rf"^{operation} needs .* cutout of source 'a7' .* \(9, 13\), .* 'b8' .* \(5, 4\)"
    with pytest.raises(ValueError, match=message):
        getattr(one, operation)(other)
    with pytest.raises(ValueError, match=r"ndarray .* \(2, 3\), the cutout of .* \(9, 13\)"):
        getattr(Cutout, operation)(np.ones((2, 3)), one)
    # NumPy's broadcasting rules apply to a row.
    assert getattr(one, operation)(np.ones(13)).shape == CORNER
