"""Comparison of cutouts: the compared attributes, and the messages about differences."""

import copy
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.modeling.models import Gaussian2D
from astropy.nddata import InverseVariance, NDData, StdDevUncertainty
from astropy.wcs import WCS
from photutils.psf import ImagePSF

from subpixal import Cutout, CutoutCollection
from subpixal.cutout.storage import Dropped
from subpixal.datasets import make_wcs
from subpixal.geometry import PixelBox, offset_wcs
from subpixal.testing import assert_cutouts_equal

SHAPE = (23, 31)
LOOKUP = make_wcs("lookup", SHAPE)
RNG = np.random.default_rng(4)
PSF, META = np.eye(3), {"FILENAME": "j.fits", "n": [1, {"a": np.nan}]}
IMAGE = RNG.normal(10, 1, SHAPE)


def make_cutout(src_id=7, wcs=LOOKUP, **kwargs):
    """Return a cutout with all planes that extends beyond its image."""
    cutout = Cutout(
        IMAGE,
        wcs,
        (-2, 3),
        (10, 11),
        RNG.integers(0, 1, SHAPE),
        np.ones(SHAPE),
        src_id,
        mode="fill",
        unit="electron",
        uncertainty=StdDevUncertainty(np.ones(SHAPE)),
        **{"psf": PSF, "meta": META, **kwargs},
    )
    cutout.segmentation = np.ones(cutout.shape, int)
    return cutout


def set_pixel(name, value):
    """Return a function that changes one pixel of a plane."""

    def change(cutout):
        plane = getattr(cutout, name)
        getattr(plane, "array", plane)[2, 3] = value

    return change


def set_attribute(name, value):
    """Return a function that changes an attribute of a cutout."""
    return lambda cutout: setattr(cutout, name, value)


def set_image(**changes):
    """Return a function that changes attributes of a cutout's image."""

    def change(cutout):
        cutout.store.image = replace(cutout.image, **changes)

    return change


def set_cut_box(cutout):
    """Change the box where the pixels were cut."""
    cutout._columns["original_x"] += 1


def set_parent_box(cutout):
    """Change the box of the valid pixels of the image."""
    cutout.store.edit_overrides(cutout.row).parent_box = PixelBox(0, 0, 5, 5)


def negate_nan(cutout):
    """Change the sign of a NaN. This changes only its bits."""
    cutout.data[0, 0] = -cutout.data[0, 0]


CHANGES = {
    "data": (set_pixel("data", 0), r"data differs in 1 of 117 values, at \(2, 3\) it is np.*0.0.*"),
    "NaN": (negate_nan, r"data differs in 1 of 117 values, at \(0, 0\) it is .*nan.*, not .*nan.*"),
    "zero": (set_pixel("weight", -0.0), "weight differs in 1 of 117"),
    "dtype": (
        lambda c: set_attribute("data", c.data.astype("f4"))(c),
        r"data is an array of dtype\('float32'\) of shape \(9, 13\), not an array of",
    ),
    "mask": (set_pixel("mask", True), "mask differs in 1 of 117 .* it is .*True.*, not .*False"),
    "flags": (set_pixel("flags", 8), "flags differs in 1"),
    "no flags": (set_attribute("flags", None), r"flags is None \(NoneType\), not an array"),
    "segmentation": (set_pixel("segmentation", 2), "segmentation differs in 1"),
    "uncertainty": (set_pixel("uncertainty", 9), "uncertainty.array differs in 1"),
    "uncertainty class": (
        lambda c: set_attribute("uncertainty", InverseVariance(c.uncertainty.array))(c),
        r"uncertainty is .* \(InverseVariance\), not .* \(StdDevUncertainty\)",
    ),
    "uncertainty unit": (
        lambda c: set_attribute(
            "uncertainty", StdDevUncertainty(c.uncertainty.array, unit="1000 electron")
        )(c),
        r"uncertainty.unit is Unit\(.1000 electron.\), not Unit\(.electron.\)",
    ),
    "id": (set_attribute("src_id", 8), "src_id is 8, not 7"),
    "type of id": (set_attribute("src_id", 7.0), r"src_id is 7.0 \(float\), not 7 \(int\)"),
    "blc": (set_attribute("blc", (0, 0)), r"blc\[0\] is 0, not -2"),
    "dx": (set_attribute("dx", 1e-300), "dx is 1e-300, not 0.0"),
    "src_pos": (set_attribute("src_pos", (4.0, np.nextafter(7, 8))), r"src_pos\[1\] is 7.00000"),
    "src_weight": (set_attribute("src_weight", 1), r"src_weight is 1.0 \(float\), not None"),
    "exptime": (set_attribute("exptime", 2), "exptime is 2.0, not 1.0"),
    "cut": (set_cut_box, "box when cut is .*, not "),
    "parent box": (set_parent_box, r"extraction_slice\[0\] is slice\(3, 6, None\), not"),
    "meta": (lambda c: c.meta.update(FILENAME="k.fits"), r"meta\['FILENAME'\] is 'k.fits', not 'j"),
    "less meta": (set_image(meta={}), r"meta\['n'\] is not there, and should be \[1, \{'a': nan"),
    "more meta": (lambda c: c.meta.update(z=1), r"meta\['z'\] is 1, and should not be there"),
    "psf": (
        set_attribute("psf", 2 * np.eye(3)),
        r"psf differs in 3 of 9 values, at \(0, 0\) it is .*2.0",
    ),
    "no psf": (set_attribute("psf", None), r"psf is None \(NoneType\), not an array"),
    "image unit": (set_image(unit=u.adu), r"image.unit is Unit\(.adu.\), not Unit\(.electron"),
    "image name": (set_image(name="k"), "image.name is 'k', not 'j.fits'"),
    "image flags": (set_image(dqbitmask=4), "image.dqbitmask is 4, not 0"),
}


