"""Behavior of a cutout as NDData: planes, slices, copies and pickles."""

import copy
import pickle
import re

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = NY, NX = 23, 31
WCS = make_wcs("lookup", SHAPE)
RNG = np.random.default_rng(2)
IMAGE = RNG.normal(10, 1, SHAPE).astype(np.float32)
DQ = RNG.choice(np.array([0, 0, 0, 1, 2, 6], np.uint16), SHAPE)
WEIGHT = RNG.uniform(1, 2, SHAPE)
SIGMA = RNG.uniform(1, 2, SHAPE)
PLANES = ("data", "mask", "flags", "weight", "segmentation")
BOX = (9, 13)  # Rows and columns.


class Special(Cutout):
    """Example of a subclass that a user defines."""


def make_cutout(cls=Cutout, **kwargs):
    """Return a displaced cutout with all planes that is partly outside its image."""
    kwargs = {
        "uncertainty": VarianceUncertainty(SIGMA), "unit": u.electron, "src_id": "a7",
        "exptime": 50.0, "src_pos": (5.5, 4.25), "src_weight": 0.5, "psf": np.eye(3),
        "meta": {"FILENAME": "j.fits"}, "mode": "fill", **kwargs,
    }  # fmt: skip
    cutout = cls(IMAGE, WCS, (-2, 3), (10, 11), DQ, WEIGHT, **kwargs)
    cutout.dx, cutout.dy = 0.25, -0.5
    cutout.segmentation = np.arange(cutout.size).reshape(cutout.shape)
    cutout.meta["own"] = 1
    return cutout


def get_attributes(cutout):
    """Return all attributes of a cutout except its pixels."""
    names = "src_id", "exptime", "data_units", "unit", "src_pos", "src_weight", "dx", "dy", "status"
    return {name: getattr(cutout, name) for name in names} | {"meta": dict(cutout.meta)}


def copy_planes(cutout):
    """Return copies of all planes of a cutout."""
    planes = {name: getattr(cutout, name).copy() for name in PLANES}
    return planes | {"uncertainty": cutout.uncertainty.array.copy()}


def assert_is_part(actual, expected, box):
    """Check that a part of a cutout has the right pixels, and the attributes of the cutout."""
    assert get_attributes(actual) == get_attributes(expected)
    assert type(actual) is type(expected)
    assert type(actual.uncertainty) is type(expected.uncertainty)
    assert actual.uncertainty.parent_nddata is actual
    assert_array_equal(actual.psf, expected.psf)
    for name, plane in copy_planes(expected).items():
        assert_array_equal(copy_planes(actual)[name], plane[box], err_msg=name)


# Planes


def test_cutout_is_nddata():
    """A cutout is an NDData object, and its attributes have the same meaning."""
    cutout = make_cutout()
    plain = NDData(cutout)
    assert isinstance(cutout, NDData)
    assert_array_equal(plain.data, cutout.data)
    assert_array_equal(plain.mask, cutout.mask)
    assert (plain.unit, plain.meta["own"], plain.meta["FILENAME"]) == (u.electron, 1, "j.fits")
    assert plain.wcs is cutout.wcs
    assert plain.psf is cutout.psf
    assert_array_equal(plain.uncertainty.array, cutout.uncertainty.array)
    assert cutout.uncertainty.parent_nddata is cutout


def test_cutout_as_array_is_its_data():
    """NumPy converts a cutout to the array of its data."""
    cutout = make_cutout()
    assert np.shares_memory(np.asarray(cutout), cutout.data)
    assert not np.shares_memory(np.array(cutout), cutout.data)
    assert np.asarray(cutout, dtype=np.float64).dtype == np.float64
    assert (cutout.shape, cutout.ndim, cutout.size) == (BOX, 2, 117)
    assert cutout.dtype == np.float32
    assert np.nansum(cutout) == np.nansum(cutout.data)


