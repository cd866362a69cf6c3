"""Round trips of FITS WCSs through ASDF files: world values, shared WCSs, wrappers and errors."""

import io
import pickle
import re
import textwrap
import warnings
from pathlib import Path

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS, DistortionLookupTable, FITSFixedWarning, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.geometry import OffsetLowLevelWCS, largest_separation
from subpixal.geometry.fits_wcs import TABLES, exact_state
from subpixal.io import read_images

pytestmark = pytest.mark.usefixtures("strict_asdf")

SHAPE = (300, 400)
IMAGE = np.zeros(SHAPE, np.float32)
PAD = 100


def reopen(tree):
    """Write a tree to an ASDF file and return the tree after reading."""
    buffer = io.BytesIO()
    asdf.AsdfFile(tree).write_to(buffer)
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        return dict(file.tree)


def reopen_wcs(wcs, image=IMAGE):
    """Return a WCS after writing and reading it as the WCS of a cutout."""
    return reopen({"c": Cutout(image, wcs, (2, 3), (5, 7))})["c"].image_wcs


def reopen_without_subpixal(wcs):
    """Read a WCS from an ASDF file with asdf-astropy, without this package."""
    buffer = io.BytesIO()
    asdf.AsdfFile({"c": Cutout(IMAGE, wcs, (2, 3), (5, 7))}).write_to(buffer)
    buffer.seek(0)
    with asdf.config_context() as config:
        for extension in list(config.extensions):
            if "subpixal" in (extension.extension_uri or ""):
                config.remove_extension(extension)
        config.validate_on_read = False
        with pytest.warns(asdf.exceptions.AsdfWarning):
            file = asdf.open(buffer, lazy_load=False, memmap=False)
    return make_documented_wcs(file["c"]["image"]["wcs"])


def make_documented_wcs(node):
    """Return a WCS from an exact node, with the function in the documentation."""
    text = (Path(__file__).parents[2] / "docs" / "archive.rst").read_text()
    code = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)[0]
    names = {}
    exec(textwrap.dedent(code), names)
    return names["make_wcs"](node)


def sample(shape=SHAPE, n=200):
    """Return random pixel positions on the image and in a margin around it."""
    rng = np.random.default_rng(8)
    return [rng.uniform(-PAD, size + PAD, n) for size in shape[::-1]]


def assert_same_wcs(found, expected, shape=SHAPE):
    """Check that WCSs agree except for rounding of the last bits, also off the image."""
    assert type(found) is type(expected)
    assert found is not expected
    pixels = sample(shape)
    actual, desired = (wcs.pixel_to_world_values(*pixels) for wcs in (found, expected))
    for a, b in zip(actual, desired, strict=True):
        np.testing.assert_array_max_ulp(a, b, maxulp=4)
    assert found.wcs.compare(expected.wcs)
    assert pickle.dumps(exact_state(found)) == pickle.dumps(exact_state(expected))
    assert found.pixel_shape == expected.pixel_shape
    assert found.pixel_bounds == expected.pixel_bounds
    for name in TABLES:
        a, b = getattr(found, name), getattr(expected, name)
        assert (a is None) == (b is None)
        if b is not None:
            assert_array_equal(a.data, b.data)


# Random WCSs


