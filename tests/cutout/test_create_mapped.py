"""Cutouts that are mapped from combined images to exposures and back."""

import numpy as np
import pytest
from astropy.wcs import WCS
from astropy.wcs.wcsapi import BaseLowLevelWCS, HighLevelWCSWrapper
from numpy.testing import assert_allclose, assert_array_equal

from subpixal import (
    Cutout,
    CutoutCollection,
    create_cutouts,
    create_input_image_cutouts,
    create_primary_cutouts,
    drz_from_input_cutouts,
)
from subpixal.datasets import make_scene, make_wcs
from subpixal.datasets.scenes import _find_positions
from subpixal.testing import assert_cutouts_equal

KINDS = ["tan", "sip", "lookup", "tpv", "gwcs", "gwcs-noinverse"]
PLANES = ("data", "mask", "uncertainty", "flags", "weight")


class LowLevelWCS(BaseLowLevelWCS):
    """WCS with only the low-level interface of APE 14. It counts the calls of its methods."""

    def __init__(self, wcs):
        self._wcs, self.calls, self.points = wcs, 0, 0

    def pixel_to_world_values(self, *pixels):
        self.calls += 1
        self.points += np.size(pixels[0])
        return self._wcs.pixel_to_world_values(*pixels)

    def world_to_pixel_values(self, *world):
        self.calls += 1
        self.points += np.size(world[0])
        return self._wcs.world_to_pixel_values(*world)


for _name in ("pixel_n_dim", "world_n_dim", "world_axis_physical_types", "world_axis_units",
              "world_axis_object_components", "world_axis_object_classes"):  # fmt: skip
    setattr(LowLevelWCS, _name, property(lambda self, name=_name: getattr(self._wcs, name)))
LowLevelWCS.__abstractmethods__ = frozenset()

WRAPPERS = {
    "low-level": LowLevelWCS,
    "high-level": lambda wcs: HighLevelWCSWrapper(LowLevelWCS(wcs)),
}


@pytest.fixture(scope="module")
def scene():
    return make_scene(exposures=KINDS)


@pytest.fixture(scope="module")
def noiseless_scene():
    return make_scene(n_sources=40, exposures=KINDS, noise=False, seed=3)


@pytest.fixture(params=[*KINDS, *WRAPPERS])
def kind(request):
    return request.param


def get_exposure(scene, kind):
    """Return an exposure and its WCS, which is wrapped on request."""
    exposure = scene.exposures[KINDS.index(kind if kind in KINDS else "sip")]
    return exposure, WRAPPERS.get(kind, lambda wcs: wcs)(exposure.wcs)


