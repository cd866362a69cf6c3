"""Collections of cutouts behave like lists and like tables."""

import copy
import gc
import pickle
import weakref
from collections import ChainMap

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import StdDevUncertainty
from astropy.table import Table
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout, CutoutCollection, create_primary_cutouts
from subpixal.cutout.storage import Dropped, as_ids
from subpixal.datasets import make_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = NY, NX = 60, 80
WCS, OTHER_WCS = make_wcs("sip", SHAPE), make_wcs("tan", SHAPE, rotation=10)
RNG = np.random.default_rng(3)
IMAGE = RNG.normal(10, 1, SHAPE).astype(np.float32)
DQ = np.zeros(SHAPE, np.uint16)
LABELS = np.zeros(SHAPE, int)
IDS = [4, 9, 2, 7, 5]
for number, label in enumerate(IDS):
    y, x = 5 + 11 * number, 6 + 14 * number
    LABELS[y : y + 4 + number, x : x + 9 - number] = label


def make(**kwargs):
    """Return a collection of primary cutouts, from which one source was rejected."""
    catalog = Table({"id": [*IDS, 33], "w": np.arange(6.0)})
    kwargs = {"imdata": IMAGE, "imwcs": WCS, "imdq": DQ, "uncertainty": IMAGE + 1, **kwargs}
    return create_primary_cutouts(catalog, LABELS, mask_policy=None, src_weight="w", **kwargs)


def cut_one(blc, src_id=0, wcs=WCS, **kwargs):
    """Cut a single cutout."""
    return Cutout(IMAGE, wcs, blc, np.add(blc, (4, 3)), src_id=src_id, **kwargs)


def make_list():
    """Return a collection of cutouts that were cut one by one from two images."""
    return CutoutCollection(
        [cut_one((1, 2), 1), cut_one((3, 4), "b", OTHER_WCS), cut_one((5, 6), 1)]
    )


both = pytest.mark.parametrize("make", [make, make_list])


def ids(collection):
    """Return the ids of the cutouts."""
    return [cutout.src_id for cutout in collection]


def boxes(collection):
    """Return the ids and the corners of the cutouts."""
    return [(cutout.src_id, cutout.blc, cutout.trc) for cutout in collection]


# As a list


def test_collection_is_a_sequence():
    """A collection has the length, indices, iteration and order of a list of its cutouts."""
    collection = make()
    assert len(collection) == 5
    assert ids(collection) == IDS
    assert [c.src_id for c in reversed(collection)] == IDS[::-1]
    assert [collection[i].src_id for i in (0, 4, -1, -5, np.int64(2))] == [4, 5, 5, 4, 2]
    assert collection.index(collection[3]) == 3
    assert_array_equal(collection[1].data, IMAGE[collection[1].extraction_slice])


@given(st.slices(5))
def test_slice_is_a_collection(item):
    """A slice is a collection with the same cutouts as the slice of a list."""
    collection = make()
    part = collection[item]
    assert isinstance(part, CutoutCollection)
    assert list(part) == list(collection)[item]


@given(st.lists(st.integers(-5, 4), max_size=8))
def test_integers_select_cutouts(item):
    """A list or an array of indices selects cutouts in the order of the indices."""
    collection = make()
    for part in (collection[item], collection[np.array(item, np.int16)]):
        assert list(part) == [list(collection)[i] for i in item]


@given(st.lists(st.booleans(), min_size=5, max_size=5))
def test_booleans_select_cutouts(item):
    collection = make()
    expected = [c for c, keep in zip(collection, item, strict=True) if keep]
    for part in (collection[item], collection[np.array(item)]):
        assert list(part) == expected


@pytest.mark.parametrize(
    "item", [5, -6, [True, False], np.ones((5, 1), bool), np.True_, 1.5, [0.0, 1.0], "4", None,
             np.zeros((2, 2), int), (slice(2), slice(2))],
    ids=str,
)  # fmt: skip
def test_invalid_index_is_an_error(item):
    with pytest.raises(IndexError):
        make()[item]


def test_only_cutouts_of_the_collection_are_in_it():
    collection = make()
    assert collection[2] in collection
    assert collection[2] not in collection[:2]
    assert collection[2].copy() not in collection
    assert 4 not in collection