@pytest.mark.parametrize(("change", "message"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("in_collection", [False, True])
def test_each_difference_is_named(change, message, in_collection):
    """If any attribute of a cutout differs, the error names this attribute."""
    one = make_cutout()
    other = pickle.loads(pickle.dumps(one))
    a, b = other, one
    if in_collection:
        # The first cutout gets another WCS and therefore another image.
        a, b = (
            CutoutCollection([make_cutout(3, wcs=copy.deepcopy(LOOKUP)), c]) for c in (other, one)
        )
    assert_cutouts_equal(a, b)
    change(other)
    label = rf"cutout {int(in_collection)} \(id 7\): "
    with pytest.raises(AssertionError, match=f"(?m)^{label}{message}") as caught:
        assert_cutouts_equal(a, b)
    title, *lines = str(caught.value).splitlines()
    assert title == "the cutouts are not equal:"
    assert all(re.match(label, line) for line in lines)
    with pytest.raises(AssertionError):
        assert_cutouts_equal(b, a)


def test_message_lists_all_differences():
    """The message has one line for each attribute with a difference."""
    a, b = make_cutout(), make_cutout()
    a.exptime, a.dx, a.src_id = 5, 0.5, "x"
    with pytest.raises(AssertionError) as caught:
        assert_cutouts_equal(a, b)
    assert str(caught.value).splitlines() == [
        "the cutouts are not equal:",
        "cutout 0 (id 7): src_id is 'x' (str), not 7 (int)",
        "cutout 0 (id 7): dx is 0.5, not 0.0",
        "cutout 0 (id 7): exptime is 5.0, not 1.0",
    ]


def test_message_limits_the_differences():
    """The message lists the first 50 differences and counts the others."""
    a = CutoutCollection([make_cutout(i) for i in range(80)])
    b = a.copy()
    for cutout in b:
        cutout.exptime = 3
    with pytest.raises(AssertionError, match=r"and 30 more differences$"):
        assert_cutouts_equal(b, a)


@pytest.mark.parametrize("kind", ["tan", "lookup", "gwcs", "gwcs-noinverse"])
@pytest.mark.parametrize("shift", [1e-4, 1e-6])
def test_wcss_are_compared_in_pixels(kind, shift):
    """For each type of WCS, a shift is measured in pixels and compared to the tolerance."""
    wcs = make_wcs(kind, SHAPE)
    cutout = make_cutout(wcs=wcs)
    assert_cutouts_equal(make_cutout(wcs=copy.deepcopy(wcs)), cutout, wcs_tolerance=0)
    moved = make_cutout(wcs=offset_wcs(wcs, (0.6 * shift, 0.8 * shift), SHAPE))
    with pytest.raises(AssertionError, match=r"image_wcs differs by .* pixels, more") as caught:
        assert_cutouts_equal(moved, cutout)
    found = float(re.search(r"differs by (\S+) pixels", str(caught.value))[1])
    assert found == pytest.approx(shift, rel=0.03)
    assert_cutouts_equal(moved, cutout, wcs_tolerance=1.01 * shift)


def test_opposite_position_is_a_large_difference():
    """The distance of opposite positions on the sky is finite and large."""
    cutouts = []
    for crval in ((40, 10), (220, -10)):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.cdelt = ["RA---TAN", "DEC--TAN"], crval, [-1e-5, 1e-5]
        cutouts.append(Cutout(np.zeros((1, 1)), wcs))
    with pytest.raises(AssertionError, match=r"image_wcs differs by .*e.07 pixels"):
        assert_cutouts_equal(*cutouts)


def test_frames_are_compared():
    """Equal coordinates in different frames are a difference."""
    icrs = make_wcs("tan", SHAPE)
    fk5 = icrs.deepcopy()
    fk5.wcs.radesys, fk5.wcs.equinox = "FK5", 2000
    with pytest.raises(AssertionError, match=r"image_wcs has the world .*FK5.*, not .*ICRS"):
        assert_cutouts_equal(make_cutout(wcs=fk5), make_cutout(wcs=icrs))


def test_missing_sky_positions_are_compared():
    """
    Pixels without a sky position are equal if both images have none there.

    Otherwise, they differ.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ["RA---SIN", "DEC--SIN"], [10, 10]
    cutout = Cutout(np.zeros((20, 20)), wcs)
    assert np.isnan(cutout.pix2world(19, 19)).all()
    assert_cutouts_equal(cutout.copy(), cutout)
    other = wcs.deepcopy()
    other.wcs.cdelt = [1, 1]
    with pytest.raises(AssertionError, match="image_wcs differs by inf pixels"):
        assert_cutouts_equal(Cutout(np.zeros((20, 20)), other), cutout)


def test_types_and_lengths_are_compared():
    """Objects of different types, and collections of different lengths, are not equal."""
    collection = CutoutCollection([make_cutout()])
    with pytest.raises(AssertionError, match="it is a CutoutCollection, not a Cutout"):
        assert_cutouts_equal(collection, collection[0])
    with pytest.raises(AssertionError, match="it is a list, not a CutoutCollection"):
        assert_cutouts_equal(list(collection), collection)
    with pytest.raises(AssertionError, match="there are 1 cutouts, not 2"):
        assert_cutouts_equal(collection, collection + collection)
    with pytest.raises(TypeError, match="desired must be a Cutout or a CutoutCollection, got list"):
        assert_cutouts_equal(collection, list(collection))

    class Special(Cutout):
        pass

    with pytest.raises(AssertionError, match="it is a Special, not a Cutout"):
        assert_cutouts_equal(Special(IMAGE, LOOKUP), Cutout(IMAGE, LOOKUP))


def test_collections_differ_in_order_images_and_dropped_sources():
    """Collections differ if the order of cutouts, the images or the dropped sources differ."""
    collection = CutoutCollection([make_cutout(i) for i in range(3)])
    assert_cutouts_equal(collection.copy(), collection)
    with pytest.raises(AssertionError, match=r"cutout 0 .*: src_id is 2, not 0"):
        assert_cutouts_equal(collection[::-1], collection)
    dropped = [Dropped(np.array([9]), "error", "primary", "j", "why")]
    with pytest.raises(AssertionError, match=r"dropped\[0\] is not there, and should be Dropped"):
        assert_cutouts_equal(collection, collection.with_dropped(dropped))
    # The second cutout has its own copy of the WCS and therefore another image.
    other = CutoutCollection(
        [make_cutout(0), make_cutout(1, wcs=copy.deepcopy(LOOKUP)), make_cutout(2)]
    )
    with pytest.raises(AssertionError, match="image_numbers differs in"):
        assert_cutouts_equal(other, collection)


def test_views_and_copies_are_equal():
    """A view, a copy and a deep copy are equal, whether or not they share pixels."""
    cutout = Cutout(IMAGE, LOOKUP, (2, 3), (10, 11), copy=False)
    for other in (cutout[...], cutout.copy(), copy.deepcopy(cutout), Cutout(cutout, None)):
        assert_cutouts_equal(other, cutout)


@pytest.mark.parametrize(
    "psf",
    [Gaussian2D(), ImagePSF(np.ones((5, 5))), NDData(np.ones(3)), [np.eye(2), "x"], {1, 2}],
    ids=lambda psf: type(psf).__name__,
)
def test_psfs_of_any_class_are_compared(psf):
    """If the class of a PSF defines no comparison, the attributes of the PSFs are compared."""
    cutout = make_cutout(psf=psf)
    assert_cutouts_equal(pickle.loads(pickle.dumps(cutout)), cutout)
    with pytest.raises(AssertionError, match="psf"):
        assert_cutouts_equal(make_cutout(psf=ImagePSF(np.full((5, 5), 2.0))), cutout)


def test_recursive_psf_is_compared():
    """If a PSF contains itself, the comparison still ends."""
    cutout = make_cutout(psf=[1])
    cutout.psf.append(cutout.psf)
    assert_cutouts_equal(copy.deepcopy(cutout), cutout)


def test_objects_without_attributes_differ():
    """Two objects without attributes differ if their class defines no comparison."""
    with pytest.raises(AssertionError, match=r"psf is <object .*, not <object"):
        assert_cutouts_equal(make_cutout(psf=object()), make_cutout(psf=object()))


def test_parent_of_the_uncertainty_is_compared():
    """Uncertainties with different parents are a difference."""
    cutout = make_cutout()
    other = cutout.copy()
    assert_cutouts_equal(other, cutout)
    other_parent = NDData(np.ones(cutout.shape), unit="electron")
    other.uncertainty.parent_nddata = other_parent
    with pytest.raises(AssertionError, match="uncertainty has the parent NDData"):
        assert_cutouts_equal(other, cutout)


def test_missing_quantity_is_described_in_one_line():
    """The message shows a quantity that only one cutout has in its metadata, with its unit."""
    cutout = make_cutout()
    other = cutout.copy()
    other.meta["length"] = 3 * u.m
    other.meta["lengths"] = [1, 2] * u.m
    message = r"length'\] is <Quantity 3. m>, and .*\n.*lengths'\] is an array of .* in m, and"
    with pytest.raises(AssertionError, match=message):
        assert_cutouts_equal(other, cutout)
