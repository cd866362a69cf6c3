"""Stacks: cutouts as arrays of three dimensions."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.cutout import Stack
from subpixal.datasets import make_scene, make_wcs

SHAPE = NY, NX = 30, 40
WCS = make_wcs("tan", SHAPE)
RNG = np.random.default_rng(3)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
DQ = RNG.integers(1, 2**16, SHAPE).astype(np.uint16)
WEIGHT = RNG.uniform(1, 2, SHAPE)


def cut(blc=(5, 6), trc=(12, 10), image=IMAGE, **options):
    return Cutout(image, WCS, blc, trc, mode="fill", **options)


def stack(*cutouts, shape=(5, 7), **options):
    return CutoutCollection(cutouts).to_stack(shape, **options)


@given(
    blc=st.tuples(st.integers(-6, 36), st.integers(-6, 26)),
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    shape=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    source=st.tuples(st.floats(-4, 16), st.floats(-4, 16)),
    shift=st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_layer_has_the_pixels_around_the_source(blc, size, shape, source, shift):
    width, height = min(size[0], NX - blc[0]), min(size[1], NY - blc[1])
    if blc[0] + width <= 0 or blc[1] + height <= 0:
        return
    cutout = cut(
        blc, (blc[0] + width - 1, blc[1] + height - 1), dq=DQ,
        src_pos=(blc[0] + source[0], blc[1] + source[1]),
    )  # fmt: skip
    cutout.dx, cutout.dy = shift
    found = stack(cutout, shape=shape)
    center = np.array(shape[::-1]) // 2 - (np.array(shape[::-1]) % 2 == 0)
    offset = found.src_pos[0] - center
    assert (np.abs(offset) <= 0.5 + 1e-9).all()
    first = np.rint(np.array(cutout.cutout_src_pos) - found.src_pos[0]).astype(int)
    np.testing.assert_allclose(found.src_pos[0] + first, cutout.cutout_src_pos, atol=1e-9)
    assert_array_equal(found.blc[0], first + cutout.blc)
    for y in range(shape[0]):
        for x in range(shape[1]):
            i, j = y + first[1], x + first[0]
            if 0 <= i < height and 0 <= j < width:
                assert_array_equal(found.data[0, y, x], cutout.data[i, j])
                assert found.flags[0, y, x] == cutout.flags[i, j]
                assert found.mask[0, y, x] == cutout.mask[i, j]
            else:
                assert np.isnan(found.data[0, y, x])
                assert found.flags[0, y, x] == 0
                assert found.mask[0, y, x]


@pytest.mark.parametrize("shape", [(5, 5), (4, 4), (1, 1), (2, 9)])
def test_source_is_in_the_central_pixel(shape):
    image = np.zeros(SHAPE)
    image[8, 9] = 1
    cutout = cut((3, 3), (16, 14), image=image, src_pos=(9.4, 7.6))
    found = stack(cutout, shape=shape)
    assert found.data[0, (shape[0] - 1) // 2, (shape[1] - 1) // 2] == 1


@pytest.mark.parametrize(("position", "pixel"), [(6.5, 7), (7.5, 8), (6.49, 6)])
def test_half_a_pixel_is_rounded_up(position, pixel):
    found = stack(cut(src_pos=(position, 8)), shape=(1, 1))
    assert found.data[0, 0, 0] == IMAGE[8, pixel]
    assert found.src_pos[0, 0] == pytest.approx(position - pixel)


def test_planes_have_their_own_fill_values():
    options = {"dq": DQ, "weight": WEIGHT, "uncertainty": StdDevUncertainty(WEIGHT)}
    cutout = cut((5, 6), (5, 6), **options)
    cutout.segmentation = np.full((1, 1), 7, np.int32)
    found = stack(cutout, shape=(3, 3))
    outside = np.ones((3, 3), bool)
    outside[1, 1] = False
    assert np.isnan(found.data[0][outside]).all()
    assert np.isnan(found.uncertainty[0][outside]).all()
    assert found.mask[0][outside].all()
    for name in ("flags", "weight", "segmentation"):
        plane, cutout_plane = getattr(found, name), getattr(cutout, name)
        assert plane.dtype == cutout_plane.dtype
        assert plane[0, 1, 1] == cutout_plane[0, 0]
        assert not plane[0][outside].any()
    assert found.uncertainty_type is StdDevUncertainty
    ivar = stack(cut(uncertainty=InverseVariance(WEIGHT)), shape=(50, 50))
    assert (ivar.uncertainty[0] == 0).any()
    assert not np.isnan(ivar.uncertainty).any()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [(np.uint8, np.float32), (">i2", np.float32), (np.int32, np.float64), (np.float32, np.float32)],
)
def test_integer_data_become_floats(dtype, expected):
    image = np.arange(NY * NX).reshape(SHAPE).astype(dtype)
    found = stack(cut(image=image), shape=(50, 50))
    assert found.data.dtype == expected
    assert_array_equal(found.data[~found.mask], image[6:11, 5:13].ravel())


def test_fill_value_can_be_given():
    assert (stack(cut(), shape=(50, 50), fillval=-1).data[0, 0] == -1).all()
    with pytest.raises(ValueError, match="fillval 'x' cannot be held by pixels of float32"):
        stack(cut(), fillval="x")


def test_order_and_ids_follow_the_collection():
    scene = make_scene(n_sources=20, shape=(128, 128), seed=2)
    collection = CutoutCollection(
        Cutout(e.data, e.wcs, (10 * k, 20), (10 * k + 9, 29), src_id=f"s{k}")
        for k, e in enumerate([*scene.exposures, *scene.exposures])
    )[::-1]
    found = collection.to_stack((10, 10), planes="data")
    assert found.ids.tolist() == collection.ids.tolist()
    for layer, cutout in zip(found.data, collection, strict=True):
        x, y = (int(p) for p in np.array(cutout.cutout_src_pos) + 0.5)
        assert layer[4, 4] == cutout.data[y, x]
    assert found.mask is None
    assert len(found) == len(collection)
    assert "10x10, data" in repr(found)


def test_cutouts_without_a_plane_are_filled():
    found = stack(cut(), cut(dq=DQ), shape=(3, 3))
    assert not found.flags[0].any()
    assert_array_equal(found.flags[1], DQ[7:10, 8:11])
    assert found.weight is None


def test_types_without_a_common_type_are_errors():
    dq = DQ.astype(np.uint64)
    assert stack(cut(dq=DQ), cut(dq=DQ.astype(np.int32))).flags.dtype == np.int32
    with pytest.raises(ValueError, match=r"flags of the cutouts are .'int64', 'uint64'."):
        stack(cut(dq=dq), cut(dq=dq.astype(np.int64)))


def test_different_units_and_uncertainties_are_errors():
    with pytest.raises(ValueError, match=r"must have one unit, these have 2: .'adu', 'electron'."):
        stack(cut(unit=u.electron), cut(unit=u.adu))
    mixed = [cut(uncertainty=kind(WEIGHT)) for kind in (VarianceUncertainty, StdDevUncertainty)]
    with pytest.raises(ValueError, match="must have one kind of uncertainty, these have 2"):
        stack(*mixed)
    assert stack(*mixed, planes=("data", "mask")).uncertainty is None
    # A cutout without an uncertainty can be stacked with uncertainties of all types.
    found = stack(cut(uncertainty=VarianceUncertainty(WEIGHT), unit=u.adu), cut(unit=u.adu))
    assert found.uncertainty_type is VarianceUncertainty
    assert found.uncertainty_unit == u.adu**2
    assert found.unit == u.adu


@pytest.mark.parametrize("shape", [5, (5,), (0, 3), (2.5, 2), (3, -1), (1, 2, 3), None])
def test_invalid_shapes_are_errors(shape):
    with pytest.raises(ValueError, match="shape must be two positive integers"):
        stack(cut(), shape=shape)


def test_unknown_planes_are_errors():
    with pytest.raises(ValueError, match=r"planes must be some of .*, got .'dq'."):
        stack(cut(), planes=("data", "dq"))


def test_empty_collection_gives_an_empty_stack():
    found = CutoutCollection().to_stack((3, 4))
    assert isinstance(found, Stack)
    assert len(found) == 0
    assert found.src_pos.shape == found.blc.shape == (0, 2)


def test_stack_does_not_share_pixels():
    cutout = cut()
    found = stack(cutout)
    found.data[...] = 0
    assert cutout.data.any()
