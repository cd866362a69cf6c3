"""Uncertainties, NDData and cutouts as images of a cutout, and pixels that are shared."""

import warnings

import astropy.wcs.wcsapi
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
from astropy.wcs.wcsapi import HighLevelWCSWrapper
from numpy.testing import assert_array_equal

import subpixal
from subpixal import Cutout, create_primary_cutouts
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = NY, NX = 23, 31
WCS = make_wcs("sip", SHAPE)
RNG = np.random.default_rng(1)
IMAGE = RNG.normal(10, 1, SHAPE).astype(np.float32)
DQ = RNG.choice(np.array([0, 0, 0, 1, 2, 6], np.uint16), SHAPE)
WEIGHT = RNG.uniform(1, 2, SHAPE)
BAD = RNG.random(SHAPE) < 0.1
SIGMA = RNG.uniform(1, 2, SHAPE)
KINDS = (StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty)
INNER = {"blc": (3, 5), "trc": (12, 9)}
IN = np.s_[5:10, 3:13]


LEFT_BOX = {"blc": (-2, 3), "trc": (5, 8), "mode": "fill"}


def cut_left_box(plane, fill):
    """Cut the box LEFT_BOX out of a plane with NumPy alone."""
    return np.pad(plane[3:9, :6], ((0, 0), (2, 0)), constant_values=fill)


# Uncertainties


@pytest.mark.parametrize("kind", KINDS)
def test_uncertainties_keep_their_kind(kind):
    """Uncertainties keep their type. Inverse variances are filled with 0, others with NaN."""
    given = kind(SIGMA)
    cutout = Cutout(IMAGE * u.ct, WCS, **LEFT_BOX, uncertainty=given)
    assert type(cutout.uncertainty) is kind
    fill = 0 if kind is InverseVariance else np.nan
    assert_array_equal(cutout.uncertainty.array, cut_left_box(SIGMA, fill))
    assert cutout.uncertainty.parent_nddata is cutout
    expected = NDData(IMAGE, unit=u.ct, uncertainty=kind(SIGMA)).uncertainty.unit
    assert cutout.uncertainty.unit == expected
    assert given.unit is None


def test_subclass_of_inverse_variance_is_filled_with_zero():
    class Precision(InverseVariance):
        pass

    cutout = Cutout(IMAGE, WCS, **LEFT_BOX, uncertainty=Precision(SIGMA))
    assert_array_equal(cutout.uncertainty.array[:, :2], 0)


def test_array_is_standard_deviation():
    """An array as the uncertainty is a standard deviation in the unit of the data."""
    cutout = Cutout(IMAGE * u.Jy, WCS, **INNER, uncertainty=SIGMA)
    assert type(cutout.uncertainty) is StdDevUncertainty
    assert cutout.uncertainty.unit == u.Jy


def test_quantity_is_standard_deviation():
    cutout = Cutout(IMAGE * u.Jy, WCS, **INNER, uncertainty=SIGMA * u.mJy)
    assert cutout.uncertainty.unit == u.mJy
    assert_array_equal(cutout.uncertainty.array, SIGMA[IN])


@pytest.mark.parametrize("kind", KINDS[:3])
def test_uncertainty_must_have_a_compatible_unit(kind):
    """An uncertainty is an error if its unit contradicts the unit of the data."""
    with pytest.raises(ValueError, match="uncertainty in s contradicts data in Jy"):
        Cutout(IMAGE * u.Jy, WCS, uncertainty=kind(SIGMA, unit=u.s))


def test_integer_uncertainty_becomes_float():
    """Integer uncertainties become floats, which can hold NaN."""
    cutout = Cutout(IMAGE, WCS, (-1, 0), (3, 3), mode="fill", uncertainty=np.full(SHAPE, 3, "i2"))
    assert cutout.uncertainty.array.dtype == np.float32


# NDData


@pytest.fixture
def nddata():
    return NDData(
        IMAGE, mask=BAD, uncertainty=VarianceUncertainty(SIGMA), unit=u.electron, wcs=WCS,
        meta={"FILENAME": "j_flt.fits", "n": 1}, psf=np.eye(3),
    )  # fmt: skip


