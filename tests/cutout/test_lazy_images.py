"""Images that are read on demand, and the number of pixels that are read."""

import copy
import pickle
import tracemalloc
from contextlib import ExitStack

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import NDData, StdDevUncertainty, VarianceUncertainty
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from subpixal import (
    Cutout,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.cutout._create.labels import label_boxes
from subpixal.datasets import make_wcs
from subpixal.geometry import PixelBoxes
from subpixal.image import LazyArray, as_image, cut_boxes, lazy, read_bands, read_points
from subpixal.testing import assert_cutouts_equal

SHAPE = (60, 50)
WCS = make_wcs("tan", SHAPE)
RNG = np.random.default_rng(3)
CATALOG = {"id": [1, 2, 3, 4]}


def make_planes():
    """Return planes with four sources."""
    labels = np.zeros(SHAPE, np.int32)
    for label, (y, x) in enumerate([(3, 40), (1, 4), (30, 20), (52, 10)], 1):
        labels[y : y + 5, x : x + 7] = label
    flags = (RNG.random(SHAPE) < 0.1).astype(np.uint16) * 40_000
    data = RNG.integers(0, 60_000, SHAPE).astype(np.uint16)
    return {
        "data": data,
        "weight": RNG.random(SHAPE).astype(np.float32),
        "dq": flags,
        "uncertainty": RNG.random(SHAPE),
        "labels": labels,
    }


PLANES = make_planes()


class Recorder:
    """Array like those of zarr or h5py. It records the rows and columns that are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, item):
        rows, columns = (slice(*i.indices(n)) for i, n in zip(item, self.shape, strict=True))
        self.read.append((rows.start, rows.stop, columns.start, columns.stop))
        return self.array[rows, columns]

    def __array__(self, dtype=None, copy=None):
        pytest.fail("the whole image was read")

    @property
    def rows(self):
        return [row for start, stop, *_ in self.read for row in range(start, stop)]


def as_memmap(array, folder, _):
    np.save(folder / "plane.npy", array)
    return np.load(folder / "plane.npy", mmap_mode="r")


def as_section(array, folder, opened):
    fits.writeto(folder / "plane.fits", array)
    return opened.enter_context(fits.open(folder / "plane.fits"))[0].section


def as_compressed_section(array, folder, opened):
    hdu = fits.CompImageHDU(array, compression_type="GZIP_1", quantize_level=0)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / "plane.fits")
    return opened.enter_context(fits.open(folder / "plane.fits"))[1].section


def as_dask(array, *_):
    return pytest.importorskip("dask.array").from_array(array, chunks=(17, 23))


def as_asdf(array, folder, opened):
    asdf.AsdfFile({"plane": array}).write_to(folder / "plane.asdf")
    return opened.enter_context(asdf.open(folder / "plane.asdf", memmap=True))["plane"]


def as_recorder(array, *_):
    return Recorder(array)


KINDS = [as_memmap, as_section, as_compressed_section, as_dask, as_asdf, as_recorder]


@pytest.fixture(params=KINDS)
def lazy_planes(request, tmp_path):
    """Yield the planes as arrays that are read on demand, of one type at a time."""
    found = {}
    with ExitStack() as opened:
        for name, plane in PLANES.items():
            (tmp_path / name).mkdir()
            found[name] = request.param(plane, tmp_path / name, opened)
        yield found


def cut_primary(planes, **options):
    """Cut all sources out of the planes."""
    image = {"imdq": planes["dq"], "imweight": planes["weight"]}
    options = {"uncertainty": planes["uncertainty"], "pad": 4, "dqbitmask": 0} | options
    return create_primary_cutouts(
        CATALOG, planes["labels"], planes["data"], WCS, **image, keep_segmentation=True, **options
    )


@pytest.mark.parametrize("copy", [True, False])
def test_arrays_of_any_kind_give_the_same_cutouts(lazy_planes, copy):
    """Arrays of all types give the same cutouts as arrays in memory, in all planes."""
    assert_cutouts_equal(cut_primary(lazy_planes, copy=copy), cut_primary(PLANES))


def test_arrays_of_any_kind_give_the_same_mapped_cutouts(lazy_planes):
    """Arrays of all types can be exposures, and segmentation images on another grid."""
    primary, moved = cut_primary(PLANES), make_wcs("tan", SHAPE, crpix=(26, 31.3))
    results = []
    for planes in (PLANES, lazy_planes):
        options = {"imdq": planes["dq"], "imweight": planes["weight"], "segmentation_wcs": moved}
        flt, _ = create_input_image_cutouts(
            primary, planes["data"], WCS, mode="fill", mask_policy="neighbors",
            segmentation_image=planes["labels"], **options)  # fmt: skip
        drz, _ = drz_from_input_cutouts(flt, planes["labels"], planes["data"], WCS, **options)
        assert len(drz) == 4
        results.append(flt + drz)
    assert_cutouts_equal(*results)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("corners", [((-3, 5), (9, 20)), ((0, 0), None)])
def test_arrays_of_any_kind_give_the_same_single_cutout(lazy_planes, corners, copy):
    """The constructor gives the same cutout for arrays of all types, also for the whole image."""
    cutouts = []
    for planes in (PLANES, lazy_planes):
        more = {"dq": planes["dq"], "weight": planes["weight"]}
        cutout = Cutout(
            planes["data"], WCS, *corners, mode="fill", fillval=7, copy=copy,
            uncertainty=planes["uncertainty"], **more)  # fmt: skip
        cutouts.append(cutout)
    assert_cutouts_equal(*cutouts)


@pytest.mark.parametrize("scale", [{"bscale": 0.5, "bzero": 3}, {"bzero": 2**31}])
@pytest.mark.parametrize("compressed", [False, True])
def test_scaled_integers_of_fits_files(tmp_path, scale, compressed):
    """Integers with a scale in a FITS file are cut as the scaled values."""
    values = RNG.integers(0, 1000, SHAPE).astype(np.int32)
    hdu = fits.CompImageHDU(values) if compressed else fits.ImageHDU(values)
    hdu.header.update(scale)
    hdu.header["BLANK"] = -1
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "scaled.fits", output_verify="ignore")
    with fits.open(tmp_path / "scaled.fits") as file:
        expected = np.array(file[1].data)
    with fits.open(tmp_path / "scaled.fits") as file:
        cutouts = create_primary_cutouts(CATALOG, PLANES["labels"], file[1].section, WCS)
    assert_cutouts_equal(cutouts, create_primary_cutouts(CATALOG, PLANES["labels"], expected, WCS))


def test_masks_of_any_kind_are_combined():
    """Masks of all types are combined."""
    bits = (RNG.random((2, *SHAPE)) < 0.1).astype(np.uint8)

    def cut(image):
        return create_primary_cutouts(CATALOG, PLANES["labels"], image, WCS, mask_policy=None)

    for mask in (bits[0], Recorder(bits[0]), bits[0] > 0, bits[0].tolist()):
        for cutout in cut(NDData(PLANES["weight"], mask=mask)):
            assert_array_equal(cutout.mask, bits[0][cutout.extraction_slice] > 0)
        both = Cutout(np.ma.array(PLANES["weight"], mask=bits[1]), WCS, mask=mask, copy=False)
        for cutout in cut(both):
            assert_array_equal(cutout.mask, bits.any(0)[cutout.extraction_slice])


def test_only_needed_rows_are_read():
    """Only rows of cutouts are read, each once in each plane. Adjacent rows are read together."""
    planes = {name: Recorder(plane) for name, plane in PLANES.items()}
    cutouts = cut_primary(planes)
    needed = set()
    for cutout in cutouts:
        y, _ = cutout.extraction_slice
        needed |= set(range(y.start, y.stop))
    assert len(needed) < SHAPE[0]
    for name in ("data", "weight", "dq", "uncertainty"):
        assert sorted(planes[name].rows) == sorted(needed)
        # The first two sources share rows, so that their rows are read together.
        assert len(planes[name].read) == 3
    # All labels must be read to find the sources.
    assert sorted(planes["labels"].rows) == sorted([*range(SHAPE[0]), *needed])


def test_only_needed_columns_are_read():
    """If all sources lie in some of the columns, only these columns are read."""
    data = Recorder(PLANES["data"])
    create_primary_cutouts({"id": [4]}, PLANES["labels"], data, WCS, pad=1)
    assert data.read == [(51, 58, 9, 18)]


@given(
    st.lists(
        st.tuples(st.integers(-5, 60), st.integers(-5, 70), st.integers(1, 15), st.integers(1, 15)),
        min_size=1,
        max_size=20,
    ),
    st.integers(1, 40),
)
def test_bands_give_the_pixels_of_the_boxes(boxes, rows):
    """Reading an image in bands of rows gives the right pixels and reads only the rows of boxes."""
    boxes = PixelBoxes(*np.array(boxes).T)
    image = Recorder(RNG.integers(1, 1000, SHAPE))
    limit = rows * SHAPE[1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "_BAND_BYTES", limit * image.dtype.itemsize)
        found = cut_boxes(LazyArray(image), boxes, 0, image.dtype)
    assert_array_equal(found, cut_boxes(image.array, boxes, 0, image.dtype))
    read = [(y2 - y1) * (x2 - x1) for y1, y2, x1, x2 in image.read]
    assert max(read, default=0) <= max(limit, 15 * SHAPE[1])
    needed = {
        row
        for y, height in zip(boxes.ymin.tolist(), boxes.height.tolist(), strict=True)
        for row in range(max(y, 0), min(y + height, SHAPE[0]))
    }
    assert set(image.rows) <= needed


@pytest.mark.parametrize("rows", [16, 30, 1000])
def test_bands_read_each_row_at_most_twice(monkeypatch, rows):
    """If boxes extend over several bands, rows are read at most twice in total."""
    monkeypatch.setattr(lazy, "_BAND_BYTES", rows * SHAPE[1] * 8)
    image = Recorder(RNG.integers(0, 10, SHAPE))
    y, x = np.mgrid[0:53, 0:43].reshape(2, -1)
    boxes = PixelBoxes(x, y, x * 0 + 8, x * 0 + 8)
    for _ in read_bands(LazyArray(image), boxes):
        pass
    assert len(image.rows) <= 2 * SHAPE[0]


@given(st.integers(0, 200), st.integers(1, 40))
def test_points_equal_the_array(number, rows):
    """Single pixels that are read on demand equal the pixels of the array."""
    image, y = Recorder(PLANES["dq"]), RNG.integers(0, SHAPE[0], number)
    x = RNG.integers(0, SHAPE[1], number)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lazy, "_BAND_BYTES", rows * SHAPE[1] * 2)
        assert_array_equal(read_points(LazyArray(image), x, y), PLANES["dq"][y, x])
    assert set(image.rows) == set(y.tolist())


def test_segments_across_bands_have_one_box(monkeypatch):
    """A segment in several bands of rows has a single box."""
    expected = label_boxes(PLANES["labels"])
    for name in ("_BAND_BYTES", "_CACHE_PIXELS"):
        monkeypatch.setattr(lazy, name, 4 * SHAPE[1])
    for image in (PLANES["labels"], LazyArray(Recorder(PLANES["labels"]))):
        labels, boxes = label_boxes(image)
        pairs = (labels, expected[0]), (boxes.low, expected[1].low), (boxes.high, expected[1].high)
        for found, right in pairs:
            assert_array_equal(found, right)


@pytest.mark.parametrize("wrap", [np.ma.masked_array, lambda a: a * u.Jy])
def test_mask_or_unit_of_pixels_is_an_error(wrap):
    """Pixels that are read with a mask or a unit raise an error, because both would be lost."""
    data = Recorder(wrap(PLANES["weight"]))
    with pytest.raises(TypeError, match="its mask or unit"):
        create_primary_cutouts(CATALOG, PLANES["labels"], data, WCS)


def test_pixels_of_another_type_are_an_error():
    """Reading pixels that the type of the image cannot hold is an error."""
    data = Recorder(PLANES["weight"])
    data.dtype = np.dtype("i2")
    with pytest.raises(TypeError, match="an image of int16 must not have pixels of float32"):
        create_primary_cutouts(CATALOG, PLANES["labels"], data, WCS)


@pytest.mark.parametrize("shape", [(60,), (60, 50, 2), (50, 60)])
def test_shapes_are_checked_without_reading(shape):
    """An array of the wrong shape is an error before any pixel is read."""
    weight = Recorder(np.zeros(shape))
    with pytest.raises(ValueError, match=r"imweight (has|must have 2)"):
        create_primary_cutouts(CATALOG, PLANES["labels"], PLANES["data"], WCS, imweight=weight)
    assert weight.read == []


@pytest.mark.parametrize("value", [3, [1, 2], np.float64(3), np.zeros((2, 2)), memoryview(b"ab")])
def test_objects_in_memory_become_arrays(value):
    """Numbers, lists and buffers become NumPy arrays."""
    assert isinstance(as_image(value), np.ndarray)


# Memory


def peak_memory(function):
    """Return the peak memory of a call in bytes and its result. The memory includes the result."""
    tracemalloc.start()
    try:
        result = function()
        return tracemalloc.get_traced_memory()[1], result
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def large():
    """Large planes with few sources."""
    shape = (3000, 4000)
    labels = np.zeros(shape, np.int32)
    for label in range(1, 101):
        y, x = divmod(label, 10)
        labels[y * 200 + 50 :, x * 300 + 50 :][:20, :20] = label
    noise = RNG.random(shape, np.float32)
    return {
        "data": noise,
        "labels": labels,
        "dq": np.zeros(shape, np.uint8),
        "mask": np.zeros(shape, np.uint8),
    }


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<i2", "f8"])
@pytest.mark.parametrize("copy", [True, False])
def test_no_plane_is_copied(large, dtype, copy):
    """Cutting does not copy or convert a whole plane, for all types of planes and masks."""
    data = (large["data"] * 9 + 1).astype(dtype)
    image = NDData(
        np.ma.array(data, mask=large["mask"].view(bool)),
        uncertainty=StdDevUncertainty(data, copy=False), wcs=make_wcs("tan", data.shape),
    )  # fmt: skip
    whole = Cutout(image, None, mask=large["mask"], dq=large["dq"], copy=False)
    catalog = {"id": np.arange(1, 101)}
    for source in (image, whole):
        options = {"imdq": large["dq"].astype(">i2"), "imweight": data, "copy": copy}
        peak, cutouts = peak_memory(
            lambda source=source, options=options: create_primary_cutouts(
                catalog, large["labels"], source, None, **options
            )
        )
        assert len(cutouts) == 100
        # The smallest plane has 12 MB, so that a copy of any plane would exceed the limit.
        assert peak < 10e6


def test_memory_does_not_grow_with_the_image(large):
    """The memory of cutting depends on the size of the cutouts, not on the size of the image."""
    catalog = {"id": np.arange(1, 101)}
    wcs = make_wcs("tan", large["data"].shape)
    peaks = []
    for rows in (1500, 3000):
        part = large["labels"][:rows].copy()
        part[1000:] = 0
        peak, _ = peak_memory(
            lambda part=part, rows=rows: create_primary_cutouts(
                catalog, part, large["data"][:rows], wcs
            )
        )
        peaks.append(peak)
    assert peaks[1] < 1.2 * peaks[0]


def test_large_labels_need_no_memory():
    """The label two billion takes no more memory than the label 2."""
    labels = np.zeros((1000, 1000), np.int32)
    labels[10:20, 10:20], labels[30:35, 30:35] = 1, 2
    small, _ = peak_memory(lambda: label_boxes(labels))
    labels[labels == 2] = 2_000_000_000
    huge, (found, boxes) = peak_memory(lambda: label_boxes(labels))
    assert found.tolist() == [1, 2_000_000_000]
    assert [*boxes.low[:, 1], *boxes.high[:, 1]] == [30, 30, 34, 34]
    assert huge < small + 10_000


# Masks of whole images


def test_mask_of_the_whole_image_is_not_computed():
    """The mask of a whole image is not computed when it is only cut."""
    flags = Recorder(PLANES["dq"])
    data, variance = Recorder(PLANES["weight"]), Recorder(PLANES["uncertainty"])
    image = Cutout(
        data, WCS, dq=flags, data_units="counts", copy=False, unit="Jy",
        uncertainty=VarianceUncertainty(variance, unit="mJy2", copy=False))  # fmt: skip
    for options in ({}, {"dqbitmask": 40_000}, {"dqbitmask": None}):
        found = create_primary_cutouts(CATALOG, PLANES["labels"], image, None, **options)
        expected = create_primary_cutouts(
            CATALOG, PLANES["labels"], PLANES["weight"] * u.Jy, WCS, PLANES["dq"],
            uncertainty=VarianceUncertainty(PLANES["uncertainty"], unit="mJy2"), **options
        )  # fmt: skip
        assert_cutouts_equal(found, expected)
    for plane in (data, flags, variance):
        assert 0 < len(set(plane.rows)) < SHAPE[0]


def test_changed_mask_of_the_image_is_used():
    """If the mask of an image is changed, later cutouts have the changed mask."""
    image = Cutout(PLANES["weight"], WCS, dq=PLANES["dq"], copy=False)
    assert_array_equal(image.mask, PLANES["dq"] != 0)
    image.mask[...] = False
    image.mask[30, 20] = True
    cutouts = create_primary_cutouts(
        {"id": [3]}, PLANES["labels"], image, None, pad=0, dqbitmask=None
    )
    assert np.argwhere(cutouts[0].mask).tolist() == [[0, 0]]


def test_deferred_mask_belongs_to_the_original_pixels():
    """A deferred mask is computed from the original pixels, even after pixels are replaced."""
    image = Cutout(PLANES["weight"], WCS, dq=PLANES["dq"], copy=False)
    image.data = np.full(SHAPE, np.nan)
    image.dq = None
    assert_array_equal(image.mask, PLANES["dq"] != 0)


def test_flags_argument_adds_to_the_mask_of_the_image():
    """Flags in an argument mask pixels in addition to the pixels that the image masks."""
    image = Cutout(PLANES["weight"], WCS, dq=PLANES["dq"], copy=False)
    other_flags = np.zeros(SHAPE, np.uint8)
    cutouts = create_primary_cutouts(
        CATALOG, PLANES["labels"], image, None, other_flags, mask_policy=None
    )
    for cutout in cutouts:
        assert_array_equal(cutout.mask, PLANES["dq"][cutout.extraction_slice] != 0)


@pytest.mark.parametrize(
    "make_copy",
    [copy.copy, copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c)), lambda c: c[:, :]],
)
def test_copies_have_deferred_pixels(make_copy):
    """Copies, pickles and slices of an image have its deferred pixels and its deferred mask."""
    image = Cutout(LazyArray(PLANES["data"]), WCS, dq=PLANES["dq"], copy=False)
    new = make_copy(image)
    assert_array_equal(new.data, PLANES["data"])
    assert_array_equal(new.mask, PLANES["dq"] != 0)


def test_deferred_pixels_are_read_once():
    """Planes of a whole image are read once, at their first use. They are read-only."""
    image = Cutout(LazyArray(PLANES["data"]), WCS, dq=PLANES["dq"].astype(">u2"), copy=False)
    for name in ("data", "dq"):
        pixels = getattr(image, name)
        assert pixels is getattr(image, name)
        assert pixels.dtype.isnative
        with pytest.raises(ValueError, match="read-only"):
            pixels[0, 0] = 1
    assert image.copy().data.flags.writeable


def test_repr_reads_no_pixels():
    """The `repr` of a large image reads no pixels. It contains only values that are in memory."""
    data, variance = Recorder(PLANES["data"]), Recorder(PLANES["uncertainty"])
    image = Cutout(data, WCS, uncertainty=VarianceUncertainty(variance, copy=False), copy=False)
    text = image._repr_html_() + repr(image)
    assert not data.read
    assert not variance.read
    assert f"<td>data ({data.dtype}), mask (bool), uncertainty ({variance.dtype})</td>" in text
    assert "<td>VarianceUncertainty</td>" in text
    assert "masked" not in text
    assert f"{np.count_nonzero(image.mask)} masked" in image._repr_html_()


def test_slices_read_only_their_rows():
    """A slice of a large image reads only its rows and equals the slice of an array."""
    planes = {name: Recorder(PLANES[name].astype(PLANES[name].dtype.newbyteorder(">")))
              for name in ("data", "weight", "uncertainty", "dq")}  # fmt: skip
    image = Cutout(wcs=WCS, **planes, copy=False)
    for plane in planes.values():
        plane.read.clear()
    part = image[10:15, 3:20]
    whole = Cutout(wcs=WCS, **{name: PLANES[name] for name in planes})
    assert_cutouts_equal(part, whole[10:15, 3:20])
    assert part.mask.any()
    for plane in planes.values():
        assert set(plane.rows) == set(range(10, 15))
    # Planes that were read before are shared with the slice.
    assert not part.data.flags.writeable
    assert np.shares_memory(part.data, part[1:].data)
    assert np.shares_memory(image.mask, image[10:15, 3:20].mask)
    assert np.shares_memory(image.data, image[10:15, 3:20].data)
