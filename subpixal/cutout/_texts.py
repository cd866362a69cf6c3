"""What cutouts say of themselves, in consoles and notebooks."""

from __future__ import annotations

from html import escape

import numpy as np

__all__ = ["Described"]


class Described:
    """The texts of a cutout. None of them shows pixels."""

    def __repr__(self) -> str:
        unit = "" if self.unit is None else f" [{self.unit}]"
        size = f"{self.width}x{self.height}"
        name = f" of {self.image.name}" if self.image.name else ""
        return f"<{type(self).__name__} {self.src_id!r}: {size} pixels at {self.blc}{name}{unit}>"

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return _table(type(self).__name__, _facts(self))


def _table(title: str, facts: dict) -> str:
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>"
        for name, fact in facts.items()
        if fact
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def _facts(cutout) -> dict:
    """Texts by name; what is `None` or empty there is nothing to say of."""
    image, uncertainty = cutout.image, cutout.uncertainty
    x, y = cutout.src_pos
    planes = {name: getattr(cutout, name) for name in cutout.planes}
    if uncertainty is not None:
        planes["uncertainty"] = uncertainty.array
    masked = np.count_nonzero(cutout.mask)
    unit = "" if cutout.unit is None else f" [{cutout.unit}]"
    moved = cutout.dx or cutout.dy
    return {
        "source": repr(cutout.src_id),
        "position (x, y)": f"({x:.3f}, {y:.3f})",
        "size": f"{cutout.width} x {cutout.height} pixels, {masked} masked",
        "corners (x, y)": f"{cutout.blc} to {cutout.trc}, {cutout.status}",
        "displacement (x, y)": f"({cutout.dx:.5g}, {cutout.dy:.5g})" if moved else None,
        "image": f"{image.name} {image.stage}".strip(),
        "pixels": cutout.data_units + unit,
        "exposure time": f"{cutout.exptime:.6g} s",
        "planes": ", ".join(f"{name} ({plane.dtype})" for name, plane in planes.items()),
        "uncertainty": None if uncertainty is None else type(uncertainty).__name__,
        "WCS": type(cutout.image_wcs).__name__,
    }
