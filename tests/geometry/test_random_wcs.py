"""Properties of the mapping that hold for every WCS, tested with random WCSs of all types."""

import gwcs
import numpy as np
from astropy import coordinates as coord
from astropy import units as u
from astropy.modeling import models
from astropy.wcs import WCS, DistortionLookupTable, Sip
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap, whole_pixels

FEW = settings(max_examples=40)
SHAPE = (120, 160)
PROJECTIONS = ("TAN", "SIN", "ZEA", "STG", "ARC", "TPV")
# Powers of the terms PVi_0 to PVi_11. Terms 0, 3 and 11 are a shift, a radius and its cube.
TPV_POWERS = np.array([0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3])
TABLES = ("cpdis1", "cpdis2", "det2im1", "det2im2")
FRAMES = (
    ("RA--", "DEC-", "ICRS"),
    ("RA--", "DEC-", "FK5"),
    ("RA--", "DEC-", "FK4"),
    ("GLON", "GLAT", ""),
)
HALF = np.array([[-0.5], [-0.5], [0.5], [0.5]])

pointings = st.one_of(
    st.sampled_from([(0.0, 0.0), (359.9999, 45.0), (10.0, 90.0), (10.0, -90.0), (77.0, 89.99)]),
    st.tuples(st.floats(0, 360), st.floats(-90, 90)),
)
# Pixels have 0.01 arcsec to 0.2 degrees, so that images are up to 40 degrees wide.
scales = st.floats(np.log10(0.01 / 3600), np.log10(0.2)).map(lambda t: 10**t)
angles = st.floats(0, 2 * np.pi)
seeds = st.integers(0, 2**32 - 1)


def rotation(scale, angle):
    """Return the CD matrix of a rotated image with east on the left."""
    c, s = np.cos(angle), np.sin(angle)
    return scale * np.array([[-c, s], [s, c]])


def polynomial(rng, order):
    """
    Return random coefficients.

    They move pixels up to 100 pixels off the image by a few pixels.
    """
    powers = np.add.outer(np.arange(order + 1), np.arange(order + 1))
    values = rng.uniform(-1, 1, powers.shape) * 2 / 200.0**powers
    return np.where((powers > 1) & (powers <= order), values, 0.0)


def tpv_terms(rng, scale):
    """Yield random PV terms. They move pixels by at most as much as `polynomial` does."""
    for axis in (1, 2):
        values = rng.uniform(-1, 1, TPV_POWERS.shape) * 2 * scale / (200 * scale) ** TPV_POWERS
        values[1] += 1
        yield from ((axis, number, value) for number, value in enumerate(values))


def lookup_table(rng):
    """Return a table of waves of up to one pixel, for a part of the image or beyond all edges."""
    count = rng.integers(2, 34, 2)
    first, step = rng.uniform(-50, 50, 2), rng.uniform(0.5, 1.5, 2) * SHAPE / (count - 1)
    y, x = (a + b * np.arange(n) for a, b, n in zip(first, step, count, strict=True))
    (i, j), (p, q) = rng.uniform(-1, 1, (2, 2)) * [[2 * np.pi / 160], [np.pi]]
    values = rng.uniform(-1, 1) * np.sin(i * x + p) * np.cos(j * y[:, None] + q)
    # The first element of the table is at pixel `first`, counted from 1.
    return DistortionLookupTable(np.float32(values), (1, 1), tuple(first[::-1]), tuple(step[::-1]))


@st.composite
def fits_wcs(draw):
    """Draw a random FITS WCS with or without SIP, TPV terms and lookup tables."""
    projection = draw(st.sampled_from(PROJECTIONS))
    lon, lat, frame = draw(st.sampled_from(FRAMES))
    order = draw(st.sampled_from([0, 2, 3, 5])) if projection != "TPV" else 0
    scale = draw(scales)
    rng = np.random.default_rng(draw(seeds))
    wcs = WCS(naxis=2)
    suffix = "-SIP" if order else ""
    wcs.wcs.ctype = [f"{lon}-{projection}{suffix}", f"{lat}-{projection}{suffix}"]
    wcs.wcs.radesys = frame
    wcs.wcs.crval = draw(pointings)
    wcs.wcs.crpix = SHAPE[1] / 2 + 3, SHAPE[0] / 2 - 5
    wcs.wcs.cd = rotation(scale, draw(angles))
    # The default of LONPOLE would rotate a field at a pole by 180 degrees.
    wcs.wcs.lonpole = 180
    if projection == "TPV":
        wcs.wcs.set_pv(list(tpv_terms(rng, scale)))
    if order:
        wcs.sip = Sip(polynomial(rng, order), polynomial(rng, order), None, None, wcs.wcs.crpix)
    for name in sorted(draw(st.sets(st.sampled_from(TABLES)))):
        setattr(wcs, name, lookup_table(rng))
    wcs.pixel_shape = SHAPE[::-1]
    wcs.wcs.set()
    return wcs


