"""Imports: their cost, the public names of the package, and the layers."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import subpixal

HEAVY = ("scipy.ndimage", "photutils", "gwcs", "matplotlib", "dask", "drizzle", "tweakwcs")

PACKAGE = Path(subpixal.__file__).parent


@pytest.mark.parametrize(
    "module", ["subpixal", "subpixal.datasets", "subpixal.cutout", "subpixal.testing"]
)
def test_import_does_not_load_heavy_packages(module):
    """Importing a module of subpixal does not import any package in `HEAVY`."""
    code = f"import sys, {module}; print([m for m in {HEAVY} if m in sys.modules])"
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert output.stdout.strip() == "[]"


def test_top_level_names_are_those_of_cutout():
    """Each public name of `subpixal.cutout` can be imported from `subpixal`."""
    from subpixal import cutout

    for name in cutout.__all__:
        assert getattr(subpixal, name) is getattr(cutout, name)


def test_modules_are_attributes_of_the_package():
    """
    After `import subpixal`, all documented modules are attributes.

    They are loaded at first use.
    """
    modules = ("batch", "cutout", "datasets", "errors", "geometry", "io", "plotting", "testing")
    code = f"""
import subpixal, sys
assert not {{"subpixal.batch", "subpixal.plotting", "subpixal.datasets"}} & set(sys.modules)
assert {{*{modules}, *subpixal.__all__}} <= set(dir(subpixal))
print([getattr(subpixal, module).__name__ for module in {modules}])
"""
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert output.stdout.strip() == str([f"subpixal.{module}" for module in modules])


def test_version_is_that_of_the_distribution():
    """The version in ``__version__`` equals the version of the installed distribution."""
    from importlib.metadata import version

    assert subpixal.__version__ == version("subpixal")


@pytest.mark.parametrize("name", ["Cutout", "CutoutCollection", "create_cutouts"])
def test_public_names_have_a_public_module(name):
    """The ``__module__`` of a class or function is the package that exports it."""
    assert getattr(subpixal, name).__module__ == "subpixal.cutout"


def test_written_files_have_default_permissions(tmp_path):
    """A file that `replacing` writes has the same permissions as any new file."""
    from subpixal.io.paths import replacing

    (tmp_path / "plain").write_text("x")
    with replacing(tmp_path / "ours") as file:
        file.write(b"x")
    modes = [(tmp_path / name).stat().st_mode for name in ("plain", "ours")]
    assert modes[0] == modes[1]


# Each line contains the importing and the imported file. The import in the first line registers
# the readers when the package is imported. The others remain from an earlier layout.
EXCEPTIONS = """
__init__.py io/connect
image/info.py geometry/fits_wcs
io/_asdf/converters.py geometry/fits_wcs
io/_asdf/wcs.py geometry/fits_wcs
testing.py cutout/extract
"""


def find_imports(path):
    """Yield the paths of the modules of subpixal that a file imports, and of imported names."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            modules = [PACKAGE.parent.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            root = path.parents[node.level - 1] if node.level else PACKAGE.parent
            module = root.joinpath(*(node.module or "").split("."))
            modules = [module, *(module / alias.name for alias in node.names)]
        else:
            continue
        yield from (module for module in modules if PACKAGE in module.parents)


def test_packages_are_entered_through_their_init():
    """Code outside a package imports from the package itself, not from its files."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for target in find_imports(path):
            package = target.parent
            private = target.name.startswith("_") and target.is_dir()
            # Files of `io` are allowed to import files of its private packages.
            above = package.name.startswith("_") and package.parent == path.parent
            inside = package in path.parents or above
            if not inside and (private or target.with_suffix(".py").is_file()):
                found.add(f"{path.relative_to(PACKAGE)} {target.relative_to(PACKAGE)}")
    assert found <= set(EXCEPTIONS.splitlines()), sorted(found)