@both
def test_empty_collection(make):
    """All methods work without errors on a collection without cutouts."""
    collection = make()
    for empty in (CutoutCollection(), CutoutCollection([]), collection[:0], collection[[]]):
        assert (len(empty), list(empty), empty.images, len(empty.table)) == (0, [], (), 0)
        assert empty.group_by("image") == {}
        assert len(empty.ids) == len(empty.image_numbers) == 0
        assert len(pickle.loads(pickle.dumps(empty))) == len(copy.deepcopy(empty)) == 0
        assert len(empty.copy()) == len(empty + empty) == len(empty.with_image_wcs(WCS)) == 0
        assert ids(empty + collection) == ids(collection)
        with pytest.raises(KeyError, match="no cutout has the id 4"):
            empty.select(4)


def test_sum_has_the_cutouts_of_both():
    """The sum of two collections contains the original cutouts of both, not copies."""
    a, b = make(), make_list()
    total = a[1:3] + b + a[:1]
    assert list(total) == [*a[1:3], *b, a[0]]
    assert total.table.colnames == a.table.colnames
    with pytest.raises(TypeError):
        a + list(b)


def test_other_objects_are_errors():
    with pytest.raises(TypeError, match="cutouts must hold Cutouts, number 1 is a ndarray"):
        CutoutCollection([cut_one((1, 2)), IMAGE])


def test_repr():
    assert repr(make()) == "<CutoutCollection: 5 cutouts of 1 images, 1 dropped>"
    assert repr(make_list()) == "<CutoutCollection: 3 cutouts of 2 images, 0 dropped>"


def test_html_shows_the_first_rows():
    """The HTML for notebooks shows the table of a collection. A long table is shortened."""
    html = make_list()._repr_html_()
    assert html.startswith("<p>&lt;CutoutCollection: 3 cutouts of 2 images, 0 dropped&gt;</p>")
    assert html.count("<tr><td>") == 3
    assert "<td>b</td>" in html
    many = CutoutCollection([cut_one((1, 2))] * 1000)
    assert many._repr_html_().count("<tr><td>") < 100
    assert "length=0" in CutoutCollection()._repr_html_()


# Views


@both
def test_same_index_gives_the_same_object(make):
    """An index returns the same object as long as a reference to the object exists."""
    collection = make()
    cutout = collection[1]
    assert collection[1] is collection[-len(collection) + 1] is list(collection)[1] is cutout
    assert collection[1:][0] is collection[[True] * len(collection)][1] is cutout
    assert (collection + collection)[len(collection) + 1] is cutout


@pytest.mark.parametrize("keeps_object", [True, False])
def test_changes_of_a_cutout_last(keeps_object):
    """The collection keeps changes of a cutout, even after the object of the cutout is deleted."""
    collection = make()
    cutout = collection[2]
    before, reference = cutout.data.copy(), weakref.ref(cutout)
    cutout.blc, cutout.dx, cutout.exptime, cutout.src_id = (-3, 4), 0.5, 9, "new"
    cutout.src_pos, cutout.src_weight, cutout.data_units = (1, 2), 3, "rate"
    cutout.data[0, 0] = -5
    cutout.weight = before + 2
    cutout.mask |= True
    cutout.uncertainty = StdDevUncertainty(before + 3)
    cutout.meta["a"], cutout.psf = 1, "gauss"
    if not keeps_object:
        del cutout
        gc.collect()
        assert reference() is None
    cutout = collection[2]
    assert (cutout.blc, cutout.dx, cutout.exptime, cutout.src_id) == ((-3, 4), 0.5, 9, "new")
    assert (cutout.src_pos, cutout.src_weight, cutout.data_units) == ((1, 2), 3, "rate")
    assert cutout.data[0, 0] == -5
    assert_array_equal(cutout.weight, before + 2)
    assert cutout.mask.all()
    assert_array_equal(cutout.uncertainty.array, before + 3)
    assert cutout.uncertainty.parent_nddata is cutout
    assert (cutout.meta["a"], cutout.psf) == (1, "gauss")


def test_changes_do_not_reach_other_cutouts():
    """Changing a cutout changes neither other cutouts nor the image."""
    image, collection, untouched = IMAGE.copy(), make(), make()
    collection = make(imdata=image)
    cutout = collection[1]
    cutout.data[:], cutout.mask[:], cutout.flags[:] = 7, True, 8
    cutout.blc, cutout.src_id, cutout.meta["a"] = (0, 0), "x", 1
    cutout.weight = cutout.data
    others = [0, 2, 3, 4]
    assert_cutouts_equal(collection[others], untouched[others])
    assert all(c.weight is None and "a" not in c.meta for c in collection[others])
    assert_array_equal(image, IMAGE)


