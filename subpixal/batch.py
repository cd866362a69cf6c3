"""Many exposures: opened one after the other, cut, and gathered."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from subpixal.cutout import Cutout, CutoutCollection, create_cutouts

__all__ = ["ExposureCutouts", "cut_exposures", "gather"]


class ExposureCutouts(NamedTuple):
    """
    What an exposure gave.

    Attributes
    ----------
    name : str
        The exposure.
    flt, drz : CutoutCollection
        Cutouts of the exposure and of the combined image, one to one.
    """

    name: str
    flt: CutoutCollection
    drz: CutoutCollection


def cut_exposures(
    primary: CutoutCollection,
    segmentation,
    combined: Cutout,
    exposures: Iterable[Cutout],
    **options,
) -> Iterator[ExposureCutouts]:
    """
    Map cutouts to exposures and back, one exposure after the other.

    Parameters
    ----------
    primary : CutoutCollection
        Cutouts of a combined image.
    segmentation : array of int
        Labels on the grid of ``combined``.
    combined : Cutout
        The combined image that exposures are mapped back to.
    exposures : iterable of Cutout
        Whole exposures; only one is held at a time if they come from a generator.
    **options
        Of `~subpixal.cutout.create_cutouts`.

    Yields
    ------
    ExposureCutouts

    Raises
    ------
    TypeError, ValueError
        As `~subpixal.cutout.create_cutouts`, with the name of the exposure.
    """
    for exposure in exposures:
        try:
            flt, drz = create_cutouts(
                primary, segmentation, combined, None, exposure, None, **options
            )
        except (TypeError, ValueError) as error:
            msg = f"{exposure.image.name or 'an exposure'}: {error}"
            raise type(error)(msg) from error
        yield ExposureCutouts(exposure.image.name, flt, drz)


def gather(primary: CutoutCollection, results: Iterable[ExposureCutouts]) -> CutoutCollection:
    """One collection of it all, with what each exposure dropped, once."""
    everything = primary
    for result in results:
        everything = everything + result.flt + result.drz[:]
    return everything
