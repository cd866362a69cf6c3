"""Pages for developers agree with the code."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["CONTRIBUTING.md", "docs/development/architecture.rst"]
FILE = re.compile(r"\b((?:subpixal|docs|tests|benchmarks)/[\w./-]*\w)")


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    """Each file and folder that a page names is in the repository."""
    names = set(FILE.findall((ROOT / page).read_text("utf-8")))
    assert names
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


def test_picture_is_that_of_its_script():
    """The picture of the packages is up to date."""
    script = runpy.run_path(str(ROOT / "docs/development/architecture.py"))
    assert script["PICTURE"].read_text("utf-8") == script["draw"]()


def test_picture_has_all_packages():
    """The picture shows each module and each package at the top of the library."""
    picture = (ROOT / "docs/development/architecture.svg").read_text("utf-8")
    shown = set(re.findall(r'"bold">(\w+)<', picture))
    modules = {path.stem for path in (ROOT / "subpixal").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "subpixal").rglob("*/__init__.py")}
    assert modules | packages <= shown
