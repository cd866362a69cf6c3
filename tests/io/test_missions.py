"""Flag names, good flags and metadata of each mission. Good flags do not mask pixels."""

import io

import asdf
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import NDData, bitfield_to_boolean_mask
from astropy.table import Table
from numpy.testing import assert_array_equal

from subpixal import Cutout, CutoutCollection, create_cutouts, create_primary_cutouts
from subpixal.batch import cut_exposures, gather
from subpixal.datasets import make_scene, make_wcs
from subpixal.io import read_image
from subpixal.io._missions.registry import MISSIONS, find_mission

SHAPE = (40, 50)


def find_instrument(instrument="", detector="", telescope=""):
    """Return the record of the instrument with a given name."""
    meta = {"instrument": instrument, "detector": detector}
    return find_mission(telescope, instrument).find_instrument(meta)


def write_exposure(path, telescope="JWST", instrument="NIRCAM", detector="NRCB1", **cards):
    """Write an exposure in which each flag of the mission occurs. Return the flags."""
    rng = np.random.default_rng(4)
    flags = (1 << rng.integers(0, 32, SHAPE)).astype("u4") | (rng.random(SHAPE) < 0.1)
    flags[5:15, 5:15] = 0
    primary = fits.PrimaryHDU()
    primary.header.update(TELESCOP=telescope, INSTRUME=instrument, DETECTOR=detector, EXPTIME=9.5)
    primary.header.update(cards)
    header = make_wcs("tan", SHAPE).to_header()
    header["BUNIT"] = "ELECTRONS/S"
    data = rng.random(SHAPE).astype("f4")
    planes = {"SCI": data, "ERR": data, "DQ": flags}
    hdus = [fits.ImageHDU(pixels, header, name=name) for name, pixels in planes.items()]
    if telescope == "JWST":
        content = io.BytesIO()
        asdf.AsdfFile({"meta": {"wcs": make_wcs("gwcs", SHAPE)}}).write_to(content)
        hdus.append(fits.ImageHDU(np.frombuffer(content.getvalue(), "u1"), name="ASDF"))
    fits.HDUList([primary, *hdus]).writeto(path)
    return flags


INSTRUMENTS = {
    f"{mission.telescope}-{instrument.name}-{instrument.detector}": (mission, instrument)
    for mission in MISSIONS
    for instrument in mission.instruments
}


@pytest.mark.parametrize(("mission", "instrument"), INSTRUMENTS.values(), ids=list(INSTRUMENTS))
def test_bad_flags_of_the_instrument_mask_pixels(mission, instrument, tmp_path):
    """Each image has the flag names of its instrument, and bad flags mask its pixels."""
    detector = instrument.detector or "X"
    dq = write_exposure(tmp_path / "f.fits", mission.telescope, instrument.name, detector)
    image = read_image(tmp_path / "f.fits")
    assert_array_equal(image.mask, dq & ~np.int64(instrument.good_flags) != 0)
    assert image.image.dqbitmask == instrument.good_flags
    for name, bit in instrument.flag_names.items():
        assert image.image.flag_names[name] == bit
        assert bit & (bit - 1) == 0
    # Each bit has at most one name.
    assert len(set(instrument.flag_names.values())) == len(instrument.flag_names)


@pytest.mark.parametrize(
    ("instrument", "name", "bit"),
    [
        # Each table of flags is tested in its middle and at its end. There, a missing
        # flag before it would give another bit.
        (("ACS", "WFC"), "BADCOL", 128),
        (("ACS", "WFC"), "USER", 16384),
        (("WFC3", "UVIS"), "UNSTABLE", 32),
        (("WFC3", "UVIS"), "USER", 32768),
        (("WFC3", "IR"), "BLOB", 512),
        (("WFC3", "IR"), "CRREJ", 8192),
        (("WFPC2", ""), "TRAP", 128),
        (("WFPC2", ""), "CRDRIZ", 4096),
        (("STIS", "CCD"), "OVERSCAN", 128),
        (("STIS", "CCD"), "SMALLBLEM", 1024),
        (("STIS", "CCD"), "CRREJ", 8192),
        (("NICMOS", ""), "GROT", 16),
        (("NICMOS", ""), "SOURCE", 1024),
        (("NICMOS", ""), "USER", 8192),
        (("MIRI", ""), "NON_SCIENCE", 512),
        (("MIRI", ""), "TELEGRAPH", 2**15),
        (("MIRI", ""), "REFERENCE_PIXEL", 2**31),
        (("WFI", ""), "TELEGRAPH", 2**15),
        (("WFI", ""), "UNRELIABLE_RESET", 2**28),
        (("WFI", ""), "REFERENCE_PIXEL", 2**31),
        (("VIS", ""), "INVALID", 1),
        (("VIS", ""), "OVRCOL", 4096),
        (("VIS", ""), "SATXTALKGHOST", 131072),
        (("VIS", ""), "OBJECTS", 16777216),
        (("NISP", ""), "INVALID", 1),
        (("NISP", ""), "NLINEAR", 2048),
        (("NISP", ""), "VIGNET", 2**24),
    ],
)
def test_flag_names_have_the_bits_of_the_handbooks(instrument, name, bit):
    """Each flag name stands for the bit in the handbook of the mission."""
    assert find_instrument(*instrument).flag_names[name] == bit


