"""Source cutouts from drizzled images, mapped through the full distortion to the exposures."""

from importlib.metadata import version

__all__ = ["__version__"]

__version__ = version("subpixal")