def test_cutout_is_not_iterable():
    """Iteration over a cutout is an error."""
    with pytest.raises(TypeError, match="not iterable"):
        iter(make_cutout())


def test_repr_and_str():
    cutout = make_cutout()
    text = "<Cutout 'a7': 13x9 pixels at (-2, 3) of j.fits [electron]>"
    assert repr(cutout) == text
    assert str(cutout) == f"{cutout}" == text
    assert repr(make_cutout(Special)) == text.replace("Cutout", "Special")
    assert repr(cutout.image) == (
        "<Image 'j.fits', 31x23 pixels of counts [electron], 50.0 s, WCS>"
    )
    assert repr(Cutout(None, WCS, trc=(2, 1))) == "<Cutout 0: 3x2 pixels at (0, 0)>"


def test_html_lists_the_attributes():
    """
    The HTML for notebooks contains all attributes but no pixels.

    Text from the user is escaped.
    """
    html = make_cutout(src_id="<b>7")._repr_html_()
    rows = dict(re.findall("<tr><th>(.*?)</th><td>(.*?)</td></tr>", html))
    masked = np.count_nonzero(make_cutout().mask)
    assert rows == {
        "source": "&#x27;&lt;b&gt;7&#x27;",
        "position (x, y)": "(5.500, 4.250)",
        "size": f"13 x 9 pixels, {masked} masked",
        "corners (x, y)": "(-2, 3) to (10, 11), filled",
        "displacement (x, y)": "(0.25, -0.5)",
        "image": "j.fits",
        "pixels": "counts [electron]",
        "exposure time": "50 s",
        "planes": "data (float32), mask (bool), uncertainty (float64), flags (uint16), "
        "weight (float64), segmentation (int64)",
        "uncertainty": "VarianceUncertainty",
        "WCS": "WCS",
    }
    plain = Cutout(None, WCS, trc=(2, 1))._repr_html_()
    assert "displacement" not in plain
    assert "uncertainty" not in plain


@pytest.mark.parametrize("name", [*PLANES, "dq", "uncertainty"])
def test_set_plane_copies_the_values(name):
    """Assigning an array to a plane copies its values and does not change other planes."""
    cutout = make_cutout()
    whole = copy_planes(cutout)
    new = np.arange(117).reshape(BOX)
    setattr(cutout, name, new)
    new[:] = 200
    found = cutout.uncertainty.array if name == "uncertainty" else getattr(cutout, name)
    assert_array_equal(found, np.arange(117).reshape(BOX).astype(found.dtype))
    name = {"dq": "flags"}.get(name, name)
    for other in set(whole) - {name}:
        assert_array_equal(copy_planes(cutout)[other], whole[other])


@pytest.mark.parametrize("name", [*PLANES, "dq", "uncertainty"])
@pytest.mark.parametrize("shape", [(13, 9), (9,), (9, 13, 1)])
def test_set_plane_of_another_shape_is_an_error(name, shape):
    cutout = make_cutout()
    before = copy_planes(cutout)
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        setattr(cutout, name, np.ones(shape, int))
    assert str(shape) in str(caught.value)
    assert "(9, 13)" in str(caught.value)
    for plane, value in copy_planes(cutout).items():
        assert_array_equal(value, before[plane])


@pytest.mark.parametrize("name", ["flags", "dq", "weight", "uncertainty", "segmentation"])
def test_optional_planes_can_be_removed(name):
    """Assigning None removes an optional plane. The plane can be assigned again."""
    cutout = make_cutout()
    setattr(cutout, name, None)
    assert getattr(cutout, name) is None
    assert getattr(cutout[1:, 1:], name) is None
    assert getattr(cutout.copy(), name) is None
    setattr(cutout, name, np.ones(BOX, int))
    assert getattr(cutout, name) is not None


