"""
Simulated scenes of sources with known positions, for demonstrations, tests and benchmarks.

A scene consists of a combined (drizzled) image and distorted exposures of the same part of the sky.
The full WCS of each image gives the exact positions of the sources in the image. Measurements in
the pixels can therefore be compared with true values. Read the modules in this order:

- ``wcs``: simulated WCSs of several kinds, with the same distortion;
- ``scenes``: simulated catalogs, images and segmentation images with these WCSs.
"""

from .scenes import Scene, SimulatedImage, make_scene, make_segmentation
from .wcs import make_wcs

__all__ = ["Scene", "SimulatedImage", "make_scene", "make_segmentation", "make_wcs"]
