"""From a combined image to its exposures and back."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from astropy.nddata import NDData

from subpixal.cutout.collection import CutoutCollection
from subpixal.cutout.cutout import Cutout
from subpixal.cutout.extract import reparent
from subpixal.errors import naming_arguments
from subpixal.geometry import ACCURACY, MAXITER, PixelGrid, corner_distance, same_grid
from subpixal.image import (
    DEFAULT_COUNTS,
    DEFAULT_DQBITMASK,
    DEFAULT_EXPTIME,
    DEFAULT_RATE,
    ImageArguments,
    parse_image,
    validate_pad,
)

from .box_policy import BoxPolicy
from .catalog import parse_catalog
from .cutter import Cutter
from .segmentation import LabelArguments, Segmentation, parse_mask_policy
from .selection import cut_sources, map_cutouts

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
    data_units=DEFAULT_COUNTS,
    exptime=DEFAULT_EXPTIME,
    pad=1,
    *,
    uncertainty=None,
    dqbitmask=DEFAULT_DQBITMASK,
    segmentation_wcs=None,
    quiet=True,
    accuracy=ACCURACY,
    maxiter=MAXITER,
    mask_policy="segment",
    combine_seg_mask=None,
    keep_segmentation=False,
    size=None,
    factor=1,
    min_size=None,
    max_size=None,
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
        Labels of the sources.
    imdata : array, `~astropy.units.Quantity`, masked array or `~astropy.nddata.NDData`
        The (combined) image, of shape ``(ny, nx)``. What an NDData has besides
        its data is used unless it is given explicitly. If it is a `Cutout`, catalogue
        and labels are on its grid; the result are cutouts of the image of that one. All
        images may be arrays that are read piece by piece, such as a section of a FITS
        file or an array of dask.
    imwcs : object
        WCS of the image, anything with the APE 14 interface; `None` where
        ``imdata`` is an NDData that has one.
    imdq : array of int, optional
        Data quality flags of the image.
    imweight : array, optional
        Weights of the image; pixels whose weight is 0 or not finite are masked.
    data_units : {'counts', 'rate'}
        What the pixels are, where their unit does not tell; by default what they
        are in the image if it is a `Cutout`. The default of `create_cutouts` is another
        one for the combined image: of an array, say it in both.
    exptime : float
        Exposure time in seconds; by default that of the image if it has one.
    pad : int
        Pixels around the smallest box that holds the segment.
    uncertainty : `~astropy.nddata.NDUncertainty` or array, optional
        Uncertainty of the image; an array means standard deviations.
    dqbitmask : int, str, list or None
        Flags that are good, as in `~astropy.nddata.bitfield_to_boolean_mask`:
        0, any flag masks; `None`, flags do not mask. By default those that are good
        in the image if it is a `Cutout`. They may be called by their names where
        ``meta['flag_names']`` of the image has them.
    segmentation_wcs : object, optional
        WCS of the segmentation image and of the pixel positions of the catalogue,
        where they are not on the grid of the image. A segmentation image that is an
        NDData with another WCS than the image is refused without.
    quiet : bool
        Whether sources that cannot be mapped from there (``not_converged``) are
        dropped, or are an error that names them.
    accuracy : float
        Largest error of a mapped position, in pixels.
    maxiter : int
        Largest number of Newton steps that a position may take.
    mask_policy : {'segment', 'neighbours', 'uberseg', None}
        What the segmentation masks: pixels outside the own segment, pixels of
        other segments, pixels that are nearer to another segment than to the own
        (Jarvis et al. 2016), or nothing.
    combine_seg_mask : bool, optional
        The same, spelt `True` for ``'segment'`` or `False` for `None`.
    keep_segmentation : bool
        Whether the cutouts get the labels as a plane.
    size : int or array of int, shape (N,), optional
        Width and height of all cutouts, or of each of them; they are then
        centred on the sources, and ``pad`` does not count.
    factor : float
        Size of a cutout in sizes of the segment, before padding.
    min_size, max_size : int, optional
        Limits of width and height.
    src_pos : array of shape (N, 2), optional
        Positions ``(x, y)`` that stand in for those of the catalogue.
    src_weight : array of shape (N,) or str, optional
        Weights of the sources, or the name of their column.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        `False` leaves read-only views of the image until a pixel is written or
        the collection is copied; masks are made when one is asked for. What is read
        piece by piece is read at once in any case.

    Returns
    -------
    CutoutCollection
        In the order of the catalogue. A cutout of which only the padding
        leaves the image is filled. ``dropped`` has the sources that were not
        cut: segments at the border of the image, labels that are not there or
        come twice, sources of which all pixels are masked.
    """
    policy = BoxPolicy(
        pad=validate_pad(pad), size=size, factor=factor, min_size=min_size, max_size=max_size
    )
    image = ImageArguments(
        data=imdata,
        wcs=imwcs,
        planes={"flags": imdq, "weight": imweight, "uncertainty": uncertainty},
        data_units=data_units,
        exptime=exptime,
        dqbitmask=dqbitmask,
        prefix="im",
    )
    labels = LabelArguments(
        segmentation=segmentation_image,
        wcs=segmentation_wcs,
        policy=parse_mask_policy(mask_policy, combine_seg_mask),
        keep=keep_segmentation,
    )
    cutter = _make_cutter(image, labels, "primary", fillval=fillval, copy=copy)
    grid = cutter.segmentation.grid or cutter.image.grid
    with naming_arguments("catalog"):
        sources = parse_catalog(catalog, grid, src_pos=src_pos, src_weight=src_weight)
    search = {"quiet": quiet, "accuracy": accuracy, "maxiter": maxiter}
    return _refer(cut_sources(sources, cutter, policy, **search), imdata, imwcs)


