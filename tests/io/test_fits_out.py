"""Cutouts in FITS files, read with astropy alone."""

import gzip
import warnings
from functools import partial

import gwcs
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.io.registry import IORegistryError
from astropy.modeling import models
from astropy.nddata import (
    InverseVariance,
    StdDevUncertainty,
    UnknownUncertainty,
    VarianceUncertainty,
)
from astropy.utils.exceptions import AstropyWarning
from astropy.wcs import WCS, Sip
from astropy.wcs.wcsapi import HighLevelWCSWrapper, SlicedLowLevelWCS
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection, create_primary_cutouts
from subpixal.datasets import make_scene, make_wcs
from subpixal.errors import SubpixalWarning
from subpixal.io import merge_archives, read_asdf, read_image
from subpixal.io.paths import FITS_SUFFIXES, check_archive

SHAPE = (60, 80)
KINDS = ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"]
RNG = np.random.default_rng(4)
IMAGE = RNG.normal(size=SHAPE).astype(np.float32)
IMAGE[12, 9] = np.nan
DQ = RNG.integers(0, 2**32, SHAPE, dtype=np.uint32)
WEIGHT = RNG.random(SHAPE)
EXTENSIONS = {"SCI": "data", "DQ": "flags", "WHT": "weight", "SEG": "segmentation"}


def make_cutout(wcs="tan", blc=(5, 6), trc=(16, 14), image=IMAGE, **options):
    """A cutout with all planes."""
    wcs = make_wcs(wcs, SHAPE) if isinstance(wcs, str) else wcs
    options = {"dq": DQ, "weight": WEIGHT, "uncertainty": StdDevUncertainty(WEIGHT)} | options
    cutout = Cutout(image, wcs, blc, trc, mode="fill", dqbitmask=None, **options)
    cutout.segmentation = np.arange(cutout.size, dtype=np.int32).reshape(cutout.shape)
    return cutout


def write(cutouts, path, **options):
    cutouts.write(path, format="fits", **options)
    return fits.open(path)


def read_row(hdus, number, name="SCI"):
    """Pixels of a row of the table, as the documentation does it."""
    row = hdus["CUTOUTS"].data[number]
    start, ny, nx = row[f"start_{name}"], row["height"], row["width"]
    return None if start < 0 else hdus[name].section[start : start + ny * nx].reshape(ny, nx)


def row_to_world(hdus, number, x, y):
    """World values of positions in a row of the table, as the documentation does it."""
    row = hdus["CUTOUTS"].data[number]
    header = fits.Header.fromstring(hdus["IMAGES"].data["header"][row["image"]])
    wcs = WCS(header, hdus)
    return wcs.all_pix2world(x + row["origin"][0], y + row["origin"][1], 0)


def grid_of(cutout):
    """Positions all over a cutout, its outer edges included."""
    x, y = np.meshgrid(np.arange(-0.5, cutout.width), np.arange(-0.5, cutout.height))
    return x.ravel(), y.ravel()


def measure_pixels(cutout, world):
    """Distances in pixels of world values and those of the grid."""
    found, true = (SkyCoord(*w, unit="deg") for w in (world, cutout.pix2world(*grid_of(cutout))))
    return (found.separation(true).deg / cutout.pscale).max()


def assert_same_pixels(found, expected):
    assert found.shape == expected.shape
    assert_array_equal(found.astype(expected.dtype).tobytes(), expected.tobytes())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", ["images", "table"])
def test_positions_are_those_of_the_cutouts(tmp_path, kind, layout):
    """In the image, across its lower left corner, displaced; and of two images in one file."""
    cutouts = [make_cutout(kind), make_cutout(kind, (-7, -4), (9, 12)), make_cutout("lookup")]
    cutouts[1].dx, cutouts[1].dy = 0.37, -2.6
    with write(CutoutCollection(cutouts), tmp_path / "c.fits", layout=layout) as hdus:
        for number, cutout in enumerate(cutouts):
            if layout == "images":
                wcs = WCS(hdus["SCI", number + 1].header, hdus)
                assert wcs.pixel_shape == cutout.naxis
                world = wcs.all_pix2world(*grid_of(cutout), 0)
            else:
                world = row_to_world(hdus, number, *grid_of(cutout))
            assert measure_pixels(cutout, world) < 1e-6


