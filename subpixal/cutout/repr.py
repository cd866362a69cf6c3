"""Texts that describe a cutout in consoles and notebooks, without its pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .cutout import Cutout

__all__ = ["cutout_to_html", "cutout_to_text"]


def cutout_to_text(cutout: Cutout) -> str:
    """Return one line of text for consoles."""
    unit = "" if cutout.unit is None else f" [{cutout.unit}]"
    size = f"{cutout.width}x{cutout.height}"
    name = f" of {cutout.image.name}" if cutout.image.name else ""
    return f"<{type(cutout).__name__} {cutout.src_id!r}: {size} pixels at {cutout.blc}{name}{unit}>"


def cutout_to_html(cutout: Cutout) -> str:
    """Return a table in HTML for notebooks."""
    from html import escape

    title = escape(type(cutout).__name__)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>"
        for name, text in _describe(cutout).items()
        if text
    )
    return f"<table><caption>{title}</caption>{rows}</table>"


def _describe(cutout: Cutout) -> dict[str, str]:
    """Return the rows of the table, without rows that have no value."""
    image, store = cutout.image, cutout.store
    dtypes = store.plane_dtypes(cutout.row)
    masked = ""
    # Leave the mask out if it is not in memory, so that a large image is not read for display.
    if not store.get_overrides(cutout.row).is_deferred("mask"):
        masked = f", {np.count_nonzero(cutout.mask)} masked"
    displacement = ""
    if cutout.dx or cutout.dy:
        displacement = f"({cutout.dx:.5g}, {cutout.dy:.5g})"
    uncertainty_type, _ = store.uncertainty_type_and_unit(cutout.row)
    unit = "" if cutout.unit is None else f" [{cutout.unit}]"
    x, y = cutout.src_pos
    return {
        "source": repr(cutout.src_id),
        "position (x, y)": f"({x:.3f}, {y:.3f})",
        "size": f"{cutout.width} x {cutout.height} pixels{masked}",
        "corners (x, y)": f"{cutout.blc} to {cutout.trc}, {cutout.status}",
        "displacement (x, y)": displacement,
        "image": f"{image.name} {image.stage}".strip(),
        "pixels": cutout.data_units + unit,
        "exposure time": f"{cutout.exptime:.6g} s",
        "planes": ", ".join(f"{name} ({dtype})" for name, dtype in dtypes.items()),
        "uncertainty": uncertainty_type.__name__ if "uncertainty" in dtypes else "",
        "WCS": type(cutout.image_wcs).__name__,
    }
