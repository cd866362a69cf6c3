"""Properties and pixels of single cutouts that differ from those of their image."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from .planes import DeferredArray

if TYPE_CHECKING:
    import numpy as np
    from astropy import units as u

    from subpixal.geometry import PixelBox

__all__ = ["FROM_IMAGE", "Overrides"]

# Class and unit of an uncertainty.
UncertaintyType = tuple[Any, "u.UnitBase | None"]


class _Sentinel(Enum):
    FROM_IMAGE = "from_image"


FROM_IMAGE = _Sentinel.FROM_IMAGE


@dataclass(eq=False)
class Overrides:
    """
    Properties and pixels of a cutout that replace those of its image and of its store.

    Attributes
    ----------
    planes : dict
        Mapping from the name of a plane to its pixels. Pixels are a 2-D array, or a `DeferredArray`
        until they are used. `None` removes a plane of the store from the cutout.
    meta : dict
        Metadata of the cutout.
    psf : object
        PSF of the cutout, or ``FROM_IMAGE`` if it is that of the image.
    uncertainty_type : tuple or None
        Class and unit of the uncertainty, or `None` if they are those of the image.
    parent_box : PixelBox or None
        For a cutout of a cutout, the box in the image of the parent cutout. Pixels outside the box
        were filled. `None` stands for the whole image.
    """

    planes: dict[str, np.ndarray | DeferredArray | None] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    psf: Any = FROM_IMAGE
    uncertainty_type: UncertaintyType | None = None
    parent_box: PixelBox | None = None

    def is_deferred(self, name: str) -> bool:
        """Return `True` if the pixels of a plane are not in memory yet."""
        return isinstance(self.planes.get(name), DeferredArray)

    @property
    def is_empty(self) -> bool:
        """`True` if there are no differences."""
        from_image = self.psf is FROM_IMAGE and not self.uncertainty_type
        return from_image and self.parent_box is None and not (self.planes or self.meta)

    def without_planes(self) -> Overrides:
        """Return a copy without the pixels of planes."""
        return Overrides({}, dict(self.meta), self.psf, self.uncertainty_type, self.parent_box)

    def copy(self) -> Overrides:
        """Return a copy that shares the pixels."""
        copied = self.without_planes()
        copied.planes = dict(self.planes)
        return copied