def test_attributes_of_nddata_are_used(nddata):
    """If an argument is omitted, the attribute of the NDData object is used."""
    cutout = Cutout(nddata, None, **INNER)
    assert_array_equal(cutout.data, IMAGE[IN])
    assert_array_equal(cutout.mask, BAD[IN])
    assert_array_equal(cutout.uncertainty.array, SIGMA[IN])
    assert type(cutout.uncertainty) is VarianceUncertainty
    assert cutout.image_wcs is WCS
    assert cutout.psf is nddata.psf
    assert (cutout.unit, cutout.data_units, cutout.meta["n"]) == (u.electron, "counts", 1)
    assert cutout.image.name == "j_flt.fits"
    assert nddata.uncertainty.parent_nddata is nddata


def test_explicit_arguments_override_nddata(nddata):
    other, psf = make_wcs("tan", SHAPE), np.ones((2, 2))
    cutout = Cutout(nddata, other, **INNER, uncertainty=2 * SIGMA, psf=psf, meta={"m": 2})
    assert cutout.image_wcs is other
    assert_array_equal(cutout.uncertainty.array, 2 * SIGMA[IN])
    assert type(cutout.uncertainty) is StdDevUncertainty
    assert cutout.psf is psf
    assert dict(cutout.meta) == {"m": 2}


def test_flags_of_nddata():
    """The flags of a CCDData are the data quality. An argument `dq` replaces them."""
    ccd = CCDData(IMAGE, unit="adu", wcs=WCS, flags=DQ)
    assert_array_equal(Cutout(ccd, None, **INNER).dq, DQ[IN])
    assert_array_equal(Cutout(ccd, None, **INNER).mask, DQ[IN] != 0)
    assert not Cutout(ccd, None, **INNER, dq=0 * DQ).mask.any()


@pytest.mark.parametrize("data", [NDData(IMAGE, unit="ct"), IMAGE * u.ct, Masked(IMAGE * u.ct)])
def test_unit_argument_cannot_contradict_the_data(data):
    """The argument `unit` can only repeat the unit of the data. Another unit is an error."""
    assert Cutout(data, WCS, unit=u.count).unit == u.ct
    with pytest.raises(ValueError, match="unit of data is both Jy and ct"):
        Cutout(data, WCS, unit="Jy")


def test_low_level_wcs_of_nddata():
    """NDData wraps a low-level WCS in a high-level WCS, and the cutout keeps this wrapper."""
    low = astropy.wcs.wcsapi.SlicedLowLevelWCS(WCS, Ellipsis)
    cutout = Cutout(NDData(IMAGE, wcs=low), None, **INNER)
    assert isinstance(cutout.image_wcs, HighLevelWCSWrapper)
    assert cutout.image_wcs.low_level_wcs is low


def test_nddata_without_wcs_is_an_error():
    with pytest.raises(ValueError, match="wcs must be given"):
        Cutout(NDData(IMAGE), None)


# Sharing of pixels


def test_pixels_are_copied():
    """
    Changing the image does not change the cutout.

    Changing the cutout does not change the image.
    """
    planes = {
        "data": IMAGE.copy(),
        "dq": DQ.copy(),
        "weight": WEIGHT.copy(),
        "uncertainty": SIGMA.copy(),
    }
    before = {name: plane.copy() for name, plane in planes.items()}
    cutout = Cutout(wcs=WCS, **INNER, **planes)
    cutout.data[:], cutout.dq[:], cutout.weight[:], cutout.uncertainty.array[:] = 1, 2, 3, 4
    cutout.meta["new"] = cutout.src_pos = cutout.blc = (1, 2)
    for name, plane in planes.items():
        assert_array_equal(plane, before[name])
        plane[:] = 9
    assert (cutout.data == 1).all()
    assert (cutout.uncertainty.array == 4).all()


def test_views_are_read_only():
    """With `copy=False`, the pixels are read-only views of the image."""
    image, dq = IMAGE.copy(), DQ.copy()
    cutout = Cutout(image, WCS, **INNER, dq=dq, uncertainty=SIGMA, copy=False)
    for plane, whole in ((cutout.data, image), (cutout.dq, dq), (cutout.uncertainty.array, SIGMA)):
        assert np.shares_memory(plane, whole)
        with pytest.raises(ValueError, match="read-only"):
            plane[:] = 1
    cutout.mask |= True
    cutout.data = cutout.data + 1
    assert_array_equal(image, IMAGE)
    assert image.flags.writeable
    assert not np.shares_memory(Cutout(image, WCS, **INNER, copy=False).copy().data, image)