@pytest.mark.parametrize(
    ("package", "index"), [("stdatamodels.jwst.datamodels.dqflags", 0), ("roman_datamodels", 1)]
)
def test_flag_names_have_the_bits_of_the_pipelines(package, index):
    """Each flag name stands for the same bit as in the software of the mission."""
    if index:
        pixel = pytest.importorskip(f"{package}.dqflags").pixel
        expected = {flag.name: int(flag.value) for flag in pixel}
    else:
        expected = pytest.importorskip(package).pixel
    names = find_instrument(("NIRCAM", "WFI")[index]).flag_names
    assert {n: b for n, b in expected.items() if n in names} | {"UNRELIABLE_ERROR": 256} == names
    assert all(n == "GOOD" or n.startswith("RESERVED") for n in set(expected) - set(names))


@pytest.mark.parametrize(
    "meta",
    [{}, {"instrument": "WFI", "telescope": "MPI-2.2"}, {"instrument": "COS", "detector": "NUV"}],
)
def test_every_flag_of_an_unknown_instrument_is_bad(meta):
    """
    All flags of an unknown instrument are bad.

    An instrument of another telescope is unknown even if its name is known.
    """
    instrument = find_instrument(**meta)
    assert (instrument.flag_names, instrument.good_flags) == ({}, 0)


@pytest.mark.parametrize(
    ("dqbitmask", "good"),
    [
        ("SATURATED+JUMP_DET", 6),
        ("saturated,jump_det", 6),
        ("HOT|WARM", 2048 + 4096),
        ("OUTLIER", 16),
        ("~DO_NOT_USE", ~1),
        ("~(DO_NOT_USE+NON_SCIENCE)", ~513),
        (["SATURATED", "JUMP_DET"], 6),
        ("2,4", 6),
        ("~16", ~16),
        (np.int32(6), 6),
        (np.array([2, 4]), 6),
        (None, None),
        ("none", None),
    ],
)
def test_good_flags_in_every_syntax(dqbitmask, good, tmp_path):
    """Each syntax of astropy for flags works in `read_image` and in `Cutout`."""
    dq = write_exposure(tmp_path / "f.fits")
    expected = np.zeros(SHAPE, bool) if good is None else dq & ~np.int64(good) != 0
    read = read_image(tmp_path / "f.fits", dqbitmask=dqbitmask)
    assert_array_equal(read.mask, expected)
    # The argument of the cutout replaces the good flags of the image.
    for other in ("mission", "RC", None):
        image = read_image(tmp_path / "f.fits", dqbitmask=other)
        cut = Cutout(image, None, (3, 2), (40, 30), dqbitmask=dqbitmask)
        assert_array_equal(cut.mask, expected[2:31, 3:41])
        assert type(cut.image.dqbitmask) is type(good)
        assert cut.image.dqbitmask == read.image.dqbitmask == good


def test_other_good_flags_keep_the_mask_of_the_user(tmp_path):
    """If a cutout has other good flags, pixels that the user has masked stay masked."""
    dq = write_exposure(tmp_path / "f.fits")
    image = read_image(tmp_path / "f.fits", dqbitmask=0)
    image.mask = image.mask | (dq == 0)
    cut = Cutout(image, None, dqbitmask=None)
    assert_array_equal(cut.mask, dq == 0)


def test_unknown_flag_names_are_an_error(tmp_path):
    """The error contains the file, the unknown name and the known names."""
    write_exposure(tmp_path / "f.fits")
    match = r"^f\.fits\[SCI,1\]: dqbitmask must .*, got 'COSMIC'; .* DO_NOT_USE, SATUR"
    with pytest.raises(ValueError, match=match):
        read_image(tmp_path / "f.fits", dqbitmask="COSMIC")
    image = read_image(tmp_path / "f.fits")
    labels = np.zeros(SHAPE, int)
    with pytest.raises(ValueError, match=r"^dqbitmask must be .*, got 'HOT\+2'"):
        create_primary_cutouts(Table({"id": [1]}), labels, image, None, dqbitmask="HOT+2")
    with pytest.raises(ValueError, match=r"got 'HOT'; .* in meta\['flag_names'\]"):
        Cutout(image.data, image.image_wcs, dq=image.flags, dqbitmask="HOT")