@both
def test_slices_share_cutouts(make):
    """A slice contains the original cutouts, like the slice of a list."""
    collection = make()
    part = collection[1:]
    part[0].dx, part[0].data = 4.5, part[0].data * 2
    assert collection[1].dx == 4.5
    assert_array_equal(collection[1].data, part[0].data)
    collection[1].src_id = "later"
    assert part[0].src_id == part.ids[0] == "later"
    assert copy.copy(collection)[1] is collection[1]


def test_collection_refers_to_the_cutouts_of_a_list():
    """A collection that is made of a list contains the objects in the list."""
    cutouts = [cut_one((1, 2), "a"), make()[3], cut_one((7, 7), "c")]
    collection = CutoutCollection(cutouts)
    assert list(collection) == cutouts
    collection[0].dy = 3
    cutouts[1].dx = 2
    assert (cutouts[0].dy, collection[1].dx) == (3, 2)
    assert list(CutoutCollection(make())[1:2].ids) == [9]


# Many images


def test_image_numbers_refer_to_images():
    """Image numbers are indices into the list of images, which contains each image once."""
    collection = make_list() + make()
    assert [image.wcs for image in collection.images] == [WCS, OTHER_WCS, WCS]
    assert_array_equal(collection.image_numbers, [0, 1, 0, 2, 2, 2, 2, 2])
    part = collection[1:3]
    assert [image.wcs for image in part.images] == [OTHER_WCS, WCS]
    assert_array_equal(part.image_numbers, [0, 1])
    for cutout, number in zip(collection, collection.image_numbers, strict=True):
        assert cutout.image_wcs is collection.images[number].wcs


def test_cutouts_of_one_image_share_it():
    """Cutouts that were cut one by one share one image if their WCS and attributes are equal."""
    meta = {"FILENAME": "a.fits"}
    cutouts = [cut_one((x, 2), meta=meta, unit=u.ct, exptime=5) for x in range(5)]
    collection = CutoutCollection(cutouts)
    assert len(collection.images) == 1
    assert len(collection.copy().images) == len(pickle.loads(pickle.dumps(collection)).images) == 1
    longer = CutoutCollection([*cutouts, cut_one((1, 1), meta=meta, unit=u.ct, exptime=6)])
    assert [image.exptime for image in longer.images] == [5, 6]


def test_group_by_column():
    collection = make_list()
    groups = collection.group_by("image")
    assert {key: ids(group) for key, group in groups.items()} == {0: [1, 1], 1: ["b"]}
    assert groups[1][0] is collection[1]
    assert {key: len(g) for key, g in collection.group_by("id").items()} == {1: 2, "b": 1}
    assert list(collection.group_by("blc")) == [(1, 2), (3, 4), (5, 6)]
    assert list(collection.group_by("src_weight")) == [None]
    with pytest.raises(KeyError, match=r"column must be one of .*'status'.* got 'flux'"):
        collection.group_by("flux")


def test_select_by_id():
    collection = make_list()
    assert list(collection.select(1)) == [collection[0], collection[2]]
    assert list(collection.select("b")) == [collection[1]]
    for missing in (3, "1", None):
        with pytest.raises(KeyError, match=f"no cutout has the id {missing!r}"):
            collection.select(missing)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([1, 2], "i8"), (["a", "bcd"], "U3"), ([1.5, 2.0], "f8"), ([1, "a"], object),
     ([1, 2.5], object), ([(1, 2), (3, 4)], object), ([None, 2**80], object), ([2**63, 1], object),
     ([2**63], "u8"), ([True, 2], object)],
    ids=str,
)  # fmt: skip
def test_ids_have_the_simplest_type(values, dtype):
    """Identifiers keep their type. Their array has the simplest type that holds all of them."""
    collection = CutoutCollection([cut_one((1, 2), value) for value in values])
    assert collection.ids.dtype == dtype
    assert collection.ids.tolist() == collection.table["id"].tolist() == values
    assert [type(i) for i in ids(collection)] == [type(value) for value in values]
    for value, cutout in zip(values, collection, strict=True):
        assert cutout in collection.select(value)
        assert cutout in collection.group_by("id")[value]