def cut_primary(scene, **options):
    """Cut all sources out of the combined image."""
    positions = scene.combined.positions
    catalog = {"id": scene.truth["id"], "x": positions[:, 0], "y": positions[:, 1]}
    image = scene.combined
    return create_primary_cutouts(
        catalog, scene.segmentation, image.data, image.wcs, imweight=image.weight,
        data_units="rate", exptime=image.exptime, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def primary(scene):
    return cut_primary(scene)


def map_slowly(wcs_in, x, y, wcs_out):
    """Map pixels with the forward transform of astropy and a separate Newton iteration."""
    world = wcs_in.all_pix2world(np.ravel(x), np.ravel(y), 0)
    return _find_positions(wcs_out, *world)[0]


def sample_pixels(boxes, n=31):
    """Return positions on a dense grid over boxes, including their outer edges."""
    u, v = (w.ravel() for w in np.meshgrid(*2 * [np.linspace(0, 1, n)]))
    x1, y1, x2, y2 = (
        np.transpose(boxes)[..., None] + np.array([-0.5, -0.5, 0.5, 0.5])[:, None, None]
    )
    return x1 + u * (x2 - x1), y1 + v * (y2 - y1)


def get_boxes(cutouts):
    """Return the corners of the cutouts as rows of xmin, ymin, xmax, ymax."""
    return np.array([[*c.blc, *c.trc] for c in cutouts], float)


def check_enclosing(cutouts, boxes, wcs_in, wcs_out, pad):
    """Check that the cutouts enclose the mapped boxes and exceed them by less than 1.1 pixels."""
    x, y = sample_pixels(boxes)
    mapped = map_slowly(wcs_in, x, y, wcs_out).reshape(*x.shape, 2)
    low, high = mapped.min(1), mapped.max(1)
    inner = get_boxes(cutouts) + np.array([pad - 0.5, pad - 0.5, 0.5 - pad, 0.5 - pad])
    assert np.all(inner[:, :2] <= low + 2e-5)
    assert np.all(inner[:, 2:] >= high - 2e-5)
    assert np.all(low - inner[:, :2] < 1.1)
    assert np.all(inner[:, 2:] - high < 1.1)


def get_pixels(cutout, name):
    """Return a plane as an array."""
    pixels = getattr(cutout, name)
    return getattr(pixels, "array", pixels)


def get_dropped(cutouts):
    """Return the rows of the table of rejected sources."""
    return [tuple(row) for row in cutouts.dropped]


@pytest.mark.parametrize("mode", ["strict", "fill"])
def test_positions_on_exposures_are_exact(kind, mode, scene, primary):
    """The positions of sources in an exposure equal the true positions and are not rounded."""
    exposure, wcs = get_exposure(scene, kind)
    cutouts, _ = create_input_image_cutouts(primary, exposure.data, wcs, mode=mode)
    assert len(cutouts) > 15
    true = exposure.positions[cutouts.ids - 1]
    assert_allclose([c.src_pos for c in cutouts], true, rtol=0, atol=1e-4)
    for cutout in cutouts:
        x, y = cutout.cutout_src_pos
        assert -0.5 <= x <= cutout.width - 0.5
        assert -0.5 <= y <= cutout.height - 0.5
        if cutout.status == "ok":
            world = exposure.wcs.pixel_to_world_values(*cutout.src_pos)
            assert_allclose(cutout.pix2world(x, y), world, rtol=0, atol=1e-10)


@pytest.mark.parametrize("pad", [0, 1, 4])
def test_box_encloses_the_mapped_cutout(kind, pad, scene, primary):
    """The box of a mapped cutout encloses all pixels of the input and is as small as possible."""
    exposure, wcs = get_exposure(scene, kind)
    cutouts, valid = create_input_image_cutouts(primary, exposure.data, wcs, mode="fill", pad=pad)
    check_enclosing(cutouts, get_boxes(valid), scene.combined.wcs, exposure.wcs, pad)


@pytest.mark.parametrize("mode", ["strict", "fill"])
def test_cutouts_correspond_to_valid_inputs(kind, mode, scene, primary):
    """Each valid input gives one cutout. The other sources are rejected."""
    exposure, wcs = get_exposure(scene, kind)
    cutouts, valid = create_input_image_cutouts(primary, exposure.data, wcs, mode=mode)
    assert cutouts.ids.tolist() == valid.ids.tolist()
    assert all(cutout in primary for cutout in valid)
    assert get_dropped(cutouts) == get_dropped(valid)
    assert set(cutouts.dropped["stage"]) == {"input_image"}
    everything = [*cutouts.ids, *cutouts.dropped["id"]]
    assert sorted(everything) == sorted(primary.ids)
    kept = set(cutouts.ids)
    assert [i for i in primary.ids if i in kept] == cutouts.ids.tolist()


def test_cutouts_beyond_the_edge_are_rejected_or_filled(kind, scene, primary):
    """At the edge, the mode "strict" rejects sources, and the mode "fill" fills their cutouts."""
    exposure, wcs = get_exposure(scene, kind)
    ny, nx = exposure.data.shape
    arguments = exposure.data, wcs, exposure.dq
    options = {"pad": 3, "uncertainty": exposure.error}
    strict, _ = create_input_image_cutouts(primary, *arguments, **options)
    fill, _ = create_input_image_cutouts(primary, *arguments, mode="fill", **options)
    boxes = get_boxes(fill).T
    inside = (boxes[:2] >= 0).all(0) & (boxes[2] < nx) & (boxes[3] < ny)
    assert np.count_nonzero(~inside) >= 2
    assert [c.status for c in strict] == ["ok"] * inside.sum()
    assert_cutouts_equal(strict[:], fill[inside])
    status = dict(zip(strict.dropped["id"], strict.dropped["status"], strict=True))
    assert all(status[i] == "partial_overlap" for i in fill.ids[~inside])
    rejected = {i for i, s in status.items() if s != "partial_overlap"}
    assert rejected == set(fill.dropped["id"])
    assert {status[i] for i in rejected} <= {"no_overlap", "all_masked"}
    for cutout in fill[~inside]:
        y, x = np.mgrid[: cutout.height, : cutout.width] + np.array(cutout.blc[::-1])[:, None, None]
        outside = (x < 0) | (y < 0) | (x >= nx) | (y >= ny)
        assert cutout.status == "filled"
        assert outside.any()
        assert_array_equal(np.isnan(cutout.data), outside)
        assert_array_equal(cutout.data[~outside], exposure.data[y[~outside], x[~outside]])
        assert_array_equal(cutout.mask, outside | (cutout.flags != 0))
        assert not cutout.flags[outside].any()
        assert np.isnan(cutout.uncertainty.array[outside]).all()
        assert_array_equal(cutout.flags[~outside], exposure.dq[y[~outside], x[~outside]])


def test_sources_without_overlap_are_off_the_exposure(scene, primary):
    """Sources with the status "no_overlap" have true positions off the exposure."""
    for exposure in scene.exposures:
        cutouts, _ = create_input_image_cutouts(primary, exposure.data, exposure.wcs, mode="fill")
        rejected = cutouts.dropped["id"][cutouts.dropped["status"] == "no_overlap"]
        size = np.array(exposure.data.shape[::-1])
        for x, y in exposure.positions[np.array(rejected, int) - 1]:
            assert not (0 < x < size[0] and 0 < y < size[1])


@pytest.mark.parametrize("shift", [(3.25, -1.5), (0.001, 0), (-40, 25.5)])
def test_displacement_moves_the_box(kind, shift, scene):
    """A displacement of a cutout moves the mapped box, but not the position of the source."""
    primary = cut_primary(scene)
    exposure, wcs = get_exposure(scene, kind)
    options = {"mode": "fill", "pad": 2}
    plain, _ = create_input_image_cutouts(primary, exposure.data, wcs, **options)
    for cutout in primary:
        cutout.dx, cutout.dy = shift
    moved, valid = create_input_image_cutouts(primary, exposure.data, wcs, **options)
    positions = dict(zip(plain.ids, [c.src_pos for c in plain], strict=True))
    boxes = get_boxes(valid) - np.tile(shift, 2)
    check_enclosing(moved, boxes, scene.combined.wcs, exposure.wcs, 2)
    for cutout in moved:
        assert (cutout.dx, cutout.dy) == (0, 0)
        if cutout.src_id in positions:
            assert_allclose(cutout.src_pos, positions[cutout.src_id], rtol=0, atol=1e-6)


def test_moved_cutouts(scene, primary):
    """After a change of `blc` or `src_pos`, the new box or the new position is mapped."""
    exposure = scene.exposures[1]
    primary = primary[5:6].copy()
    primary[0].blc = 150, 160
    primary[0].src_pos = 152.25, 164.75
    cutouts, valid = create_input_image_cutouts(primary, exposure.data, exposure.wcs, pad=0)
    check_enclosing(cutouts, get_boxes(valid), scene.combined.wcs, exposure.wcs, 0)
    expected = map_slowly(scene.combined.wcs, 152.25, 164.75, exposure.wcs)[0]
    assert_allclose(cutouts[0].src_pos, expected, rtol=0, atol=1e-5)


def test_ids_and_weights_are_kept(scene):
    """Mapped cutouts have the identifiers and the weights of the input."""
    primary = cut_primary(scene, src_weight=scene.truth["flux"])
    named = [c.copy() for c in primary]
    for cutout in named:
        cutout.src_id = f"J{cutout.src_id}"
    exposure = scene.exposures[0]
    cutouts, valid = create_input_image_cutouts(named, exposure.data, exposure.wcs, exptime=600)
    assert len(cutouts) > 15
    for cutout, source in zip(cutouts, valid, strict=True):
        assert cutout.src_id == source.src_id
        assert cutout.src_weight == source.src_weight
        assert cutout.src_weight == scene.truth["flux"][int(cutout.src_id[1:]) - 1]
        assert (cutout.exptime, cutout.data_units) == (600, "counts")
        assert cutout.image_wcs is exposure.wcs


def test_back_to_the_combined_image(kind, scene, primary):
    """Cutouts that are mapped back contain the primary cutouts and have their source positions."""
    exposure, wcs = get_exposure(scene, kind)
    flt, sources = create_input_image_cutouts(primary, exposure.data, wcs, mode="fill")
    combined = scene.combined
    drz, valid = drz_from_input_cutouts(
        flt, scene.segmentation, combined.data, combined.wcs, imweight=combined.weight, pad=6
    )
    assert drz.ids.tolist() == valid.ids.tolist() == sources.ids.tolist()
    assert "filled" in {c.status for c in drz}
    ny, nx = combined.data.shape
    for cutout, source, origin in zip(drz, valid, sources, strict=True):
        assert source in flt
        assert_allclose(cutout.src_pos, origin.src_pos, rtol=0, atol=3e-5)
        assert origin.box in cutout.box
        y, x = np.mgrid[: cutout.height, : cutout.width] + np.array(cutout.blc[::-1])[:, None, None]
        outside = (x < 0) | (y < 0) | (x >= nx) | (y >= ny)
        is_source = scene.segmentation[y % ny, x % nx] == cutout.src_id
        assert_array_equal(cutout.mask, outside | ~is_source)
        assert cutout.status == ("filled" if outside.any() else "ok")


def test_box_on_the_combined_image_encloses_the_exposure_cutout(scene, primary):
    """The box on the combined image encloses all pixels of the cutout in the exposure."""
    for exposure in scene.exposures:
        if isinstance(exposure.wcs, WCS):
            flt, _ = create_input_image_cutouts(primary, exposure.data, exposure.wcs)
            drz, valid = drz_from_input_cutouts(
                flt, scene.segmentation, scene.combined.data, scene.combined.wcs, pad=2
            )
            check_enclosing(drz, get_boxes(valid), exposure.wcs, scene.combined.wcs, 2)


def test_box_encloses_a_whole_exposure(scene):
    """The box of a whole exposure also encloses edges that curve outwards between the corners."""
    wcs = make_wcs("tan", (1400, 1400), scale=0.04)
    for exposure in (e for e in scene.exposures if isinstance(e.wcs, WCS)):
        whole = Cutout(exposure.data, exposure.wcs, src_id=1)
        options = {"mask_policy": None, "pad": 0}
        big = np.ones((1400, 1400), np.float32), wcs
        (cutout,), _ = drz_from_input_cutouts([whole], np.ones(big[0].shape, int), *big, **options)
        mapped = map_slowly(exposure.wcs, *sample_pixels(get_boxes([whole]), 301), wcs)
        (box,) = get_boxes([cutout])
        assert np.all(box[:2] - 0.5 <= mapped.min(0) + 1e-5)
        assert np.all(box[2:] + 0.5 >= mapped.max(0) - 1e-5)


@pytest.mark.parametrize("copy", [True, False])
@pytest.mark.parametrize("mode", ["strict", "fill"])
def test_both_steps_in_one_call(mode, copy, kind, scene, primary):
    """One call of `create_cutouts` gives the same cutouts as a separate call for each step."""
    exposure, wcs = get_exposure(scene, kind)
    combined = scene.combined
    flt, drz = create_cutouts(
        primary, scene.segmentation, combined.data, combined.wcs, exposure.data, wcs,
        None, combined.weight, "rate", combined.exptime, exposure.dq, None, "counts",
        exposure.exptime, 2, drz_uncertainty=combined.error, flt_uncertainty=exposure.error,
        flt_dqbitmask=16, mode=mode, copy=copy,
    )  # fmt: skip
    flt_expected, _ = create_input_image_cutouts(
        primary, exposure.data, wcs, exposure.dq, None, "counts", exposure.exptime, 2,
        mode=mode, uncertainty=exposure.error, dqbitmask=16,
    )  # fmt: skip
    drz_expected, valid = drz_from_input_cutouts(
        flt_expected, scene.segmentation, combined.data, combined.wcs, None, combined.weight,
        "rate", combined.exptime, 2, uncertainty=combined.error,
    )  # fmt: skip
    assert_cutouts_equal(drz[:], drz_expected[:])
    assert_cutouts_equal(flt[:], valid[:])
    dropped = get_dropped(flt_expected) + get_dropped(drz_expected)
    assert get_dropped(flt) == get_dropped(drz) == dropped
    assert sorted([*flt.ids, *flt.dropped["id"]]) == sorted(primary.ids)


def test_sources_rejected_in_the_second_step(scene, primary):
    """If the second step rejects a source, both collections reject it."""
    exposure, combined = scene.exposures[0], scene.combined
    arguments = combined.data.copy(), combined.wcs, exposure.data, exposure.wcs
    before, _ = create_cutouts(primary, scene.segmentation, *arguments)
    victim = int(before.ids[3])
    arguments[0][scene.segmentation == victim] = np.nan
    segmentation = scene.segmentation.copy()
    absent = int(before.ids[5])
    segmentation[segmentation == absent] = 0
    flt, drz = create_cutouts(primary, segmentation, *arguments)
    new = get_dropped(flt)[len(before.dropped) :]
    assert [row[:3] for row in new] == [
        (absent, "not_in_segmentation", "drz"),
        (victim, "all_masked", "drz"),
    ]
    assert get_dropped(drz) == get_dropped(flt)
    assert flt.ids.tolist() == drz.ids.tolist()
    assert set(before.ids) - set(flt.ids) == {victim, absent}


def measure_centroid(cutout):
    """Return the centroid (x, y) of a cutout."""
    y, x = np.mgrid[: cutout.height, : cutout.width]
    data = cutout.data.astype(float)
    return np.array([(data * x).sum(), (data * y).sum()]) / data.sum()


def test_stars_are_at_the_source_positions(kind, noiseless_scene):
    """The centroids of stars in noiseless images equal the positions of their cutouts."""
    primary = cut_primary(noiseless_scene)
    exposure, wcs = get_exposure(noiseless_scene, kind)
    cutouts, _ = create_input_image_cutouts(primary, exposure.data, wcs, pad=4)
    found = 0
    for cutout in cutouts:
        distance = np.hypot(*(exposure.positions - cutout.src_pos).T)
        is_isolated = np.sort(distance[np.isfinite(distance)])[1] > 30
        if noiseless_scene.truth["kind"][cutout.src_id - 1] == "star" and is_isolated:
            found += 1
            assert_allclose(measure_centroid(cutout), cutout.cutout_src_pos, rtol=0, atol=0.02)
    assert found >= 4


def make_random_cutouts(wcs, shape, seed, n=15):
    """Yield random cutouts of an image that consists of a WCS only."""
    rng = np.random.default_rng(seed)
    for i in range(n):
        x, y = rng.integers(60, 440, 2)
        width, height = rng.integers(0, 30, 2)
        yield Cutout(
            np.zeros(shape), wcs, (x, y), (x + width, y + height), src_id=1000 * seed + i,
            src_pos=(x + rng.random(), y + rng.random()), src_weight=seed,
        )  # fmt: skip


def test_inputs_of_several_images(scene):
    """A list of cutouts of several images gives the same result as one list for each image."""
    exposure = scene.exposures[1]
    galactic = WCS(make_wcs("tan", (512, 512), scale=0.04).to_header())
    lon, lat = 238.0, 41.0
    galactic.wcs.ctype = "GLON-TAN", "GLAT-TAN"
    galactic.wcs.crval = lon, lat
    wcses = [
        make_wcs("tan", (512, 512), scale=0.04),
        make_wcs("tan", (600, 500), (150.1005, 2.2005), scale=0.05, rotation=30),
        make_wcs("gwcs", (512, 512), scale=0.04),
    ]
    parts = [list(make_random_cutouts(w, (600, 500), i)) for i, w in enumerate(wcses)]
    separate = [
        create_input_image_cutouts(p, exposure.data, exposure.wcs, mode="fill") for p in parts
    ]
    order = np.random.default_rng(5).permutation(45)
    mixed = [[*parts[0], *parts[1], *parts[2]][i] for i in order]
    together, valid = create_input_image_cutouts(mixed, exposure.data, exposure.wcs, mode="fill")
    expected = {c.src_id: c for cutouts, _ in separate for c in cutouts}
    assert len(together) == len(expected) > 30
    kept = [c for c in mixed if c.src_id in expected]
    assert all(a is b for a, b in zip(valid, kept, strict=True))
    assert_cutouts_equal(together[:], CutoutCollection([expected[c.src_id] for c in kept]))


def test_number_of_wcs_calls_does_not_grow(scene):
    """Each WCS of the inputs is evaluated once, for any number of sources."""
    exposure = scene.exposures[1]
    calls = []
    for n in (3, 60):
        wcses = [LowLevelWCS(make_wcs("tan", (512, 512), scale=s)) for s in (0.04, 0.05)]
        out = LowLevelWCS(exposure.wcs)
        mixed = [c for i, w in enumerate(wcses) for c in make_random_cutouts(w, (512, 512), i, n)]
        cutouts, _ = create_input_image_cutouts(mixed[::-1], exposure.data, out, mode="fill")
        assert len(cutouts) >= n
        assert [w.calls for w in wcses] == [1, 1]
        calls.append(out.calls)
    # The number of Newton steps is about the same for 6 and for 120 sources.
    assert max(calls) <= 20


def test_inputs_of_several_exposures(scene, primary):
    """One call with cutouts of several exposures gives the same result as separate calls."""
    combined = scene.combined
    arguments = scene.segmentation, combined.data, combined.wcs, None, combined.weight
    flts = [create_input_image_cutouts(primary, e.data, e.wcs)[0] for e in scene.exposures]
    separate = [drz_from_input_cutouts(flt, *arguments) for flt in flts]
    everything = flts[0]
    for flt in flts[1:]:
        everything = everything + flt
    together, valid = drz_from_input_cutouts(everything, *arguments)
    assert len(valid.images) == len(scene.exposures)
    assert len(together.images) == 1
    assert valid.ids.tolist() == together.ids.tolist()
    start = 0
    for drz, _ in separate:
        assert_cutouts_equal(together[start : start + len(drz)], drz[:])
        start += len(drz)
    assert start == len(together)


def test_empty_input_gives_empty_collections(scene):
    """Without input cutouts, the results are empty collections."""
    exposure, combined = scene.exposures[0], scene.combined
    for empty in ([], (), iter(()), CutoutCollection()):
        cutouts, valid = create_input_image_cutouts(empty, exposure.data, exposure.wcs)
        assert (len(cutouts), len(valid), len(cutouts.dropped)) == (0, 0, 0)
    flt, drz = create_cutouts(
        [], scene.segmentation, combined.data, combined.wcs, exposure.data, exposure.wcs
    )
    assert (len(flt), len(drz), len(flt.dropped)) == (0, 0, 0)


def test_padding_may_overlap_the_image(scene):
    """A source far from a small image is cut if its padding overlaps the image."""
    primary, center = cut_primary(scene), scene.combined.wcs.wcs.crval
    wcs = make_wcs("tan", (40, 50), center=center, scale=0.05, crpix=(-800.0, 20.0))
    image, rows = np.ones((40, 50), np.float32), np.asarray(primary.ids, int) - 1
    options = {"mode": "fill", "mask_policy": None}
    cutouts, _ = create_input_image_cutouts(primary, image, wcs, pad=1200, **options)
    assert_array_equal(cutouts.ids, primary.ids)
    true = wcs.wcs_world2pix(scene.truth["ra"][rows], scene.truth["dec"][rows], 0)
    assert np.max(true[0]) < -400
    assert_allclose(cutouts.table["src_pos"].T, true, rtol=0, atol=0.01)
    cutouts, _ = create_input_image_cutouts(primary, image, wcs, pad=300, **options)
    assert len(cutouts) == 0
    assert set(cutouts.dropped["status"]) == {"no_overlap"}
