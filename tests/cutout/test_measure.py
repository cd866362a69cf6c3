"""Results of `measure`, which applies a function to each cutout of a collection."""

from functools import partial

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs

SHAPE = (40, 50)
WCS = make_wcs("tan", SHAPE)
OTHER = make_wcs("sip", SHAPE)
RNG = np.random.default_rng(3)
IMAGE = RNG.normal(10, 1, SHAPE)
SIGMA = RNG.uniform(1, 2, SHAPE)


@pytest.fixture
def cutouts():
    """Cutouts of two images, of two sizes and in mixed order."""
    boxes = [(4, (3, 5), WCS), (2, (20, 11), OTHER), (9, (0, 0), WCS)]
    return CutoutCollection(
        Cutout(IMAGE, wcs, blc, (blc[0] + 4, blc[1] + 3 + src_id % 2), src_id=src_id,
               uncertainty=SIGMA, mask=IMAGE > 11)
        for src_id, blc, wcs in boxes
    )  # fmt: skip


def test_function_gets_the_data_by_default(cutouts):
    """
    By default, the function gets the data.

    The table has a row for each cutout, in their order.
    """
    table = cutouts.measure(np.nanmean)
    assert isinstance(table, QTable)
    assert table.colnames == ["id", "image", "status", "message", "nanmean"]
    assert table["id"].tolist() == [4, 2, 9]
    assert_array_equal(table["image"], cutouts.image_numbers)
    assert table["nanmean"].tolist() == [np.nanmean(c.data) for c in cutouts]
    assert set(table["status"]) == {"ok"}
    assert set(table["message"]) == {""}


def test_function_gets_planes_by_position_or_name(cutouts):
    """Arguments of the function are planes, other attributes of a cutout, or the cutout itself."""

    def add(data, mask, *, error):
        return data[~mask].sum() + error.max()

    table = cutouts.measure(add, "data", "mask", error="error")
    assert table["add"].tolist() == [add(c.data, c.mask, error=c.error) for c in cutouts]
    named = cutouts.measure(add, mask="mask", error="error")
    assert named["add"].tolist() == table["add"].tolist()
    whole = cutouts.measure(lambda cutout: add(cutout.data, cutout.mask, error=SIGMA), "cutout")
    assert whole.colnames[-1] == "value"
    assert whole["value"].tolist() == [add(c.data, c.mask, error=SIGMA) for c in cutouts]
    assert cutouts.measure(len, "flags")["status"].tolist() == ["error"] * 3
    assert_array_equal(cutouts.measure(np.add, "src_pos", "blc")["add"],
                       cutouts.table["src_pos"] + cutouts.table["blc"])  # fmt: skip


@pytest.mark.parametrize(
    "function",
    [
        lambda d: d.shape,
        lambda d: (d.min(), d.max()),
        lambda d: np.eye(2) * d[0, 0],
        lambda d: d.shape[0],
        lambda d: d.shape[0] > 4,
        lambda d: complex(d[0, 0], 1),
        lambda d: f"{d[0, 0]:.3f}",
    ],
)
def test_results_keep_type_and_shape(function, cutouts):
    """Numbers, tuples, arrays and strings become columns with the same type and shape."""
    values = [function(c.data) for c in cutouts]
    column = cutouts.measure(function)["value"]
    assert_array_equal(column, np.array(values))
    assert column.dtype == np.array(values).dtype


def test_quantities_have_the_unit_of_the_first_result(cutouts):
    """Results with compatible units become a column in the unit of the first result."""
    units = iter([u.Jy, u.mJy, u.Jy])
    table = cutouts.measure(lambda _: 2 * next(units))
    assert_array_equal(table["value"], [2, 0.002, 2] * u.Jy)
    units = iter([u.Jy, u.s, u.Jy])
    mixed = cutouts.measure(lambda _: 2 * next(units))["value"]
    assert mixed.dtype == object
    assert list(mixed) == [2 * u.Jy, 2 * u.s, 2 * u.Jy]
    magnitudes = cutouts.measure(lambda d: u.Magnitude(d[0, 0] * u.ct))["value"]
    assert magnitudes.unit == u.mag(u.ct)


def test_dicts_become_columns(cutouts):
    """Each key of a dictionary becomes a column. Where a key is missing, the value is NaN."""
    keys = iter([("a", "b"), ("b",), ("a", "b", "c")])
    table = cutouts.measure(lambda d: dict.fromkeys(next(keys), d[0, 0]))
    first = [c.data[0, 0] for c in cutouts]
    assert table.colnames[4:] == ["a", "b", "c"]
    assert_array_equal(table["a"], [first[0], np.nan, first[2]])
    assert table["b"].tolist() == first
    assert_array_equal(table["c"], [np.nan, np.nan, first[2]])