def make_odd_wcs(kind):
    header = make_wcs("sip", SHAPE).to_header(relax=True)
    if kind == "latitude first":
        for name in ("CTYPE", "CRVAL", "CUNIT"):
            header[f"{name}1"], header[f"{name}2"] = header[f"{name}2"], header[f"{name}1"]
        header["PC1_2"], header["PC2_1"] = header.pop("PC2_2"), header.pop("PC1_1")
    elif kind == "galactic":
        header["CTYPE1"], header["CTYPE2"] = "GLON-TAN-SIP", "GLAT-TAN-SIP"
        del header["RADESYS"]
    elif kind == "arcsec":
        for name in ("CRVAL", "CDELT"):
            header[f"{name}1"] *= 3600
            header[f"{name}2"] *= 3600
        header["CUNIT1"] = header["CUNIT2"] = "arcsec"
        return WCS(header, preserve_units=True)
    elif kind == "alternate":
        return WCS(make_wcs("tan", SHAPE).to_header(key="B"), key="B")
    return WCS(header)


@pytest.mark.parametrize("kind", ["latitude first", "galactic", "arcsec", "alternate"])
def test_odd_headers(tmp_path, kind):
    """The sky is the same, in degrees and as the primary description."""
    cutout = make_cutout(make_odd_wcs(kind))
    x, y = grid_of(cutout)
    true = cutout.wcs.pixel_to_world(x, y)
    with write(cutout, tmp_path / "c.fits") as hdus:
        assert hdus["SCI"].header["WCSFIT"] is False
        sky = WCS(hdus["SCI"].header).pixel_to_world(x, y)
    assert sky.frame.is_equivalent_frame(true.frame)
    assert sky.separation(true).max().arcsec < 1e-6 * 0.05


@pytest.mark.parametrize("kind", ["lookup", "gwcs"])
def test_every_plane_has_the_wcs(tmp_path, kind):
    cutout = make_cutout(kind, (-3, 2), (8, 9))
    with write(cutout, tmp_path / "c.fits") as hdus:
        for name in ("SCI", "ERR", "DQ", "WHT", "MASK", "SEG"):
            wcs = WCS(hdus[name].header, hdus)
            assert measure_pixels(cutout, wcs.all_pix2world(*grid_of(cutout), 0)) < 1e-6
            assert hdus[name].header["WCSFIT"] is (kind == "gwcs")
            assert hdus[name].header["WCSERR"] < 1e-6


@pytest.mark.parametrize("center", [(0.0001, -40.0), (150.1, 89.9999), (12.3, -90.0)])
def test_fits_of_gwcs_at_the_poles_and_at_right_ascension_0(tmp_path, center):
    cutout = make_cutout(make_wcs("gwcs", SHAPE, center), (-3, 2), (70, 50))
    with write(cutout, tmp_path / "c.fits") as hdus:
        world = WCS(hdus["SCI"].header).all_pix2world(*grid_of(cutout), 0)
        assert measure_pixels(cutout, world) < 1e-6