@st.composite
def random_wcs(draw):
    """Draw a FITS WCS with random values. Some of its features are impossible in headers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["tan", "sip", "tpv", "lookup"]))
    wcs = make_wcs(kind, SHAPE, crpix=rng.normal(100, 200, 2))
    wcs.wcs.crval = rng.uniform(0, 360), rng.uniform(-90, 90)
    if draw(st.booleans()):
        wcs.wcs.cd = wcs.wcs.cd * rng.uniform(0.1, 10, (1, 1)) + rng.normal(0, 1e-6, (2, 2))
    else:
        del wcs.wcs.cd
        wcs.wcs.pc, wcs.wcs.cdelt = rng.uniform(0.9, 1.1, (2, 2)) - [[0, 1], [0, 0]], [1e-5 / 3] * 2
    wcs.wcs.lonpole = rng.uniform(0, 360)
    wcs.wcs.mjdobs = rng.uniform(5e4, 6e4)
    wcs.wcs.equinox, wcs.wcs.radesys = draw(st.sampled_from([(2000.0, "FK5"), (1950.0, "FK4")]))
    wcs.wcs.name = draw(st.sampled_from(["", "IDC_x"]))
    wcs.wcs.alt = draw(st.sampled_from(" AZ"))
    if wcs.sip is not None:
        matrices = (m * rng.uniform(0.5, 1.5, m.shape) for m in (wcs.sip.a, wcs.sip.b))
        origin = wcs.wcs.crpix + draw(st.sampled_from([0, 12.3, -7]))
        wcs.sip = Sip(*matrices, None, None, origin)
        if draw(st.booleans()):
            wcs.wcs.ctype = [name.removesuffix("-SIP") for name in wcs.wcs.ctype]
    for name in draw(st.sets(st.sampled_from(TABLES))):
        pixels = rng.normal(0, 0.1, draw(st.sampled_from([(5, 8), (40, 3)]))).astype(np.float32)
        place = rng.uniform(1, 5, 2), rng.uniform(-3, 3, 2), rng.uniform(20, 80, 2)
        setattr(wcs, name, DistortionLookupTable(pixels, *map(tuple, place)))
    if draw(st.booleans()):
        wcs.pixel_bounds = [(-PAD, 400 + 1 / 3), (-7.1, 1e4)]
    if draw(st.booleans()):
        wcs.pixel_shape = None
    wcs.wcs.set()
    return wcs


@settings(max_examples=60)
@given(random_wcs())
def test_random_wcs_survives_a_round_trip(wcs):
    """Writing and reading preserves every FITS WCS. Writing does not change the original WCS."""
    before = pickle.dumps(exact_state(wcs))
    found = reopen_wcs(wcs)
    assert_same_wcs(found, wcs)
    assert pickle.dumps(exact_state(wcs)) == before


# WCSs that the converter of asdf-astropy would change


def make_arcsec():
    """Return a WCS with world values in arcsec."""
    header = make_wcs("tan", SHAPE).to_header()
    header["CUNIT1"] = header["CUNIT2"] = "arcsec"
    for key in ("CRVAL1", "CRVAL2", "CDELT1", "CDELT2"):
        header[key] *= 3600 / 7
    return WCS(header, preserve_units=True)


def make_moved_sip():
    """Return a WCS whose SIP polynomials have an origin other than CRPIX."""
    wcs = make_wcs("sip", SHAPE)
    origin = np.add(wcs.sip.crpix, (31.4, -15.9))
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, wcs.sip.a / 3, wcs.sip.b, origin)
    return wcs


def make_small_sip():
    """Return a WCS with SIP polynomials of order 1."""
    wcs = make_wcs("sip", SHAPE)
    matrix = np.array([[0.5, 1e-3 / 3], [2e-3, 99.0]])
    wcs.sip = Sip(matrix, -matrix, None, None, wcs.wcs.crpix)
    return wcs


def make_unnamed_sip():
    """Return a WCS that has SIP polynomials, although its CTYPE does not end in -SIP."""
    wcs = make_wcs("sip", SHAPE)
    wcs.wcs.ctype = "RA---TAN", "DEC--TAN"
    return wcs


def make_bare_sip():
    """Return a WCS that has SIP polynomials but no axis types."""
    wcs = WCS(naxis=2)
    sip = make_wcs("sip", SHAPE).sip
    wcs.sip = Sip(sip.a, sip.b, None, None, wcs.wcs.crpix)
    return wcs


def make_key():
    """Return a WCS of the alternate key C."""
    header = fits.Header(make_wcs("tan", SHAPE).to_header())
    return WCS(fits.Header({f"{k}C": v for k, v in header.items() if k[-1] in "12"}), key="C")


def make_crota():
    """Return a WCS with CROTA2 in place of a matrix."""
    header = fits.Header({"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CROTA2": 100 / 3})
    header.update(CDELT1=-1e-4 / 3, CDELT2=1e-4 / 7, CRVAL1=200 / 3, CRVAL2=-10 / 7, CRPIX1=10 / 3)
    return WCS(header)


def make_plain():
    """Return a linear WCS without axis types."""
    wcs = WCS(naxis=2)
    wcs.wcs.crpix, wcs.wcs.cdelt = (1 / 3, 2 / 3), (1 / 7, 3.0)
    wcs.wcs.set()
    return wcs


def make_spectral():
    """Return the WCS of a slit. One axis is spectral and the other is on the sky."""
    header = fits.Header({"CTYPE1": "WAVE", "CUNIT1": "Angstrom", "CTYPE2": "OFFSET"})
    header.update(CDELT1=10 / 3, CRVAL1=5000 / 7, CRPIX1=10 / 3, CUNIT2="arcsec", CDELT2=1 / 3)
    header.update(RESTWAV=6562.8e-10 / 3, SPECSYS="BARYCENT", VELOSYS=1e4 / 3)
    return WCS(header, preserve_units=True)


def make_timed():
    """Return a WCS with all keywords for time, place and velocity. It has SIP and a CD matrix."""
    header = fits.Header({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP", "A_ORDER": 2})
    header.update(CUNIT1="arcsec", CUNIT2="arcsec", CRVAL1=36e4 / 7, CRPIX1=10 / 3, B_ORDER=2)
    header.update(CRVAL2=72e2 / 7, CRPIX2=20 / 3, A_2_0=1e-5 / 3, B_1_1=1e-5 / 7)
    header.update(CD1_1=-0.1 / 3, CD1_2=0.01 / 7, CD2_1=0.01 / 3, CD2_2=0.1 / 3)
    text = {
        "DATE-OBS": "2020-01-02T03:04:05.123", "TIMESYS": "TDB", "DATEREF": "2000-01-01T12:00:00",
        "TIMEUNIT": "d", "RADESYS": "FK5", "WCSNAME": "a b", "CNAME1": "x", "SPECSYS": "LSRK",
        "TREFPOS": "TOPOCENTER", "TREFDIR": "a", "PLEPHEM": "DE405", "OBSORBIT": "file.orb",
        "SSYSSRC": "LSRK", "SSYSOBS": "BARYCENT", "DATE-BEG": "2020-01-01",
    }  # fmt: skip
    numbers = (
        "MJDREF", "TSTART", "TSTOP", "XPOSURE", "TIMEDEL", "TIMSYER", "EQUINOX", "CRDER1", "CSYER2",
        "VELOSYS", "JEPOCH", "BEPOCH", "TELAPSE", "VELANGL", "ZSOURCE", "TIMEOFFS", "CPERI1",
        "CZPHS1", "TIMEPIXR", "RESTFRQ", "RESTWAV",
    )  # fmt: skip
    header.update(text | {name: 1e4 / (7 + i) for i, name in enumerate(numbers)})
    header.update({f"OBSGEO-{axis}": 1e7 / (3 + i) for i, axis in enumerate("XYZ")})
    with warnings.catch_warnings():
        # astropy warns because it adds missing coordinates of the observer.
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header, preserve_units=True)


def make_single(name):
    """Return a WCS with only one of the lookup tables."""
    wcs = make_wcs("lookup", SHAPE)
    for other in TABLES:
        if other != name:
            setattr(wcs, other, None)
    return wcs


UNUSUAL = {
    "arcsec": make_arcsec,
    "moved sip": make_moved_sip,
    "small sip": make_small_sip,
    "unnamed sip": make_unnamed_sip,
    "bare sip": make_bare_sip,
    "key": make_key,
    "crota": make_crota,
    "plain": make_plain,
    "timed": make_timed,
    "spectral": make_spectral,
    **{name: lambda name=name: make_single(name) for name in TABLES},
}


# When astropy reads the header again, it can warn because it adds keywords.
@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
@pytest.mark.parametrize("make", UNUSUAL.values(), ids=UNUSUAL)
def test_unusual_wcs_survives_a_round_trip(make):
    """Writing and reading preserves WCSs that asdf-astropy alone would change."""
    wcs = make()
    before = pickle.dumps(exact_state(wcs))
    found = reopen_wcs(wcs)
    assert_same_wcs(found, wcs)
    assert pickle.dumps(exact_state(wcs)) == before
    assert list(found.wcs.cunit) == list(wcs.wcs.cunit)


@pytest.mark.filterwarnings("ignore::astropy.wcs.FITSFixedWarning")
@pytest.mark.parametrize("name", sorted(UNUSUAL))
def test_unusual_wcs_can_be_read_without_subpixal(name):
    """The function in the documentation gives the same world values as the original WCS."""
    wcs = UNUSUAL[name]()
    assert largest_separation(reopen_without_subpixal(wcs), wcs, SHAPE) < 1e-6


# Shared WCSs


@pytest.mark.parametrize("make", [make_arcsec, make_moved_sip, lambda: make_single("cpdis1")])
def test_shared_wcs_is_in_the_file_once(make):
    """Images and cutouts share one WCS, both in the file and after reading."""
    wcs = make()
    cutouts = [Cutout(IMAGE, wcs, (i, i), (i + 3, i + 3), exptime=i + 1) for i in range(3)]
    wrapped = Cutout(IMAGE, HighLevelWCSWrapper(wcs), (1, 2), (5, 6))
    buffer = io.BytesIO()
    tree = {"a": cutouts, "b": CutoutCollection(cutouts), "w": wrapped}
    asdf.AsdfFile(tree).write_to(buffer)
    assert buffer.getvalue().count(b"!<asdf://subpixal.org/tags/fits_wcs-1.0.0>") == 1
    assert buffer.getvalue().count(b"WCSAXES") == 1
    buffer.seek(0)
    with asdf.open(buffer, lazy_load=False, memmap=False) as file:
        found = [c.image_wcs for c in (*file["a"], *file["b"])]
        found.append(file["w"].image_wcs.low_level_wcs)
    assert all(f is found[0] for f in found)
    assert_same_wcs(found[0], wcs)


def test_wcs_in_the_tree_is_a_node_of_its_own():
    """Cutouts in a tree share one exact WCS node, which is separate from nodes of asdf-astropy."""
    wcs = make_wcs("sip", SHAPE, (10 / 3, 20 / 7), 1 / 7)
    tree = reopen({"wcs": wcs, "c": Cutout(IMAGE, wcs), "d": Cutout(IMAGE, wcs)})
    assert tree["c"].image_wcs is tree["d"].image_wcs
    assert_same_wcs(tree["c"].image_wcs, wcs)
    assert largest_separation(tree["wcs"], wcs, SHAPE) < 1e-6


def test_wcs_changed_between_writes_is_written_anew():
    """If a WCS changes after a first write, the second file has the changed values."""
    wcs = make_moved_sip()
    assert_same_wcs(reopen_wcs(wcs), wcs)
    wcs.wcs.crval = wcs.wcs.crval + 1 / 3
    assert_same_wcs(reopen_wcs(wcs), wcs)
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, (3.0, 5.0))
    assert_same_wcs(reopen_wcs(wcs), wcs)


# Wrapped WCSs


def make_cube():
    """Return the WCS of a cube with two sky axes and one axis of wavelengths."""
    header = make_wcs("tan", SHAPE, (10 / 3, 20 / 7), 1 / 7).to_header()
    header.update(WCSAXES=3, CTYPE3="WAVE", CUNIT3="m", CRVAL3=1e-6 / 3, CDELT3=1e-9, CRPIX3=1)
    return WCS(header)


def make_cutout_wcs(wcs):
    """Return the WCS of a displaced cutout. The WCS of its image is a low-level WCS."""
    cutout = Cutout(IMAGE, wcs, (-3, 5), (30, 40), mode="fill")
    cutout.dx = 0.375
    return cutout.wcs


WRAPPED = {
    "high": lambda: HighLevelWCSWrapper(make_moved_sip()),
    "sliced": lambda: SlicedLowLevelWCS(make_arcsec(), (slice(5, 300), slice(7, 400))),
    "offset": lambda: OffsetLowLevelWCS(make_single("cpdis1"), (-3.25, 1 / 3), SHAPE),
    "high offset": lambda: HighLevelWCSWrapper(OffsetLowLevelWCS(make_key(), (1e3, -2))),
    "cube": lambda: HighLevelWCSWrapper(SlicedLowLevelWCS(make_cube(), (5, ..., ...)[:1])),
    "cut cube": lambda: make_cutout_wcs(SlicedLowLevelWCS(make_cube(), (5,))),
}


@pytest.mark.parametrize("make", WRAPPED.values(), ids=WRAPPED)
def test_wrapped_wcs_keeps_its_type_and_values(make):
    """Writing and reading preserves the type of a wrapper and its world values."""
    wcs = make()
    found = reopen_wcs(wcs)
    assert type(found) is type(wcs)
    low = [getattr(w, "low_level_wcs", w) for w in (found, wcs)]
    for a, b in zip(*(w.pixel_to_world_values(*sample()) for w in low), strict=True):
        np.testing.assert_array_max_ulp(np.asarray(a), np.asarray(b), maxulp=4)
    assert low[0].array_shape == low[1].array_shape


class Foreign(BaseWCSWrapper):
    """WCS class without an ASDF converter."""

    def pixel_to_world_values(self, *pixels):
        return self._wcs.pixel_to_world_values(*pixels)

    def world_to_pixel_values(self, *world):
        return self._wcs.world_to_pixel_values(*world)


class Special(WCS):
    """Subclass of WCS. Its methods could return other world values."""


UNSUPPORTED = {
    "SlicedFITSWCS": (lambda: make_cube()[5], r"SlicedLowLevelWCS\(wcs, slices\) is the same"),
    "Foreign": (lambda: Foreign(make_wcs("tan", SHAPE)), "with_image_wcs"),
    "Special": (lambda: HighLevelWCSWrapper(Special(naxis=2)), "with_image_wcs"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported_wcs_is_an_error(name):
    """The error names the image and the class of its WCS, and suggests a solution."""
    make, hint = UNSUPPORTED[name]
    cutout = Cutout(IMAGE, make(), (2, 3), (5, 7), meta={"name": "my image"})
    match = f"the image 'my image' cannot be written: its WCS is a .*{name}, .*{hint}"
    with pytest.raises(ValueError, match=match):
        reopen({"c": cutout})


def test_wcs_of_tab_axes_is_an_error():
    """Writing a WCS with -TAB axes is an error, because headers cannot contain its tables."""
    table = fits.BinTableHDU.from_columns(
        [fits.Column("coords", "10D", array=[np.linspace(1, 3, 10) ** 2], dim="(1,10)")],
        name="WCS-TABLE",
    )
    header = fits.Header({"NAXIS": 2, "CTYPE1": "WAVE-TAB", "CUNIT1": "m", "CTYPE2": "OFFSET"})
    header.update(PS1_0="WCS-TABLE", PS1_1="coords", CRPIX1=1, CRVAL1=1, CDELT1=1)
    header.update(CRPIX2=1, CDELT2=1, CRVAL2=0, NAXIS1=10, NAXIS2=10)
    wcs = WCS(header, fits.HDUList([fits.PrimaryHDU(), table]))
    assert_allclose(wcs.pixel_to_world_values(9, 0)[0], 9)
    cutout = Cutout(np.zeros((10, 10)), wcs, (2, 3), (5, 7), meta={"name": "slit"})
    with pytest.raises(ValueError, match="the image 'slit' cannot be written: its WCS cannot"):
        reopen({"c": cutout})


def test_wcs_that_would_change_is_an_error(monkeypatch):
    """Writing a WCS is an error if reading would return other world values."""
    from subpixal.io._asdf import wcs

    def forget(wcs):
        state = exact_state(wcs)
        state.pop("sip", None)
        return state | {"tables": {}}

    monkeypatch.setattr(wcs, "exact_state", forget)
    for kind in ("lookup", "sip"):
        with pytest.raises(ValueError, match=r"would differ by .* pixels"):
            reopen_wcs(make_wcs(kind, SHAPE))


def test_unknown_property_of_a_stored_wcs_is_an_error(tmp_path):
    """A WCS node with an unknown property is an error."""
    path = tmp_path / "c.asdf"
    Cutout(IMAGE, make_moved_sip(), (2, 3), (5, 7)).write(path)
    content, _, _ = path.read_bytes().rpartition(b"# subpixal")
    path.write_bytes(content.replace(b"preserve_units:", b"preserve_unitz:"))
    with pytest.raises((OSError, asdf.exceptions.ValidationError), match="preserve_unit"):
        Cutout.read(path)


# Real WCSs


REAL = [
    "full_distortion_wcs/acs_wfc_full_wcs.fits.gz",
    "full_distortion_wcs/uvis_c6_full_wcs_IDC.fits.gz",
    "hst_wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
    "hst_wfc3ir_goodss/goodss_f140w_drz.fits.gz",
    "ground_tpv/tpv_ctio_mosaic2.fits.gz",
    "jwst_nircam_sim/jw00000_nrcb1_cal.fits.gz",
]


@pytest.mark.parametrize("name", REAL)
def test_real_wcs_survives_a_round_trip(name, shared_data):
    """Writing and reading preserves WCSs of HST, JWST and ground-based images."""
    for image in read_images(shared_data / name):
        shape, wcs = image.data.shape, image.image_wcs
        found = reopen_wcs(wcs, image.data)
        if isinstance(wcs, WCS):
            assert_same_wcs(found, wcs, shape)
            continue
        inside = [np.clip(p, 0, n - 1) for p, n in zip(sample(shape), shape[::-1], strict=True)]
        assert_array_equal(found.pixel_to_world_values(*inside), wcs.pixel_to_world_values(*inside))
