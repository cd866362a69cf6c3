"""Which sources can be cut, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subpixal.cutout.collection import CutoutCollection
from subpixal.cutout.cutout import MODES
from subpixal.cutout.storage import Dropped, Selection, drop
from subpixal.errors import NotConvergedError, naming_arguments
from subpixal.geometry import ACCURACY, MAXITER, PixelBoxes, PixelMap, whole_pixels
from subpixal.image import validate_pad

from .labels import as_labels, label_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["cut_sources", "map_cutouts"]


def cut_sources(
    sources, cutter, policy, *, quiet=True, accuracy=ACCURACY, maxiter=MAXITER
) -> CutoutCollection:
    """
    Cut the sources of a catalogue out of an image.

    Parameters
    ----------
    sources : Sources
        Positions are on the grid of the segmentation image.
    cutter : Cutter
        The image and its segmentation.
    policy : BoxPolicy
        How large the cutouts are.
    quiet : bool
        Whether sources that do not converge are dropped, or are an error.
    accuracy, maxiter
        As in `PixelMap.boxes`.
    """
    image, segmentation, pos = cutter.image, cutter.segmentation, sources.pos
    box, reasons = _find_segments(sources.ids, segmentation.labels)
    with naming_arguments("catalog", "segmentation_image"):
        _check_same_sky(box, pos, sources.astray, ~reasons[1][0])
    if segmentation.grid is not None:
        box, pos, misfits = _to_image(box, pos, segmentation, image, accuracy, maxiter)
        reasons += misfits
    boxes = policy.boxes(box, pos)
    dropped, keep = _sort_out(sources.ids, reasons, image, quiet=quiet)
    store = cutter.cut(boxes[keep], sources.ids[keep], pos[keep], sources.weight[keep])
    good, masked = _not_all_masked(cutter, store)
    rows = np.flatnonzero(good)
    return CutoutCollection.from_selection(
        Selection.of_stores([store]).take(rows), dropped + masked
    )


def _check_same_sky(box, pos, astray, known) -> None:
    """Refuse a catalogue of which most positions are far from the segments of their labels."""
    known = known & (astray | np.isfinite(pos).all(1))
    size = np.stack([box.width, box.height])
    low, high = (box.low - size).T, (box.high + size).T
    astray = known & ~((pos >= low) & (pos <= high)).all(1)
    if astray.sum() > max(2, known.sum() / 2):
        msg = (
            f"the catalogue and the segmentation image do not belong together: {astray.sum()} of "
            f"{known.sum()} positions are far from the segment with their label"
        )
        raise ValueError(msg)


def _to_image(box, pos, segmentation, image, accuracy, maxiter):
    """Boxes and positions of a segmentation image in the image, and why some are not there."""
    pixel_map = PixelMap(segmentation.grid, image.grid)
    search = {"accuracy": accuracy, "maxiter": maxiter}
    edges, *src, seen = pixel_map.boxes(box.edges, *pos.T, **search)
    boxes, mapped = _enclosing_boxes(edges, accuracy)
    src_pos = np.stack(src, axis=-1)
    center = np.where(mapped[:, None], boxes.center.T, np.nan)
    known = np.where(np.isfinite(src_pos), src_pos, center)
    return boxes, src_pos, _find_misfits(boxes, mapped, seen, known, image.shape, "fill")


def map_cutouts(
    cutouts, name, cutter, pad, mode, *, quiet=True, accuracy=ACCURACY, maxiter=MAXITER
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Cut out of an image what encloses cutouts of others.

    Parameters
    ----------
    cutouts : CutoutCollection or iterable of Cutout
    name : str
        What the user calls them.
    cutter : Cutter
        The image.
    pad : int
        Pixels around the enclosing boxes.
    mode : {'strict', 'fill'}
        Whether boxes that leave the image are dropped.
    quiet : bool
        Whether sources that do not converge are dropped, or are an error.
    accuracy, maxiter
        As in `PixelMap.boxes`.

    Returns
    -------
    new, valid : CutoutCollection
        New cutouts, and the given ones that they belong to.
    """
    if mode not in MODES:
        msg = f"mode must be one of {MODES}, got {mode!r}"
        raise ValueError(msg)
    pad, cutouts = validate_pad(pad), _as_collection(cutouts, name)
    image, ids = cutter.image, cutouts.ids
    search = {"reach": pad, "accuracy": accuracy, "maxiter": maxiter}
    edges, src_pos, seen = _map_edges(cutouts, image, **search)
    boxes, mapped = _enclosing_boxes(edges, accuracy)
    boxes = boxes.pad(pad)
    reasons = _find_misfits(boxes, mapped, seen, src_pos, image.shape, mode)
    if cutter.masks_by_label:
        no_label = as_labels(ids) == 0
        reasons.append((no_label, "not_in_segmentation", "its id is no label"))
    dropped, keep = _sort_out(ids, reasons, image, quiet=quiet)
    weight = cutouts.selection.gather(lambda store: store.index)["src_weight"]
    store = cutter.cut(boxes[keep], ids[keep], src_pos[keep], weight[keep])
    good, masked = _not_all_masked(cutter, store)
    rows = np.flatnonzero(good)
    valid = cutouts[np.flatnonzero(keep)[rows]]
    new = CutoutCollection.from_selection(Selection.of_stores([store]).take(rows))
    dropped += masked
    return new.with_dropped(dropped), valid.with_dropped(dropped)