def test_a_fit_is_in_the_frame_of_the_image(tmp_path):
    """A gwcs of another frame, in other units, latitude first."""
    forward = (
        models.Shift(-30.0) & models.Shift(-20.0)
        | models.Scale(1e-5) & models.Scale(1e-5)
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(100.0, 40.0, 180.0)
        | models.Mapping((1, 0))
        | models.Scale(3600.0) & models.Scale(3600.0)
    )
    frame = gwcs.CelestialFrame(
        reference_frame=FK5(equinox="J1975"), axes_order=(1, 0), unit=(u.arcsec, u.arcsec),
        axes_names=("lon", "lat"),
    )  # fmt: skip
    wcs = gwcs.WCS([(gwcs.Frame2D(name="detector", unit=(u.pix, u.pix)), forward), (frame, None)])
    wcs.pixel_shape = SHAPE[::-1]
    cutout = make_cutout(wcs)
    with write(cutout, tmp_path / "c.fits") as hdus:
        found = WCS(hdus["SCI"].header)
        x, y = grid_of(cutout)
        sky, true = found.pixel_to_world(x, y), cutout.wcs.pixel_to_world(x, y)
    assert sky.frame.is_equivalent_frame(true.frame)
    assert sky.separation(true).max().deg < 1e-11


def test_a_wrapped_fits_wcs_is_written_as_it_is(tmp_path):
    wcs = make_wcs("lookup", SHAPE)
    sliced = HighLevelWCSWrapper(SlicedLowLevelWCS(wcs, np.s_[10:50, 20:60]))
    cutout = Cutout(IMAGE[10:50, 20:60], sliced, (3, 4), (12, 20))
    for layout in ("images", "table"):
        with write(cutout, tmp_path / f"{layout}.fits", layout=layout) as hdus:
            if layout == "images":
                assert hdus["SCI"].header["WCSFIT"] is False
                world = WCS(hdus["SCI"].header, hdus).all_pix2world(*grid_of(cutout), 0)
            else:
                world = row_to_world(hdus, 0, *grid_of(cutout))
        assert measure_pixels(cutout, world) < 1e-6


def test_a_wcs_that_a_header_says_wrong_is_fitted(tmp_path):
    """SIP polynomials with an origin of their own have no keywords."""
    wcs = make_wcs("sip", SHAPE)
    wcs.sip = Sip(wcs.sip.a, wcs.sip.b, None, None, wcs.sip.crpix + 20)
    cutout = make_cutout(wcs)
    with write(cutout, tmp_path / "c.fits") as hdus:
        assert hdus["SCI"].header["WCSFIT"] is True
        world = WCS(hdus["SCI"].header).all_pix2world(*grid_of(cutout), 0)
    assert measure_pixels(cutout, world) < 1e-6


def test_an_error_of_a_fit_is_measured(tmp_path):
    """One lookup table without the other is nothing that astropy reads, and no polynomial."""
    wcs = make_wcs("lookup", (1000, 1000))
    wcs.cpdis2 = wcs.det2im1 = wcs.det2im2 = None
    cutout = Cutout(np.zeros((1000, 1000)), wcs, (100, 100), (160, 160))
    with write(cutout, tmp_path / "c.fits") as hdus:
        header = hdus["SCI"].header
        assert header["WCSFIT"] is True
        error = measure_pixels(cutout, WCS(header).all_pix2world(*grid_of(cutout), 0))
    assert 1e-5 < error < 0.01
    assert header["WCSERR"] == pytest.approx(error, rel=0.1)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_a_wcs_that_cannot_be_fitted_is_refused(tmp_path, layout):
    wcs = make_wcs("lookup", (1000, 1000))
    wcs.cpdis1.data[::2] += 3
    wcs.cpdis2 = None
    cutout = Cutout(np.zeros((1000, 1000)), wcs, src_id="here", meta={"name": "here"})
    path = tmp_path / "c.fits"
    with pytest.raises(ValueError, match=r"'here' has no FITS header .* 0.01 pixels .* format="):
        write(cutout, path, layout=layout)
    frame = gwcs.Frame2D(name="plane", unit=(u.pix, u.pix))
    shift = models.Shift(1.0) & models.Shift(2.0)
    flat = gwcs.WCS([(gwcs.Frame2D(name="detector", unit=(u.pix, u.pix)), shift), (frame, None)])
    with pytest.raises(ValueError, match="over 80x60 pixels: there is none; format='asdf'"):
        write(Cutout(IMAGE, flat), path, layout=layout)
    assert not any(tmp_path.iterdir())


