"""Cut all sources of a catalog, and map cutouts between images."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable, MutableMapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from subpixal.cutout.collection import CutoutCollection
from subpixal.cutout.cutout import Cutout
from subpixal.cutout.extract import reparent
from subpixal.errors import naming_arguments
from subpixal.geometry import ACCURACY, MAXITER
from subpixal.image import (
    DEFAULT_COUNTS,
    DEFAULT_DQBITMASK,
    DEFAULT_EXPTIME,
    DEFAULT_RATE,
    ImageArguments,
    validate_pad,
)

from .box_policy import BoxPolicy
from .catalog import parse_catalog
from .cutter import Cutter
from .segmentation import LabelArguments, parse_mask_policy
from .selection import Search, cut_sources, map_cutouts

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = [
    "create_cutouts",
    "create_input_image_cutouts",
    "create_primary_cutouts",
    "drz_from_input_cutouts",
]


def create_primary_cutouts(
    catalog: Any,
    segmentation_image: Any,
    imdata: Any,
    imwcs: Any,
    imdq: Any = None,
    imweight: Any = None,
    data_units: Any = DEFAULT_COUNTS,
    exptime: Any = DEFAULT_EXPTIME,
    pad: int = 1,
    *,
    uncertainty: Any = None,
    dqbitmask: Any = DEFAULT_DQBITMASK,
    segmentation_wcs: Any = None,
    quiet: bool = True,
    accuracy: float = ACCURACY,
    maxiter: int = MAXITER,
    mask_policy: str | None = "segment",
    combine_seg_mask: bool | None = None,
    keep_segmentation: bool = False,
    size: Any = None,
    factor: float = 1,
    min_size: int | None = None,
    max_size: int | None = None,
    src_pos: ArrayLike | None = None,
    src_weight: ArrayLike | str | None = None,
    fillval: complex = np.nan,
    copy: bool = True,
) -> CutoutCollection:
    """
    Cut the sources of a catalog out of the image in which they were detected.

    Parameters
    ----------
    catalog : table, mapping or `photutils.segmentation.SourceCatalog`
        Sources. A column ``id``, ``label`` or ``NUMBER`` contains their labels. Positions come from
        the columns ``x, y``, ``x_centroid, y_centroid``, ``xcentroid, ycentroid``, the 1-based
        ``X_IMAGE, Y_IMAGE``, or from columns of sky coordinates. For sources without a position,
        the center of the box is used.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources.
    imdata : array, `~astropy.units.Quantity`, masked array or `~astropy.nddata.NDData`
        The (combined) image, of shape ``(ny, nx)``. The attributes of an NDData replace arguments
        that are not given. If ``imdata`` is a `Cutout`, catalog and labels must be on its grid, and
        the result contains cutouts of its image. All images may be arrays that are read in parts,
        such as a section of a FITS file or a dask array.
    imwcs : object
        WCS of the image with the APE 14 interface. The argument may be `None` if ``imdata`` is an
        NDData with a WCS.
    imdq : array of int, optional
        Data quality flags of the image.
    imweight : array, optional
        Weights of the image. A weight that is 0 or not finite masks the pixel.
    data_units : {'counts', 'rate'}
        Kind of the pixels, if their unit does not determine it. If ``imdata`` is a `Cutout`, the
        default is its kind. For plain arrays, also pass the argument to `create_cutouts`, which has
        another default for the combined image.
    exptime : float
        Exposure time in seconds. If ``imdata`` is a `Cutout`, the default is its exposure time.
    pad : int
        Number of pixels to add on each side of the smallest box that contains the segment.
    uncertainty : `~astropy.nddata.NDUncertainty` or array, optional
        Uncertainty of the image. A plain array contains standard deviations.
    dqbitmask : int, str, list or None
        Good flags, which do not mask a pixel, as in `~astropy.nddata.bitfield_to_boolean_mask`.
        With 0, any flag masks a pixel. With `None`, flags are ignored. If ``imdata`` is a `Cutout`,
        the default is its good flags. Names of flags are allowed if ``meta['flag_names']`` of the
        image defines them.
    segmentation_wcs : object, optional
        WCS of the segmentation image and of the pixel positions of the catalog, if their pixel grid
        differs from that of the image. The argument is required if the segmentation image is an
        NDData whose WCS has another pixel grid than the image.
    quiet : bool
        `True` to drop sources that cannot be mapped to the image, with the status
        ``not_converged``; `False` to raise an error that lists them.
    accuracy : float
        Largest error of a mapped position, in pixels.
    maxiter : int
        Largest number of Newton steps for a position.
    mask_policy : {'segment', 'neighbors', 'uberseg', None}
        Pixels to mask. ``'segment'``: all pixels outside the segment of the source.
        ``'neighbors'``: pixels of other segments. ``'uberseg'``: pixels that are nearer to another
        segment than to the segment of the source (Jarvis et al. 2016). `None`: none.
    combine_seg_mask : bool, optional
        Older form of ``mask_policy``: `True` stands for ``'segment'``, `False` for `None`.
    keep_segmentation : bool
        Whether the labels become a plane of the cutouts.
    size : int or array of int, shape (N,), optional
        Width and height of all cutouts, or of each cutout. With a size, cutouts are centered on the
        sources, and ``pad`` is ignored.
    factor : float
        Ratio of the size of a cutout, without padding, to the size of the segment.
    min_size, max_size : int, optional
        Limits of the width and the height of cutouts.
    src_pos : array of shape (N, 2), optional
        Positions ``(x, y)`` that replace those of the catalog.
    src_weight : array of shape (N,) or str, optional
        Weights of the sources, or the name of a column of the catalog with weights.
    fillval : scalar
        Value of data outside the image.
    copy : bool
        With `False`, the pixels are read-only views of the image, and masks are computed at the
        first access. Images that are read in parts are always copied.

    Returns
    -------
    CutoutCollection
        Cutouts in the order of the catalog. If only the padding of a cutout leaves the image, the
        cutout is filled. ``dropped`` lists the sources that were not cut. Reasons include a segment
        at the border of the image, a missing or repeated label, and a cutout whose pixels are all
        masked.
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
    cutter = Cutter.from_arguments(image, labels, "primary", fillval=fillval, copy=copy)
    grid = cutter.existing_segmentation.grid or cutter.image.grid
    with naming_arguments("catalog"):
        sources = parse_catalog(catalog, grid, src_pos=src_pos, src_weight=src_weight)
    search = Search(quiet, accuracy, maxiter)
    return _reparent(cut_sources(sources, cutter, policy, search), imdata, imwcs)