def test_quantities_as_data_are_converted():
    """Assigned data are converted to the unit of the cutout. An incompatible unit is an error."""
    cutout = make_cutout()
    cutout.data = np.ones(BOX) * 1000 * u.electron
    assert_array_equal(cutout.data, np.full(BOX, 1000))
    cutout.data = np.ones(BOX) * u.Unit("1000 electron")
    assert_array_equal(cutout.data, np.full(BOX, 1000))
    with pytest.raises(u.UnitConversionError, match=r"'Jy' .* not convertible"):
        cutout.data = np.ones(BOX) * u.Jy
    with pytest.raises(u.UnitConversionError, match=r"'Jy' .* not convertible"):
        Cutout(np.ones(BOX), WCS).data = np.ones(BOX) * u.Jy


def test_data_cannot_be_removed():
    with pytest.raises(TypeError, match="data must hold numbers"):
        make_cutout().data = None


@pytest.mark.parametrize("name", ["flags", "dq", "segmentation"])
def test_flags_must_be_integers(name):
    with pytest.raises(TypeError, match=r"(flags|segmentation) must hold integers .* float64"):
        setattr(make_cutout(), name, np.ones(BOX))


def test_byte_order_of_new_planes_becomes_native():
    """Assigned planes in another byte order are converted to the native order."""
    cutout = make_cutout()
    cutout.data = np.ones(BOX, ">f4")
    cutout.uncertainty = StdDevUncertainty(np.ones(BOX, ">f8"))
    assert cutout.data.dtype.isnative
    assert cutout.uncertainty.array.dtype.isnative


def test_mask_is_boolean():
    """The mask is a boolean array after None, a scalar or numbers are assigned."""
    cutout = make_cutout()
    bad = cutout.mask.copy()
    new = np.zeros(BOX, bool)
    new[4] = True
    cutout.mask |= new
    assert_array_equal(cutout.mask, bad | new)
    cutout.mask &= new
    assert_array_equal(cutout.mask, new)
    for value, expected in ((None, False), (np.ma.nomask, False), (True, True)):
        cutout.mask = value
        assert_array_equal(cutout.mask, np.full(BOX, expected), strict=True)
    cutout.mask = np.arange(117).reshape(BOX) % 3
    assert cutout.mask.dtype == bool


def test_operators_work_in_place():
    """In-place operators change the pixels of the cutout and do not make a copy."""
    cutout = make_cutout()
    data = cutout.data
    cutout.data += 1
    cutout.data[2, 3] = 9
    assert cutout.data is not None
    assert np.shares_memory(cutout.data, data)
    assert cutout.data[2, 3] == 9


def test_set_uncertainty():
    """An assigned uncertainty keeps its type. The assigned object does not change."""
    cutout, new = make_cutout(), InverseVariance(np.ones(BOX))
    cutout.uncertainty = new
    assert type(cutout.uncertainty) is InverseVariance
    assert cutout.uncertainty.unit == u.electron**-2
    assert cutout.uncertainty.parent_nddata is cutout
    assert new.unit is None
    cutout.uncertainty.array[0, 0] = 5
    assert cutout.uncertainty.array[0, 0] == 5
    assert new.array[0, 0] == 1
    cutout.uncertainty = np.ones(BOX) * u.electron
    assert type(cutout.uncertainty) is StdDevUncertainty
    with pytest.raises(u.UnitConversionError):
        cutout.uncertainty = StdDevUncertainty(np.ones(BOX), unit=u.s)
    assert cutout.uncertainty.unit == u.electron


def test_set_other_attributes():
    cutout = make_cutout()
    cutout.src_id, cutout.exptime, cutout.psf, cutout.src_weight = (3, "b"), 20 * u.s, None, 2
    assert (cutout.src_id, cutout.exptime, cutout.psf) == ((3, "b"), 20, None)
    assert cutout.src_weight == 2
    for value in (None, np.nan):
        cutout.src_weight = value
        assert cutout.src_weight is None
    with pytest.raises(ValueError, match="src_weight must be a finite number, got 'much'"):
        cutout.src_weight = "much"
    with pytest.raises(ValueError, match="exptime must be a finite number of seconds"):
        cutout.exptime = "long"
    with pytest.raises(TypeError, match="meta must be a mapping, got int"):
        cutout.meta = 1
    with pytest.raises(AttributeError):
        cutout.unit = u.Jy