def test_filled_pixels_are_copied():
    """A cutout with filled pixels is a copy, even with `copy=False`."""
    cutout = Cutout(IMAGE, WCS, **LEFT_BOX, copy=False, fillval=0)
    assert_array_equal(cutout.data, cut_left_box(IMAGE, 0))


def test_changes_of_meta_stay_in_the_cutout():
    """Changing the metadata of a cutout does not change the metadata of the image."""
    meta = {"a": 1}
    cutout = Cutout(IMAGE, WCS, meta=meta)
    cutout.meta["b"], cutout.meta["a"] = 2, 3
    assert dict(cutout.meta) == {"a": 3, "b": 2}
    assert meta == {"a": 1}
    cutout.meta = {"c": 4}
    assert dict(cutout.meta) == {"a": 1, "c": 4}


# Cutouts of cutouts


@pytest.mark.parametrize("blc", [(0, 0), (3, 5), (-2, -1)])
def test_cutout_of_a_cutout_equals_cutout_of_the_image(blc):
    """A cutout of a cutout equals a cutout of the image."""
    kwargs = {"weight": WEIGHT, "uncertainty": SIGMA, "dqbitmask": 2, "exptime": 7,
              "meta": {"a": 1}, "data_units": "counts", "mode": "fill"}  # fmt: skip
    parent = Cutout(IMAGE, WCS, blc, (20, 19), DQ, **kwargs)
    direct = Cutout(IMAGE, WCS, np.add(blc, (1, 0)), np.add(blc, (4, 9)), DQ, **kwargs)
    again = Cutout(parent, None, (1, 0), (4, 9))
    assert_cutouts_equal(again, direct)
    assert again.image.shape == SHAPE
    assert again.meta["a"] == 1


def test_cutout_of_a_moved_cutout():
    """A cutout of a moved cutout is also moved. Its slice of the image does not change."""
    parent = Cutout(IMAGE, WCS, **INNER, uncertainty=SIGMA)
    parent.dx, parent.dy = 0.25, -0.5
    parent.blc = (100, 200)
    new = Cutout(parent, None, (2, 1), (4, 3))
    assert new.blc == (102, 201)
    assert_array_equal(IMAGE[new.extraction_slice], new.data)
    assert_array_equal(new.pix2world(0, 0), parent.pix2world(2, 1))
    assert_array_equal(new.cutout_src_pos, (1, 1))
    new.src_pos = parent.src_pos
    assert_cutouts_equal(new, parent[1:4, 2:5])


def test_pixels_beyond_the_parent_are_filled():
    """Pixels outside the parent cutout are filled, even where the image has values."""
    parent = Cutout(IMAGE, WCS, **INNER)
    with pytest.raises(subpixal.PartialOverlapError, match="leaves the image"):
        Cutout(parent, None, (-2, 0), (3, 3))
    new = Cutout(parent, None, (-2, 0), (3, 3), mode="fill", fillval=0)
    assert (new.blc, new.trc) == ((1, 5), (6, 8))
    assert_array_equal(new.data[:, :2], 0)
    assert new.mask[:, :2].all()
    assert new.insertion_slice == (slice(0, 4), slice(2, 6))
    assert new.extraction_slice == (slice(5, 9), slice(3, 7))
    assert new[1:, 1:].insertion_slice == (slice(0, 3), slice(1, 5))
    assert new.status == "filled"


def test_cutout_with_a_wcs_argument_is_a_new_image():
    """With an argument `wcs`, a cutout is treated as a separate image."""
    wcs = make_wcs("tan", (5, 10))
    new = Cutout(Cutout(IMAGE, WCS, **INNER), wcs, (1, 1), (3, 2))
    assert new.image_wcs is wcs
    assert (new.blc, new.image.shape) == ((1, 1), (5, 10))


def test_explicit_arguments_override_the_parent():
    """An argument replaces the attribute of the parent cutout."""
    parent = Cutout(IMAGE, WCS, dq=DQ, exptime=7, dqbitmask=None)
    new = Cutout(parent, None, exptime=9, data_units="counts", dqbitmask=2)
    assert (new.exptime, new.data_units) == (9, "counts")
    assert_array_equal(new.mask, DQ & 5 != 0)