def create_input_image_cutouts(
    primary_cutouts: Iterable[Cutout],
    imdata: Any,
    imwcs: Any,
    imdq: Any = None,
    imweight: Any = None,
    data_units: Any = DEFAULT_COUNTS,
    exptime: Any = DEFAULT_EXPTIME,
    pad: int = 1,
    *,
    mode: str = "strict",
    quiet: bool = True,
    accuracy: float = ACCURACY,
    maxiter: int = MAXITER,
    uncertainty: Any = None,
    dqbitmask: Any = DEFAULT_DQBITMASK,
    segmentation_image: Any = None,
    segmentation_wcs: Any = None,
    mask_policy: str | None = None,
    combine_seg_mask: bool | None = None,
    keep_segmentation: bool = False,
    fillval: complex = np.nan,
    copy: bool = True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Cut the sources of other cutouts out of a distorted exposure.

    The function maps the box of each cutout through the full distortion of both images. The new box
    encloses all pixels of the mapped box.

    Parameters
    ----------
    primary_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of one or more combined images.
    imdata, imwcs, imdq, imweight, data_units, exptime
        The exposure, or a `Cutout` of it, as in `create_primary_cutouts`.
    pad : int
        Number of pixels to add on each side of the smallest box that encloses a mapped cutout.
    mode : {'strict', 'fill'}
        Treatment of a source whose box, with its padding, leaves the exposure. ``'strict'`` drops
        the source, and ``'fill'`` fills the pixels outside.
    quiet : bool
        `True` to drop sources that cannot be mapped, with the status ``not_converged``; `False` to
        raise an error that lists them.
    accuracy, maxiter
        As in `create_primary_cutouts`.
    segmentation_image, segmentation_wcs
        Labels of the sources, usually on the grid of a combined image. A pixel of the
        exposure gets the label of the nearest pixel of the segmentation image.
    mask_policy, combine_seg_mask, keep_segmentation
        Options for the labels, as in `create_primary_cutouts`.
    uncertainty, dqbitmask, fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    cutouts : CutoutCollection
        Cutouts of the exposure.
    valid_input_cutouts : CutoutCollection
        The input cutout of each new cutout, in the same order. Both collections have the same
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
    used_labels = None if segmentation_image is None else labels
    cutter = Cutter.from_arguments(image, used_labels, "input_image", fillval=fillval, copy=copy)
    search = Search(quiet, accuracy, maxiter)
    new, valid = map_cutouts(primary_cutouts, "primary_cutouts", cutter, pad, mode, search)
    return _reparent(new, imdata, imwcs), valid


def drz_from_input_cutouts(
    input_cutouts: Iterable[Cutout],
    segmentation_image: Any,
    imdata: Any,
    imwcs: Any,
    imdq: Any = None,
    imweight: Any = None,
    data_units: Any = DEFAULT_COUNTS,
    exptime: Any = DEFAULT_EXPTIME,
    pad: int = 1,
    *,
    quiet: bool = True,
    accuracy: float = ACCURACY,
    maxiter: int = MAXITER,
    uncertainty: Any = None,
    dqbitmask: Any = DEFAULT_DQBITMASK,
    segmentation_wcs: Any = None,
    mask_policy: str | None = "segment",
    combine_seg_mask: bool | None = None,
    keep_segmentation: bool = False,
    fillval: complex = np.nan,
    copy: bool = True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Cut the sources of cutouts of exposures out of a combined image.

    Parameters
    ----------
    input_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of one or more exposures.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources, on the grid of the combined image unless ``segmentation_wcs`` is
        given.
    imdata, imwcs, imdq, imweight, data_units, exptime
        The combined image, as in `create_primary_cutouts`.
    pad : int
        Number of pixels to add on each side of the smallest box that encloses a mapped cutout.
    quiet, accuracy, maxiter
        As in `create_input_image_cutouts`.
    uncertainty, dqbitmask, fillval, copy
        As in `create_primary_cutouts`.
    segmentation_wcs, mask_policy, combine_seg_mask, keep_segmentation
        As in `create_primary_cutouts`.

    Returns
    -------
    cutouts : CutoutCollection
        Cutouts of the combined image. Pixels outside the image are filled.
    valid_input_cutouts : CutoutCollection
        The input cutout of each new cutout, in the same order. Both collections have the same
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
    cutter = Cutter.from_arguments(image, labels, "drz", fillval=fillval, copy=copy)
    search = Search(quiet, accuracy, maxiter)
    new, valid = map_cutouts(input_cutouts, "input_cutouts", cutter, pad, "fill", search)
    return _reparent(new, imdata, imwcs), valid


def create_cutouts(
    primary_cutouts: Iterable[Cutout],
    segmentation_image: Any,
    drz_data: Any,
    drz_wcs: Any,
    flt_data: Any,
    flt_wcs: Any,
    drz_dq: Any = None,
    drz_weight: Any = None,
    drz_data_units: Any = DEFAULT_RATE,
    drz_exptime: Any = DEFAULT_EXPTIME,
    flt_dq: Any = None,
    flt_weight: Any = None,
    flt_data_units: Any = DEFAULT_COUNTS,
    flt_exptime: Any = DEFAULT_EXPTIME,
    pad: int = 2,
    *,
    drz_uncertainty: Any = None,
    drz_dqbitmask: Any = DEFAULT_DQBITMASK,
    flt_uncertainty: Any = None,
    flt_dqbitmask: Any = DEFAULT_DQBITMASK,
    mode: str = "strict",
    quiet: bool = True,
    accuracy: float = ACCURACY,
    maxiter: int = MAXITER,
    segmentation_wcs: Any = None,
    mask_policy: str | None = "segment",
    combine_seg_mask: bool | None = None,
    flt_mask_policy: str | None = None,
    keep_segmentation: bool = False,
    fillval: complex = np.nan,
    copy: bool = True,
) -> tuple[CutoutCollection, CutoutCollection]:
    """
    Map cutouts to an exposure, and map the new cutouts to a combined image.

    The function combines `create_input_image_cutouts` and `drz_from_input_cutouts`. The primary
    cutouts may come from this combined image or from another one.

    Parameters
    ----------
    primary_cutouts : CutoutCollection or iterable of `Cutout`
        Cutouts of one or more combined images.
    segmentation_image : `photutils.segmentation.SegmentationImage` or array of int
        Labels of the sources, on the grid of the combined image unless ``segmentation_wcs`` is
        given.
    drz_data, drz_wcs, drz_dq, drz_weight, drz_data_units, drz_exptime
        The combined image, as in `create_primary_cutouts`. Only the default of ``drz_data_units``
        differs. For plain arrays, pass all arguments again: none of them comes from
        ``primary_cutouts``.
    flt_data, flt_wcs, flt_dq, flt_weight, flt_data_units, flt_exptime
        The exposure.
    pad : int
        Number of pixels to add on each side of the smallest boxes that enclose mapped cutouts.
    drz_uncertainty, drz_dqbitmask, flt_uncertainty, flt_dqbitmask
        As in `create_primary_cutouts`.
    mode, quiet, accuracy, maxiter
        As in `create_input_image_cutouts`.
    segmentation_wcs, mask_policy, combine_seg_mask
        Options of the cutouts of the combined image, as in `create_primary_cutouts`.
    flt_mask_policy : {'segment', 'neighbors', 'uberseg', None}
        Mask policy of the cutouts of the exposure.
    keep_segmentation : bool
        Whether the labels become a plane of all cutouts.
    fillval, copy
        As in `create_primary_cutouts`.

    Returns
    -------
    flt_cutouts : CutoutCollection
        Cutouts of the exposure. Each of these cutouts encloses the primary cutout of the source.
    drz_cutouts : CutoutCollection
        Cutouts of the combined image, in the same order. Each of these cutouts encloses the cutout
        of the exposure. Both collections have the same ``dropped``. The metadata of the image
        contain the name of the exposure as ``exposure``.
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
    drz_cutter = Cutter.from_arguments(drz_image, labels, "drz", fillval=fillval, copy=copy)
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
    flt_cutter = Cutter.from_arguments(
        flt_image,
        flt_labels if flt_labels.are_used else None,
        "input_image",
        fillval=fillval,
        copy=copy,
    )
    if flt_cutter.image.name:
        # All these cutouts of the combined image belong to one exposure, so record its name. A
        # chain writes only to its first mapping.
        drz_meta = cast("MutableMapping", drz_cutter.image.meta)
        meta = ChainMap({"exposure": flt_cutter.image.name}, drz_meta)
        drz_cutter = replace(drz_cutter, image=replace(drz_cutter.image, meta=meta))
    search = Search(quiet, accuracy, maxiter)
    flt, _ = map_cutouts(primary_cutouts, "primary_cutouts", flt_cutter, pad, mode, search)
    flt = _reparent(flt, flt_data, flt_wcs)
    drz, valid = map_cutouts(flt, "flt_cutouts", drz_cutter, pad, "fill", search)
    drz = _reparent(drz, drz_data, drz_wcs)
    dropped = (*flt.dropped_groups, *drz.dropped_groups)
    return valid.with_dropped(dropped), drz.with_dropped(dropped)


def _reparent(cutouts: CutoutCollection, data: Any, wcs: Any) -> CutoutCollection:
    """Return new cutouts. If they were cut from a cutout, convert them to cutouts of its image."""
    if isinstance(data, Cutout) and wcs is None:
        for store in cutouts.selection.stores:
            reparent(store, data)
    return cutouts