def _enclosing_boxes(edges, accuracy) -> tuple[PixelBoxes, NDArray[np.bool_]]:
    """
    Return the boxes of whole pixels that contain mapped rectangles.

    Parameters
    ----------
    edges : array of float, shape (4, N)
        xmin, ymin, xmax, ymax of the rectangles; NaN where a rectangle does not map.
    accuracy : float
        Largest error of the edges.

    Returns
    -------
    boxes : PixelBoxes
        The boxes; those of rectangles that do not map mean nothing.
    mapped : array of bool, shape (N,)
        Rectangles that map.
    """
    mapped = np.isfinite(edges).all(0)
    corners = np.zeros(edges.shape, np.int64)
    # Edges are known to the accuracy of the mapping, so this little more adds no pixel.
    corners[:, mapped] = whole_pixels(edges[:, mapped], tolerance=min(accuracy, ACCURACY))
    return PixelBoxes.from_corners(corners), mapped


def _find_segments(ids, segmentation):
    """Boxes of the segments of sources, and why some cannot be used."""
    labels, boxes = label_boxes(segmentation)
    where = np.searchsorted(labels, ids)
    where[where == len(labels)] = 0
    known = np.isin(ids, labels)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    nothing = PixelBoxes([0], [0], [1], [1])
    box = (boxes if len(labels) else nothing)[where]
    edge = ~box.pad(1).are_inside(segmentation.shape)
    return box, [
        (repeated, "duplicate_id", "an earlier row of the catalogue has the same id"),
        (~known, "not_in_segmentation", "no pixel of the segmentation image has this label"),
        (edge, "edge_of_segmentation", "the segment touches the border of the image"),
    ]


def _map_edges(cutouts, image, **search):
    """
    Edges in an image of boxes that enclose cutouts, positions, and which boxes it may see.

    One call of each WCS for each pair of images.
    """
    index = cutouts.selection.gather(lambda store: store.index)
    x, y = index["x"] - index["dx"], index["y"] - index["dy"]
    edges = np.array([x - 0.5, y - 0.5, x + index["width"] - 0.5, y + index["height"] - 0.5])
    src, seen = np.stack([index["src_x"], index["src_y"]]), np.zeros(len(index), bool)
    for here, image_in in cutouts.selection.iter_wcs():
        pixel_map = PixelMap(image_in.grid, image.grid)
        found = pixel_map.boxes(edges[:, here], *src[:, here], **search)
        edges[:, here], *src[:, here], seen[here] = found
    return edges, src.T, seen


def _find_misfits(boxes, mapped, seen, src_pos, shape, mode):
    """Why some of the mapped boxes cannot be cut."""
    with_pos = np.isfinite(src_pos).all(1)
    leaving = ~boxes.are_inside(shape) & (mode == "strict")
    return [
        (~mapped & seen, "not_converged", "parts of its box have no pixel position"),
        (~mapped | ~boxes.are_touching(shape), "no_overlap", "its box does not touch the image"),
        (~with_pos, "not_converged", "its position has no pixel position"),
        (leaving, "partial_overlap", "its box leaves the image"),
    ]


def _sort_out(ids, reasons, image, *, quiet) -> tuple[list[Dropped], np.ndarray]:
    """Drop each source for the first reason that holds; or refuse those that are lost."""
    dropped, keep, lost = [], np.ones(len(ids), bool), np.zeros(len(ids), bool)
    for holds, status, message in reasons:
        dropped += drop(ids, keep & holds, status, image.stage, image.name, message)
        if status == "not_converged":
            lost |= keep & holds
        keep &= ~holds
    if lost.any() and not quiet:
        where, count = f" in {image.name}" if image.name else "", lost.sum()
        some = ", ".join(map(repr, ids[lost][:5].tolist())) + (" ..." if count > 5 else "")
        msg = f"{count} sources have no position{where}: {some}"
        raise NotConvergedError(msg, np.flatnonzero(lost))
    return dropped, keep


def _not_all_masked(cutter, store) -> tuple[np.ndarray, list[Dropped]]:
    """Which cutouts have a good pixel, and the others as dropped."""
    masked, absent = cutter.find_masked(store)
    image, dropped = store.image, []
    for where, status, message in (
        (absent, "not_in_segmentation", "no pixel of its box has its label"),
        (masked & ~absent, "all_masked", "all its pixels are masked"),
    ):
        dropped += drop(store.ids, where, status, image.stage, image.name, message)
    return ~masked, dropped


def _as_collection(cutouts, name) -> CutoutCollection:
    if isinstance(cutouts, CutoutCollection):
        return cutouts
    try:
        return CutoutCollection(cutouts)
    except TypeError as error:
        msg = f"{name} must be a CutoutCollection or an iterable of Cutouts ({error})"
        raise TypeError(msg) from None