def test_ids_keep_their_type_in_a_sum():
    """A sum of collections with different types of identifiers changes no identifier."""
    a, b = make(), make()
    for cutout, name in zip(b, "abcde", strict=True):
        cutout.src_id = name
    assert (a + b).ids.tolist() == [*IDS, *"abcde"]
    assert (a + b).select(9)[0] is a[1]
    b[0].src_id = 2**63
    assert (a + b[:1]).ids.tolist() == [*IDS, 2**63]


# As a table


def test_table_has_the_attributes_of_the_cutouts():
    """The table has a row for each cutout. Its columns are named after attributes."""
    collection = make() + make_list()
    collection[2].dx, collection[2].blc = 0.5, (-4, 3)
    table = collection.table
    assert len(table) == len(collection)
    for cutout, row in zip(collection, table, strict=True):
        for name in ("blc", "trc", "src_pos"):
            assert tuple(row[name]) == getattr(cutout, name)
        for name in ("status", "dx", "dy", "exptime", "data_units"):
            assert row[name] == getattr(cutout, name)
        assert row["id"] == cutout.src_id
        assert collection.images[row["image"]].wcs is cutout.image_wcs
    assert_array_equal(table["src_weight"], [0, 1, 2, 3, 4, np.nan, np.nan, np.nan])
    assert_array_equal(make()[:2].table["id"], IDS[:2])


def test_changes_of_the_table_do_not_reach_the_cutouts():
    collection = make()
    table = collection.table
    for name in ("id", "dx", "exptime", "blc", "src_pos"):
        table[name][:] = 77
    assert collection[0].src_id == 4
    assert (collection[0].dx, collection[0].exptime) == (0, 1)
    assert 77 not in (*collection[0].blc, *collection[0].src_pos)


# Rejected sources


def test_rejected_sources_stay_with_the_whole_collection():
    """Copies of a whole collection list the rejected sources. Parts of it list none."""
    collection = make()
    assert collection.dropped.colnames == ["id", "status", "stage", "image", "message"]
    assert list(collection.dropped["id"]) == [33]
    assert list(collection.dropped["status"]) == ["not_in_segmentation"]
    for part in (collection[1:], collection[[0]], collection.select(4), collection[:],
                 collection.group_by("image")[0]):  # fmt: skip
        assert len(part.dropped) == 0
        assert part.dropped.colnames == collection.dropped.colnames
    total = collection + collection[:2] + make()
    assert list(total.dropped["id"]) == [33, 33]
    pickled = pickle.loads(pickle.dumps(collection))
    for same in (collection.copy(), copy.copy(collection), copy.deepcopy(collection), pickled,
                 collection.with_image_wcs(WCS)):  # fmt: skip
        assert list(same.dropped["id"]) == [33]
    collection.dropped["status"] = "lost"
    assert list(collection.dropped["status"]) == ["not_in_segmentation"]


@pytest.mark.parametrize("values", [[1, 2], [1, "a"], [(1, 2), (3, 4)], ["a", "b"], [2**63, 1]])
def test_ids_of_rejected_sources_keep_their_type(values):
    """Identifiers of rejected sources keep their type."""
    dropped = [Dropped(as_ids([value]), "error", "drz", "a.fits", "") for value in values]
    table = CutoutCollection().with_dropped(dropped).dropped
    assert table["id"].tolist() == values
    assert list(table["image"]) == ["a.fits"] * 2


# Copies


COPIES = {
    "copy": CutoutCollection.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda collection: pickle.loads(pickle.dumps(collection)),
}


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("views", [True, False])
def test_copies_are_independent(make_copy, views):
    """Copies, deep copies and pickles have their own pixels and attributes."""
    collection = make(copy=not views) + make_list()
    collection[1].weight, collection[1].meta["a"] = collection[1].data, 1
    collection = collection + collection[1:2]
    new = make_copy(collection)
    assert_cutouts_equal(new, collection)
    assert new[-1] is new[1]
    assert_array_equal(new[1].weight, collection[1].data)
    for cutout in new:
        cutout.data[:], cutout.mask[:], cutout.dx, cutout.src_id = 0, True, 5, "x"
    new[1].meta["a"] = 2
    assert all((c.data > 0).any() and c.dx == 0 and c.src_id != "x" for c in collection)
    assert collection[1].meta["a"] == 1


