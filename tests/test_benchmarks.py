"""Benchmarks run without errors. These tests do not check the measured values."""

import numpy as np
import pytest

from benchmarks import scale
from benchmarks.bare import flat_planes
from benchmarks.jobs import all_jobs, there_and_back
from benchmarks.report import JOB_COLUMNS, job_row, markdown, plot_costs
from benchmarks.scenes import Scene
from benchmarks.ways import all_ways

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def scenes():
    """Return three small scenes."""
    return [Scene(count) for count in (10, 40, 80)]


def test_every_job_runs(scenes, tmp_path):
    """Both functions of each job run. The row of the table contains the costs of both."""
    for job in all_jobs(*scenes, tmp_path):
        job.ours()
        job.theirs()
        row = job_row(job, 3.0, 2.0, 1e6, 2e6)
        assert len(row) == len(JOB_COLUMNS)
        assert row[JOB_COLUMNS.index("ratio")] == "1.50"
        assert row[JOB_COLUMNS.index("within")] == ("yes" if job.limit >= 1.5 else "no")


def test_every_way_runs(scenes, tmp_path):
    """Each way runs. The plot and the table contain all ways."""
    costs = {}
    for way in all_ways(scenes[1], tmp_path):
        way.function()
        costs[way.name] = {way.count: 1.0}
    plot_costs(tmp_path / "plot.svg", costs)
    assert (tmp_path / "plot.svg").read_text().count("SourceCatalog") > 0
    table = markdown([("way", "cost"), *((name, 1) for name in costs)])
    assert table.count("\n") == len(costs) + 1


def test_both_ways_do_equal_work(scenes):
    """The package and the plain code copy the same pixels."""
    scene = scenes[1]
    assert {plane.itemsize for plane in (*scene.drz.values(), *scene.flt.values())} == {4}
    for cutouts in (scene.primary, *there_and_back(scene, scene.exposure_wcs("sip"))):
        image = scene.flt if cutouts[0].image.stage == "input_image" else scene.drz
        data = np.concatenate([image["data"][where].ravel() for where in scene.slices(cutouts)])
        ours = flat_planes(cutouts)["data"]
        np.testing.assert_array_equal(ours[np.isfinite(ours)], data)
    assert len(scene.primary) > 0.8 * scene.count


def test_scenes_have_constant_density(scenes):
    """All scenes have the same number of sources per pixel."""
    density = [scene.count / np.prod(scene.shape) for scene in scenes]
    np.testing.assert_allclose(density, 10_000 / 4096**2, rtol=0.02)


def test_scale_returns_a_row_for_each_case(monkeypatch):
    """Each case gives a row with all columns: all sources on the exposures, or some of them."""
    monkeypatch.setattr(scale, "side_of", lambda count: round(40 * count**0.5))
    for count, room in ((20, 20), (80, 20)):
        row = scale.measure(count, room, 2)
        assert list(row) == list(scale.COLUMNS)
        assert row["cut on each"] > 5
        assert (row["not on it"] > 20) == (room < count)
        assert row["MB of a part"] > 0.1
