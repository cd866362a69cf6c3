"""Metadata, units and PSFs in archives. They are preserved, or a warning reports a change."""

import datetime as dt
import io
from collections import ChainMap
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.modeling import models
from astropy.nddata import NDData
from astropy.table import Table
from astropy.time import Time
from numpy.testing import assert_array_equal
from photutils.psf import GaussianPRF

from subpixal import Cutout, CutoutCollection, create_primary_cutouts
from subpixal.datasets import make_wcs
from subpixal.errors import SubpixalWarning
from subpixal.testing import assert_cutouts_equal

pytestmark = pytest.mark.usefixtures("strict_asdf")

SHAPE = (30, 40)
WCS = make_wcs("tan", SHAPE)


def reopen(cutout):
    buffer = io.BytesIO()
    asdf.AsdfFile({"c": cutout}).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        return file["c"]


def make(**options):
    return Cutout(np.zeros(SHAPE), WCS, (2, 3), (5, 7), **options)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.bool_(True), True),
        (np.int16(-7), -7),
        (np.float32(0.1), float(np.float32(0.1))),
        (np.str_("a"), "a"),
        (2**63 - 1, 2**63 - 1),
        (1 + 2j, 1 + 2j),
        (None, None),
        (b"abc", b"abc"),
        ((1, (2.5, "x")), [1, [2.5, "x"]]),
        ([np.bool_(False), {"deep": np.int8(3)}], [False, {"deep": 3}]),
        (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
        ({1, 2}, {1, 2}),
        (dt.date(2026, 1, 2), dt.date(2026, 1, 2)),
        (3.25 * u.mJy, 3.25 * u.mJy),
    ],
)
def test_values(value, expected):
    """Values are preserved, but tuples become lists and NumPy scalars become Python scalars."""
    found = reopen(make(meta={"key": value})).meta["key"]
    assert found == expected
    assert type(found) is type(expected)


def test_large_values():
    """Writing and reading preserves arrays, tables and times."""
    meta = {
        "array": np.arange(6.0).reshape(2, 3),
        "masked": np.ma.array([1, 2], mask=[False, True]),
        "table": Table({"a": [1, 2]}),
        "time": Time("2026-01-02T03:04:05"),
        "nan": np.nan,
        5: "a number for a key",
        np.int64(6): "another",
    }
    found = reopen(make(meta=meta)).meta
    assert_array_equal(found["array"], meta["array"])
    assert found["masked"].tolist() == [1, None]
    assert_array_equal(found["table"]["a"], [1, 2])
    assert found["time"] == meta["time"]
    assert np.isnan(found["nan"])
    assert (found[5], found[6]) == ("a number for a key", "another")


@pytest.mark.parametrize("unit", ["m", "cm"])
def test_quantities(unit):
    """Quantities are preserved, and the comparison detects changes of values and units."""
    cutout = make(meta={"a": 3 * u.m, "b": np.arange(3.0) * u.m})
    found = reopen(cutout)
    assert_cutouts_equal(found, cutout)
    found.meta["b"] = [0, 1, 2 if unit == "cm" else 3] * u.Unit(unit)
    with pytest.raises(AssertionError, match=r"meta\['b'\]\.(unit|value)"):
        assert_cutouts_equal(found, cutout)


def test_keys_that_are_too_large():
    """A key that is too large for ASDF is omitted with a warning."""
    with pytest.warns(SubpixalWarning, match=rf"has the key {2**63}, .* left out"):
        found = reopen(make(meta={2**63: 1, "a": 2, "name": "mine"})).meta
    assert found["a"] == 2
    assert 2**63 not in found


def test_text_that_is_not_utf8(tmp_path):
    """Text that UTF-8 cannot encode, such as some file names, is escaped with a warning."""
    name, path = "m51\udce9.fits", tmp_path / "c.asdf"
    meta = {"name": name, "deep": [{"x": "\ud800"}], "path": Path(name)}
    image = NDData(np.zeros(SHAPE), wcs=WCS, meta=meta)
    labels = np.zeros(SHAPE, int)
    labels[5:8, 5:8] = 1
    cutouts = create_primary_cutouts({"id": [1, 2]}, labels, image, None)
    with pytest.warns(SubpixalWarning, match="is written") as caught:
        cutouts.write(path)
    assert {str(warning.message).split(" of ")[0] for warning in caught} == {
        "meta['name']", "meta['deep'][0]['x']", "meta['path']"
    }  # fmt: skip
    found = CutoutCollection.read(path)
    assert found.images[0].name == found.dropped["image"][0] == "m51\\udce9.fits"
    escaped = "m51\\udce9.fits"
    assert found[0].meta == {"name": escaped, "deep": [{"x": "\\ud800"}], "path": escaped}


