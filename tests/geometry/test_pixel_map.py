"""Pixels of one image to pixels of another."""

import functools

import gwcs
import numpy as np
import pytest
from astropy import coordinates as coord
from astropy import units as u
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS, DistortionLookupTable
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap, whole_pixels

FIXED = settings(derandomize=True, max_examples=30)
SHAPE = (300, 400)
SAME_SKY = (
    "sip", "tpv", "gwcs", "gwcs-noinverse", "low", "high", "sliced", "sliced-gwcs", "lat-first",
    "arcsec", "radian",
)  # fmt: skip
OTHER_SKIES = ("tan", "lookup", "quantity")
FRAMES = {
    "icrs": coord.ICRS(),
    "fk5": coord.FK5(equinox="J2000"),
    "fk5-1975": coord.FK5(equinox="J1975"),
    "galactic": coord.Galactic(),
    "fk4": coord.FK4(equinox="B1950"),
}
DEFAULT_FRAME = coord.FK5()
CENTER = coord.SkyCoord(359.999, 33.3, unit="deg")


def positions(shape=SHAPE, margin=0, n=200, seed=5):
    ny, nx = shape
    t = np.random.default_rng(seed).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


def lonlat(frame):
    """Longitude and latitude of the centre in a frame, in deg."""
    sky = CENTER.frame.transform_to(frame).spherical
    return sky.lon.deg, sky.lat.deg


