"""Counts and rates: the units of pixels, and their conversion."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import (
    InverseVariance,
    NDData,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout
from subpixal.datasets import make_wcs
from subpixal.errors import SubpixalWarning

WCS = make_wcs("tan", (4, 5))
IMAGE = np.arange(20, dtype=np.float32).reshape(4, 5)
SIGMA = IMAGE / 8 + 1

COUNTS = [u.ct, u.electron, u.DN, u.adu, u.photon, u.ct / u.pix, 1000 * u.electron]
RATES = [
    *(unit / u.s for unit in COUNTS[:5]), u.electron / u.min, u.DN / u.h, u.photon / u.s / u.cm**2,
    u.Jy, u.nJy, u.MJy / u.sr, u.Jy / u.beam, u.erg / u.s / u.cm**2 / u.AA, u.W / u.m**2 / u.um,
    u.STflux, u.mgy,
]  # fmt: skip
UNDECIDED = [None, u.dimensionless_unscaled, u.percent, u.mag, u.m, u.ABmag, u.ct**2]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [(u.Unit(unit), "counts") for unit in COUNTS] + [(u.Unit(unit), "rate") for unit in RATES],
    ids=str,
)
@pytest.mark.parametrize("argument", ["counts", "rate"])
def test_unit_determines_data_units(unit, expected, argument):
    """A unit of counts or of rates determines `data_units`, and the argument is ignored."""
    cutout = Cutout(IMAGE, WCS, unit=unit, data_units=argument)
    assert cutout.data_units == expected
    assert Cutout(NDData(IMAGE, unit=unit), WCS, data_units=argument).data_units == expected


@pytest.mark.parametrize("unit", UNDECIDED, ids=str)
@pytest.mark.parametrize("argument", ["counts", "rate"])
def test_argument_determines_data_units(unit, argument):
    """If the unit allows counts and rates, the argument determines `data_units`."""
    cutout = Cutout(IMAGE, WCS, unit=unit, data_units=argument)
    assert cutout.data_units == argument
    assert cutout.unit == unit


def test_setting_data_units_does_not_scale():
    """Setting `data_units` does not change the pixels."""
    cutout = Cutout(IMAGE, WCS)
    cutout.data_units = "counts"
    assert cutout.data_units == "counts"
    assert_array_equal(cutout.data, IMAGE)
    with pytest.raises(ValueError, match=r"data_units must be one of .*, got 'flux'"):
        cutout.data_units = "flux"
    assert cutout.data_units == "counts"


@pytest.mark.parametrize(
    ("unit", "expected", "other"), [(u.ct, "counts", "rate"), (u.Jy, "rate", "counts")]
)
def test_data_units_cannot_contradict_the_unit(unit, expected, other):
    """Setting `data_units` is an error if the new value contradicts the unit."""
    cutout = Cutout(IMAGE, WCS, unit=unit)
    cutout.data_units = expected
    message = f"data_units cannot be {other!r}: pixels in {unit} are {expected!r}"
    with pytest.raises(ValueError, match=message):
        cutout.data_units = other
    assert cutout.data_units == expected


# Conversion


@pytest.mark.parametrize("unit", [None, u.dimensionless_unscaled])
def test_conversion_without_unit(unit):
    """If pixels have no unit, the conversion scales them and sets `data_units`."""
    rate = Cutout(IMAGE, WCS, unit=unit, exptime=4, uncertainty=SIGMA, src_id=3)
    counts = rate.to_counts()
    assert (counts.data_units, counts.unit, counts.exptime) == ("counts", unit, 4)
    assert_array_equal(counts.data, 4 * IMAGE)
    assert_array_equal(counts.uncertainty.array, 4 * SIGMA)
    back = counts.to_rate()
    assert (back.data_units, back.unit, back.src_id) == ("rate", unit, 3)
    assert_array_equal(back.data, IMAGE)
    assert rate.data_units == "rate"
    assert_array_equal(rate.data, IMAGE)


@pytest.mark.parametrize(
    ("counts", "rate", "factor"),
    [(u.ct, u.ct / u.s, 240), (u.electron, u.electron / u.s, 240),
     (u.electron, u.electron / u.min, 4), (u.DN, u.DN / u.h, 1 / 15),
     (u.photon / u.pix, u.photon / u.pix / u.s, 240)],
)  # fmt: skip
def test_conversion_multiplies_by_the_time_of_the_unit(counts, rate, factor):
    """The conversion multiplies a unit such as 1 / s by the time in the unit."""
    new = Cutout(IMAGE, WCS, unit=rate, exptime=240).to_counts()
    assert (new.unit, new.data_units) == (counts, "counts")
    assert_allclose(new.data, IMAGE * factor, rtol=1e-6)
    assert new.image_wcs is WCS


@pytest.mark.parametrize("unit", COUNTS[:5], ids=str)
def test_rates_are_per_second(unit):
    new = Cutout(IMAGE, WCS, unit=unit, exptime=240).to_rate()
    assert (new.unit, new.data_units) == (unit / u.s, "rate")
    assert_allclose(new.data, IMAGE / 240, rtol=1e-6)


@pytest.mark.parametrize("kind", [StdDevUncertainty, VarianceUncertainty, InverseVariance])
@pytest.mark.parametrize("unit", [None, u.electron])
def test_uncertainties_are_converted(kind, unit):
    """All types of uncertainties are scaled like the standard deviations that they represent."""
    uncertainty = StdDevUncertainty(SIGMA).represent_as(kind)
    cutout = Cutout(IMAGE, WCS, (-1, 0), (4, 3), unit=unit, exptime=8, data_units="counts",
                    mode="fill", uncertainty=uncertainty)  # fmt: skip
    rate = cutout.to_rate()
    assert type(rate.uncertainty) is kind
    assert rate.uncertainty.parent_nddata is rate
    reference = NDData(IMAGE / 8, unit=rate.unit, uncertainty=kind(SIGMA))
    assert rate.uncertainty.unit == reference.uncertainty.unit
    sigma = kind(rate.uncertainty.array[:, 1:]).represent_as(StdDevUncertainty)
    assert_allclose(sigma.array, SIGMA / 8, rtol=1e-6)
    assert_array_equal(rate.uncertainty.array[:, 0], cutout.uncertainty.array[:, 0])
    assert_allclose(rate.to_counts().uncertainty.array, cutout.uncertainty.array, rtol=1e-6)


def test_uncertainty_with_its_own_unit_is_converted():
    """If an uncertainty has its own unit, the unit is converted like the unit of the data."""
    cutout = Cutout(IMAGE, WCS, unit=u.electron, exptime=8,
                    uncertainty=StdDevUncertainty(SIGMA, unit=1000 * u.electron))  # fmt: skip
    assert cutout.to_rate().uncertainty.unit == 1000 * u.electron / u.s
    assert_array_equal(cutout.to_rate().uncertainty.array, SIGMA / 8)


def test_unknown_uncertainty_is_dropped_with_a_warning():
    """Uncertainties of unknown type cannot be scaled. They are dropped with a warning."""
    cutout = Cutout(IMAGE, WCS, exptime=8, uncertainty=UnknownUncertainty(SIGMA))
    with pytest.warns(SubpixalWarning, match="dropping .* UnknownUncertainty") as caught:
        new = cutout.to_counts()
    assert caught[0].filename == __file__
    assert new.uncertainty is None
    assert cutout.uncertainty is not None


@pytest.mark.parametrize("unit", [u.Jy, u.MJy / u.sr, u.erg / u.s / u.cm**2 / u.AA, u.mag, u.ABmag])
@pytest.mark.parametrize("method", ["to_counts", "to_rate"])
def test_flux_densities_cannot_be_converted(unit, method):
    """A flux density cannot be converted, because it is neither counts nor a rate of counts."""
    with pytest.raises(u.UnitsError, match="are not counts"):
        getattr(Cutout(IMAGE, WCS, unit=unit, exptime=8), method)()


def test_exposure_time_must_be_valid():
    """The conversion needs a positive exposure time. A negative `exptime` is always an error."""
    with pytest.raises(ValueError, match=r"exptime must be positive .* it is 0\.0"):
        Cutout(IMAGE, WCS, exptime=0).to_counts()
    with pytest.raises(ValueError, match="exptime must be a finite number of seconds, 0 or more"):
        Cutout(IMAGE, WCS, exptime=-1)


def test_conversion_of_a_rate_to_a_rate_is_a_copy():
    """The conversion of a rate to a rate returns a copy."""
    cutout = Cutout(IMAGE, WCS, exptime=8, uncertainty=SIGMA, dq=IMAGE.astype(int))
    same = cutout.to_rate()
    assert_array_equal(same.data, IMAGE)
    assert_array_equal(same.uncertainty.array, SIGMA)
    assert not np.shares_memory(same.data, cutout.data)


def test_conversion_keeps_all_other_planes_and_attributes():
    """The conversion changes only data and uncertainty. It keeps the type of floats."""
    cutout = Cutout(IMAGE, WCS, (1, 1), (3, 2), IMAGE.astype("u2"), SIGMA, 5, exptime=8,
                    unit=u.electron / u.s, src_weight=2, uncertainty=SIGMA)  # fmt: skip
    cutout.dx, cutout.meta["a"] = 0.5, 1
    new = cutout.to_counts()
    for name in ("mask", "dq", "weight"):
        assert_array_equal(getattr(new, name), getattr(cutout, name), strict=True)
    assert (new.blc, new.dx, new.src_id, new.src_weight) == ((1, 1), 0.5, 5, 2)
    assert new.meta["a"] == 1
    assert new.data.dtype == new.uncertainty.array.dtype == np.float32
    integers = Cutout(IMAGE.astype("i2"), WCS, exptime=8, data_units="counts")
    assert_array_equal(integers.to_rate().data, IMAGE / 8)


def test_conversion_uses_the_exposure_time_of_the_cutout():
    """An exposure time that is set on the cutout replaces the exposure time of the image."""
    cutout = Cutout(IMAGE, WCS, exptime=8)
    cutout.exptime = 2
    assert_array_equal(cutout.to_counts().data, 2 * IMAGE)