def test_keys_and_ids_that_are_not_utf8(tmp_path):
    with pytest.warns(SubpixalWarning, match=r"has the key 'a\\ud800', .* left out"):
        assert reopen(make(meta={"a\ud800": 1, "b": 2})).meta == {"b": 2}
    for src_id in ("\ud800", ("a", "\ud800")):
        with pytest.raises(ValueError, match=r"the id '\\ud800' cannot be written: UTF-8"):
            make(src_id=src_id).write(tmp_path / "c.asdf")


@pytest.mark.parametrize(
    ("value", "expected", "cls"),
    [
        (Path("a/b"), "a/b", "PosixPath"),
        (2**63, str(2**63), "int"),
        (-(2**63) + 1, str(-(2**63) + 1), "int"),
        (-(2**63) - 1, str(-(2**63) - 1), "int"),
        (np.datetime64("2026-01-02"), "2026-01-02", "datetime64"),
    ],
)
def test_some_values_become_text(value, expected, cls):
    """If ASDF supports a value only as text, it is written as text with a warning."""
    match = rf"meta\['key'\] of the image 'mine' is written as text, for it is a {cls}"
    with pytest.warns(SubpixalWarning, match=match):
        found = reopen(make(meta={"key": value, "name": "mine"}))
    assert found.meta["key"] == expected


@pytest.mark.parametrize(
    "value", [slice(1, 2), object(), np.array([None, 1]), print, range(3), 3 * u.ABmag]
)
def test_values_without_converter_are_left_out(value):
    """If ASDF does not support a value, only this value is omitted, with a warning."""
    cutout = make(meta={"a": {"b": value}, "list": [1, value], "name": "mine"})
    with pytest.warns(SubpixalWarning, match="of the image 'mine' is left out") as caught:
        found = reopen(cutout)
    name = type(value).__name__
    messages = {str(w.message) for w in caught}
    assert any("meta['a']['b'] of the image 'mine' is left out: ASDF cannot hold a" in m
               and name in m for m in messages)  # fmt: skip
    assert dict(found.meta) == {"a": {}, "list": [1, None], "name": "mine"}


def test_keys():
    """If YAML does not support a key, the key and its value are omitted."""
    with pytest.warns(SubpixalWarning, match=r"has the key \(1, 2\)"):
        found = reopen(make(meta={(1, 2): 3, "b": 4}))
    assert dict(found.meta) == {"b": 4}


def test_own_meta_of_a_cutout():
    """The metadata of a cutout are written like the metadata of an image."""
    cutout = make()
    cutout.meta["what"] = object()
    for held in (cutout, CutoutCollection([cutout])):
        with pytest.warns(SubpixalWarning, match=r"meta\['what'\] of a cutout is left out"):
            reopen(held)


HEADER = """\
SIMPLE  =                    T / conforms
GAIN    =                  1.5 / first
GAIN    =                  2.5 / second
NOTHING =                      / undefined
HIERARCH ESO DET OUT1 GAIN = 0.25 / [e/ADU]
DP1     = 'EXTVER: 1' / number
HISTORY made
HISTORY and changed
COMMENT a word
        without a keyword
MANY    =   123456789012345678
FLAG    =                    F
"""
LONG = "It is so long that it does not fit on a single card of a header and must go on"


def make_header():
    header = fits.Header.fromstring(HEADER, sep="\n")
    header["LONG"] = (LONG, "a word")
    return header


