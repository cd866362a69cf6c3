"""Content of single cutouts that differs from the content of their image."""

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

# Class of the uncertainty and its unit.
UncertaintyType = tuple[Any, "u.UnitBase | None"]


class _Sentinel(Enum):
    FROM_IMAGE = "from_image"


FROM_IMAGE = _Sentinel.FROM_IMAGE


@dataclass(eq=False)
class Overrides:
    """
    Content of a cutout that differs from the content of its image and of its store.

    Attributes
    ----------
    planes : dict
        2-D arrays by the name of the plane, `DeferredArray` until they are needed, and `None`
        for a plane that the store has and the cutout does not have.
    meta : dict
        Metadata of the cutout.
    psf : object
        PSF of the cutout; ``FROM_IMAGE`` if that of the image holds.
    uncertainty_type : tuple or None
        Class and unit of the uncertainty, `None` if those of the image hold.
    parent_box : PixelBox or None
        Box of the cutout that this one was cut from, in the image. The cutout has no pixels
        outside. `None` stands for the whole image.
    """

    planes: dict[str, np.ndarray | DeferredArray | None] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    psf: Any = FROM_IMAGE
    uncertainty_type: UncertaintyType | None = None
    parent_box: PixelBox | None = None

    def is_deferred(self, name: str) -> bool:
        """Return `True` if a plane is not in memory yet."""
        return isinstance(self.planes.get(name), DeferredArray)

    @property
    def is_empty(self) -> bool:
        """`True` if the cutout does not differ."""
        from_image = self.psf is FROM_IMAGE and not self.uncertainty_type
        return from_image and self.parent_box is None and not (self.planes or self.meta)

    def without_planes(self) -> Overrides:
        """Return a copy without planes."""
        return Overrides({}, dict(self.meta), self.psf, self.uncertainty_type, self.parent_box)

    def copy(self) -> Overrides:
        """Return a copy that shares the pixels."""
        copied = self.without_planes()
        copied.planes = dict(self.planes)
        return copied
