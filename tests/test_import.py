"""What importing the package costs and offers."""

import subprocess
import sys

import pytest

import subpixal

HEAVY = ("scipy.ndimage", "photutils", "gwcs", "matplotlib", "dask", "drizzle", "tweakwcs")


@pytest.mark.parametrize(
    "module", ["subpixal", "subpixal.datasets", "subpixal.cutout", "subpixal.testing"]
)
def test_light_import(module):
    """Importing a room does not import what is heavy."""
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert output.stdout.strip() == "[]"


def test_same_names():
    """The names of the reference page are in the package and in its room."""
    from subpixal import cutout

    for name in cutout.__all__:
        assert getattr(subpixal, name) is getattr(cutout, name)


def test_rooms_are_attributes():
    """What is documented is there after `import subpixal`, in a process that has nothing else."""
    rooms = ("batch", "cutout", "datasets", "errors", "geometry", "io", "plotting", "testing")
    code = f"""
import subpixal, sys
assert not {{"subpixal.batch", "subpixal.plotting", "subpixal.datasets"}} & set(sys.modules)
assert {{*{rooms}, *subpixal.__all__}} <= set(dir(subpixal))
print([getattr(subpixal, room).__name__ for room in {rooms}])
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert output.stdout.strip() == str([f"subpixal.{room}" for room in rooms])


def test_version():
    """The version is the one of the installed distribution."""
    from importlib.metadata import version

    assert subpixal.__version__ == version("subpixal")


@pytest.mark.parametrize("name", ["Cutout", "CutoutCollection", "create_cutouts"])
def test_public_module(name):
    """Classes and functions say that they are of the package that exports them."""
    assert getattr(subpixal, name).__module__ == "subpixal.cutout"


def test_files_as_others_make_them(tmp_path):
    """A file has the permissions that any other new file gets."""
    from subpixal.io.paths import replacing

    (tmp_path / "plain").write_text("x")
    with replacing(tmp_path / "ours") as file:
        file.write(b"x")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "ours")]
    assert modes[0] == modes[1]
