"""What cutouts say of themselves, in consoles and notebooks."""

from __future__ import annotations

import numpy as np

from .storage import DeferredArray

__all__ = ["ReprMixin"]


class ReprMixin:
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
    from html import escape

    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(fact)}</td></tr>"
        for name, fact in facts.items()
        if fact
    )
    return f"<table><caption>{escape(title)}</caption>{rows}</table>"


def _facts(cutout) -> dict:
    """Texts by name; what is `None` or empty there is nothing to say of."""
    image, store, i = cutout.image, cutout._store, cutout._i
    x, y = cutout.src_pos
    own = store.own.get(i, {})
    dtypes = {name: (own if name in own else store.planes)[name].dtype for name in cutout.planes}
    # A large image must not be read to be shown in a notebook.
    unread = isinstance(own.get("mask"), DeferredArray)
    masked = "" if unread else f", {np.count_nonzero(cutout.mask)} masked"
    unit = "" if cutout.unit is None else f" [{cutout.unit}]"
    moved = cutout.dx or cutout.dy
    return {
        "source": repr(cutout.src_id),
        "position (x, y)": f"({x:.3f}, {y:.3f})",
        "size": f"{cutout.width} x {cutout.height} pixels{masked}",
        "corners (x, y)": f"{cutout.blc} to {cutout.trc}, {cutout.status}",
        "displacement (x, y)": f"({cutout.dx:.5g}, {cutout.dy:.5g})" if moved else None,
        "image": f"{image.name} {image.stage}".strip(),
        "pixels": cutout.data_units + unit,
        "exposure time": f"{cutout.exptime:.6g} s",
        "planes": ", ".join(f"{name} ({dtype})" for name, dtype in dtypes.items()),
        "uncertainty": store.uncertainty_type_and_unit(i)[0].__name__
        if "uncertainty" in dtypes
        else None,
        "WCS": type(cutout.image_wcs).__name__,
    }
