"""Sphinx configuration."""

import os
from importlib.metadata import metadata
from importlib.util import find_spec

_metadata = metadata("subpixal")

project = _metadata["Name"]
author = _metadata["Author"]
copyright = f"2026, {author}"  # noqa: A001
release = _metadata["Version"]
version = ".".join(release.split(".")[:2])

extensions = ["numpydoc", "sphinx_automodapi.automodapi"]
exclude_patterns = ["_build", "api/*.inc"]
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
nitpick_ignore_regex = [
    (r"py:.*", rf"{package}(\..*)?")
    for package in ("asdf", "astropy", "drizzle", "gwcs", "numpy", "photutils", "scipy", "tweakwcs")
] + [("py:.*", builtin) for builtin in (r"[A-Z]\w*(Error|Warning)", "None|True|False")]

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

_PUBLIC_MODULES = {
    "subpixal.cutout": "Cutouts",
    "subpixal.geometry": "Geometry",
    "subpixal.alignment": "Alignment",
    "subpixal.batch": "Many exposures",
    "subpixal.io": "Files",
    "subpixal.plotting": "Plots",
    "subpixal.testing": "Comparing",
    "subpixal.datasets": "Simulated scenes",
}


def _list_modules(app, docname, source):
    """Append a section for each module that exists to the reference page."""
    if docname == "reference":
        for module, title in _PUBLIC_MODULES.items():
            if find_spec(module) is not None:
                source[0] += (
                    f"\n{title}\n{'=' * len(title)}\n\n"
                    f".. automodapi:: {module}\n   :no-heading:\n   :no-inheritance-diagram:\n"
                )


def setup(app):
    """Fill in the reference page before automodapi reads it."""
    app.connect("source-read", _list_modules, priority=100)