def make_fits(name, *, lat_first=False, arcsec=False):
    """A TAN in a celestial frame, 400 x 300 pixels of 0.2 arcsec around the centre."""
    frame, unit = FRAMES[name], 3600 if arcsec else 1
    lon, lat = lonlat(frame)
    axes = ("GLON", "GLAT") if name == "galactic" else ("RA--", "DEC-")
    one, two = (2, 1) if lat_first else (1, 2)
    header = fits.Header({"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300})
    header.update(CRPIX1=200.5, CRPIX2=150.5)
    header.update({f"CTYPE{one}": f"{axes[0]}-TAN", f"CTYPE{two}": f"{axes[1]}-TAN"})
    header.update({f"CRVAL{one}": lon * unit, f"CRVAL{two}": lat * unit})
    scale = 0.2 / 3600 * unit
    header.update({f"CD{one}_1": -0.8 * scale, f"CD{one}_2": 0.6 * scale})
    header.update({f"CD{two}_1": 0.6 * scale, f"CD{two}_2": 0.8 * scale})
    if name != "galactic":
        header["RADESYS"] = name[:4].rstrip("-").upper()
    if name.startswith("fk"):
        header["EQUINOX"] = {"fk5": 2000.0, "fk5-1975": 1975.0, "fk4": 1950.0}[name]
    if arcsec:
        header["CUNIT1"] = header["CUNIT2"] = "arcsec"
    return WCS(header, preserve_units=arcsec)


def make_gwcs(name, unit=u.deg):
    """The same as a gwcs, with an inverse."""
    frame = FRAMES.get(name, DEFAULT_FRAME)
    scale = 0.2 / 3600
    turn = models.AffineTransformation2D(np.array([[-0.8, 0.6], [0.6, 0.8]]) * scale)
    factor = u.deg.to(unit)
    transform = (
        models.Shift(-199.5) & models.Shift(-149.5)
        | turn
        | models.Pix2Sky_TAN()
        | models.RotateNative2Celestial(*lonlat(frame), 180.0)
        | models.Scale(factor) & models.Scale(factor)
    )
    detector = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    world = gwcs.CelestialFrame(name="world", reference_frame=frame, unit=(unit, unit))
    wcs = gwcs.WCS([(detector, transform), (world, None)])
    wcs.pixel_shape = (400, 300)
    wcs.bounding_box = (-0.5, 399.5), (-0.5, 299.5)
    return wcs


FRAMED = {
    **{f"fits {name}": (make_fits, {"name": name}) for name in FRAMES},
    **{f"gwcs {name}": (make_gwcs, {"name": name}) for name in FRAMES},
    "lat-first fk5": (make_fits, {"name": "fk5", "lat_first": True}),
    "lat-first galactic": (make_fits, {"name": "galactic", "lat_first": True}),
    "arcsec fk5": (make_fits, {"name": "fk5", "arcsec": True}),
    "arcsec lat-first icrs": (make_fits, {"name": "icrs", "arcsec": True, "lat_first": True}),
    "radian gwcs icrs": (make_gwcs, {"name": "icrs", "unit": u.rad}),
    "arcsec gwcs galactic": (make_gwcs, {"name": "galactic", "unit": u.arcsec}),
}


@functools.cache
def make_framed(name):
    make, options = FRAMED[name]
    return make(**options)


def calculate(wcs_in, options_in, wcs_out, options_out, xy):
    """Positions by the methods of astropy and gwcs, and by sky coordinates."""
    if isinstance(wcs_in, gwcs.WCS):
        lon, lat = wcs_in(*xy, with_bounding_box=False) * options_in.get("unit", u.deg)
    else:
        values = wcs_in.all_pix2world(*xy, 0) * u.Unit(wcs_in.wcs.cunit[0])
        lon, lat = values[::-1] if options_in.get("lat_first") else values
    frame_in, frame_out = FRAMES[options_in["name"]], FRAMES[options_out["name"]]
    sky = frame_in.realize_frame(coord.UnitSphericalRepresentation(lon, lat))
    sky = sky.transform_to(frame_out).spherical
    if isinstance(wcs_out, gwcs.WCS):
        unit = options_out.get("unit", u.deg)
        values = sky.lon.to_value(unit), sky.lat.to_value(unit)
        return wcs_out.invert(*values, with_bounding_box=False)
    values = [v.to_value(wcs_out.wcs.cunit[0]) for v in (sky.lon, sky.lat)]
    values = values[::-1] if options_out.get("lat_first") else values
    return wcs_out.all_world2pix(*values, 0, tolerance=1e-10)


@pytest.mark.parametrize("kind_in", SAME_SKY)
@pytest.mark.parametrize("kind_out", SAME_SKY)
def test_pairs_on_the_same_sky(build, kind_in, kind_out):
    """Between any two kinds of the same sky every pixel is itself."""
    to_out = PixelMap(build(kind_in), build(kind_out))
    xy = positions(margin=50)
    assert_allclose(to_out(*xy), xy, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("other", SAME_SKY + OTHER_SKIES)
@pytest.mark.parametrize("first", ["sip", "gwcs", *OTHER_SKIES])
def test_there_and_back(build, first, other):
    """From one image to another of the same region and back is where it began."""
    wcs_in = build(first)
    wcs_out = build(other, rotation=100.0, scale=0.07, center=(1.1004, 0.7003))
    xy = positions()
    mapped = PixelMap(wcs_in, wcs_out)(*xy)
    assert_allclose(PixelMap(wcs_out, wcs_in)(*mapped), xy, rtol=0, atol=2 * ACCURACY)


@pytest.mark.parametrize("made", ["sip", "lookup", "tpv"])
def test_against_astropy(build, made):
    """Positions are those of astropy's own methods, iterated to the end."""
    wcs_in, wcs_out = build(made), build("sip", rotation=120.0, center=(1.1005, 0.7))
    xy = positions()
    expected = wcs_out.all_world2pix(*wcs_in.all_pix2world(*xy, 0), 0, tolerance=1e-10)
    found = PixelMap(wcs_in, wcs_out)(*xy)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    assert np.ptp(np.subtract(found, xy)) > 100


@pytest.mark.parametrize("name_in", FRAMED)
@pytest.mark.parametrize("name_out", FRAMED)
def test_between_frames(name_in, name_out):
    """Frames, axis orders and units are taken into account, around right ascension 0."""
    options_in, options_out = FRAMED[name_in][1], FRAMED[name_out][1]
    wcs_in, wcs_out = make_framed(name_in), make_framed(name_out)
    xy = np.array([[199.5, 150.0, 260.0], [149.5, 110.0, 200.0]])
    expected = np.array(calculate(wcs_in, options_in, wcs_out, options_out, xy))
    assert np.isfinite(expected).all()
    found = np.array(PixelMap(wcs_in, wcs_out)(*xy))
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    # The centre is the same, and nothing else if the frames are turned to each other.
    assert_allclose(found[:, 0], xy[:, 0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("equinox", "moved"), [(2000.0, 0.02), (1999.0, 50)])
def test_equal_values_in_other_frames(equinox, moved):
    """Equal headers in ICRS and FK5 are not the same sky: 0.02 arcsec, or a year of precession."""
    one = make_fits("icrs")
    header = one.to_header()
    header.update(NAXIS=2, NAXIS1=400, NAXIS2=300, RADESYS="FK5", EQUINOX=equinox)
    other = WCS(header)
    x, y = np.array([199.5, 300.0]), np.array([149.5, 60.0])
    lon, lat = one.all_pix2world(x, y, 0) * u.deg
    sky = coord.ICRS(lon, lat).transform_to(coord.FK5(equinox=f"J{equinox}"))
    expected = other.all_world2pix(sky.ra.deg, sky.dec.deg, 0, tolerance=1e-10)
    assert np.hypot(*np.subtract(expected, [x, y])).min() > moved
    assert_allclose(PixelMap(one, other)(x, y), expected, rtol=0, atol=ACCURACY)


def test_equinox_is_that_of_the_frame():
    """A frame with the default equinox does not inherit another one."""
    expected = PixelMap(make_fits("fk5-1975"), make_fits("fk5"))(*positions())
    found = PixelMap(make_fits("fk5-1975"), make_gwcs("default"))(*positions())
    assert_allclose(found, expected, rtol=0, atol=2 * ACCURACY)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (0, 2)])
@pytest.mark.parametrize("name", ["icrs", "galactic", "fk4"])
def test_shapes_of_arrays(name, shape):
    """Answers have the shape of the question, also from one frame to another."""
    x, y = np.full(shape, 199.5), np.full(shape, 149.5)
    found = PixelMap(make_fits("fk5"), make_fits(name))(x, y)
    assert [f.shape for f in found] == [shape, shape]
    assert_allclose(found, [x, y], rtol=0, atol=1e-3)


def test_nan_between_frames():
    """NaN in, NaN out, and the others are not lost."""
    x, y = np.array([199.5, np.nan, 3.0]), np.array([149.5, 3.0, np.nan])
    found = np.array(PixelMap(make_fits("icrs"), make_fits("fk4"))(x, y))
    assert_array_equal(np.isnan(found), [[False, True, True]] * 2)


def test_frame_by_its_name(build, plain_low_level):
    """A frame may be a string, as in serialised classes."""

    class Named(plain_low_level):
        @property
        def world_axis_object_classes(self):
            return {"celestial": ("astropy.coordinates.SkyCoord", (), {"frame": "icrs"})}

    image = PixelGrid(Named(build("sip")))
    assert image.world.is_sky
    assert_allclose(PixelMap(image, build("gwcs"))(*positions()), positions(), atol=ACCURACY)
    expected = PixelMap(build("sip"), make_fits("fk5"))(*positions())
    assert_allclose(PixelMap(image, make_fits("fk5"))(*positions()), expected, atol=ACCURACY)


@pytest.mark.parametrize(
    "components",
    [
        [("celestial", 1), ("celestial", 0)],
        [("celestial", "dec"), ("celestial", "ra")],
        [("celestial", "lat"), ("celestial", "lon")],
    ],
)
def test_components_by_name_or_number(build, components):
    """Which axis is the longitude may be told by a number or by the name of an attribute."""

    class Swapped(BaseWCSWrapper):
        array_shape = SHAPE

        @property
        def world_axis_object_components(self):
            return [(*component, "degree") for component in components]

        def pixel_to_world_values(self, *pixels):
            return self._wcs.pixel_to_world_values(*pixels)[::-1]

        def world_to_pixel_values(self, *world):
            return self._wcs.world_to_pixel_values(*world[::-1])

    to_out = PixelMap(Swapped(build("sip")), build("gwcs"))
    assert_allclose(to_out(*positions()), positions(), rtol=0, atol=ACCURACY)


def make_plain(unit="pix", kind="DETX"):
    header = {"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300, "CD1_1": 2.0, "CD2_2": 3.0}
    axes = {"CTYPE1": kind, "CTYPE2": kind.replace("X", "Y"), "CUNIT1": unit, "CUNIT2": unit}
    return WCS(fits.Header(header | axes))


def make_spectral():
    axes = {"CTYPE1": "WAVE", "CTYPE2": "LINEAR", "CUNIT1": "m", "CUNIT2": "s", "CDELT1": 1e-9}
    return WCS(fits.Header({"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300} | axes))


def make_frame2d():
    frame = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    focal = gwcs.Frame2D(name="focal", unit=(u.mm, u.mm), axes_names=("x", "y"))
    return gwcs.WCS([(frame, models.Scale(2) & models.Scale(3)), (focal, None)])


def make_nameless(name):
    turn = models.Rotation2D(20) | models.Scale(1e-5) & models.Scale(2e-5)
    return gwcs.WCS(turn, input_frame="detector", output_frame=name)


OTHER_WORLDS = {
    "linear": make_plain,
    "millimetres": lambda: make_plain("mm"),
    "spectral": make_spectral,
    "frame 2d": make_frame2d,
    "sky by name": lambda: make_nameless("sky"),
    "focal by name": lambda: make_nameless("focal"),
}


@pytest.mark.parametrize("one", OTHER_WORLDS)
def test_worlds_that_differ_are_refused(one):
    """Worlds that have nothing to do with each other are refused, and both are shown."""
    sky = make_fits("icrs")
    message = r"same kind of world axes, got <.*pos.eq.ra \[deg\].*> and <.*>"
    with pytest.raises(ValueError, match=message):
        PixelMap(sky, OTHER_WORLDS[one]())
    with pytest.raises(ValueError, match=r"world axes, got <.*> and <<ICRS Frame>: pos.eq.ra"):
        PixelMap(OTHER_WORLDS[one](), sky)
    for other, make in OTHER_WORLDS.items():
        if other != one:
            with pytest.raises(ValueError, match="same kind of world axes, got <"):
                PixelMap(OTHER_WORLDS[one](), make())


def test_a_world_without_names():
    """A WCS whose axes were never named is refused in words that say so."""
    message = (
        r"<<ICRS Frame>: pos.eq.ra \[deg\], pos.eq.dec \[deg\]> and <no physical type \[no unit\], "
        r"no physical type \[no unit\]>; .* CTYPE"
    )
    with pytest.raises(ValueError, match=message):
        PixelMap(make_fits("icrs"), WCS(naxis=2))


@pytest.mark.parametrize("one", OTHER_WORLDS)
def test_worlds_that_are_not_the_sky(one):
    """Two images of any one world map to each other."""
    found = PixelMap(OTHER_WORLDS[one](), OTHER_WORLDS[one]())(*positions(margin=500))
    assert_allclose(found, positions(margin=500), rtol=0, atol=ACCURACY)


def test_values_of_a_plain_world():
    """Plain world values are handed on as they are."""
    one, other = make_plain(), make_plain()
    other.wcs.crval = [10, -6]
    assert_allclose(PixelMap(one, other)(7.0, 8.0), [2, 10], rtol=0, atol=ACCURACY)


def test_images_are_taken_as_they_are(build):
    """An image given as such is used, with the shape that it has."""
    image = PixelGrid(build("sip"), (30, 40))
    to_out = PixelMap(image, build("gwcs"))
    assert to_out.image_in is image
    assert to_out.image_out.shape == SHAPE


@FIXED
@given(
    st.lists(st.tuples(*(st.integers(0, n) for n in (360, 260, 39, 39))), min_size=1, max_size=4),
    st.floats(0, 360),
    st.sampled_from(["sip", "lookup", "gwcs"]),
)
def test_boxes_enclose_every_pixel(build, boxes, rotation, made):
    """The box around a mapped box holds all centres and corners of its pixels."""
    to_out = PixelMap(
        build("sip", rotation=20.0), build(made, rotation=rotation, center=(1.1003, 0.7002))
    )
    x, y, width, height = np.transpose(boxes)
    edges = np.array([x, y, x + width + 1, y + height + 1]) - 0.5
    found, u, v, seen = to_out.boxes(edges, x, y, reach=300)
    assert seen.all()
    assert_allclose([u, v], to_out(x, y), rtol=0, atol=ACCURACY)
    mapped = whole_pixels(found, tolerance=ACCURACY)
    for box, inner, (x1, y1, x2, y2) in zip(mapped.T, found.T, edges.T, strict=True):
        pixels = np.meshgrid(np.arange(x1, x2 + 0.1, 0.5), np.arange(y1, y2 + 0.1, 0.5))
        u, v = to_out(*pixels)
        assert (u.min(), v.min()) >= tuple(box[:2] - 0.5 - 2 * ACCURACY)
        within = np.array([u.min(), v.min(), -u.max(), -v.max()])
        around = np.array([box[0] - 0.5, box[1] - 0.5, -box[2] - 0.5, -box[3] - 0.5])
        assert (within > around - 2 * ACCURACY).all()
        # And no box is larger than it has to be.
        assert np.abs(within - inner * [1, 1, -1, -1]).max() < 0.05


def test_boxes_of_the_same_image(build):
    """On the same grid a box is itself, whatever the WCS."""
    blc, trc = np.array([[-10, 5, 390], [3, 7, 250]]), np.array([[20, 5, 420], [30, 8, 310]])
    edges = np.concatenate([blc - 0.5, trc + 0.5])
    for kind_in, kind_out in (("sip", "gwcs"), ("gwcs-noinverse", "tpv"), ("lookup", "lookup")):
        found, x, y, _ = PixelMap(build(kind_in), build(kind_out)).boxes(edges)
        assert_allclose(found, edges, rtol=0, atol=3 * ACCURACY)
        assert_array_equal(whole_pixels(found, tolerance=1e-4), whole_pixels(edges))
        assert x.size == y.size == 0


def test_box_much_larger_than_the_image(build):
    """A box around all of a small image is mapped, as a TAN has no end."""
    to_out = PixelMap(build("tan", shape=(4000, 4000)), build("tan"))
    found = to_out.boxes(np.array([[-0.5], [-0.5], [3999.5], [3999.5]]))[0][:, 0]
    assert_allclose(found, [-1800.5, -1850.5, 2199.5, 2149.5], rtol=0, atol=1e-4)


def test_boxes_in_one_call(build, plain_low_level):
    """All boxes and positions go through one call of the first WCS."""
    counted = plain_low_level(build("sip"))
    to_out = PixelMap(counted, build("gwcs"))
    to_out.boxes(np.tile([[0.0], [0], [9], [9]], 500), np.arange(500.0), np.arange(500.0))
    assert counted.calls == ["forward"]


def test_boxes_that_do_not_map(build):
    """A box that leaves the sky of the other image is NaN, its neighbours are not."""
    to_out = PixelMap(build("tan", scale=50.0), build("sip"))
    edges = np.array([[199.0, 0, 199.4], [149, 0, 149.4], [200, 10, 199.6], [150, 10, 149.6]])
    found, x, y, _ = to_out.boxes(edges, [199.5, 0.0, 199.5], [149.5, 0.0, 149.5])
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[:, 2]).all()
    assert np.isfinite([x[0], y[0]]).all()
    assert np.isnan([x[1], y[1]]).all()
    found, x, y, _ = to_out.boxes(np.empty((4, 0)))
    assert found.shape == (4, 0)
    assert x.shape == y.shape == (0,)


WIDE = [
    ("TAN", "STG", 60, 0.1),
    ("ARC", "TAN", 60, 0.1),
    ("SIN", "ARC", 100, 1),
    ("TAN", "ZEA", 90, 1),
]


@pytest.mark.parametrize(("one", "other", "field", "scale"), WIDE)
def test_boxes_of_wide_fields_are_tight(one, other, field, scale):
    """However curved the edges are, the box encloses them and is not a pixel larger."""
    to_out = PixelMap(make_wide(one, field, 1.0), make_wide(other, field, scale))
    rng = np.random.default_rng(4)
    low = rng.uniform(0.1 * field, 0.5 * field, (2, 60))
    edges = np.concatenate([low, low + rng.uniform(1, 0.35 * field, (2, 60))])
    found, *_ = to_out.boxes(edges)
    assert np.isfinite(found).all()
    for k, (x1, y1, x2, y2) in enumerate(edges.T):
        t = np.linspace(0, 1, 4001)
        x = np.concatenate([x1 + t * (x2 - x1), x1 + t * (x2 - x1), 0 * t + x1, 0 * t + x2])
        y = np.concatenate([0 * t + y1, 0 * t + y2, y1 + t * (y2 - y1), y1 + t * (y2 - y1)])
        u, v = to_out(x, y)
        tight = np.array([u.min(), v.min(), u.max(), v.max()])
        outward = (found[:, k] - tight) * [-1, -1, 1, 1]
        assert outward.min() > -1e-4
        assert outward.max() < 1


def make_wide(projection, field, scale):
    size = int(field / scale)
    header = {
        "NAXIS": 2, "NAXIS1": size, "NAXIS2": size, "CDELT1": -scale, "CDELT2": scale,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": (size + 1) / 2, "CRPIX2": (size + 1) / 2, "CRVAL1": 10.0, "CRVAL2": 40.0,
    }  # fmt: skip
    return WCS(fits.Header(header))


@pytest.mark.parametrize(
    ("projection", "center"),
    [
        ("CAR", (30.0, 90.0)), ("CAR", (180.0, 10.0)), ("CEA", (77.0, -90.0)),
        ("CEA", (179.0, -40.0)), ("AIT", (180.0, 10.0)), ("SFL", (180.0, -10.0)),
    ],
)  # fmt: skip
def test_torn_boxes(projection, center):
    """A box that a map of the whole sky tears at its seam has no place in it."""
    header = {
        "NAXIS": 2, "NAXIS1": 720, "NAXIS2": 360, "CDELT1": -0.5, "CDELT2": 0.5,
        "CTYPE1": f"RA---{projection}", "CTYPE2": f"DEC--{projection}",
        "CRPIX1": 360.5, "CRPIX2": 180.5,
    }  # fmt: skip
    source = make_wide("TAN", 4, 0.02)
    source.wcs.crval, source.wcs.lonpole = center, 180
    low = np.random.default_rng(8).integers(0, 180, (2, 60))
    edges = np.concatenate([low - 0.5, low + 20.5])
    found, *_, seen = PixelMap(source, WCS(fits.Header(header))).boxes(edges)
    assert seen.all()
    torn = []
    for x1, y1, x2, y2 in edges.T:
        grid = np.meshgrid(np.linspace(x1, x2, 85), np.linspace(y1, y2, 85))
        beyond = source.pixel_to_world_values(*grid)[0] - 180
        # The seam is where the right ascension passes 180, not where it passes 0.
        near = np.abs(beyond) < 90
        torn.append(
            ((np.diff(np.sign(beyond)) != 0) & near[:, 1:]).any()
            | ((np.diff(np.sign(beyond), axis=0) != 0) & near[1:]).any()
        )
    assert 0 < sum(torn) < 60
    assert_array_equal(np.isnan(found).any(0), torn)


def test_boxes_near_the_end_of_the_sky():
    """Next to where a map ends there are derivatives on one side only."""
    header = {
        "NAXIS": 2, "NAXIS1": 720, "NAXIS2": 360, "CDELT1": -0.5, "CDELT2": 0.5,
        "CTYPE1": "RA---CEA", "CTYPE2": "DEC--CEA", "CRPIX1": 360.5, "CRPIX2": 180.5,
    }  # fmt: skip
    source = make_wide("TAN", 4, 0.02)
    source.wcs.crval, source.wcs.lonpole = (30.0, 90.0), 180
    x, y = np.random.default_rng(9).uniform(0, 199, (2, 500))
    found = PixelMap(source, WCS(fits.Header(header)))(x, y)
    # Cylindrical equal area: the height is the sine of the latitude.
    lon, lat = source.pixel_to_world_values(x, y)
    expected = (
        359.5 - (lon + 180) % 360 / 0.5 + 360,
        179.5 + np.rad2deg(np.sin(np.deg2rad(lat))) / 0.5,
    )
    assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_fine_structure_is_not_torn(build):
    """Tables that are rough from pixel to pixel leave a box, not wider than they are rough."""
    rng = np.random.default_rng(3)
    rough, plain = build("tan"), build("tan")
    rough.cpdis2 = DistortionLookupTable(
        np.float32(rng.normal(0, 0.1, SHAPE)), (1, 1), (1, 1), (1, 1)
    )
    rough.wcs.set()
    low, size = rng.integers(10, 200, (2, 200)), rng.integers(8, 30, (2, 200))
    edges = np.concatenate([low, low + size]) - 0.5
    found, *_ = PixelMap(rough, plain).boxes(edges)
    assert np.isfinite(found).all()
    assert np.abs(found - edges).max() < 1.3


def test_accuracy_does_not_shrink_boxes(build):
    """Who asks for less accurate positions gets no smaller boxes."""
    to_out = PixelMap(build("tan"), build("tan", rotation=20.0))
    edges = np.array([[10.0], [20.0], [30.0], [50.0]]) - 0.5
    exact, *_ = to_out.boxes(edges)
    rough, *_ = to_out.boxes(edges, accuracy=0.1)
    assert_allclose(rough, exact, rtol=0, atol=0.1)
    with pytest.raises(ValueError, match="accuracy must be a positive number"):
        to_out.boxes(edges, accuracy=np.inf)
