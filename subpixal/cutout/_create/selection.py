"""Find the boxes of sources, and cut the sources or drop them with a reason."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from subpixal.cutout.collection import CutoutCollection
from subpixal.cutout.cutout import MODES, Cutout
from subpixal.cutout.storage import Dropped, Selection, Store, drop
from subpixal.errors import NotConvergedError, naming_arguments
from subpixal.geometry import ACCURACY, MAXITER, PixelBoxes, PixelMap, whole_pixels
from subpixal.image import ImageArray, ImageInfo, validate_pad

from .box_policy import BoxPolicy
from .catalog import CatalogColumns
from .cutter import Cutter
from .labels import as_labels, label_boxes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]
    FloatArray = NDArray[np.float64]

__all__ = ["Search", "cut_sources", "map_cutouts"]


class Search(NamedTuple):
    """
    Options for mapping sources to an image.

    Attributes
    ----------
    quiet : bool
        `True` to drop sources that do not converge, `False` to raise an error.
    accuracy, maxiter
        As in `PixelMap.boxes`.
    """

    quiet: bool = True
    accuracy: float = ACCURACY
    maxiter: int = MAXITER


class Rejection(NamedTuple):
    """A boolean array of sources that cannot be cut, and the reason."""

    rejected: BoolArray
    status: str
    message: str


def cut_sources(
    sources: CatalogColumns, cutter: Cutter, policy: BoxPolicy, search: Search
) -> CutoutCollection:
    """
    Cut the sources of a catalog out of an image.

    Parameters
    ----------
    sources : CatalogColumns
        The sources, with positions on the grid of the segmentation image.
    cutter : Cutter
        The image and its segmentation.
    policy : BoxPolicy
        Rules for the sizes of the cutouts.
    search : Search
        Options for mapping from the segmentation image to the image.
    """
    segmentation = cutter.existing_segmentation
    positions = sources.positions
    segments, rejections = _find_segments(sources.ids, segmentation.labels)
    with naming_arguments("catalog", "segmentation_image"):
        has_label = ~rejections[1].rejected
        _check_same_sky(segments, positions, sources.off_image, has_label)
    if segmentation.grid is not None:
        pixel_map = PixelMap(segmentation.grid, cutter.image.grid)
        segments, positions, more = _map_segments(
            segments, positions, pixel_map, cutter.shape, search
        )
        rejections += more
    boxes = policy.boxes(segments, positions)
    dropped, kept = _apply_rejections(sources.ids, rejections, cutter.image, quiet=search.quiet)
    store = cutter.cut(boxes[kept], sources.ids[kept], positions[kept], sources.weight[kept])
    rows, masked = _reject_masked(cutter, store)
    selection = Selection.of_stores([store]).take(rows)
    return CutoutCollection.from_selection(selection, dropped + masked)


def _find_segments(
    ids: NDArray[np.int64], labels: ImageArray
) -> tuple[PixelBoxes, list[Rejection]]:
    """Return the boxes of the segments, and rejections of sources without a usable segment."""
    known_labels, boxes = label_boxes(labels)
    if not len(known_labels):
        boxes = PixelBoxes.from_corners(np.zeros((4, 1), np.int64))
    number = np.searchsorted(known_labels, ids)
    number[number == len(known_labels)] = 0
    segments = boxes[number]
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    ny, nx = labels.shape
    at_edge = ~segments.pad(1).are_inside((ny, nx))
    return segments, [
        Rejection(repeated, "duplicate_id", "an earlier row of the catalog has the same id"),
        Rejection(
            ~np.isin(ids, known_labels),
            "not_in_segmentation",
            "no pixel of the segmentation image has this label",
        ),
        Rejection(at_edge, "edge_of_segmentation", "the segment touches the border of the image"),
    ]


def _check_same_sky(
    segments: PixelBoxes, positions: FloatArray, off_image: BoolArray, has_label: BoolArray
) -> None:
    """Raise an error if most sources have positions far from their segments."""
    comparable = has_label & (off_image | np.isfinite(positions).all(axis=1))
    size = np.stack([segments.width, segments.height])
    low = (segments.low - size).T
    high = (segments.high + size).T
    far = comparable & ~((positions >= low) & (positions <= high)).all(axis=1)
    if far.sum() > max(2, comparable.sum() / 2):
        msg = (
            f"the catalog and the segmentation image do not belong together: {far.sum()} of "
            f"{comparable.sum()} positions are far from the segment with their label"
        )
        raise ValueError(msg)


def _map_segments(
    segments: PixelBoxes,
    positions: FloatArray,
    pixel_map: PixelMap,
    shape: tuple[int, int],
    search: Search,
) -> tuple[PixelBoxes, FloatArray, list[Rejection]]:
    """Map boxes and positions from the segmentation image to the image."""
    edges, x, y, candidate = pixel_map.boxes(
        segments.edges, *positions.T, accuracy=search.accuracy, maxiter=search.maxiter
    )
    boxes, mapped = _enclosing_boxes(edges, search.accuracy)
    mapped_positions = np.stack([x, y], axis=-1)
    center = np.where(mapped[:, None], boxes.center.T, np.nan)
    known = np.where(np.isfinite(mapped_positions), mapped_positions, center)
    return boxes, mapped_positions, _find_unmapped(boxes, mapped, candidate, known, shape)


def map_cutouts(
    cutouts: Iterable[Cutout], name: str, cutter: Cutter, pad: int, mode: str, search: Search
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Map cutouts of other images to an image, and cut the boxes that enclose them.

    Parameters
    ----------
    cutouts : CutoutCollection or iterable of Cutout
        Cutouts of other images.
    name : str
        Name of the argument ``cutouts`` in messages of errors.
    cutter : Cutter
        The image.
    pad : int
        Number of pixels to add on each side of the enclosing boxes.
    mode : {'strict', 'fill'}
        ``'strict'`` to drop boxes that leave the image, ``'fill'`` to fill them.
    search : Search
        Options for the mapping.

    Returns
    -------
    new, valid : CutoutCollection
        New cutouts, and for each new cutout the given cutout, in the same order.
    """
    if mode not in MODES:
        msg = f"mode must be one of {MODES}, got {mode!r}"
        raise ValueError(msg)
    pad = validate_pad(pad)
    collection = _as_collection(cutouts, name)
    image, ids = cutter.image, collection.ids
    edges, positions, candidate = _map_edges(collection, image, pad, search)
    boxes, mapped = _enclosing_boxes(edges, search.accuracy)
    boxes = boxes.pad(pad)
    rejections = _find_unmapped(boxes, mapped, candidate, positions, cutter.shape)
    if mode == "strict":
        leaving = ~boxes.are_inside(cutter.shape)
        rejections.append(Rejection(leaving, "partial_overlap", "its box leaves the image"))
    if cutter.masks_by_label:
        no_label = as_labels(ids) == 0
        rejections.append(Rejection(no_label, "not_in_segmentation", "its id is not a label"))
    dropped, kept = _apply_rejections(ids, rejections, image, quiet=search.quiet)
    weight = collection.selection.gather(lambda store: store.index)["src_weight"]
    store = cutter.cut(boxes[kept], ids[kept], positions[kept], weight[kept])
    rows, masked = _reject_masked(cutter, store)
    new = CutoutCollection.from_selection(Selection.of_stores([store]).take(rows))
    valid = collection[np.flatnonzero(kept)[rows]]
    dropped += masked
    return new.with_dropped(dropped), valid.with_dropped(dropped)


