"""Pages for developers agree with the code, and the check of the prose finds words."""

import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["CONTRIBUTING.md", "docs/development/architecture.rst"]
FILE = re.compile(r"\b((?:subpixal|docs|tests|benchmarks)/[\w./-]*\w)")


@pytest.mark.parametrize("page", PAGES)
def test_named_files_exist(page):
    """Each file or folder that a page names exists in the repository."""
    names = set(FILE.findall((ROOT / page).read_text("utf-8")))
    assert names
    assert [name for name in sorted(names) if not (ROOT / name).exists()] == []


def test_picture_is_the_output_of_its_script():
    """The picture of the packages equals the output of its script."""
    script = runpy.run_path(str(ROOT / "docs/development/architecture.py"))
    assert script["PICTURE"].read_text("utf-8") == script["draw"]()


def test_picture_has_all_packages():
    """The picture contains each module and package at the top level of the library."""
    picture = (ROOT / "docs/development/architecture.svg").read_text("utf-8")
    shown = set(re.findall(r'"bold">(\w+)<', picture))
    modules = {path.stem for path in (ROOT / "subpixal").glob("*.py")} - {"__init__"}
    packages = {path.parent.name for path in (ROOT / "subpixal").rglob("*/__init__.py")}
    assert modules | packages <= shown


def check_prose(path):
    """Run the script that checks prose on a file."""
    command = [sys.executable, ROOT / ".ci/check_prose.py", path]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("text", "line", "rule"),
    [
        ('"""Which box."""', 1, "question word"),
        ('"""\nWhether it fits.\n"""', 2, "question word"),
        ("x = 1\n# nobody asks", 2, "subject"),
        ("# the file\n# says", 2, "voice"),
        ('"""Return a\ncatalogue."""', 2, "spelling"),
    ],
)
def test_prose_check_finds_words(text, line, rule, tmp_path):
    """The check of the prose prints the line and the rule of a finding."""
    path = tmp_path / "module.py"
    path.write_text(text)
    done = check_prose(path)
    assert done.returncode == 1
    assert len(done.stdout.splitlines()) == 1
    assert done.stdout.startswith(f"{path}:{line}: ")
    assert rule in done.stdout


def test_prose_check_skips_code(tmp_path):
    """The check of the prose accepts plain prose. It skips code and quotes."""
    path = tmp_path / "page.rst"
    path.write_text("Pass ``catalogue`` or 'who'::\n\n    what is\n\n>>> who\nA catalog.\n")
    done = check_prose(path)
    assert done.returncode == 0
