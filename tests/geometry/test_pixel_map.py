"""Maps from pixels of one image to pixels of another image."""

import functools

import gwcs
import numpy as np
import pytest
from astropy import coordinates as coord
from astropy import units as u
from astropy.io import fits
from astropy.modeling import models
from astropy.wcs import WCS
from astropy.wcs.wcsapi.wrappers.base import BaseWCSWrapper
from numpy.testing import assert_allclose, assert_array_equal

from subpixal.geometry import ACCURACY, PixelGrid, PixelMap

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
    """Return random pixel positions on the image and in a margin around it."""
    ny, nx = shape
    t = np.random.default_rng(seed).uniform(0, 1, (2, n))
    return t * [[nx + 2 * margin - 1], [ny + 2 * margin - 1]] - margin


def lonlat(frame):
    """Return the center in a frame, as longitude and latitude in degrees."""
    sky = CENTER.frame.transform_to(frame).spherical
    return sky.lon.deg, sky.lat.deg


def make_fits(name, *, lat_first=False, arcsec=False):
    """Return a TAN WCS in a given celestial frame, with 400 x 300 pixels of 0.2 arcsec."""
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
    """Return a gwcs with an inverse that equals the WCS of `make_fits`."""
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
    """Return the WCS with a given name in `FRAMED`."""
    make, options = FRAMED[name]
    return make(**options)


def calculate(wcs_in, options_in, wcs_out, options_out, xy):
    """Return positions from the methods of the WCSs and from sky coordinates of astropy."""
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
def test_images_of_the_same_sky_map_pixels_to_themselves(build, kind_in, kind_out):
    """If two WCSs describe the same sky, a pixel maps to itself. This holds for all pairs."""
    to_out = PixelMap(build(kind_in), build(kind_out))
    xy = positions(margin=50)
    assert_allclose(to_out(*xy), xy, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("other", SAME_SKY + OTHER_SKIES)
@pytest.mark.parametrize("first", ["sip", "gwcs", *OTHER_SKIES])
def test_way_to_another_image_and_back_is_accurate(build, first, other):
    """Positions that map to another image and back equal the original positions."""
    wcs_in = build(first)
    wcs_out = build(other, rotation=100.0, scale=0.07, center=(1.1004, 0.7003))
    xy = positions()
    mapped = PixelMap(wcs_in, wcs_out)(*xy)
    assert_allclose(PixelMap(wcs_out, wcs_in)(*mapped), xy, rtol=0, atol=2 * ACCURACY)


@pytest.mark.parametrize("made", ["sip", "lookup", "tpv"])
def test_positions_equal_those_of_astropy(build, made):
    """Positions equal the results of the methods of astropy to 1e-10 pixels."""
    wcs_in, wcs_out = build(made), build("sip", rotation=120.0, center=(1.1005, 0.7))
    xy = positions()
    expected = wcs_out.all_world2pix(*wcs_in.all_pix2world(*xy, 0), 0, tolerance=1e-10)
    found = PixelMap(wcs_in, wcs_out)(*xy)
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    assert np.ptp(np.subtract(found, xy)) > 100


@pytest.mark.parametrize("name_in", FRAMED)
@pytest.mark.parametrize("name_out", FRAMED)
def test_positions_in_other_frames_equal_skycoord(name_in, name_out):
    """Positions are right if frames, orders of axes and units differ, also at right ascension 0."""
    options_in, options_out = FRAMED[name_in][1], FRAMED[name_out][1]
    wcs_in, wcs_out = make_framed(name_in), make_framed(name_out)
    xy = np.array([[199.5, 150.0, 260.0], [149.5, 110.0, 200.0]])
    expected = np.array(calculate(wcs_in, options_in, wcs_out, options_out, xy))
    assert np.isfinite(expected).all()
    found = np.array(PixelMap(wcs_in, wcs_out)(*xy))
    assert_allclose(found, expected, rtol=0, atol=ACCURACY)
    # If frames are rotated against each other, the images share only the center.
    assert_allclose(found[:, 0], xy[:, 0], rtol=0, atol=1e-3)


@pytest.mark.parametrize(("equinox", "moved"), [(2000.0, 0.02), (1999.0, 50)])
def test_equal_values_in_other_frames_are_other_positions(equinox, moved):
    """Equal world values in ICRS and FK5 differ by a frame rotation or by precession."""
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


def test_frame_keeps_its_default_equinox():
    """A frame without an equinox has its default equinox, not the equinox of the other frame."""
    expected = PixelMap(make_fits("fk5-1975"), make_fits("fk5"))(*positions())
    found = PixelMap(make_fits("fk5-1975"), make_gwcs("default"))(*positions())
    assert_allclose(found, expected, rtol=0, atol=2 * ACCURACY)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0,), (0, 2)])