def test_exposure_time_may_be_a_quantity():
    assert Cutout(IMAGE, WCS, exptime=2 * u.min).exptime == 120


def test_cutting_gives_no_warnings():
    """Cutting causes no warnings, even if pixels are NaN."""
    image = np.full(SHAPE, np.nan)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        Cutout(image, WCS, (-1, -1), (40, 40), DQ, image, mode="fill", uncertainty=image)
    assert not caught


def test_explicit_defaults_override_the_parent():
    """An argument replaces the attribute of the parent even if it equals the default value."""
    parent = Cutout(IMAGE, WCS, dq=DQ, exptime=7, dqbitmask=None, data_units="counts")
    same = Cutout(parent, None)
    assert (same.exptime, same.data_units, same.image.dqbitmask) == (7, "counts", None)
    explicit = Cutout(parent, None, exptime=1, data_units="rate", dqbitmask=0)
    assert (explicit.exptime, explicit.data_units, explicit.image.dqbitmask) == (1, "rate", 0)
    assert_array_equal(explicit.mask, same.mask | (DQ != 0))
    image = Cutout(IMAGE, WCS, dq=DQ).image
    kinds = type(image.exptime), type(image.data_units), type(image.dqbitmask)
    assert kinds == (float, str, int)


@pytest.mark.parametrize("name", ["create_primary_cutouts", "create_input_image_cutouts"])
def test_explicit_defaults_override_the_image_in_functions(name):
    """The functions distinguish an omitted argument from an argument with the default value."""
    parent = Cutout(IMAGE, WCS, dq=DQ, exptime=7, dqbitmask=None, data_units="rate")
    sources = [{"id": [1]}, np.pad([[1]], ((5, SHAPE[0] - 6), (5, SHAPE[1] - 6)))]
    if name == "create_input_image_cutouts":
        sources = [[Cutout(IMAGE, WCS, (3, 3), (8, 8))]]

    def get_image(**options):
        found = getattr(subpixal, name)(*sources, parent, None, **options)
        image = (found[0] if isinstance(found, tuple) else found)[0].image
        return image.exptime, image.data_units, image.dqbitmask

    assert get_image() == (7, "rate", None)
    assert get_image(exptime=1, data_units="counts", dqbitmask=0) == (1, "counts", 0)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("name", ["data", "mask", "flags", "weight", "uncertainty"])
def test_overlapping_cutouts_are_independent(name, copy):
    """Writing to a cutout changes neither the image nor an overlapping cutout."""
    sigma = StdDevUncertainty(SIGMA.copy(), copy=False)
    nd = CCDData(IMAGE.copy(), wcs=WCS, unit="adu", uncertainty=sigma, mask=BAD.copy())
    before = {"data": IMAGE, "mask": BAD, "uncertainty": SIGMA, "flags": DQ, "weight": WEIGHT}
    planes = {"dq": DQ.copy(), "weight": WEIGHT.copy()}
    labels = np.zeros(SHAPE, int)
    labels[8:13, 9:15], labels[9:12, 16:22] = 1, 2
    collection = create_primary_cutouts(
        {"id": [1, 2]}, labels, nd, None, planes["dq"], planes["weight"],
        pad=5, mask_policy=None, copy=copy,
    )  # fmt: skip
    single = (Cutout(nd, None, *corners, **planes, copy=copy)
             for corners in (((3, 5), (12, 9)), ((5, 6), (14, 12))))  # fmt: skip
    for cutout, other in (tuple(collection), tuple(single)):
        unchanged = other.copy()
        pixels = getattr(cutout, name)
        pixels = pixels.array if name == "uncertainty" else pixels
        assert pixels.flags.writeable == (copy or name == "mask")
        if pixels.flags.writeable:
            pixels[...] = 1
        setattr(cutout, name, np.ones_like(pixels))
        assert_cutouts_equal(other, unchanged)
        now = {"data": nd.data, "mask": nd.mask, "uncertainty": nd.uncertainty.array}
        now |= {"flags": planes["dq"], "weight": planes["weight"]}
        for plane, values in before.items():
            assert_array_equal(now[plane], values)
