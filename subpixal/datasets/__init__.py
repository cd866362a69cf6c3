"""
Simulated scenes with known truth, for demonstrations, tests and benchmarks.

A scene is a combined (drizzled) image and distorted exposures of the same part of the sky. Every
source is drawn at its exact position through the full WCS of each image, so that measurements on
the pixels can be compared with the truth. Read the modules in this order:

- ``wcs``: WCSs of every kind, with the same distortion;
- ``scenes``: catalogs, images and segmentation images on these WCSs.
"""

from .scenes import Scene, SimulatedImage, make_scene, make_segmentation
from .wcs import make_wcs

__all__ = ["Scene", "SimulatedImage", "make_scene", "make_segmentation", "make_wcs"]