@st.composite
def gwcs_wcs(draw):
    """Draw a random gwcs. It has no inverse, or an inverse without the distortion."""
    rng = np.random.default_rng(draw(seeds))
    ra, dec = draw(pointings)
    cubics = [models.Polynomial2D(3) for _ in range(2)]
    for axis, cubic in enumerate(cubics):
        values = polynomial(rng, 3)
        for i, j in np.argwhere(values != 0):
            setattr(cubic, f"c{i}_{j}", values[i, j])
        setattr(cubic, ("c1_0", "c0_1")[axis], 1.0)
    warp = models.Mapping((0, 1, 0, 1)) | (cubics[0] & cubics[1])
    if draw(st.booleans()):
        warp.inverse = models.Identity(2)
    transform = (
        models.Shift(-80.0) & models.Shift(-55.0)
        | warp
        | models.AffineTransformation2D(rotation(draw(scales), draw(angles)))
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(ra, dec, 180)
    )  # fmt: skip
    detector = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    unit = draw(st.sampled_from([u.deg, u.arcsec]))
    if unit == u.arcsec:
        transform = transform | models.Scale(3600.0) & models.Scale(3600.0)
    world = gwcs.CelestialFrame(name="world", reference_frame=coord.ICRS(), unit=(unit, unit))
    wcs = gwcs.WCS([(detector, transform), (world, None)])
    wcs.bounding_box = (-0.5, SHAPE[1] - 0.5), (-0.5, SHAPE[0] - 0.5)
    wcs.pixel_shape = SHAPE[::-1]
    return wcs


any_wcs = st.one_of(fits_wcs(), gwcs_wcs())


def positions(rng, count=60, margin=100):
    """Return random pixel positions on the image and in a margin around it."""
    return rng.uniform(0, 1, (2, count)) * [
        [SHAPE[1] + 2 * margin], [SHAPE[0] + 2 * margin]
    ] - margin  # fmt: skip


@FEW
@given(any_wcs, seeds)
def test_round_trip_is_accurate(wcs, seed):
    """Positions on the image and up to 100 pixels off it map to the sky and back."""
    image = PixelGrid(wcs, SHAPE)
    xy = positions(np.random.default_rng(seed))
    assert_allclose(image.to_pixel(*image.to_world(*xy)), xy, rtol=0, atol=ACCURACY)


@st.composite
def pairs(draw):
    """Draw random WCSs of two images of roughly the same part of the sky."""
    first = draw(any_wcs)
    center = PixelGrid(first, SHAPE).to_world(79.5, 59.5)
    lon, lat = PixelGrid(first, SHAPE).world.lonlat(center)
    second = WCS(naxis=2)
    frame = PixelGrid(first, SHAPE).world.frame
    sky = coord.SkyCoord(lon, lat, unit="rad", frame=frame).icrs
    second.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    second.wcs.crval = sky.ra.deg, sky.dec.deg
    second.wcs.crpix = 90, 70
    scale = PixelGrid(first, SHAPE).pixel_scale(79.5, 59.5)[0] * draw(st.floats(0.3, 3))
    second.wcs.cd = rotation(scale, draw(angles))
    second.wcs.lonpole = 180
    second.pixel_shape = SHAPE[::-1]
    second.wcs.set()
    return draw(st.permutations([first, second]))


def random_boxes(rng, count=12):
    """Return boxes of 1 to 30 pixels on the image and next to it."""
    low = rng.integers(-10, 130, (2, count))
    return np.concatenate([low, low + rng.integers(0, 30, (2, count))])