@pytest.mark.parametrize("src_id", [7, 7.5, "a", None, (1, "b"), [1, [2, 3]], np.int64(7), 2**70])
def test_src_id_may_be_any_object(src_id):
    """The id of a source can be a number, a string, None, a tuple or a list."""
    assert Cutout(IMAGE, WCS, src_id=src_id).src_id == src_id
    cutout = Cutout(IMAGE, WCS, src_id=1)
    cutout.src_id = src_id
    assert cutout.src_id == src_id
    assert cutout.copy().src_id == src_id


# Slices


SLICES = {
    "both": np.s_[2:6, 3:9],
    "rows": np.s_[2:6],
    "columns": np.s_[:, 3:9],
    "dots": np.s_[..., 3:9],
    "dots and both": np.s_[..., 2:6, 3:9],
    "both and dots": np.s_[2:6, 3:9, ...],
    "dots between": np.s_[2:6, ..., 3:9],
    "rows and dots": np.s_[2:6, ...],
    "nothing": (),
    "negative": np.s_[-5:-1, -4:],
    "too far": np.s_[5:100, -100:4],
    "all": np.s_[...],
    "one pixel": np.s_[8:9, 12:13],
    "step of 1": np.s_[2:6:1, ::1],
}


@pytest.mark.parametrize("item", SLICES.values(), ids=SLICES)
@pytest.mark.parametrize("cls", [Cutout, Special])
def test_slice_is_a_cutout(item, cls):
    """A slice is a cutout. Its planes, position and WCS describe only the selected part."""
    cutout = make_cutout(cls)
    cutout.blc = (100, 200)
    part = cutout[item]
    assert_is_part(part, cutout, item)
    y, x = np.mgrid[:9, :13][:, *(item if isinstance(item, tuple) else (item,))]
    assert (part.blc, part.trc) == ((100 + x.min(), 200 + y.min()), (100 + x.max(), 200 + y.max()))
    assert part.shape == part.data.shape
    assert part.image is cutout.image
    part_world = part.wcs.pixel_to_world_values(x - x.min(), y - y.min())
    np.testing.assert_allclose(
        part_world, cutout.wcs.pixel_to_world_values(x, y), rtol=0, atol=1e-12
    )
    if part.extraction_slice is not None:
        assert_array_equal(part.data[part.insertion_slice], IMAGE[part.extraction_slice])


@pytest.mark.parametrize(
    "item", [3, (2, slice(3)), (slice(0, 4, 2), slice(3)), np.ones(BOX, bool), [1, 2], None, "data",
             (slice(3), slice(3), slice(3)), slice(4, 0, -1), slice(None, None, -1),
             np.s_[..., ...], np.s_[2, ...], np.s_[..., None], np.s_[[1, 2], :]],
    ids=str,
)  # fmt: skip
def test_invalid_indices_are_errors(item):
    """An index is an error if it does not select a rectangle."""
    with pytest.raises(IndexError, match=r"sliced by one or two slices .* without step, got"):
        make_cutout()[item]


def test_error_of_a_mask_index_shows_its_shape():
    """The error for an array as the index contains its type and its shape but no values."""
    with pytest.raises(IndexError, match=r"got an array of bool of shape \(9, 13\)$"):
        make_cutout()[make_cutout().mask]


@pytest.mark.parametrize("item", [np.s_[4:4], np.s_[20:], np.s_[:, 5:2]])
def test_empty_slice_is_an_error(item):
    with pytest.raises(IndexError, match=r"leave no pixel of a cutout of shape \(9, 13\)"):
        make_cutout()[item]