def test_other_results_become_objects(cutouts):
    """Results that are not numbers, or that differ in shape, become a column of objects."""
    pieces = cutouts.measure(lambda d: d[0])["value"]
    assert pieces.dtype == float
    ragged = cutouts.measure(lambda d: d[:, 0])["value"]
    assert ragged.dtype == object
    assert_array_equal(ragged[0], cutouts[0].data[:, 0])
    positions = cutouts.measure(lambda c: c.wcs.pixel_to_world(0, 0), "cutout")["value"]
    assert all(isinstance(position, SkyCoord) for position in positions)


def test_errors_do_not_stop_the_measurement(cutouts):
    """If the function fails for a cutout, its row contains NaN and the error message."""

    def spoil(cutout):
        if cutout.src_id == 2:
            msg = "no light"
            raise RuntimeError(msg)
        return {"n": cutout.size, "s": 3 * u.s, "t": "x", "v": (1, 2), "o": [None]}

    table = cutouts.measure(spoil, "cutout")
    assert table["status"].tolist() == ["ok", "error", "ok"]
    assert table["message"].tolist() == ["", "RuntimeError: no light", ""]
    assert_array_equal(table["n"], [cutouts[0].size, np.nan, cutouts[2].size])
    assert_array_equal(table["s"], [3, np.nan, 3] * u.s)
    assert table["t"].tolist() == ["x", "", "x"]
    assert_array_equal(table["v"], [(1, 2), (np.nan, np.nan), (1, 2)])
    assert table["o"].tolist() == [[None], None, [None]]


def test_all_cutouts_fail(cutouts):
    table = cutouts.measure(np.linalg.inv, "blc")
    assert set(table["status"]) == {"error"}
    assert all(message.startswith("LinAlgError: ") for message in table["message"])
    assert np.isnan(table["inv"]).all()
    with pytest.raises(KeyboardInterrupt):
        cutouts.measure(interrupt)


def interrupt(_):
    raise KeyboardInterrupt


def test_masked_results_become_nan(cutouts):
    """A masked result becomes NaN. The value below the mask does not appear."""

    def median(data, mask):
        return np.ma.median(np.ma.array(data, mask=mask | (data.shape[0] == 4)))

    table = cutouts.measure(median, "data", "mask")["median"]
    assert np.isnan(table).tolist() == [True, True, False]
    masked = cutouts.measure(lambda d, m: np.ma.array(d, mask=m)[:4, :4], "data", "mask")["value"]
    assert_array_equal(np.isnan(masked[0]), cutouts[0].mask[:4, :4])


def test_column_has_the_name_of_the_function(cutouts):
    """The name of the function becomes the name of the column, also for partial functions."""
    assert cutouts.measure(partial(np.percentile, q=30)).colnames[-1] == "percentile"

    def status(data):
        return data[0, 0]

    assert cutouts.measure(status).colnames[-1] == "value"
    with pytest.raises(ValueError, match=r"function must not return .'id'.: the table has"):
        cutouts.measure(lambda _: {"id": 3})


@pytest.mark.parametrize("name", ["error_of_it", "_store", 3, None, np.ones(3)])
def test_unknown_attributes_are_errors(name, cutouts):
    """Names of attributes are checked before the function is called."""
    with pytest.raises(ValueError, match="must be an attribute of a cutout, such as 'data'"):
        cutouts.measure(interrupt, name)
    with pytest.raises(ValueError, match="must be an attribute of a cutout, such as 'data'"):
        cutouts.measure(interrupt, q=name)


def test_empty_collection_gives_an_empty_table():
    table = CutoutCollection().measure(np.mean)
    assert table.colnames == ["id", "image", "status", "message", "mean"]
    assert len(table) == 0


def test_table_survives_a_file(cutouts, tmp_path):
    """Writing and reading does not change the table."""
    table = cutouts.measure(lambda d: {"flux": d.sum() * u.Jy, "pos": (1.5, 2)})
    table.write(tmp_path / "measured.ecsv")
    again = QTable.read(tmp_path / "measured.ecsv")
    assert_array_equal(again["flux"], table["flux"])
    assert_array_equal(again["pos"], table["pos"])