@pytest.mark.parametrize("inside", [False, True])
def test_header(inside):
    """Writing and reading preserves all values and comments of a FITS header."""
    header = make_header()
    meta = {"header": header} if inside else header
    found = reopen(make(meta=meta)).image.meta
    found = found["header"] if inside else found
    assert found == {
        "SIMPLE": True,
        "GAIN": [1.5, 2.5],
        "NOTHING": None,
        "LONG": LONG,
        "ESO DET OUT1 GAIN": 0.25,
        "DP1.EXTVER": 1.0,
        "HISTORY": ["made", "and changed"],
        "COMMENT": ["a word"],
        "": ["without a keyword"],
        "MANY": 123456789012345678,
        "FLAG": False,
        "comments": {
            "SIMPLE": "conforms",
            "GAIN": ["first", "second"],
            "NOTHING": "undefined",
            "LONG": "a word",
            "ESO DET OUT1 GAIN": "[e/ADU]",
            "DP1.EXTVER": "number",
        },
    }


def test_header_that_is_changed():
    """If a cutout changes values of its header, the whole header is written."""
    header = make_header()
    cutout = make(meta=header)
    cutout.meta["GAIN"] = 3
    cutout = Cutout(cutout, None, (0, 0), (1, 1))
    found = reopen(cutout).meta
    assert found["GAIN"] == 3
    assert found["comments"]["LONG"] == "a word"
    assert found["HISTORY"] == ["made", "and changed"]


def test_invalid_cards():
    """Cards that are invalid in FITS are omitted with a warning."""
    header = fits.Header.fromstring("BAD     = 1 2 3\nGOOD    = 4\n", sep="\n")
    with pytest.warns(SubpixalWarning, match=r"meta\['BAD'\] .* is left out: the card"):
        found = reopen(make(meta=header))
    assert found.meta["GOOD"] == 4
    assert "BAD" not in found.meta


UNITS = [
    "mag(AB)", "dex(cm / s2)", "mag", "1e-17 erg / (s cm2 Angstrom)", "MJy / sr", "nmgy", "deg_C",
    "%", "",
]  # fmt: skip


@pytest.mark.parametrize("text", UNITS)
def test_units(text):
    """Writing and reading preserves all types of units, including logarithmic units."""
    unit = u.Unit(text)
    found = reopen(make(unit=unit)).unit
    assert found == unit
    assert type(found) is type(unit)


def test_scaled_units():
    """Writing and reading preserves all digits of the scale of a unit."""
    for unit in (u.Unit(u.Jy / 3), u.Unit(2**0.5 * u.ct), u.Unit(1 / 7)):
        found = reopen(make(unit=unit)).unit
        assert found == unit
        assert found.decompose().scale == unit.decompose().scale


def test_unrecognized_units_are_kept():
    """If a unit in a header is not recognized, it is written and read as an unrecognized unit."""
    unit = u.Unit("ELECTRONS/S", parse_strict="silent")
    found = reopen(make(unit=unit)).unit
    assert isinstance(found, u.UnrecognizedUnit)
    assert found == unit


@pytest.mark.parametrize("unit", [u.def_unit("quux"), u.def_unit("bar", 3 * u.Jy), u.imperial.inch])
def test_units_that_are_refused(unit):
    """A unit is an error if its own name cannot be read as a unit. The error names the image."""
    match = f"the image 'mine' cannot be written: the unit '{unit}' cannot be written"
    with pytest.raises(ValueError, match=match):
        reopen(make(meta={"name": "mine"}, unit=unit))


@pytest.mark.parametrize("psf", [np.ones((3, 3)), models.Gaussian2D(1, 2, 3), {"sigma": 2.0}, None])
def test_psfs(psf):
    """Writing and reading preserves PSFs that ASDF supports."""
    found = reopen(make(psf=psf)).psf
    assert type(found) is type(psf)
    if isinstance(psf, np.ndarray):
        assert_array_equal(found, psf)
    elif psf is not None:
        assert str(found) == str(psf)


def test_psfs_that_are_refused():
    """If ASDF does not support a PSF, the error names the image and the class of the PSF."""
    for psf in (GaussianPRF(), {"model": GaussianPRF()}, object()):
        name = type(psf).__name__
        match = f"the image 'mine' cannot be written: its PSF cannot be written: .* a .*{name}"
        with pytest.raises(ValueError, match=match):
            reopen(make(psf=psf, meta={"name": "mine"}))
    cutout = make()
    cutout.psf = GaussianPRF()
    with pytest.raises(ValueError, match=r"the PSF of a cutout cannot be written: .*GaussianPRF"):
        reopen(cutout)
