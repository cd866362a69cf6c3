"""From a combined image to its exposures and back."""

from __future__ import annotations

import numbers
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from astropy.nddata import interpret_bit_flags

from subpixal.geometry import ACCURACY, PixelMap, whole_pixels

from ._catalog import read_catalog_columns
from ._collection import CutoutCollection
from ._cutout import MODES, Cutout
from ._cutting import Cutter
from ._dropped import Dropped, drop
from ._image import read_image_arguments
from ._segmentation import as_labels, label_boxes, read_mask_policy, read_segmentation

__all__ = [
    "create_cutouts",
    "create_input_image_cutouts",
    "create_primary_cutouts",
    "drz_from_input_cutouts",
]


def create_primary_cutouts(
    catalog,
    segmentation_image,
    imdata,
    imwcs,
    imdq=None,
    imweight=None,
    data_units="counts",
    exptime=1,
    pad=1,
    *,
    uncertainty=None,
    dqbitmask=0,
    mask_policy="segment",
    combine_seg_mask=None,
    src_pos=None,
    src_weight=None,
    fillval=np.nan,
    copy=True,
) -> CutoutCollection:
    """
    Cut the sources of a catalogue out of the image that they were found in.

    Parameters
    ----------
    catalog : table, mapping or `photutils.segmentation.SourceCatalog`
        Sources, with their labels in a column ``id``, ``label`` or ``NUMBER``.
        Positions are taken from ``x, y``, ``x_centroid, y_centroid``,
        ``xcentroid, ycentroid``, the 1-based ``X_IMAGE, Y_IMAGE``, or from sky
        columns; a source without a position has it in the centre of its box.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources, on the grid of the image.
    imdata : array, `~astropy.units.Quantity`, masked array or `~astropy.nddata.NDData`
        The (combined) image, of shape ``(ny, nx)``. What an NDData has besides
        its data is used unless it is given explicitly.
    imwcs : object
        WCS of the image, anything with the APE 14 interface; `None` where
        ``imdata`` is an NDData that has one.
    imdq : array of int, optional
        Data quality flags of the image.
    imweight : array, optional
        Weights of the image; pixels whose weight is 0 or not finite are masked.
    data_units : {'counts', 'rate'}
        What the pixels are, where their unit does not tell.
    exptime : float
        Exposure time in seconds.
    pad : int
        Pixels around the smallest box that holds the segment.
    uncertainty : `~astropy.nddata.NDUncertainty` or array, optional
        Uncertainty of the image; an array means standard deviations.
    dqbitmask : int, str, list or None
        Flags that are good, as in `~astropy.nddata.bitfield_to_boolean_mask`:
        0, any flag masks; `None`, flags do not mask.
    mask_policy : {'segment', None}
        Whether pixels outside the own segment are masked.
    combine_seg_mask : bool, optional
        The same, spelt `True` or `False`.
    src_pos : array of shape (N, 2), optional
        Positions ``(x, y)`` that stand in for those of the catalogue.
    src_weight : array of shape (N,) or str, optional
        Weights of the sources, or the name of their column.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        `False` leaves read-only views of the image until a pixel is written or
        the collection is copied; masks are made when one is asked for.

    Returns
    -------
    CutoutCollection
        In the order of the catalogue. A cutout of which only the padding
        leaves the image is filled. ``dropped`` has the sources that were not
        cut: segments at the border of the image, labels that are not there or
        come twice, sources of which all pixels are masked.
    """
    padding = _padding(pad)
    cutter, segmentation = _read_cutter(
        "im", "primary", (imdata, imwcs, imdq, imweight, data_units, exptime), uncertainty,
        dqbitmask, fillval, copy, (segmentation_image, mask_policy, combine_seg_mask),
    )  # fmt: skip
    image = cutter.image
    sources = read_catalog_columns(catalog, image.sky, src_pos=src_pos, src_weight=src_weight)
    box, reasons = _find_segments(sources.ids, segmentation)
    dropped, keep = _sort_out(sources.ids, reasons, image)
    boxes = box[:, keep] + padding
    store = cutter.cut(boxes, sources.ids[keep], sources.pos[keep], sources.weight[keep])
    good, masked = _not_all_masked(cutter, store)
    rows = np.flatnonzero(good)
    return CutoutCollection._of([store], np.zeros(len(rows)), rows, dropped + masked)