@pytest.mark.parametrize("name", ["icrs", "galactic", "fk4"])
def test_results_have_the_shape_of_the_arguments(name, shape):
    """Results have the same shape as the arguments, also if the frames differ."""
    x, y = np.full(shape, 199.5), np.full(shape, 149.5)
    found = PixelMap(make_fits("fk5"), make_fits(name))(x, y)
    assert [f.shape for f in found] == [shape, shape]
    assert_allclose(found, [x, y], rtol=0, atol=1e-3)


def test_nan_between_frames_gives_nan():
    """If frames differ, NaN gives NaN in both results and does not affect other positions."""
    x, y = np.array([199.5, np.nan, 3.0]), np.array([149.5, 3.0, np.nan])
    found = np.array(PixelMap(make_fits("icrs"), make_fits("fk4"))(x, y))
    assert_array_equal(np.isnan(found), [[False, True, True]] * 2)


def test_frame_can_be_a_name(build, plain_low_level):
    """A WCS can give its frame as a string, like WCSs with serialized classes."""

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
def test_axes_can_be_names_or_numbers(build, components):
    """A number or the name of an attribute can identify the axis of the longitude."""

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
    """Return a linear WCS without a sky."""
    header = {"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300, "CD1_1": 2.0, "CD2_2": 3.0}
    axes = {"CTYPE1": kind, "CTYPE2": kind.replace("X", "Y"), "CUNIT1": unit, "CUNIT2": unit}
    return WCS(fits.Header(header | axes))


def make_spectral():
    """Return a WCS of wavelength and time."""
    axes = {"CTYPE1": "WAVE", "CTYPE2": "LINEAR", "CUNIT1": "m", "CUNIT2": "s", "CDELT1": 1e-9}
    return WCS(fits.Header({"NAXIS": 2, "NAXIS1": 400, "NAXIS2": 300} | axes))


def make_frame2d():
    """Return a gwcs whose world values are positions in a focal plane."""
    frame = gwcs.Frame2D(name="detector", unit=(u.pix, u.pix))
    focal = gwcs.Frame2D(name="focal", unit=(u.mm, u.mm), axes_names=("x", "y"))
    return gwcs.WCS([(frame, models.Scale(2) & models.Scale(3)), (focal, None)])


def make_gwcs_without_frame(name):
    """Return a gwcs whose output frame is only a name."""
    turn = models.Rotation2D(20) | models.Scale(1e-5) & models.Scale(2e-5)
    return gwcs.WCS(turn, input_frame="detector", output_frame=name)


OTHER_WORLDS = {
    "linear": make_plain,
    "millimeters": lambda: make_plain("mm"),
    "spectral": make_spectral,
    "frame 2d": make_frame2d,
    "sky by name": lambda: make_gwcs_without_frame("sky"),
    "focal by name": lambda: make_gwcs_without_frame("focal"),
}


@pytest.mark.parametrize("one", OTHER_WORLDS)
def test_different_worlds_are_an_error(one):
    """If the images have different world axes, the error describes the axes of both."""
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


def test_world_without_names_is_an_error():
    """The error explains that the axes of the WCS have no types, and mentions CTYPE."""
    message = (
        r"<<ICRS Frame>: pos.eq.ra \[deg\], pos.eq.dec \[deg\]> and <no physical type \[no unit\], "
        r"no physical type \[no unit\]>; .* CTYPE"
    )
    with pytest.raises(ValueError, match=message):
        PixelMap(make_fits("icrs"), WCS(naxis=2))


@pytest.mark.parametrize("one", OTHER_WORLDS)
def test_images_of_the_same_plain_world_map_to_each_other(one):
    """Two images of the same world without a sky map to each other."""
    found = PixelMap(OTHER_WORLDS[one](), OTHER_WORLDS[one]())(*positions(margin=500))
    assert_allclose(found, positions(margin=500), rtol=0, atol=ACCURACY)


def test_plain_world_values_do_not_change():
    """World values of the first image that are not on a sky are also those of the second image."""
    one, other = make_plain(), make_plain()
    other.wcs.crval = [10, -6]
    assert_allclose(PixelMap(one, other)(7.0, 8.0), [2, 10], rtol=0, atol=ACCURACY)


def test_pixel_grid_argument_keeps_its_shape(build):
    """If the argument is a pixel grid, the map uses this object."""
    image = PixelGrid(build("sip"), (30, 40))
    to_out = PixelMap(image, build("gwcs"))
    assert to_out.image_in is image
    assert to_out.image_out.shape == SHAPE
