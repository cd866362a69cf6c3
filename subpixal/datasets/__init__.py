"""Simulated scenes with known truth, for demonstrations, tests and benchmarks.

A scene is a combined (drizzled) image and the distorted exposures of the same piece of sky. Every
source is drawn at its exact position through the full WCS of each image, so that whatever is
measured on the pixels can be compared with what went in.
"""

from ._scenes import Scene, SimulatedImage, make_scene, make_segmentation
from ._wcs import make_wcs

__all__ = ["Scene", "SimulatedImage", "make_scene", "make_segmentation", "make_wcs"]