def allowance(wcss, pixel_map):
    """
    Return the number of pixels by which boxes are allowed to be too small.

    Edges are sampled every 16 pixels. Between two samples, a kink of a lookup table can exceed the
    estimate of the bulge by a sixth of the change of slope. For a cubic whose inflection is in the
    middle of an edge, the estimate of the bulge is zero.
    """
    slopes = 0.0
    for wcs in wcss:
        for table in filter(None, (getattr(wcs, name, None) for name in TABLES)):
            # The slope is zero beyond the end of the table.
            values = np.pad(table.data.astype(float), 1, mode="edge")
            for axis, step in zip((1, 0), table.cdelt, strict=True):
                slopes += np.abs(np.diff(values, 2, axis=axis)).max() / step
    # The ratio of the pixel scales converts errors to pixels of the output.
    ratio = max(1, np.hypot(*np.diff(pixel_map([79.0, 80.0], [60.0, 60.0]))[:, 0]))
    return 3e-4 * ratio**3 + 16 / 6 * ratio * slopes


def reach_off(edges):
    """Return the distance, in pixels, that a box extends off the image."""
    return max(*(-0.5 - edges[:2]), *(edges[2:] + 0.5 - SHAPE[::-1]))


@FEW
@given(pairs(), seeds)
def test_boxes_enclose_every_pixel(wcss, seed):
    """The mapped box contains all mapped corners of all pixels of the box."""
    pixel_map = PixelMap(*wcss)
    allowed = allowance(wcss, pixel_map)
    boxes = random_boxes(np.random.default_rng(seed))
    found, *_ = pixel_map.boxes(boxes + HALF)
    for k in np.flatnonzero(np.isfinite(found).all(0)):
        x1, y1, x2, y2 = boxes[:, k]
        x, y = np.meshgrid(np.arange(x1, x2 + 2) - 0.5, np.arange(y1, y2 + 2) - 0.5)
        u, v = pixel_map(x, y)
        if not np.isfinite(u).all():
            # A position far off the image is NaN. A box with this position can still map.
            assert reach_off(found[:, k]) > 200
            continue
        tight = np.array([u.min(), v.min(), u.max(), v.max()])
        outward = (found[:, k] - tight) * [-1, -1, 1, 1]
        assert outward.min() > -allowed
        # An edge can bulge between the corners of pixels.
        assert outward.max() < 1
        low, high = np.split(whole_pixels(found[:, [k]])[:, 0], 2)
        assert (low <= np.floor(tight[:2] + 0.5 + allowed)).all()
        assert (high >= np.ceil(tight[2:] - 0.5 - allowed) - 1e-9).all()


@FEW
@given(pairs(), seeds)
def test_boxes_on_the_image_are_candidates(wcss, seed):
    """All boxes that contain a position of the image are candidates."""
    pixel_map = PixelMap(PixelGrid(wcss[0], SHAPE), PixelGrid(wcss[1], SHAPE))
    low = np.random.default_rng(seed).integers(-300, 450, (2, 100))
    boxes = np.concatenate([low, low + np.arange(100) % 40])
    *_, candidate = pixel_map.boxes(boxes + HALF)
    x, y = np.meshgrid(np.linspace(-0.5, 159.5, 81), np.linspace(-0.5, 119.5, 61))
    u, v = (p.ravel() for p in PixelMap(pixel_map.image_out, pixel_map.image_in)(x, y))
    x1, y1, x2, y2 = (boxes + HALF)[..., None]
    assert candidate[((u > x1) & (u < x2) & (v > y1) & (v < y2)).any(1)].all()


@FEW
@given(pairs(), seeds)
def test_boxes_do_not_depend_on_each_other(wcss, seed):
    """A box has the same result in another order, selected, repeated, or with boxes far away."""
    pixel_map = PixelMap(*wcss)
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng) + HALF
    xy = positions(rng, boxes.shape[1], margin=0)
    found, *mapped, candidate = pixel_map.boxes(boxes, *xy)
    far = boxes + 1e4
    for order in (rng.permutation(12), np.arange(5), np.repeat(np.arange(12), 2)):
        more = np.concatenate([far, boxes[:, order], far], axis=1)
        nowhere = np.full((2, 12), np.nan)
        more_xy = np.concatenate([nowhere, xy[:, order], nowhere], axis=1)
        again, *other, near = pixel_map.boxes(more, *more_xy)
        part = slice(12, 12 + len(order))
        assert_allclose(again[:, part], found[:, order], rtol=0, atol=1e-6)
        assert_allclose(np.array(other)[:, part], np.array(mapped)[:, order], rtol=0, atol=1e-6)
        assert_array_equal(near[part], candidate[order])