def test_slice_of_a_slice():
    cutout = make_cutout()
    assert_cutouts_equal(cutout[2:8, 3:][1:, :4], cutout[3:8, 3:7])


def test_slices_share_pixels_only():
    """As in NumPy, a slice shares its pixels with the cutout. Its other attributes are separate."""
    cutout = make_cutout()
    part = cutout[2:6, 3:9]
    part.data[0, 0], part.mask[1, 1], part.uncertainty.array[2, 2] = 99, True, 7
    assert (cutout.data[2, 3], cutout.mask[3, 4], cutout.uncertainty.array[4, 5]) == (99, True, 7)
    part.dx, part.src_id, part.meta["own"] = 9, "b7", 2
    assert (cutout.dx, cutout.src_id, cutout.meta["own"]) == (0.25, "a7", 1)


# Copies


COPIES = {
    "copy": (Cutout.copy, False),
    "copy.copy": (copy.copy, True),
    "deepcopy": (copy.deepcopy, False),
    "pickle": (lambda c: pickle.loads(pickle.dumps(c)), False),
}


@pytest.mark.parametrize(("make_copy", "shares"), COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("cls", [Cutout, Special])
def test_copies_are_equal(make_copy, shares, cls):
    """A copy equals the original. Only shallow copies share its pixels."""
    cutout = make_cutout(cls)
    cutout.blc, cutout.weight = (1, 2), np.ones(BOX)
    new = make_copy(cutout)
    assert_cutouts_equal(new, cutout)
    assert new.uncertainty.parent_nddata is new
    for name in PLANES:
        assert np.shares_memory(getattr(new, name), getattr(cutout, name)) == shares
    assert np.shares_memory(new.uncertainty.array, cutout.uncertainty.array) == shares
    new.src_id, new.blc, new.dx, new.meta["own"], new.exptime = "c", (5, 5), 4, 3, 1
    new.data = np.zeros(BOX)
    assert (cutout.src_id, cutout.blc, cutout.dx, cutout.exptime) == ("a7", (1, 2), 0.25, 50)
    assert cutout.meta["own"] == 1
    assert np.nansum(cutout.data) > 0


def test_only_deep_copies_copy_the_wcs():
    """Copies share the WCS of the image. A deep copy has its own WCS."""
    cutout = make_cutout()
    assert copy.copy(cutout).image_wcs is cutout.copy().image_wcs is WCS
    assert copy.deepcopy(cutout).image_wcs is not WCS
    cutout.psf = psf = object()
    assert cutout.copy().psf is cutout[2:].psf is psf


@pytest.mark.parametrize("method", ["deepcopy", "pickle"])
def test_shared_wcs_stays_shared(method):
    """If cutouts share a WCS, they also share it in a deep copy or a pickle of all of them."""
    first = make_cutout()
    cutouts = [first, first[2:], make_cutout(src_id=4).copy(), *CutoutCollection([make_cutout()])]
    new = copy.deepcopy(cutouts) if method == "deepcopy" else pickle.loads(pickle.dumps(cutouts))
    assert len({id(c.image_wcs) for c in new}) == 1
    assert new[0].image_wcs is not WCS
    assert new[0].image is new[1].image
    for a, b in zip(new, cutouts, strict=True):
        assert_cutouts_equal(a, b, wcs_tolerance=0)


def test_copies_of_views_are_independent():
    """A copy of a view can be changed without changing the image."""
    image = IMAGE.copy()
    cutout = Cutout(image, WCS, (2, 3), (8, 9), copy=False)
    for make_copy, shares in COPIES.values():
        if not shares:
            make_copy(cutout).data[:] = 0
    assert len(pickle.dumps(cutout)) < len(pickle.dumps(Cutout(image, WCS)))
    assert_array_equal(image, IMAGE)