def test_a_wcs_that_is_no_sky(tmp_path):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = "XPOS", "YPOS"
    wcs.wcs.cdelt = 2.0, 3.0
    cutout = Cutout(IMAGE, wcs, (3, 4), (8, 9))
    with write(cutout, tmp_path / "c.fits") as hdus:
        found = WCS(hdus["SCI"].header).all_pix2world(*grid_of(cutout), 0)
    np.testing.assert_allclose(found, cutout.pix2world(*grid_of(cutout)), atol=1e-9)


@pytest.mark.parametrize(
    ("dtype", "flags"),
    [(np.float32, np.uint32), (np.float64, np.uint8), (">f8", np.int16), (np.int16, np.uint16),
     (np.uint16, np.int32), (np.int64, np.uint64), (np.uint8, np.int64)],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["images", "table"])
def test_pixels_are_the_same_bits(tmp_path, dtype, flags, layout):
    image = np.nan_to_num(IMAGE * 100, nan=7).astype(dtype) if dtype != np.float32 else IMAGE
    dq = DQ.astype(flags)
    dq[8, 9] = np.iinfo(flags).max
    cutouts = [
        make_cutout(image=image, dq=dq),
        make_cutout(blc=(7, 8), trc=(7, 9), image=image, dq=dq),
    ]
    before = [cutout.copy() for cutout in cutouts]
    with write(CutoutCollection(cutouts), tmp_path / "c.fits", layout=layout) as hdus:
        for number, cutout in enumerate(before):
            for name, plane in EXTENSIONS.items():
                images = layout == "images"
                found = hdus[name, number + 1].data if images else read_row(hdus, number, name)
                assert found.dtype.newbyteorder("=") == getattr(cutout, plane).dtype
                assert_same_pixels(found, getattr(cutout, plane))
            mask = hdus["MASK", number + 1].data if images else read_row(hdus, number, "MASK")
            assert_array_equal(mask, cutout.mask)
            error = hdus["ERR", number + 1].data if images else read_row(hdus, number, "ERR")
            assert_same_pixels(error, cutout.uncertainty.array)
    for cutout, copy in zip(cutouts, before, strict=True):
        assert_same_pixels(cutout.data, copy.data)


def test_pixels_of_views_and_of_fills(tmp_path):
    view = Cutout(IMAGE, make_wcs("tan", SHAPE), (3, 4), (9, 9), copy=False)
    filled = make_cutout(blc=(-3, -4), trc=(9, 9))
    with write(CutoutCollection([view, filled]), tmp_path / "c.fits") as hdus:
        assert_same_pixels(hdus["SCI", 1].data, IMAGE[4:10, 3:10].copy())
        assert_same_pixels(hdus["SCI", 2].data, filled.data)
        assert hdus["SCI", 2].header["STATUS"] == "filled"
        assert ("DQ", 1) not in hdus
    assert_array_equal(view.data, IMAGE[4:10, 3:10])


