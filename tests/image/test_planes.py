"""Table of planes. It is the only list of planes in the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.nddata import InverseVariance, StdDevUncertainty, VarianceUncertainty

import subpixal
from subpixal.image import PLANES

ROW = 'Plane("background", "Background of the image.", "BKG"),'

SCRIPT = """
import warnings
import numpy as np
from astropy.io import fits
from astropy.nddata import NDData
from subpixal import Cutout, create_cutouts, create_primary_cutouts
from subpixal.datasets import make_scene
from subpixal.testing import assert_cutouts_equal

warnings.simplefilter("error")
scene = make_scene(n_sources=30, shape=(300, 320), exposures=("sip",))

def make_image(simulated):
    image = NDData(simulated.data, wcs=simulated.wcs)
    image.background = np.arange(simulated.data.size, dtype=np.float32).reshape(image.data.shape)
    return image

combined, exposure = make_image(scene.combined), make_image(scene.exposures[0])
primary = create_primary_cutouts(scene.truth, scene.segmentation, combined, None)
flt, drz = create_cutouts(primary, scene.segmentation, combined, None, exposure, None)
for cutouts, image in ((primary, combined), (flt, exposure), (drz, combined)):
    assert len(cutouts) > 2
    for cutout in cutouts:
        expected = image.background[cutout.extraction_slice]
        assert "background" in cutout.planes
        assert np.array_equal(cutout.background[cutout.insertion_slice], expected)

single = Cutout(combined, None, (3, 4), (12, 9))
assert np.array_equal(single[1:4, 2:7].background, combined.background[5:8, 5:10])
assert np.array_equal(single.add(1).background, single.background)
assert single.add(Cutout(combined, None, (4, 4), (13, 9))).background is None
stack = primary.to_stack((9, 9), planes="background")
assert stack.background.shape == (len(primary), 9, 9)

for cutouts in (primary, single):
    cutouts.write("kept.asdf", overwrite=True)
    assert_cutouts_equal(type(cutouts).read("kept.asdf"), cutouts)
    cutouts.write("kept.fits", overwrite=True)
    with fits.open("kept.fits") as hdus:
        first = cutouts if cutouts is single else cutouts[0]
        assert np.array_equal(hdus["BKG", 1].data, first.background)
"""


def test_one_row_of_the_table_adds_a_plane(tmp_path):
    """A new row in the table is enough to cut, combine, stack, archive and export a new plane."""
    package = Path(subpixal.__file__).parent
    copy = shutil.copytree(
        package, tmp_path / "subpixal", ignore=shutil.ignore_patterns("__pycache__")
    )
    table = copy / "image" / "planes.py"
    text = table.read_text()
    row = text.index('        Plane("weight"')
    table.write_text(f"{text[:row]}        {ROW}\n{text[row:]}")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", SCRIPT]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("kind", "extension", "fill"),
    [
        (StdDevUncertainty, "ERR", np.nan),
        (VarianceUncertainty, "VAR", np.nan),
        (InverseVariance, "IVAR", 0),
        (None, "UNC", np.nan),
    ],
)
def test_class_of_an_uncertainty_determines_extension_and_fill_value(kind, extension, fill):
    """The class of an uncertainty determines the name of its FITS extension and its fill value."""
    plane = PLANES["uncertainty"].with_uncertainty_type(kind)
    assert plane.fits_name == extension
    np.testing.assert_equal(plane.fill_value(1.0), fill)
