"""Plots of cutouts with matplotlib."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    from .cutout import Cutout, CutoutCollection
    from .image import ImageInfo

__all__ = ["plot_gallery"]

BAD = "#d62728"
CROSS = "#17becf"
PANEL = 1.8  # inches


def plot_gallery(
    cutouts: CutoutCollection, ids: Iterable | None = None, *, limit: int = 12
) -> Figure:
    """
    Draw a row for each source, with a column for each image and a column for the mask.

    Parameters
    ----------
    cutouts : `~subpixal.cutout.CutoutCollection`
        Cutouts of a combined image and of exposures.
    ids : iterable, optional
        Identifiers of the sources to draw. By default, sources with the most cutouts come first.
        Among sources with the same number of cutouts, larger sources come first.
    limit : int
        Largest number of sources if ``ids`` is not given.

    Returns
    -------
    `~matplotlib.figure.Figure`
        The figure. In the columns of the images, bad pixels are red, and a cross marks the position
        of the source. The last column shows the mask of the first cutout of the row; bad pixels are
        black.

    Raises
    ------
    KeyError
        If no cutout has one of the identifiers.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        msg = "plots need matplotlib: pip install 'subpixal[plot]'"
        raise ImportError(msg) from error
    ids = choose_sources(cutouts, limit) if ids is None else list(ids)
    rows = [_one_of_each_image(cutouts, i) for i in ids]
    numbers = sorted({number for row in rows for number in row})
    images = [cutouts.images[number] for number in numbers]
    figure = Figure(figsize=(PANEL * (len(images) + 1), PANEL * max(len(rows), 1)))
    axes = figure.subplots(max(len(rows), 1), len(images) + 1, squeeze=False)
    for line, src_id, row in zip(axes, ids, rows, strict=False):
        for axis, number in zip(line, numbers, strict=False):
            _draw(axis, row.get(number))
        first = row[min(row)]
        line[-1].imshow(first.mask, origin="lower", cmap="Greys", vmin=0, vmax=1)
        line[0].set_ylabel(f"source {src_id}", fontsize=8)
    for axis, title in zip(axes[0], [*(_title(image) for image in images), "mask"], strict=True):
        axis.set_title(title, fontsize=7)
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    return figure


def _one_of_each_image(cutouts: CutoutCollection, src_id: Any) -> dict[int, Cutout]:
    """
    Return a mapping from the number of each image to a cutout of a source.

    Cutouts that were mapped from an exposure back to the combined image show the same pixels as the
    primary cutouts. Such cutouts are used only if there are no other cutouts of the source.
    """
    selected = cutouts.select(src_id)
    numbers = cutouts.image_numbers[[i == src_id for i in cutouts.ids.tolist()]].tolist()
    pairs = list(zip(numbers, selected, strict=True))
    preferred = [(number, cutout) for number, cutout in pairs if cutout.image.stage != "drz"]
    # If an image has several cutouts, reversing the pairs keeps the first of them.
    return dict(reversed(preferred or pairs))


def choose_sources(cutouts: CutoutCollection, limit: int) -> list[Any]:
    """Return the sources with the most cutouts. Among equal numbers, larger sources come first."""
    groups = cutouts.group_by("id")
    ranked = sorted(groups, key=lambda i: (-len(groups[i]), -groups[i][0].size))
    return ranked[:limit]


def _draw(axis: Axes, cutout: Cutout | None) -> None:
    if cutout is None:
        axis.axis("off")
        return
    real = np.abs(cutout.data) if cutout.dtype.kind == "c" else cutout.data
    data = np.asarray(real, float)
    good = data[~cutout.mask]
    pixels = data[np.isfinite(data)]
    low, high = np.percentile(pixels, [5, 50]) if pixels.size else (0, 1)
    high = good.max() if good.size else high
    stretched = np.arcsinh((data - low) / max((high - low) / 10, 1e-30))
    axis.imshow(stretched, origin="lower", cmap="gray", vmin=-0.3, vmax=np.arcsinh(10))
    overlay = np.where(cutout.mask, 1.0, np.nan)
    axis.imshow(overlay, origin="lower", cmap=_one_color(BAD), vmin=0, vmax=1, alpha=0.3)
    axis.plot(*cutout.cutout_src_pos, "+", color=CROSS, markersize=9, markeredgewidth=1)
    axis.set_xlim(-0.5, cutout.width - 0.5)
    axis.set_ylim(-0.5, cutout.height - 0.5)


def _one_color(color: str) -> ListedColormap:
    from matplotlib.colors import ListedColormap

    return ListedColormap([color])


def _title(image: ImageInfo) -> str:
    name = image.name or image.stage
    return name if len(name) <= 26 else f"{name[:12]}…{name[-13:]}"