def test_small_floats_become_floats_that_fits_has(tmp_path):
    image = IMAGE.astype(np.float16)
    cutout = make_cutout(image=image)
    with write(cutout, tmp_path / "c.fits") as hdus:
        assert_array_equal(hdus["SCI"].data, cutout.data)
    with pytest.raises(ValueError, match=r"data .*complex128"):
        write(make_cutout(image=IMAGE.astype(complex)), tmp_path / "c.fits", overwrite=True)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_uncertainties_are_named_for_what_they_are(tmp_path, layout):
    kinds = {
        "ERR": StdDevUncertainty, "VAR": VarianceUncertainty,
        "IVAR": InverseVariance, "UNC": UnknownUncertainty,
    }  # fmt: skip
    cutouts = CutoutCollection(
        make_cutout(uncertainty=kind(WEIGHT * (k + 1)), unit=u.electron / u.s)
        for k, kind in enumerate(kinds.values())
    )
    units = ["electron s-1", "electron2 s-2", "s2 electron-2", ""]
    with write(cutouts, tmp_path / "c.fits", layout=layout) as hdus:
        for number, (name, unit) in enumerate(zip(kinds, units, strict=True)):
            expected = cutouts[number].uncertainty.array
            if layout == "table":
                row = hdus["CUTOUTS"].data[number]
                there = [other for other in kinds if row[f"start_{other}"] >= 0]
                found = [row["bunit"], row["bunit_uncertainty"]]
                assert_same_pixels(read_row(hdus, number, name), expected)
            else:
                there = [other for other in kinds if (other, number + 1) in hdus]
                headers = [hdus[other, number + 1].header for other in ("SCI", name)]
                found = [header.get("BUNIT", "") for header in headers]
                assert_same_pixels(hdus[name, number + 1].data, expected)
            assert there == [name]
            assert [u.Unit(text) for text in found] == [u.electron / u.s, u.Unit(unit)]


def test_units_that_fits_does_not_know(tmp_path):
    with write(make_cutout(unit=u.DN / u.s), tmp_path / "c.fits") as hdus:
        assert u.Unit(hdus["SCI"].header["BUNIT"]) == u.DN / u.s