def create_input_image_cutouts(
    primary_cutouts: Iterable[Cutout],
    imdata,
    imwcs,
    imdq=None,
    imweight=None,
    data_units=DEFAULT_COUNTS,
    exptime=DEFAULT_EXPTIME,
    pad=1,
    *,
    mode="strict",
    quiet=True,
    accuracy=ACCURACY,
    maxiter=MAXITER,
    uncertainty=None,
    dqbitmask=DEFAULT_DQBITMASK,
    segmentation_image=None,
    segmentation_wcs=None,
    mask_policy=None,
    combine_seg_mask=None,
    keep_segmentation=False,
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
        The exposure, or a `Cutout` of it, as in `create_primary_cutouts`.
    pad : int
        Pixels around the smallest box that encloses a mapped cutout.
    mode : {'strict', 'fill'}
        Whether a source whose box, padding included, is not wholly on the
        exposure is dropped or filled.
    quiet : bool
        Whether sources that cannot be mapped (``not_converged``) are dropped, or
        are an error that names them.
    accuracy, maxiter
        As in `create_primary_cutouts`.
    segmentation_image, segmentation_wcs
        Labels of the sources, usually on the grid of a combined image; the pixels
        of the exposure have the label of the nearest pixel there.
    mask_policy, combine_seg_mask, keep_segmentation
        What the labels are used for, as in `create_primary_cutouts`.
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
    image = ImageArguments(
        data=imdata,
        wcs=imwcs,
        planes={"flags": imdq, "weight": imweight, "uncertainty": uncertainty},
        data_units=data_units,
        exptime=exptime,
        dqbitmask=dqbitmask,
        prefix="im",
    )
    labels = LabelArguments(
        segmentation=segmentation_image,
        wcs=segmentation_wcs,
        policy=parse_mask_policy(mask_policy, combine_seg_mask),
        keep=keep_segmentation,
    )
    if segmentation_image is None and labels.are_used:
        msg = "segmentation_image must be given where labels mask or are kept"
        raise ValueError(msg)
    labels = None if segmentation_image is None else labels
    cutter = _make_cutter(image, labels, "input_image", fillval=fillval, copy=copy)
    search = {"quiet": quiet, "accuracy": accuracy, "maxiter": maxiter}
    new, valid = map_cutouts(primary_cutouts, "primary_cutouts", cutter, pad, mode, **search)
    return _refer(new, imdata, imwcs), valid


def drz_from_input_cutouts(
    input_cutouts: Iterable[Cutout],
    segmentation_image,
    imdata,
    imwcs,
    imdq=None,
    imweight=None,
    data_units=DEFAULT_COUNTS,
    exptime=DEFAULT_EXPTIME,
    pad=1,
    *,
    quiet=True,
    accuracy=ACCURACY,
    maxiter=MAXITER,
    uncertainty=None,
    dqbitmask=DEFAULT_DQBITMASK,
    segmentation_wcs=None,
    mask_policy="segment",
    combine_seg_mask=None,
    keep_segmentation=False,
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
        Labels of the sources, on the grid of the combined image unless it has a
        ``segmentation_wcs``.
    imdata, imwcs, imdq, imweight, data_units, exptime
        The combined image, as in `create_primary_cutouts`.
    pad : int
        Pixels around the smallest box that encloses a mapped cutout.
    quiet, accuracy, maxiter
        As in `create_input_image_cutouts`.
    uncertainty, dqbitmask, fillval, copy
        As in `create_primary_cutouts`.
    segmentation_wcs, mask_policy, combine_seg_mask, keep_segmentation
        As in `create_primary_cutouts`.

    Returns
    -------
    cutouts : CutoutCollection
        Cutouts of the combined image, filled where they leave it.
    valid_input_cutouts : CutoutCollection
        The input cutouts that they belong to, one to one. Both have the same
        ``dropped``.
    """
    image = ImageArguments(
        data=imdata,
        wcs=imwcs,
        planes={"flags": imdq, "weight": imweight, "uncertainty": uncertainty},
        data_units=data_units,
        exptime=exptime,
        dqbitmask=dqbitmask,
        prefix="im",
    )
    labels = LabelArguments(
        segmentation=segmentation_image,
        wcs=segmentation_wcs,
        policy=parse_mask_policy(mask_policy, combine_seg_mask),
        keep=keep_segmentation,
    )
    cutter = _make_cutter(image, labels, "drz", fillval=fillval, copy=copy)
    search = {"quiet": quiet, "accuracy": accuracy, "maxiter": maxiter}
    new, valid = map_cutouts(input_cutouts, "input_cutouts", cutter, pad, "fill", **search)
    return _refer(new, imdata, imwcs), valid


def create_cutouts(
    primary_cutouts: Iterable[Cutout],
    segmentation_image,
    drz_data,
    drz_wcs,
    flt_data,
    flt_wcs,
    drz_dq=None,
    drz_weight=None,
    drz_data_units=DEFAULT_RATE,
    drz_exptime=DEFAULT_EXPTIME,
    flt_dq=None,
    flt_weight=None,
    flt_data_units=DEFAULT_COUNTS,
    flt_exptime=DEFAULT_EXPTIME,
    pad=2,
    *,
    drz_uncertainty=None,
    drz_dqbitmask=DEFAULT_DQBITMASK,
    flt_uncertainty=None,
    flt_dqbitmask=DEFAULT_DQBITMASK,
    mode="strict",
    quiet=True,
    accuracy=ACCURACY,
    maxiter=MAXITER,
    segmentation_wcs=None,
    mask_policy="segment",
    combine_seg_mask=None,
    flt_mask_policy=None,
    keep_segmentation=False,
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
        Labels of the sources, on the grid of the combined image unless it has a
        ``segmentation_wcs``.
    drz_data, drz_wcs, drz_dq, drz_weight, drz_data_units, drz_exptime
        The combined image, as in `create_primary_cutouts`, but for the default of the
        data units. Of an array, all has to be said again: nothing is taken over from
        the primary cutouts.
    flt_data, flt_wcs, flt_dq, flt_weight, flt_data_units, flt_exptime
        The exposure.
    pad : int
        Pixels around the smallest boxes that enclose mapped cutouts.
    drz_uncertainty, drz_dqbitmask, flt_uncertainty, flt_dqbitmask
        As in `create_primary_cutouts`.
    mode, quiet, accuracy, maxiter
        As in `create_input_image_cutouts`.
    segmentation_wcs, mask_policy, combine_seg_mask
        For the cutouts of the combined image, as in `create_primary_cutouts`.
    flt_mask_policy : {'segment', 'neighbours', 'uberseg', None}
        The same for the cutouts of the exposure.
    keep_segmentation : bool
        Whether all cutouts get the labels as a plane.
    fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    flt_cutouts : CutoutCollection
        Cutouts of the exposure, which enclose the primary cutouts.
    drz_cutouts : CutoutCollection
        Cutouts of the combined image, which enclose those of the exposure, one
        to one. Both have the same ``dropped``. If the exposure has a name, it is
        ``exposure`` in the metadata of the image.
    """
    drz_image = ImageArguments(
        data=drz_data,
        wcs=drz_wcs,
        planes={"flags": drz_dq, "weight": drz_weight, "uncertainty": drz_uncertainty},
        data_units=drz_data_units,
        exptime=drz_exptime,
        dqbitmask=drz_dqbitmask,
        prefix="drz_",
    )
    labels = LabelArguments(
        segmentation=segmentation_image,
        wcs=segmentation_wcs,
        policy=parse_mask_policy(mask_policy, combine_seg_mask),
        keep=keep_segmentation,
    )
    drz_cutter = _make_cutter(drz_image, labels, "drz", fillval=fillval, copy=copy)
    flt_image = ImageArguments(
        data=flt_data,
        wcs=flt_wcs,
        planes={"flags": flt_dq, "weight": flt_weight, "uncertainty": flt_uncertainty},
        data_units=flt_data_units,
        exptime=flt_exptime,
        dqbitmask=flt_dqbitmask,
        prefix="flt_",
    )
    grid = drz_cutter.image.wcs if segmentation_wcs is None else segmentation_wcs
    flt_labels = replace(labels, wcs=grid, policy=parse_mask_policy(flt_mask_policy, None))
    flt_labels = flt_labels if flt_labels.are_used else None
    flt_cutter = _make_cutter(flt_image, flt_labels, "input_image", fillval=fillval, copy=copy)
    if flt_cutter.image.name:
        # Of several exposures, each has its own cutouts of the combined image.
        meta = ChainMap({"exposure": flt_cutter.image.name}, drz_cutter.image.meta)
        drz_cutter = replace(drz_cutter, image=replace(drz_cutter.image, meta=meta))
    search = {"quiet": quiet, "accuracy": accuracy, "maxiter": maxiter}
    flt, _ = map_cutouts(primary_cutouts, "primary_cutouts", flt_cutter, pad, mode, **search)
    flt = _refer(flt, flt_data, flt_wcs)
    drz, valid = map_cutouts(flt, "flt_cutouts", drz_cutter, pad, "fill", **search)
    drz = _refer(drz, drz_data, drz_wcs)
    dropped = (*flt.dropped_groups, *drz.dropped_groups)
    return valid.with_dropped(dropped), drz.with_dropped(dropped)


def _refer(cutouts: CutoutCollection, data, wcs) -> CutoutCollection:
    """New cutouts, which are those of an image if what they were cut from is a cutout of it."""
    if isinstance(data, Cutout) and wcs is None:
        for store in cutouts.selection.stores:
            reparent(store, data)
    return cutouts


def _check_grid(segmentation, image) -> None:
    """Refuse a segmentation image with a WCS that puts it on another grid than the image."""
    wcs = segmentation.wcs if isinstance(segmentation, NDData) else None
    if wcs is None or wcs is image.wcs:
        return
    segmentation_grid = PixelGrid(wcs, image.shape)
    if not same_grid(image.grid, segmentation_grid):
        distance = corner_distance(image.grid, segmentation_grid)
        msg = (
            "segmentation_image has a WCS with another pixel grid than the image: the corners are "
            f"{distance:.3g} pixels apart. Pass segmentation_wcs to map the segmentation image, or "
            "pass a plain array if it has the pixels of the image"
        )
        raise ValueError(msg)


def _make_cutter(
    arguments: ImageArguments, labels: LabelArguments | None, stage: str, *, fillval, copy
) -> Cutter:
    """
    Return the cutter of an image.

    Parameters
    ----------
    arguments : ImageArguments
        The image.
    labels : LabelArguments or None
        The segmentation image, where labels are used.
    stage : str
        Name of the step, which the image keeps.
    fillval, copy
        As of `Cutter`.
    """
    image, planes = parse_image(arguments)
    # Labels come from the segmentation image, even if the image is a cutout that has some.
    planes.pop("segmentation", None)
    segmentation = None
    if labels is not None:
        with naming_arguments("segmentation_image", f"{arguments.prefix}data"):
            segmentation = Segmentation.from_arguments(image, labels)
            if segmentation.grid is None:
                _check_grid(labels.segmentation, image)
    return Cutter(
        image=replace(image, stage=stage),
        planes=planes,
        segmentation=segmentation,
        fillval=fillval,
        copy=copy,
    )