def test_only_deep_copies_copy_the_wcs():
    """A copy shares its WCSs with the original. Deep copies and pickles copy each WCS once."""
    collection = make() + make_list()
    assert [image.wcs for image in collection.copy().images] == [WCS, WCS, OTHER_WCS]
    for new in (copy.deepcopy(collection), pickle.loads(pickle.dumps(collection))):
        wcs = {id(cutout.image_wcs): cutout.image_wcs for cutout in new}
        assert len(wcs) == 2
        assert not {id(WCS), id(OTHER_WCS)} & set(wcs)
        assert_array_equal(new.image_numbers, collection.image_numbers)


def test_copy_of_a_part_holds_only_its_pixels():
    """A copy of a part does not keep the pixels of other cutouts in memory."""
    collection = make()
    part = collection[1:2].copy()
    assert_cutouts_equal(part, collection[1:2])
    assert part[0].data.base.size == part[0].size
    assert len(pickle.dumps(collection[:1])) < len(pickle.dumps(collection))


def test_metadata_are_layered_over_the_image():
    """Cutouts share the metadata of their image, and their own metadata override them."""
    meta = {"FILENAME": "a.fits", "n": 1}
    collection = CutoutCollection([cut_one((1, 2), meta=meta), cut_one((3, 4), meta=meta)])
    collection[0].meta["n"] = 2
    assert isinstance(collection[0].meta, ChainMap)
    assert [c.meta["n"] for c in collection] == [2, 1]
    meta["new"] = 5
    assert collection[0].meta["new"] == 5
    assert "n" not in collection.copy()[1].meta.maps[0]


def test_reading_attributes_does_not_change_the_pickle():
    """Reading attributes does not change the pickle of a collection."""
    collection = make()
    before = pickle.dumps(collection)
    assert all(c.meta == {} and c.uncertainty and c.wcs and c.psf is None for c in collection)
    assert pickle.dumps(collection) == before


# A corrected WCS


def test_new_wcs_keeps_pixels_and_positions():
    """A new WCS applies to all cutouts. Pixels and pixel positions do not change."""
    collection = make()
    collection[1].dx, collection[1].meta["a"] = 0.5, 1
    new = collection.with_image_wcs(OTHER_WCS)
    assert boxes(new) == boxes(collection)
    for a, b in zip(new, collection, strict=True):
        assert (a.image_wcs, b.image_wcs) == (OTHER_WCS, WCS)
        assert (a.src_pos, a.dx) == (b.src_pos, b.dx)
        assert np.shares_memory(a.data, b.data)
        x0, y0 = a.origin
        expected = OTHER_WCS.pixel_to_world_values(x0 + 1, y0 + 2)
        assert_allclose(a.pix2world(1, 2), expected, rtol=0, atol=1e-12)
    assert len(new.images) == 1
    new[1].dx, new[1].meta["a"], new[1].weight = 2, 3, new[1].data
    assert (collection[1].dx, collection[1].meta["a"], collection[1].weight) == (0.5, 1, None)


def test_new_wcs_by_image_number():
    """A dictionary of image numbers and new WCSs replaces the WCSs of these images only."""
    collection, third = make_list(), make_wcs("tan", SHAPE)
    new = collection.with_image_wcs({0: third})
    assert [c.image_wcs for c in new] == [third, OTHER_WCS, third]
    assert [c.image_wcs for c in collection] == [WCS, OTHER_WCS, WCS]
    assert_array_equal(new.image_numbers, [0, 1, 0])
    new[1].dx = 3
    assert collection[1].dx == 0
    both = collection.with_image_wcs({0: third, 1: WCS})
    assert [c.image_wcs for c in both] == [third, WCS, third]
    assert [c.image_wcs for c in collection[::2].with_image_wcs(third)] == [third, third]


@pytest.mark.parametrize(
    ("error", "message", "wcs"),
    [
        (ValueError, "wcs must be a mapping by image number: there are 2 images", WCS),
        (ValueError, r"wcs has image numbers \[2, 'a'\], there are 2 images", {2: WCS, "a": WCS}),
        (TypeError, r"wcs must be an APE 14 WCS .* got str", {0: "sky"}),
    ],
)
def test_invalid_wcs_is_an_error(error, message, wcs):
    with pytest.raises(error, match=message):
        make_list().with_image_wcs(wcs)
