"""Round trips of random cutouts through archives."""

import asdf
import numpy as np
import pytest
from astropy.nddata import (
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from subpixal import Cutout, CutoutCollection
from subpixal.cutout.storage import Dropped, as_ids
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = (9, 11)
WCS = {
    kind: make_wcs(kind, SHAPE)
    for kind in ("tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse")
}
UNCERTAINTIES = [StdDevUncertainty, VarianceUncertainty, InverseVariance, UnknownUncertainty]
FLAGS = ["?", "u1", "<u2", ">u2", "<u4", ">u4", ">i4", "<i8", ">i8", "u8"]
FLOATS = ["<f2", "<f4", ">f4", "<f8", ">f8", "<c8", ">c16"]
# Outside arrays, ASDF supports no integers larger than these.
LARGEST = 2**63 - 2
IDS = st.one_of(
    st.integers(-LARGEST, LARGEST), st.text(st.characters(categories=["L", "N"])), st.none(),
    st.floats(allow_nan=False), st.tuples(st.integers(0, 9), st.text("ab c")),
)  # fmt: skip
META = st.one_of(st.integers(-LARGEST, LARGEST), st.text("ab c"), st.none(), st.floats())
NUMBERS = st.floats(-1e6, 1e6)


def pixels(dtype, shape=SHAPE):
    """Return a strategy for pixels with any bits. NaNs can contain a payload."""
    dtype = np.dtype(dtype)

    def make(seed):
        rng = np.random.default_rng(seed)
        if dtype.kind == "b":
            return rng.random(shape) < 0.5
        return np.frombuffer(rng.bytes(shape[0] * shape[1] * dtype.itemsize), dtype).reshape(shape)

    return st.integers(0, 2**32 - 1).map(make)


@st.composite
def cutouts(draw, kind, mode):
    """Draw a random cutout with any planes of any type."""
    data = draw(pixels(draw(st.sampled_from([*FLOATS, ">i2", "<i4"]))))
    options = {}
    if draw(st.booleans()):
        options["dq"] = draw(pixels(draw(st.sampled_from(FLAGS))))
        options["dqbitmask"] = draw(st.sampled_from([None, 0, 1, 7]))
        if options["dq"].dtype.kind == "b":
            options.pop("dqbitmask")
    if draw(st.booleans()):
        options["weight"] = draw(pixels(draw(st.sampled_from(FLOATS[:5]))))
    uncertainty = draw(st.sampled_from([None, *UNCERTAINTIES]))
    if uncertainty is not None:
        options["uncertainty"] = uncertainty(draw(pixels(draw(st.sampled_from(FLOATS[1:5])))))
    if mode == "fill" and data.dtype.kind == "i":
        options["fillval"] = -1
    low = (-3, 1) if mode == "fill" else (2, 1)
    cutout = Cutout(
        data, WCS[kind], low, (6, 7), mode=mode, src_id=draw(IDS),
        exptime=draw(st.floats(0, 1e5)), data_units=draw(st.sampled_from(["rate", "counts"])),
        src_pos=(draw(NUMBERS), draw(NUMBERS)), src_weight=draw(NUMBERS),
        unit=draw(st.sampled_from([None, "", "MJy / sr"])) if "dq" not in options else None,
        meta=draw(st.dictionaries(st.text("abc", min_size=1), META)),
        psf=draw(st.sampled_from([None, np.eye(3)])),
        **options,
    )  # fmt: skip
    cutout.dx, cutout.dy = draw(NUMBERS), draw(NUMBERS)
    if draw(st.booleans()):
        size = cutout.shape
        cutout.segmentation = draw(pixels(draw(st.sampled_from(["u1", ">i4", "i8"])), size))
    if draw(st.booleans()):
        cutout.mask = draw(pixels(bool, cutout.shape))
    if draw(st.booleans()):
        cutout.blc = (draw(st.integers(-(2**20), 2**20)), 7)
    return cutout


@pytest.mark.parametrize("mode", ["strict", "fill"])
@pytest.mark.parametrize("kind", WCS)
@settings(max_examples=6)
@given(data=st.data())
def test_single(kind, mode, tmp_path_factory, data):
    """Each cutout is read bit for bit, from archives of this package and from files of asdf."""
    cutout = data.draw(cutouts(kind, mode))
    path = tmp_path_factory.mktemp("single") / "c.asdf"
    compression = data.draw(st.sampled_from([None, "zlib", "lz4"]))
    cutout.write(path, compression=compression)
    found = Cutout.read(path)
    assert_cutouts_equal(found, cutout)
    asdf.AsdfFile({"c": [cutout]}).write_to(path)
    with asdf.open(path) as file:
        assert_cutouts_equal(file["c"][0], cutout)


@pytest.mark.parametrize("mode", ["strict", "fill"])
@pytest.mark.parametrize("kind", WCS)
@settings(max_examples=6)
@given(data=st.data())
def test_collection(kind, mode, tmp_path_factory, data):
    """Each collection is read bit for bit, in its order, with its dropped sources."""
    some = data.draw(st.lists(cutouts(kind, mode), min_size=1, max_size=4))
    collection = CutoutCollection(some)
    order = data.draw(st.lists(st.integers(0, len(some) - 1), max_size=6))
    if order:
        collection = collection[order]
    words = st.text(st.characters(categories=["L", "P", "Zs"]), max_size=9)
    dropped = data.draw(
        st.lists(
            st.builds(
                Dropped,
                st.lists(IDS, min_size=1, max_size=3).map(as_ids),
                st.just("no_overlap"),
                words,
                words,
                words,
            ),
            max_size=4,
        )
    )
    collection = collection.with_dropped(dropped)
    path = tmp_path_factory.mktemp("collection") / "c.asdf"
    collection.write(path, compression=data.draw(st.sampled_from([None, "zlib", "lz4"])))
    found = CutoutCollection.read(path, lazy=data.draw(st.booleans()))
    assert_cutouts_equal(found, collection)
