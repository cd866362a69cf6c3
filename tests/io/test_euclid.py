"""Simulated files of Euclid: mosaics with planes in separate files, frames, catalogs and labels."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table
from numpy.testing import assert_array_equal

from subpixal import CutoutCollection, create_primary_cutouts
from subpixal.datasets import make_wcs
from subpixal.io import read_catalog, read_image, read_images, read_segmentation

SHAPE = (40, 50)
WCS = make_wcs("tan", SHAPE)
TILE = "TILE102018211"
HASH = "ACBD03_20241018T142710.276838Z_00.00.fits"

# Labels of Euclid have 15 digits: the digits of the tile, followed by a number.
LABELS = (102018211000123, 102018211000456)


def write_plane(path, pixels, **cards):
    """Write the pixels and the WCS of a plane to a FITS file."""
    header = WCS.to_header()
    header.update(cards)
    fits.PrimaryHDU(pixels, header).writeto(path)


def write_mosaic(folder, band="VIS", instrument="VIS", **cards):
    """
    Write image, RMS and flags of a band to separate files.

    Return the path of the image and all planes.
    """
    rng = np.random.default_rng(5)
    planes = {
        "data": rng.normal(0, 1, SHAPE).astype("f4"),
        "uncertainty": rng.uniform(1, 2, SHAPE).astype("f4"),
        "flags": rng.choice([0, 1, 2, 2**24, 2**24 + 1], SHAPE).astype("i4"),
    }
    cards = {"INSTRUME": instrument, "MAGZERO": 24.6, "EXPTIME": 2240.0, **cards}
    path = folder / f"EUC_MER_BGSUB-MOSAIC-{band}_{TILE}-{HASH}"
    write_plane(path, planes["data"], **cards)
    # The names of the files of a mosaic contain different hashes and times.
    write_plane(folder / f"EUC_MER_MOSAIC-{band}-RMS_{TILE}-B3070B_1.fits", planes["uncertainty"])
    write_plane(folder / f"EUC_MER_MOSAIC-{band}-FLAG_{TILE}-B260B9_2.fits", planes["flags"])
    return path, planes


@pytest.mark.parametrize(
    ("band", "instrument"), [("VIS", "VIS"), ("NIR-Y", "NISP"), ("NIR-H", "NISP")]
)
def test_mosaics_have_the_planes_of_the_other_files(band, instrument, tmp_path):
    """RMS and flags come from files of the same band and tile. Only the flag INVALID masks."""
    path, planes = write_mosaic(tmp_path, band, instrument, TELESCOP="Euclid", FILTER=band)
    # Files of other bands and tiles do not belong to the image.
    for other in (f"DES-G-RMS_{TILE}", f"{band}-RMS_{TILE}9"):
        write_plane(tmp_path / f"EUC_MER_MOSAIC-{other}-1_1.fits", np.zeros((3, 3)))
    image = read_image(path)
    assert_array_equal(image.data, planes["data"])
    assert_array_equal(image.error, planes["uncertainty"])
    assert_array_equal(image.flags, planes["flags"])
    assert_array_equal(image.mask, planes["flags"] & 1 == 1)
    assert image.weight is None
    assert (image.unit, image.exptime) == (None, 2240.0)
    assert (image.meta["telescope"], image.meta["filter"]) == ("Euclid", band)
    assert image.meta["zero_point"] == 24.6
    assert image.meta["flag_names"]["INVALID"] == 1


def test_file_names_identify_mosaics(tmp_path):
    """
    A file name identifies a mosaic of Euclid if the header has no TELESCOP.

    Its other files can be missing.
    """
    path, planes = write_mosaic(tmp_path)
    assert_array_equal(read_image(path).flags, planes["flags"])
    for other in tmp_path.glob("EUC_MER_MOSAIC-*"):
        other.unlink()
    image = read_image(path)
    assert (image.flags, image.uncertainty) == (None, None)


def test_companions_must_fit_and_be_unique(tmp_path):
    """
    Two files with the same plane are an error that names them.

    A file with another shape is also an error.
    """
    path, _ = write_mosaic(tmp_path)
    second = tmp_path / f"EUC_MER_MOSAIC-VIS-RMS_{TILE}-FFFFFF_3.fits"
    write_plane(second, np.zeros((3, 4)))
    with pytest.raises(ValueError, match=r"uncertainty.*B3070B_1\.fits, .*FFFFFF_3\.fits"):
        read_image(path)
    next(tmp_path.glob("*B3070B*")).unlink()
    with pytest.raises(ValueError, match=r"FFFFFF_3\.fits\[0\] has shape \(3, 4\)"):
        read_image(path)


@pytest.mark.parametrize("names", [str.upper, str.lower])
def test_sources_are_cut_by_the_label_in_the_segmentation_map(names, tmp_path):
    """The labels of the sources are in the column SEGMENTATION_MAP_ID, not in OBJECT_ID."""
    path, planes = write_mosaic(tmp_path)
    labels = np.zeros(SHAPE, np.int64)
    labels[5:10, 6:12], labels[20:26, 30:37] = LABELS
    segmentation = tmp_path / f"EUC_MER_FINAL-SEGMAP_{TILE}-1_1.fits"
    write_plane(segmentation, labels)
    positions = [(9.0, 7.0), (33.0, 22.5)]
    ra, dec = WCS.pixel_to_world_values(*np.transpose(positions))
    columns = {
        "OBJECT_ID": [-526114, 2],
        "RIGHT_ASCENSION": ra * u.deg,
        "DECLINATION": dec * u.deg,
        "SEGMENTATION_MAP_ID": LABELS,
    }
    catalog = tmp_path / f"EUC_MER_FINAL-CAT_{TILE}-1_1.fits"
    Table({names(name): values for name, values in columns.items()}).write(catalog)
    cutouts = create_primary_cutouts(
        read_catalog(catalog), read_segmentation(segmentation), read_image(path), None
    )
    assert cutouts.ids.tolist() == list(LABELS)
    assert len(cutouts.dropped) == 0
    np.testing.assert_allclose([c.src_pos for c in cutouts], positions, atol=1e-6)
    first = cutouts[0]
    part = slice(first.blc[1], first.trc[1] + 1), slice(first.blc[0], first.trc[0] + 1)
    assert_array_equal(first.data, planes["data"][part])
    assert_array_equal(first.error, planes["uncertainty"][part])
    bad = (planes["flags"][part] & 1 == 1) | (labels[part] != LABELS[0])
    assert_array_equal(first.mask, bad)
    cutouts.write(tmp_path / "c.asdf")
    assert CutoutCollection.read(tmp_path / "c.asdf").ids.tolist() == list(LABELS)


@pytest.mark.parametrize(
    ("instrument", "chips", "flags"),
    [("NISP", ("DET11", "DET12"), "DQ"), ("VIS", ("1-1.E", "1-1.F"), "FLG")],
)
def test_planes_of_frames_belong_to_the_chip_in_their_name(instrument, chips, flags, tmp_path):
    """The extensions DET11.SCI, DET11.RMS and DET11.DQ form one image, in any order."""
    primary = fits.PrimaryHDU()
    primary.header.update(TELESCOP="EUCLID", INSTRUME=instrument)
    header = WCS.to_header()
    header["ZPAB"] = 29.8
    hdus = []
    for number, chip in enumerate(chips):
        pixels = np.full(SHAPE, number, "f4")
        hdus.append(fits.ImageHDU(pixels, header, name=f"{chip}.SCI"))
        hdus.append(fits.ImageHDU(pixels + 10, name=f"{chip}.RMS"))
        hdus.append(fits.ImageHDU(np.full(SHAPE, 2**11 + number, "i4"), name=f"{chip}.{flags}"))
    path = tmp_path / "frame.fits"
    fits.HDUList([primary, *hdus[::-1]]).writeto(path)
    images = read_images(path)
    assert [image.meta["extension"] for image in images] == [f"{c}.SCI,1" for c in chips[::-1]]
    for number, chip in enumerate(chips):
        image = read_image(f"{path}[{chip}.SCI]")
        assert (image.data[0, 0], image.error[0, 0]) == (number, number + 10)
        assert image.flags[0, 0] == 2**11 + number
        # Only pixels of the second chip have the flag INVALID.
        assert image.mask[0, 0] == bool(number)
        assert image.meta["zero_point"] == 29.8
    with pytest.raises(ValueError, match=r"frame\.fits.*not a segmentation image"):
        read_segmentation(path)
