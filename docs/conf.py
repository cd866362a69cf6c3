"""Sphinx configuration."""

import os
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

_metadata = metadata("subpixal")

project = _metadata["Name"]
author = _metadata["Author"]
copyright = f"2026, {author}"  # noqa: A001
release = _metadata["Version"]
version = ".".join(release.split(".")[:2])

extensions = ["numpydoc", "sphinx_automodapi.automodapi"]

# The page of changes includes the fragments of the change log.
_here = Path(__file__).parent
_options = ["--draft", "--version", "Next version", "--date", "not released"]
_draft = subprocess.run(
    [sys.executable, "-m", "towncrier", "build", *_options],
    cwd=_here.parent,
    check=True,
    stdout=subprocess.PIPE,
)
(_here / "_build").mkdir(exist_ok=True)
(_here / "_build/unreleased.inc").write_bytes(_draft.stdout)

exclude_patterns = ["_build", "changes"]
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": []}
html_title = f"{project} {release}"
html_show_sourcelink = False

# Signatures stay short because the numpydoc sections list the types.
autodoc_typehints = "none"
autosummary_generate = True
automodapi_toctreedirnm = "api"
automodapi_inheritance_diagram = False
automodsumm_inherited_members = False
numpydoc_show_class_members = False

# References inside the package must resolve. References to other packages resolve only where
# their inventories can be downloaded, and a build must work without a network.
nitpicky = True
nitpick_ignore_regex = (
    [
        (r"py:.*", rf"{package}(\..*)?")
        for package in (
            "asdf",
            "astropy",
            "concurrent",
            "gwcs",
            "matplotlib",
            "numpy",
            "photutils",
            "scipy",
        )
    ]
    + [
        # The reference does not list mixins of public classes and abstract base classes.
        ("py:class", r"subpixal\..*Mixin|collections\.abc\..*")
    ]
    + [("py:.*", builtin) for builtin in (r"[A-Z]\w*(Error|Warning)", "None|True|False")]
)

if os.environ.get("READTHEDOCS"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "astropy": ("https://docs.astropy.org/en/stable", None),
        "photutils": ("https://photutils.readthedocs.io/en/stable", None),
        "gwcs": ("https://gwcs.readthedocs.io/en/stable", None),
        "asdf": ("https://www.asdf-format.org/projects/asdf/en/stable", None),
    }