def test_nddata_can_define_flag_names():
    """The metadata of an NDData object can define flag names."""
    nd = NDData(np.zeros(SHAPE), wcs=make_wcs("tan", SHAPE), meta={"flag_names": {"SPOT": 4}})
    flags = np.arange(2000).reshape(SHAPE) % 8
    cutout = Cutout(nd, None, dq=flags, dqbitmask="SPOT")
    names = cutout.image.flag_names
    assert_array_equal(cutout.mask, bitfield_to_boolean_mask(flags, "SPOT", flag_name_map=names))
    assert Cutout(NDData(np.zeros(SHAPE)), nd.wcs).image.flag_names is None


def test_flag_names_work_in_every_step_and_in_archives(tmp_path):
    """All create functions accept flag names. An archive preserves the names and their bits."""
    write_exposure(tmp_path / "f.fits")
    image = read_image(tmp_path / "f.fits")
    labels = np.zeros(SHAPE, int)
    labels[7:12, 8:13] = 1
    catalog = Table({"id": [1], "x": [10.0], "y": [9.0]})
    primary = create_primary_cutouts(catalog, labels, image, None, dqbitmask="HOT+WARM")
    assert primary.images[0].dqbitmask == 2048 + 4096
    flt, drz = create_cutouts(
        primary, labels, image, None, image, None, drz_dqbitmask="~OUTLIER", flt_dqbitmask="RC"
    )
    assert (flt.images[0].dqbitmask, drz.images[0].dqbitmask) == (16384, ~16)
    (primary + flt + drz).write(tmp_path / "c.asdf")
    found = CutoutCollection.read(tmp_path / "c.asdf")
    assert [i.dqbitmask for i in found.images] == [6144, 16384, ~16]
    assert found.images[1].flag_names["RC"] == 16384
    again = Cutout(found[1], None, dqbitmask="RC")
    assert again.image.dqbitmask == 16384


def test_exposure_name_of_jwst_has_no_detector(tmp_path):
    """The exposure name of JWST is the file name without the detector."""
    write_exposure(
        tmp_path / "f.fits", VISIT_ID="01345001001", VISITGRP="02", SEQ_ID="1", ACT_ID="01",
        EXPOSURE="1", FILTER="F200W", PUPIL="CLEAR",
    )  # fmt: skip
    image = read_image(tmp_path / "f.fits")
    assert image.meta["exposure"] == "jw01345001001_02101_00001"
    assert image.meta["filter"] == "F200W"
    assert (image.meta["filename"], image.meta["extension"]) == ("f.fits", "SCI,1")


def test_archive_keeps_metadata_once_per_image(tmp_path):
    """Each cutout has the metadata of its image, which the archive contains only once."""
    scene = make_scene(n_sources=30, shape=(256, 256), seed=3)
    images = []
    for k, exposure in enumerate(scene.exposures[:2]):
        name = f"ib6o23r{k}q_flt.fits"
        header = scene.combined.wcs.to_header()
        primary = fits.PrimaryHDU()
        primary.header.update(TELESCOP="HST", INSTRUME="WFC3", DETECTOR="IR", FILTER="F140W")
        primary.header.update({"ROOTNAME": name[:9], "DATE-OBS": "2009-10-03"})
        science = fits.ImageHDU(exposure.data, header, name="SCI")
        flags = fits.ImageHDU(exposure.dq, name="DQ")
        fits.HDUList([primary, science, flags]).writeto(tmp_path / name)
        images.append(read_image(tmp_path / name))
    drz = scene.combined
    combined = Cutout(drz.data, drz.wcs, weight=drz.weight, meta={"name": "drz"})
    primary = create_primary_cutouts(scene.truth, scene.segmentation, combined, None)
    results = list(cut_exposures(primary, scene.segmentation, combined, images))
    gather(primary, results).write(tmp_path / "c.asdf")
    found = CutoutCollection.read(tmp_path / "c.asdf")
    exposures = [c for c in found if c.image.stage == "input_image"]
    assert len(exposures) > 10
    for cutout in exposures:
        assert cutout.meta["filename"] == f"{cutout.meta['exposure']}_flt.fits"
        assert (cutout.meta["filter"], cutout.meta["date"]) == ("F140W", "2009-10-03")
        assert cutout.image.name == f"{cutout.meta['filename']}[SCI,1]"
    text = (tmp_path / "c.asdf").read_bytes()
    assert [text.count(b"filename: ib6o23r%dq_flt.fits" % k) for k in (0, 1)] == [1, 1]