def _map_edges(
    cutouts: CutoutCollection, image: ImageInfo, pad: int, search: Search
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """
    Map cutouts to an image. For all cutouts of an image, each WCS is evaluated once.

    Returns
    -------
    edges : array of float, shape (4, N)
        Edges of the rectangles that enclose the cutouts, or NaN if a cutout does not map.
    positions : array of float, shape (N, 2)
        Positions of the sources.
    candidate : array of bool, shape (N,)
        `True` for cutouts that may overlap the image.
    """
    index = cutouts.selection.gather(lambda store: store.index)
    x = index["x"] - index["dx"]
    y = index["y"] - index["dy"]
    edges = np.array([x - 0.5, y - 0.5, x + index["width"] - 0.5, y + index["height"] - 0.5])
    positions = np.stack([index["src_x"], index["src_y"]])
    candidate = np.zeros(len(index), bool)
    for selected, source in cutouts.selection.iter_wcs():
        pixel_map = PixelMap(source.grid, image.grid)
        edges[:, selected], *positions[:, selected], candidate[selected] = pixel_map.boxes(
            edges[:, selected],
            *positions[:, selected],
            reach=pad,
            accuracy=search.accuracy,
            maxiter=search.maxiter,
        )
    return edges, positions.T, candidate


def _enclosing_boxes(edges: FloatArray, accuracy: float) -> tuple[PixelBoxes, BoolArray]:
    """
    Return the boxes of all pixels that mapped rectangles touch.

    Parameters
    ----------
    edges : array of float, shape (4, N)
        xmin, ymin, xmax, ymax of the rectangles, or NaN if a rectangle does not map.
    accuracy : float
        Largest error of the edges, in pixels.

    Returns
    -------
    boxes : PixelBoxes
        The boxes. For rectangles that do not map, they are arbitrary.
    mapped : array of bool, shape (N,)
        `True` for rectangles that map.
    """
    mapped = np.all(np.isfinite(edges), axis=0)
    corners = np.zeros(edges.shape, np.int64)
    # With the tolerance, the error of an edge on a border between pixels does not add a pixel.
    corners[:, mapped] = whole_pixels(edges[:, mapped], tolerance=min(accuracy, ACCURACY))
    return PixelBoxes.from_corners(corners), mapped


def _find_unmapped(
    boxes: PixelBoxes,
    mapped: BoolArray,
    candidate: BoolArray,
    positions: FloatArray,
    shape: tuple[int, int],
) -> list[Rejection]:
    """Return rejections of the sources whose box or position does not map to the image."""
    has_position = np.all(np.isfinite(positions), axis=1)
    outside = ~mapped | ~boxes.are_touching(shape)
    return [
        Rejection(~mapped & candidate, "not_converged", "parts of its box have no pixel position"),
        Rejection(outside, "no_overlap", "its box does not touch the image"),
        Rejection(~has_position, "not_converged", "its position has no pixel position"),
    ]


def _apply_rejections(
    ids: np.ndarray, rejections: list[Rejection], image: ImageInfo, *, quiet: bool
) -> tuple[list[Dropped], BoolArray]:
    """
    Drop each rejected source, with the first rejection that contains it.

    Returns
    -------
    dropped : list of Dropped
        Sources that are dropped.
    kept : array of bool, shape (N,)
        `True` for sources that are kept.

    Raises
    ------
    NotConvergedError
        If the mapping of a source does not converge, and ``quiet`` is false.
    """
    dropped: list[Dropped] = []
    kept = np.ones(len(ids), bool)
    lost = np.zeros(len(ids), bool)
    for rejected, status, message in rejections:
        new = kept & rejected
        dropped += drop(ids, new, status, image.stage, image.name, message)
        if status == "not_converged":
            lost |= new
        kept &= ~rejected
    if lost.any() and not quiet:
        count = lost.sum()
        place = f" in {image.name}" if image.name else ""
        examples = ", ".join(map(repr, ids[lost][:5].tolist())) + (" ..." if count > 5 else "")
        msg = f"{count} sources have no position{place}: {examples}"
        raise NotConvergedError(msg, np.flatnonzero(lost))
    return dropped, kept


def _reject_masked(cutter: Cutter, store: Store) -> tuple[NDArray[np.intp], list[Dropped]]:
    """Return the rows of cutouts that have a good pixel, and drop the other sources."""
    masked, absent = cutter.find_masked(store)
    rejections = [
        Rejection(absent, "not_in_segmentation", "no pixel of its box has its label"),
        Rejection(masked, "all_masked", "all its pixels are masked"),
    ]
    dropped, kept = _apply_rejections(store.ids, rejections, store.image, quiet=True)
    return np.flatnonzero(kept), dropped


def _as_collection(cutouts: Iterable[Cutout], name: str) -> CutoutCollection:
    if isinstance(cutouts, CutoutCollection):
        return cutouts
    try:
        return CutoutCollection(cutouts)
    except TypeError as error:
        msg = f"{name} must be a CutoutCollection or an iterable of Cutouts ({error})"
        raise TypeError(msg) from None