def test_headers_of_images(tmp_path):
    cutout = make_cutout(
        src_id=7, exptime=12.5, src_pos=(9.25, 8.5), src_weight=0.5, unit=u.electron,
        meta={"FILENAME": "j.fits", "FILTER": "F140W"},
    )  # fmt: skip
    cutout.dx, cutout.dy = 0.25, -1.5
    with write(cutout, tmp_path / "c.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "MASK", "ERR", "DQ", "WHT", "SEG"]
        assert hdus[0].data is None
        header = hdus["SCI"].header
        assert header["DATAUNIT"] == "counts"
        assert hdus["DQ"].header["SRCID"] == 7
    expected = {
        "SRCID": 7, "STATUS": "ok", "IMAGE": "j.fits", "BLC1": 5, "BLC2": 6, "TRC1": 16,
        "TRC2": 14, "DX": 0.25, "DY": -1.5, "SRCX": 9.25, "SRCY": 8.5, "EXPTIME": 12.5,
        "SRCWT": 0.5, "BUNIT": "electron", "FILTER": "F140W", "FILENAME": "j.fits",
    }  # fmt: skip
    assert {name: header[name] for name in expected} == expected
    # A position in the image, counted from 1 as in DS9, is one in the cutout.
    assert 10 + header["LTV1"] == cutout.cutout_src_pos[0] + 10 - 9.25
    assert 10 + header["LTV2"] == cutout.cutout_src_pos[1] + 10 - 8.5


def test_a_weight_that_is_none_has_no_card(tmp_path):
    with write(make_cutout(), tmp_path / "c.fits") as hdus:
        assert "SRCWT" not in hdus["SCI"].header


@pytest.mark.parametrize(
    ("src_id", "text"),
    [(5, 5), (2**63, 2**63), (-1.5, -1.5), ("M31 V1", "M31 V1"), ("x" * 300, "x" * 300),
     ("naïve\n", "na\\xefve\\n"), (np.int64(3), 3)],
)  # fmt: skip
@pytest.mark.parametrize("layout", ["images", "table"])
def test_ids_of_any_length(tmp_path, src_id, text, layout):
    with write(make_cutout(src_id=src_id), tmp_path / "c.fits", layout=layout) as hdus:
        images = layout == "images"
        found = hdus["SCI"].header["SRCID"] if images else hdus["CUTOUTS"].data["id"][0]
        assert found == text


@pytest.mark.parametrize("src_id", [("a", 1), float("nan")])
def test_ids_that_fits_does_not_have_become_text(tmp_path, src_id):
    with pytest.warns(SubpixalWarning, match="ids, which become text"):
        hdus = write(make_cutout(src_id=src_id), tmp_path / "c.fits")
    with hdus:
        assert hdus["SCI"].header["SRCID"] == str(src_id)
    cutouts = CutoutCollection([make_cutout(src_id=("a", 1)), make_cutout(src_id=2)])
    with pytest.warns(SubpixalWarning, match="ids, which become text"):
        hdus = write(cutouts, tmp_path / "t.fits", layout="table")
    with hdus:
        assert hdus["CUTOUTS"].data["id"].tolist() == ["('a', 1)", "2"]


META = {
    "filter": "F140W", "a long key": 3, "text": "y" * 200, "none": None, "flag": np.True_,
    "number": np.float32(0.5), "NAXIS1": 5, "CRVAL1": 99.0, "PV1_1": 3.0, "extname": "X",
}  # fmt: skip


@pytest.mark.parametrize("layout", ["images", "table"])
def test_metadata(tmp_path, layout):
    with write(make_cutout(meta=META), tmp_path / "c.fits", layout=layout) as hdus:
        if layout == "images":
            header = hdus["SCI"].header
            assert (header["NAXIS1"], header["EXTNAME"]) == (12, "SCI")
        else:
            header = fits.Header.fromstring(hdus["IMAGES"].data["header"][0])
        assert header["FILTER"] == "F140W"
        assert header["a long key"] == 3
        assert header["TEXT"] == "y" * 200
        assert header["NUMBER"] == 0.5
        assert header["FLAG"] is True
        assert header["NONE"] is None
        assert header["CRVAL1"] == 150.1
        assert "PV1_1" not in header


def test_what_fits_cannot_hold_is_named(tmp_path):
    lost = {"nan": np.nan, "list": [1, 2], "dict": {"a": 1}, "k" * 90: 1, "status": "mine"}
    cutout = make_cutout(meta=META | lost, psf=np.eye(3))
    names = "dict, k+, list, nan, status; PSFs: ndarray"
    with pytest.warns(SubpixalWarning, match=rf"leaves out .*\(metadata: {names}\)") as caught:
        cutout.write(tmp_path / "c.fits")
    assert caught[0].filename == __file__
    assert fits.getheader(tmp_path / "c.fits", "SCI")["STATUS"] == "ok"


def test_metadata_of_single_cutouts_are_not_in_a_table(tmp_path):
    cutouts = CutoutCollection([make_cutout(), make_cutout()])
    cutouts[1].meta["note"] = "blend"
    with pytest.warns(SubpixalWarning, match="metadata of single cutouts: those of 1 cutouts"):
        cutouts.write(tmp_path / "c.fits", layout="table")


def test_a_header_as_metadata(tmp_path):
    """The header that an image had does not say where its cutouts are."""
    hdus = make_wcs("lookup", SHAPE).to_fits(relax=True)
    header = hdus[0].header
    header["DATE-OBS"], header["FILTER"] = "2020-01-02", "F606W"
    header["COMMENT"] = "one"
    cutout = make_cutout("sip", meta=header)
    with pytest.warns(SubpixalWarning, match="metadata: COMMENT"):
        found = write(cutout, tmp_path / "c.fits")
    with found:
        wcs = WCS(found["SCI"].header)
        assert found["SCI"].header["FILTER"] == "F606W"
        assert wcs.cpdis1 is None
        assert measure_pixels(cutout, wcs.all_pix2world(*grid_of(cutout), 0)) < 1e-6


@pytest.fixture(scope="module")
def primary():
    scene = make_scene(n_sources=30, shape=(256, 256), seed=3)
    drz = scene.combined
    return create_primary_cutouts(
        scene.truth, scene.segmentation, drz.data, drz.wcs, imweight=drz.weight,
        exptime=drz.exptime, data_units="rate",
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["images", "table"])
def test_dropped_sources_are_in_the_file(tmp_path, primary, layout):
    with write(primary, tmp_path / "c.fits", layout=layout) as hdus:
        found, expected = hdus["DROPPED"].data, primary.dropped
        assert len(found) > 0
        for name in expected.colnames:
            assert_array_equal(found[name], expected[name])


def test_table_of_cutouts(tmp_path, primary):
    some = make_cutout("gwcs", src_id=77)
    some.flags = None
    cutouts = primary[::-1] + CutoutCollection([some])
    cutouts[3].dx = 0.75
    with write(cutouts, tmp_path / "c.fits", layout="table") as hdus:
        found = hdus["CUTOUTS"].data
        for name in cutouts.table.colnames:
            assert_array_equal(found[name], cutouts.table[name])
        for number, cutout in enumerate(cutouts):
            row = found[number]
            assert (row["width"], row["height"]) == cutout.naxis
            assert tuple(row["origin"]) == cutout.origin
            np.testing.assert_allclose(row["cutout_src_pos"], cutout.cutout_src_pos)
            assert_same_pixels(read_row(hdus, number), cutout.data)
            there = cutout.segmentation is not None
            assert (read_row(hdus, number, "SEG") is not None) == there
        images = hdus["IMAGES"].data
        assert images["name"].tolist() == [image.name for image in cutouts.images]
        assert images["exptime"].tolist() == [image.exptime for image in cutouts.images]
        header = fits.Header.fromstring(images["header"][0])
        assert WCS(header).pixel_shape == (256, 256)
        assert "DQ" not in hdus


def test_types_of_a_table_that_no_type_holds(tmp_path):
    cutouts = CutoutCollection(make_cutout(dq=DQ.astype(dtype)) for dtype in (np.int64, np.uint64))
    with pytest.raises(ValueError, match=r"flags of the cutouts are .'int64', 'uint64'."):
        cutouts.write(tmp_path / "c.fits", layout="table")
    mixed = CutoutCollection([make_cutout(), make_cutout(image=IMAGE.astype(float) / 3)])
    with write(mixed, tmp_path / "c.fits", layout="table") as hdus:
        for number, cutout in enumerate(mixed):
            assert_array_equal(read_row(hdus, number), cutout.data)


@pytest.mark.parametrize("layout", ["images", "table"])
def test_an_empty_collection(tmp_path, layout):
    with write(CutoutCollection(), tmp_path / "c.fits", layout=layout) as hdus:
        assert hdus[0].header["NCUTOUTS"] == 0


@pytest.mark.parametrize("name", ["c.fits", "c.FITS", "c.fit", "c.fits.gz"])
def test_names_of_files_say_the_format(tmp_path, name):
    make_cutout().write(tmp_path / name)
    with fits.open(tmp_path / name) as hdus:
        assert hdus[0].header["LAYOUT"] == "images"
        assert [hdu.verify_checksum() for hdu in hdus]
        hdus.verify("exception")
    if name.endswith("gz"):
        with gzip.open(tmp_path / name) as file:
            assert file.read(6) == b"SIMPLE"


def test_a_file_is_not_replaced_unasked(tmp_path):
    path = tmp_path / "c.fits"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already; overwrite=True replaces it"):
        make_cutout().write(path)
    with pytest.raises(ValueError, match=r"layout must be one of .*, got 'meds'"):
        make_cutout().write(path, layout="meds", overwrite=True)
    assert path.read_bytes() == b"precious"
    make_cutout().write(path, overwrite=True)
    assert fits.getdata(path, "SCI").shape == (9, 12)


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz", "c.dat"])
@pytest.mark.parametrize("cls", [Cutout, CutoutCollection])
def test_fits_files_are_not_read(tmp_path, cls, name):
    """Who tries is told that they are only written, whatever the file is called."""
    path = tmp_path / name
    make_cutout().write(path, format="fits")
    with pytest.raises(OSError, match=rf"{name} cannot be read .*: it is a FITS file .*read_image"):
        cls.read(path)
    with pytest.raises(IORegistryError, match="No reader defined for format 'fits'"):
        cls.read(path, format="fits")
    opener = gzip.open if name.endswith("gz") else open
    with opener(path, "rb") as file, pytest.raises(OSError, match="it is a FITS file"):
        cls.read(file)


@pytest.mark.parametrize("name", ["c.fits", "c.fits.gz"])
def test_fits_files_are_no_archives(tmp_path, name):
    """Every door of archives says so."""
    path = tmp_path / name
    make_cutout().write(path)
    for read in (read_asdf, partial(Cutout.read, format="asdf")):
        with pytest.raises(OSError, match=r"c\.fits.* .*: it is a FITS file"):
            read(path)
    with pytest.raises(OSError, match=r"c\.fits.* .*: it is a FITS file"):
        merge_archives([path], tmp_path / "all.asdf")


@pytest.mark.parametrize(
    ("name", "option", "known"),
    [
        ("c.fits", "compression", "only overwrite, layout"),
        ("c.asdf", "layout", "only overwrite, compression"),
    ],
)
def test_options_of_another_format(tmp_path, name, option, known):
    """An option that the format does not have is refused with those that it has."""
    message = f"{option} is no option of the format '{name[2:]}', {known}$"
    with pytest.raises(TypeError, match=message):
        make_cutout().write(tmp_path / name, **{option: "zlib"})
    assert not list(tmp_path.iterdir())


def test_options_of_reading(tmp_path):
    make_cutout().write(tmp_path / "c.asdf")
    with pytest.raises(TypeError, match="lazy is no option of the format 'asdf', which has none"):
        Cutout.read(tmp_path / "c.asdf", lazy=False)
    with pytest.raises(TypeError, match="mode is no option of the format 'asdf', only lazy"):
        CutoutCollection.read(tmp_path / "c.asdf", mode="r")


@pytest.mark.parametrize(
    "name",
    [
        "hst_wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
        "full_distortion_wcs/acs_wfc_full_wcs.fits.gz[SCI,1]",
        "jwst_nircam_sim/jw00000_nrcb1_cal.fits.gz",
        "ground_tpv/tpv_ctio_mosaic2.fits.gz",
    ],
)
def test_cutouts_of_real_images(tmp_path, shared_data, name):
    image = read_image(shared_data / name)
    nx, ny = image.naxis
    boxes = [(-5, -5), (nx // 2, ny // 3), (nx - 20, ny - 20)]
    cutouts = CutoutCollection(
        Cutout(image, None, (x, y), (x + 24, y + 24), mode="fill", fillval=0) for x, y in boxes
    )
    cutouts[1].dx = -0.3
    for layout in ("images", "table"):
        with warnings.catch_warnings():
            # Dates that are told in two ways.
            warnings.simplefilter("ignore", AstropyWarning)
            with write(cutouts, tmp_path / f"{layout}.fits", layout=layout) as hdus:
                for number, cutout in enumerate(cutouts):
                    if layout == "images":
                        header = hdus["SCI", number + 1].header
                        world = WCS(header, hdus).all_pix2world(*grid_of(cutout), 0)
                    else:
                        world = row_to_world(hdus, number, *grid_of(cutout))
                    assert measure_pixels(cutout, world) < 1e-6


@pytest.mark.parametrize("suffix", FITS_SUFFIXES)
def test_names_of_fits_files_are_written_as_fits_and_refused_for_archives(suffix, tmp_path):
    """One list of suffixes decides both."""
    path = tmp_path / f"c{suffix}"
    with pytest.raises(ValueError, match="must not be named as a FITS file"):
        check_archive(path, overwrite=False)
    make_cutout().write(path)
    with fits.open(path) as hdus:
        assert hdus[1].name == "SCI"
