"""An archive of the first format version can still be read, also without this package."""

import io
import re
import subprocess
import sys
from pathlib import Path

import asdf
import numpy as np
import pytest
from archive_1_0_0 import PATH, make_archive
from numpy.testing import assert_allclose, assert_array_equal

import subpixal.io
from subpixal import CutoutCollection
from subpixal.io._asdf import versions
from subpixal.testing import assert_cutouts_equal

# Longitude and latitude in degrees.
WORLD = [[150.1000503067613, 2.199965323071806], [150.10010403998027, 2.1999512460630113]]

DOCS = Path(__file__).parents[2] / "docs" / "archive.rst"


def test_kept_archive():
    """The archive in the repository contains the numbers that this test lists."""
    found = CutoutCollection.read(PATH)
    assert PATH.stat().st_size < 60_000
    assert [cutout.src_id for cutout in found] == [11, 0, 1, 2, 12, 10]
    assert found.table["image"].tolist() == [0, 1, 1, 1, 0, 0]
    assert [cutout.status for cutout in found] == ["ok", "filled", "ok", "ok", "ok", "filled"]
    cutout = found[0]
    assert cutout.blc == (3, 1)
    assert cutout.trc == (7, 4)
    x, y = np.meshgrid(np.arange(3, 8), np.arange(1, 5))
    data = 100.0 * y + x
    for name, values in {
        "data": data.astype(np.float32), "mask": np.zeros((4, 5), bool),
        "flags": (x + y).astype(np.uint16), "weight": (data / 8).astype(np.float32),
        "segmentation": np.full((4, 5), 2, np.int32),
    }.items():  # fmt: skip
        assert_array_equal(getattr(cutout, name), values)
        assert getattr(cutout, name).dtype == values.dtype
    assert_array_equal(cutout.uncertainty.array, data / 4)
    assert cutout.uncertainty.uncertainty_type == "var"
    assert found[1].uncertainty.uncertainty_type == "std"
    assert_array_equal(found[1].mask[:, :2].T, [[True] * 4, [False] * 4])
    assert np.isnan(found[1].data[:, 0]).all()
    assert (cutout.unit, cutout.data_units, cutout.exptime) == ("electron", "counts", 10)
    assert (cutout.dx, cutout.dy, cutout.src_pos) == (0.125, 0, (5.25, 2.5))
    assert dict(found[2].meta) == {"filter": "F140W", "number": 0, "note": "blended"}
    assert dict(found[1].meta) == {"filter": "F140W", "number": 0}
    assert found.dropped["id"].tolist() == [99]
    assert found.dropped["status"].tolist() == ["no_overlap"]
    world = [[float(v) for v in found[k].pix2world(1, 2)] for k in (0, 1)]
    assert_allclose(world, WORLD, rtol=1e-13)


def test_same_as_today():
    """The script that wrote the archive in the repository still writes an equal archive."""
    assert_cutouts_equal(CutoutCollection.read(PATH), make_archive())


WITHOUT = """
import importlib, sys

class Nowhere:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "subpixal":
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Nowhere())
# Hide the entry points, too. asdf uses the backport of importlib.metadata if it is installed.
for name in ("importlib.metadata", "importlib_metadata"):
    try:
        module = importlib.import_module(name)
    except ImportError:
        continue
    def without(*, every=module.entry_points, cls=module.EntryPoints, **kwargs):
        found = every(**kwargs)
        if not kwargs:
            return found
        return cls(e for e in found if not e.value.startswith("subpixal"))
    module.entry_points = without
# asdf warns that the extension of subpixal is missing.
import warnings
warnings.simplefilter("ignore")
"""


def test_documented_lines(tmp_path):
    """The code in the documentation reads pixels and WCS without this package."""
    text = DOCS.read_text()
    blocks = re.findall(r"\.\. code-block:: python\n\n((?:    .*\n|\n)+)", text)
    code = "\n".join(line[4:] for block in blocks[:2] for line in block.splitlines())
    (tmp_path / "cutouts.asdf").write_bytes(PATH.read_bytes())
    show = "\nprint(pixels.tolist(), *map(float, world))\nassert 'subpixal' not in sys.modules\n"
    command = [sys.executable, "-c", WITHOUT + code + show]
    found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    pixels, _, world = found.stdout.rpartition("]] ")
    cutout = make_archive()[0]
    assert eval(pixels + "]]") == cutout.data.tolist()
    assert_allclose([float(v) for v in world.split()], [float(v) for v in cutout.pix2world(0, 0)])


SCHEMAS = Path(subpixal.io.__file__).parent / "_asdf" / "resources" / "schemas"


@pytest.mark.parametrize("name", sorted(path.stem for path in SCHEMAS.glob("*.yaml")))
def test_schema_examples(name):
    """Each schema is valid, and each of its examples can be read."""
    schema = asdf.schema.load_schema(f"asdf://subpixal.org/schemas/{name}")
    asdf.schema.check_schema(schema)
    for _, standard, text in schema.get("examples", ()):
        version = standard.removeprefix("asdf-standard-")
        head = (
            f"#ASDF 1.0.0\n#ASDF_STANDARD {version}\n%YAML 1.1\n%TAG ! tag:stsci.edu:asdf/\n---\n"
        )
        content = f"{head}example: {text.strip()}\n...\n".encode()
        with asdf.config_context() as config:
            config.validate_on_read = True
            config.warn_on_failed_conversion = False
            with asdf.open(io.BytesIO(content)) as file:
                assert type(file["example"]).__module__.startswith("subpixal")


def test_trees_of_earlier_versions_are_upgraded(monkeypatch):
    """If a tree has the tag of an earlier version, a function for this tag upgrades it."""

    def double(tree):
        images = [{**image, "exptime": 2 * image["exptime"]} for image in tree["images"]]
        return {**tree, "images": images}

    expected = [2 * image.exptime for image in CutoutCollection.read(PATH).images]
    monkeypatch.setitem(versions.UPGRADES, "cutout_collection-1.0.0", double)
    with asdf.open(PATH) as file:
        for found in (CutoutCollection.read(PATH), file["cutouts"]):
            assert [image.exptime for image in found.images] == expected
