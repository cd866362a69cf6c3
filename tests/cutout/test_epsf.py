"""Cutouts of stars as the input for effective PSFs (ePSFs) of photutils."""

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import InverseVariance, NDData, StdDevUncertainty, VarianceUncertainty
from astropy.table import Table
from numpy.testing import assert_allclose, assert_array_equal
from photutils.psf import (
    CircularGaussianPRF,
    EPSFBuilder,
    EPSFStars,
    LinkedEPSFStar,
    extract_stars,
)

from subpixal import Cutout, CutoutCollection
from subpixal.datasets import make_wcs
from subpixal.errors import SubpixalWarning

KINDS = {StdDevUncertainty: 1, VarianceUncertainty: 2, InverseVariance: -2}
SHAPE, FWHM = (200, 200), 3.0
WCS = make_wcs("tan", SHAPE)
RNG = np.random.default_rng(8)
POSITIONS = np.array([(20.0 * i, 20.0 * j) for i in range(1, 9) for j in range(1, 9)])
POSITIONS += RNG.uniform(-0.5, 0.5, POSITIONS.shape)
SIGMA = RNG.uniform(1, 2, SHAPE)


def draw(positions, shape=SHAPE):
    """Return an image of stars at the positions."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    stars = (CircularGaussianPRF(flux=1000, x_0=a, y_0=b, fwhm=FWHM) for a, b in positions)
    return sum(star(x, y) for star in stars)


IMAGE = draw(POSITIONS)


def cut(positions=POSITIONS, image=IMAGE, wcs=WCS, half=10, **options):
    """Return cutouts. The central pixel of each cutout contains a star."""
    return CutoutCollection(
        Cutout(image, wcs, *(np.rint(np.add(position, by)).astype(int) for by in (-half, half)),
               src_id=k, src_pos=position, **options)
        for k, position in enumerate(positions)
    )  # fmt: skip


def build(stars, **options):
    """Return the ePSF that photutils builds from the stars."""
    result = EPSFBuilder(oversampling=1, maxiters=5, progress_bar=False, **options)(stars)
    return result.epsf if hasattr(result, "epsf") else result[0]


def check_epsf(epsf, atol=0.004):
    """Check that the ePSF equals the PSF in the simulation of the stars."""
    center = (np.array(epsf.data.shape[::-1]) - 1) / 2
    x, y = np.meshgrid(*(np.arange(-4, 5) + c for c in center))
    truth = CircularGaussianPRF(flux=1, x_0=center[0], y_0=center[1], fwhm=FWHM)
    assert_allclose(epsf.evaluate(x, y, 1, *center), truth(x, y), atol=atol)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_stars_equal_extract_stars(kind):
    """Stars of cutouts and stars of `extract_stars` are equal and give equal ePSFs."""
    mask = np.random.default_rng(1).random(SHAPE) < 0.01
    uncertainty = None if kind is None else kind(SIGMA ** KINDS[kind])
    image = NDData(IMAGE, wcs=WCS, mask=mask, uncertainty=uncertainty, unit=u.electron)
    positions = POSITIONS[:6]
    x, y = positions.T
    expected = extract_stars(image, Table({"x": x, "y": y, "id": np.arange(len(x))}), size=21)
    found = cut(positions, image, None).to_epsf_stars()
    assert isinstance(found, EPSFStars)
    assert len(found) == len(expected) == len(positions)
    for star, expected_star in zip(found, expected, strict=True):
        assert_array_equal(star.data, expected_star.data)
        assert_allclose(star.weights, expected_star.weights, rtol=1e-14)
        assert_array_equal(star.mask, expected_star.mask)
        assert_array_equal(star.cutout_center, expected_star.cutout_center)
        assert_array_equal(star.origin, expected_star.origin)
        assert star.flux == expected_star.flux
        assert star.id_label == expected_star.id_label
        assert star.wcs_large is WCS
    if kind is None:
        assert_allclose(build(found).data, build(expected).data, rtol=1e-9, atol=1e-12)


def test_cutouts_of_different_sizes_give_the_psf():
    """
    Cutouts of different sizes with off-center stars give the right PSF.

    Their pixels are not copied.
    """
    cutouts = CutoutCollection(
        Cutout(IMAGE, WCS, (int(x) - 9 - k % 4, int(y) - 10), (int(x) + 11, int(y) + 9 + k % 3),
               src_id=k, src_pos=(x, y))
        for k, (x, y) in enumerate(POSITIONS)
    )  # fmt: skip
    stars = cutouts.to_epsf_stars()
    assert_allclose(stars.center, POSITIONS, rtol=0, atol=1e-12)
    assert all(np.shares_memory(s.data, c.data) for s, c in zip(stars, cutouts, strict=True))
    check_epsf(build(stars))


def test_bad_pixels_have_no_weight():
    """The weight is 0 for masked pixels, for NaN and for infinite errors."""
    sigma = np.ones((9, 9))
    sigma[4, 0] = 0
    cutout = Cutout(draw([(4.2, 3.9)], (9, 9)), WCS, uncertainty=InverseVariance(sigma))
    cutout.data[0, 0] = np.nan
    cutout.mask[1, 1] = True
    (star,) = CutoutCollection([cutout]).to_epsf_stars()
    good = np.ones((9, 9), bool)
    good[[4, 0, 1], [0, 0, 1]] = False
    assert_array_equal(star.weights, good)
    assert np.isnan(cutout.data[0, 0])
    assert star.flux == pytest.approx(1000, rel=0.02)


def test_stars_with_too_few_pixels_are_dropped():
    """A warning names stars that have too few pixels. The other stars are returned."""
    cutouts = cut()[:4]
    cutouts[1].mask = True
    cutouts[3].mask = True
    cutouts[3].mask[3, 3:5] = False
    with pytest.warns(SubpixalWarning, match=r"2 cutouts have too few good pixels .*: \[1, 3\]"):
        stars = cutouts.to_epsf_stars()
    assert [star.id_label for star in stars] == [0, 2]
    assert len(CutoutCollection().to_epsf_stars()) == 0


@pytest.mark.parametrize("kinds", [("tan", "sip"), ("lookup", "gwcs")])
def test_stars_of_several_exposures_give_the_psf(kinds):
    """Stars of displaced exposures give the PSF. Linked stars keep a common position on the sky."""
    wcses = [make_wcs(kind, SHAPE, crpix=(90 + 7 * i, 95.0)) for i, kind in enumerate(kinds)]
    sky = wcses[0].pixel_to_world(*POSITIONS.T)
    everything = CutoutCollection()
    for k, wcs in enumerate(wcses):
        positions = np.transpose(wcs.world_to_pixel(sky))
        inside = ((positions > 11) & (positions < 185)).all(1)
        # The displacement corrects a shift of the image relative to its WCS.
        shift = np.array([0.3, -0.4]) * k
        cutouts = cut(positions[inside], draw(positions[inside] + shift), wcs)
        for cutout, number in zip(cutouts, np.flatnonzero(inside), strict=True):
            cutout.dx, cutout.dy = shift
            cutout.src_id = int(number)
        everything += cutouts
    linked = LinkedEPSFStar(list(everything.select(10).to_epsf_stars()))
    assert len(linked) == 2
    before = linked.cutout_center_flat
    linked.constrain_centers()
    # photutils uses the inverse of the gwcs, which is inaccurate.
    assert_allclose(linked.cutout_center_flat, before, rtol=0, atol=0.02)
    check_epsf(build(everything.to_epsf_stars()), atol=0.006)