def create_input_image_cutouts(
    primary_cutouts: Iterable[Cutout],
    imdata,
    imwcs,
    imdq=None,
    imweight=None,
    data_units="counts",
    exptime=1,
    pad=1,
    *,
    mode="strict",
    uncertainty=None,
    dqbitmask=0,
    fillval=np.nan,
    copy=True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Cut the sources of other cutouts out of a distorted exposure.

    Each box is mapped through the full distortion of both images; the new box
    encloses every pixel of it.

    Parameters
    ----------
    primary_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of a combined image, or of several.
    imdata, imwcs, imdq, imweight, data_units, exptime
        The exposure, as in `create_primary_cutouts`.
    pad : int
        Pixels around the smallest box that encloses a mapped cutout.
    mode : {'strict', 'fill'}
        Whether a source whose box, padding included, is not wholly on the
        exposure is dropped or filled.
    uncertainty, dqbitmask, fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    cutouts : CutoutCollection
        Cutouts of the exposure.
    valid_input_cutouts : CutoutCollection
        The input cutouts that they belong to, one to one. Both have the same
        ``dropped``.
    """
    cutter, _ = _read_cutter(
        "im", "input_image", (imdata, imwcs, imdq, imweight, data_units, exptime), uncertainty,
        dqbitmask, fillval, copy,
    )  # fmt: skip
    return _map_cutouts(primary_cutouts, "primary_cutouts", cutter, pad, mode)


def drz_from_input_cutouts(
    input_cutouts: Iterable[Cutout],
    segmentation_image,
    imdata,
    imwcs,
    imdq=None,
    imweight=None,
    data_units="counts",
    exptime=1,
    pad=1,
    *,
    uncertainty=None,
    dqbitmask=0,
    mask_policy="segment",
    combine_seg_mask=None,
    fillval=np.nan,
    copy=True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Cut the sources of cutouts of exposures out of a combined image.

    Parameters
    ----------
    input_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of an exposure, or of several.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources, on the grid of the combined image.
    imdata, imwcs, imdq, imweight, data_units, exptime
        The combined image, as in `create_primary_cutouts`.
    pad : int
        Pixels around the smallest box that encloses a mapped cutout.
    uncertainty, dqbitmask, mask_policy, combine_seg_mask, fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    cutouts : CutoutCollection
        Cutouts of the combined image, filled where they leave it.
    valid_input_cutouts : CutoutCollection
        The input cutouts that they belong to, one to one. Both have the same
        ``dropped``.
    """
    cutter, _ = _read_cutter(
        "im", "drz", (imdata, imwcs, imdq, imweight, data_units, exptime), uncertainty,
        dqbitmask, fillval, copy, (segmentation_image, mask_policy, combine_seg_mask),
    )  # fmt: skip
    return _map_cutouts(input_cutouts, "input_cutouts", cutter, pad, "fill")


def create_cutouts(
    primary_cutouts: Iterable[Cutout],
    segmentation_image,
    drz_data,
    drz_wcs,
    flt_data,
    flt_wcs,
    drz_dq=None,
    drz_weight=None,
    drz_data_units="rate",
    drz_exptime=1,
    flt_dq=None,
    flt_weight=None,
    flt_data_units="counts",
    flt_exptime=1,
    pad=2,
    *,
    drz_uncertainty=None,
    drz_dqbitmask=0,
    flt_uncertainty=None,
    flt_dqbitmask=0,
    mode="strict",
    mask_policy="segment",
    combine_seg_mask=None,
    fillval=np.nan,
    copy=True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Map cutouts to an exposure, and from there to a combined image.

    `create_input_image_cutouts`, then `drz_from_input_cutouts`. The combined
    image may be the one of the primary cutouts or another one.

    Parameters
    ----------
    primary_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of a combined image, or of several.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources, on the grid of the combined image.
    drz_data, drz_wcs, drz_dq, drz_weight, drz_data_units, drz_exptime
        The combined image, as in `create_primary_cutouts`.
    flt_data, flt_wcs, flt_dq, flt_weight, flt_data_units, flt_exptime
        The exposure.
    pad : int
        Pixels around the smallest boxes that enclose mapped cutouts.
    drz_uncertainty, drz_dqbitmask, flt_uncertainty, flt_dqbitmask
        As in `create_primary_cutouts`.
    mode : {'strict', 'fill'}
        As in `create_input_image_cutouts`.
    mask_policy, combine_seg_mask
        For the cutouts of the combined image, as in `create_primary_cutouts`.
    fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    flt_cutouts : CutoutCollection
        Cutouts of the exposure, which enclose the primary cutouts.
    drz_cutouts : CutoutCollection
        Cutouts of the combined image, which enclose those of the exposure, one
        to one. Both have the same ``dropped``.
    """
    flt_cutter, _ = _read_cutter(
        "flt_", "input_image",
        (flt_data, flt_wcs, flt_dq, flt_weight, flt_data_units, flt_exptime),
        flt_uncertainty, flt_dqbitmask, fillval, copy,
    )  # fmt: skip
    drz_cutter, _ = _read_cutter(
        "drz_", "drz",
        (drz_data, drz_wcs, drz_dq, drz_weight, drz_data_units, drz_exptime),
        drz_uncertainty, drz_dqbitmask, fillval, copy,
        (segmentation_image, mask_policy, combine_seg_mask),
    )  # fmt: skip
    flt, _ = _map_cutouts(primary_cutouts, "primary_cutouts", flt_cutter, pad, mode)
    drz, valid = _map_cutouts(flt, "flt_cutouts", drz_cutter, pad, "fill")
    dropped = (*flt._dropped, *drz._dropped)
    return valid._with_dropped(dropped), drz._with_dropped(dropped)


def _read_cutter(
    prefix, stage, arguments, uncertainty, dqbitmask, fillval, copy, segmentation=None
) -> tuple[Cutter, np.ndarray | None]:
    """What cuts an image, and the segmentation image if there is to be one."""
    *planes, data_units, exptime = arguments
    image, planes = read_image_arguments(
        *planes, uncertainty=uncertainty, data_units=data_units, exptime=exptime,
        dqbitmask=dqbitmask, prefix=prefix,
    )  # fmt: skip
    _check_bit_mask(dqbitmask, prefix)
    labels, policy = None, None
    if segmentation is not None:
        labels = read_segmentation(segmentation[0], image.shape)
        policy = read_mask_policy(*segmentation[1:])
    cutter = Cutter(
        image=replace(image, stage=stage), planes=planes, fillval=fillval, copy=copy,
        segmentation=labels if policy else None,
    )  # fmt: skip
    return cutter, labels


def _check_bit_mask(dqbitmask, prefix) -> None:
    try:
        interpret_bit_flags(dqbitmask)
    except (TypeError, ValueError) as error:
        msg = f"{prefix.removeprefix('im')}dqbitmask must be flags that are good, got {dqbitmask!r}"
        raise type(error)(msg) from error


def _find_segments(ids, segmentation):
    """Boxes of segments, and why some cannot be used."""
    labels, boxes = label_boxes(segmentation)
    where = np.searchsorted(labels, ids)
    where[where == len(labels)] = 0
    known = np.isin(ids, labels)
    repeated = np.ones(len(ids), bool)
    repeated[np.unique(ids, return_index=True)[1]] = False
    box = boxes[:, where] if len(labels) else np.zeros((4, len(ids)), np.int64)
    ny, nx = segmentation.shape
    edge = (box[0] == 0) | (box[1] == 0) | (box[2] == nx - 1) | (box[3] == ny - 1)
    return box, [
        (repeated, "duplicate_id", "an earlier row of the catalogue has the same id"),
        (~known, "not_in_segmentation", "no pixel of the segmentation image has this label"),
        (edge, "edge_of_segmentation", "the segment touches the border of the image"),
    ]


def _map_cutouts(cutouts, name, cutter, pad, mode):
    """Cut out of an image what encloses cutouts of others."""
    if mode not in MODES:
        msg = f"mode must be one of {MODES}, got {mode!r}"
        raise ValueError(msg)
    padding, cutouts = _padding(pad), _as_collection(cutouts, name)
    image, ids = cutter.image, cutouts.ids
    edges, src_pos = _map_edges(cutouts, image)
    mapped = np.isfinite(edges).all(0)
    boxes = np.zeros(edges.shape, np.int64)
    # A position is known to the accuracy of the mapping and no better.
    boxes[:, mapped] = whole_pixels(edges[:, mapped], tolerance=ACCURACY) + padding
    reasons = _find_misfits(boxes, mapped, src_pos, image.shape, mode)
    if cutter.segmentation is not None:
        no_label = as_labels(ids) == 0
        reasons.append((no_label, "not_in_segmentation", "its id is no label"))
    dropped, keep = _sort_out(ids, reasons, image)
    weight = cutouts._gather(lambda store: store.index)["src_weight"]
    store = cutter.cut(boxes[:, keep], ids[keep], src_pos[keep], weight[keep])
    good, masked = _not_all_masked(cutter, store)
    rows = np.flatnonzero(good)
    valid = cutouts[np.flatnonzero(keep)[rows]]
    new = CutoutCollection._of([store], np.zeros(len(rows)), rows)
    dropped += masked
    return new._with_dropped(dropped), valid._with_dropped(dropped)


def _as_collection(cutouts, name) -> CutoutCollection:
    if isinstance(cutouts, CutoutCollection):
        return cutouts
    try:
        return CutoutCollection(cutouts)
    except TypeError as error:
        msg = f"{name} must be a CutoutCollection or an iterable of Cutouts ({error})"
        raise TypeError(msg) from None


def _find_misfits(boxes, mapped, src_pos, shape, mode):
    """Why some of the mapped boxes cannot be cut."""
    size = np.array(shape[::-1])
    low, high = boxes[:2], boxes[2:]
    touching = ((high >= 0) & (low < size[:, None])).all(0)
    inside = ((low >= 0) & (high < size[:, None])).all(0)
    with_pos = np.isfinite(src_pos).all(1)
    # Of a box that is larger than the image a part may be too far off to be mapped.
    seen = with_pos & (src_pos > -0.5).all(1) & (src_pos < size - 0.5).all(1)
    return [
        (~mapped & seen, "not_converged", "parts of its box have no pixel position"),
        (~mapped | ~touching, "no_overlap", "its box does not touch the image"),
        (~with_pos, "not_converged", "its position has no pixel position"),
        (~inside & (mode == "strict"), "partial_overlap", "its box leaves the image"),
    ]


def _map_edges(cutouts, image):
    """Edges in an image of boxes that enclose cutouts, and positions; one call per image pair."""
    index = cutouts._gather(lambda store: store.index)
    x, y = index["x"] - index["dx"], index["y"] - index["dy"]
    edges = np.array([x - 0.5, y - 0.5, x + index["width"] - 0.5, y + index["height"] - 0.5])
    src = np.stack([index["src_x"], index["src_y"]])
    for here, image_in in cutouts._by_wcs():
        pixel_map = PixelMap(image_in.sky, image.sky)
        edges[:, here], *src[:, here] = pixel_map.boxes(edges[:, here], *src[:, here])
    return edges, src.T


def _sort_out(ids, reasons, image) -> tuple[list[Dropped], np.ndarray]:
    """Drop each source for the first reason that holds."""
    dropped, keep = [], np.ones(len(ids), bool)
    for holds, status, message in reasons:
        dropped += drop(ids, keep & holds, status, image.stage, image.name, message)
        keep &= ~holds
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


def _padding(pad) -> np.ndarray:
    """What padding adds to xmin, ymin, xmax, ymax."""
    if not isinstance(pad, numbers.Real) or not 0 <= pad < np.inf or pad != int(pad):
        msg = f"pad must be a number of pixels, 0 or more, got {pad!r}"
        raise ValueError(msg)
    return np.array([[-1], [-1], [1], [1]]) * int(pad)
