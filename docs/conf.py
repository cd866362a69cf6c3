"""Sphinx configuration."""

import os
from importlib.metadata import metadata
from importlib.util import find_spec
from pathlib import Path

_here = Path(__file__).parent
_metadata = metadata("subpixal")

project = _metadata["Name"]
author = _metadata["Author"]
copyright = f"2026, {author}"  # noqa: A001
release = _metadata["Version"]
version = ".".join(release.split(".")[:2])

extensions = ["numpydoc", "sphinx_automodapi.automodapi"]

# The reference has a page for each module of the package, also for those that do not exist yet.
exclude_patterns = ["_build"] + [
    str(page.relative_to(_here))
    for page in _here.glob("reference/subpixal.*.rst")
    if getattr(find_spec(page.stem), "origin", None) is None
]
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_prev_next": False, "secondary_sidebar_items": ["page-toc"]}
html_sidebars = {"**": []}
html_title = f"{project} {release}"
html_show_sourcelink = False

# The numpydoc sections say the types; signatures stay short.
autodoc_typehints = "none"
autosummary_generate = True
automodapi_toctreedirnm = "api"
automodapi_inheritance_diagram = False
automodsumm_inherited_members = False
numpydoc_show_class_members = False

# References inside the package must resolve. Those to other packages can do so only where
# their inventories can be downloaded, and a build must not need a network.
nitpicky = True
nitpick_ignore_regex = (
    [
        (r"py:.*", rf"{package}(\..*)?")
        for package in (
            "asdf",
            "astropy",
            "concurrent",
            "drizzle",
            "gwcs",
            "matplotlib",
            "numpy",
            "photutils",
            "scipy",
            "tweakwcs",
        )
    ]
    + [
        # Mixins of public classes, and bases of the standard library.
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
