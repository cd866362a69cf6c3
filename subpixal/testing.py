"""Comparing cutouts, in tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields

import numpy as np
from astropy import units as u
from astropy.nddata import NDUncertainty

from subpixal.cutout.extract import original_box
from subpixal.geometry import has_same_axes, pixel_separation
from subpixal.image import PLANES, ImageInfo

from .cutout import Cutout, CutoutCollection

__all__ = ["assert_cutouts_equal"]

ATTRIBUTES = (
    "src_id", "status", "blc", "trc", "dx", "dy", "src_pos", "src_weight", "exptime",
    "data_units", "unit", "extraction_slice", "insertion_slice", "meta", "psf", *PLANES,
)  # fmt: skip

IMAGE_ATTRIBUTES = tuple(field.name for field in fields(ImageInfo) if field.name != "wcs")

# More differences than these are only counted.
SHOWN = 50


def assert_cutouts_equal(
    actual: Cutout | CutoutCollection,
    desired: Cutout | CutoutCollection,
    *,
    wcs_tolerance: float = 1e-6,
) -> None:
    """
    Raise if two cutouts, or two collections, do not have the same content.

    The content is what an archive keeps: planes bit for bit (the payload of a NaN,
    the dtype and its byte order count), class and unit of the uncertainty, place,
    source with the type of its identifier, numbers, metadata, PSF, and what is known
    of the image. Of collections, also the order, which cutouts have an image in
    common, and the dropped sources. Whether pixels are shared is no content.

    Arrays, mappings and sequences among metadata, PSFs and identifiers are
    compared part by part; other objects by their equality or, where their class
    has none, by their class and attributes.

    Parameters
    ----------
    actual, desired : Cutout or CutoutCollection
    wcs_tolerance : float
        Largest difference of the WCSs of the images, in pixels, at the corners,
        edges and centres of the cutouts; NaN equals NaN. The default is the
        largest difference that archives allow.

    Raises
    ------
    TypeError
        If ``desired`` is neither.
    AssertionError
        It names each cutout and attribute that differs, with both values.

    Examples
    --------
    >>> import numpy as np
    >>> from subpixal import Cutout
    >>> from subpixal.datasets import make_wcs
    >>> from subpixal.testing import assert_cutouts_equal
    >>> cutout = Cutout(np.zeros((10, 10)), make_wcs("tan", (10, 10)), src_id=7)
    >>> other = cutout.copy()
    >>> assert_cutouts_equal(other, cutout)
    >>> other.exptime = 2
    >>> assert_cutouts_equal(other, cutout)
    Traceback (most recent call last):
    ...
    AssertionError: the cutouts are not equal:
    cutout 0 (id 7): exptime is 2.0, not 1.0
    """
    if not isinstance(desired, Cutout | CutoutCollection):
        msg = f"desired must be a Cutout or a CutoutCollection, got {type(desired).__name__}"
        raise TypeError(msg)
    lines = list(_differences_of_all(actual, desired, wcs_tolerance))
    if lines:
        if len(lines) > SHOWN:
            lines[SHOWN:] = [f"and {len(lines) - SHOWN} more differences"]
        raise AssertionError("\n".join(["the cutouts are not equal:", *lines]))


def _differences_of_all(actual, desired, wcs_tolerance) -> Iterator[str]:
    for kind in (Cutout, CutoutCollection):
        if isinstance(desired, kind) and not isinstance(actual, kind):
            yield f"it is a {type(actual).__name__}, not a {type(desired).__name__}"
            return
    if isinstance(desired, CutoutCollection):
        if len(actual) != len(desired):
            yield f"there are {len(actual)} cutouts, not {len(desired)}"
            return
        yield from _differences("image_numbers", actual.image_numbers, desired.image_numbers)
        yield from _differences("dropped", *map(_dropped_one_by_one, (actual, desired)))
    else:
        actual, desired = [actual], [desired]
    images = {}
    for number, (a, b) in enumerate(zip(actual, desired, strict=True)):
        label = f"cutout {number} (id {b.src_id!r}): "
        yield from (label + line for line in _cutout_differences(a, b))
        # Cutouts of one image are compared with one call of its WCS.
        _, _, same = images.setdefault((id(a.image), id(b.image)), (a.image, b.image, []))
        same.append((label, b))
    for a, b, cutouts in images.values():
        label = cutouts[0][0]
        for name in IMAGE_ATTRIBUTES:
            yield from _differences(f"{label}image.{name}", getattr(a, name), getattr(b, name))
        yield from _wcs_differences(a, b, cutouts, wcs_tolerance)


def _cutout_differences(a: Cutout, b: Cutout) -> Iterator[str]:
    if type(a) is not type(b):
        yield f"it is a {type(a).__name__}, not a {type(b).__name__}"
    for name in ATTRIBUTES:
        yield from _differences(name, getattr(a, name), getattr(b, name))
    yield from _differences("box when cut", original_box(a._columns), original_box(b._columns))
    for parent in (c.uncertainty.parent_nddata for c in (a, b) if c.uncertainty is not None):
        if parent is not a and parent is not b:
            yield f"uncertainty has the parent {parent!r}"


def _wcs_differences(a: ImageInfo, b: ImageInfo, cutouts, tolerance: float) -> Iterator[str]:
    """Where the WCSs of two images differ, at positions in some of their cutouts."""
    if not has_same_axes(a.grid, b.grid):
        yield f"{cutouts[0][0]}image_wcs has the world {a.grid.world!r}, not {b.grid.world!r}"
        return
    x, y = np.concatenate([_positions(cutout) for _, cutout in cutouts], axis=-1)
    worst = pixel_separation(a.grid, b.grid, x, y).reshape(len(cutouts), -1).max(axis=1)
    for (label, _), most in zip(cutouts, worst, strict=True):
        if most > tolerance:
            yield f"{label}image_wcs differs by {most:.3g} pixels, more than {tolerance:.3g}"


def _positions(cutout: Cutout) -> np.ndarray:
    """Positions in the image of corners, middles of edges and centre, of shape (2, 9)."""
    fraction = np.array([0, 0.5, 1])
    (x0, y0), (width, height) = cutout.origin, cutout.naxis
    x, y = np.meshgrid(x0 + fraction * (width - 1), y0 + fraction * (height - 1))
    return np.array([x.ravel(), y.ravel()])


def _dropped_one_by_one(cutouts: CutoutCollection) -> list:
    return [group._replace(id=i) for group in cutouts.dropped_groups for i in group.id.tolist()]


def _differences(name: str, a, b, within=frozenset()) -> Iterator[str]:
    """
    Lines that say where two values of any kind differ.

    ``within`` has the pairs that are being compared: values may refer to themselves.
    """
    if a is b or (id(a), id(b)) in within:
        return
    quantities = isinstance(a, u.Quantity) and isinstance(b, u.Quantity)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and not quantities:
        yield from _array_differences(name, a, b)
        return
    # Mappings, and units, are of several classes though equal.
    alike = any(isinstance(a, kind) and isinstance(b, kind) for kind in (Mapping, u.UnitBase))
    if type(a) is not type(b) and not alike:
        kinds = type(a).__name__, type(b).__name__
        yield f"{name} is {_text(a)} ({kinds[0]}), not {_text(b)} ({kinds[1]})"
        return
    parts_a, parts_b = _parts(a), _parts(b)
    if parts_a is None or parts_b is None:
        if not _is_equal(a, b):
            yield f"{name} is {a!r}, not {b!r}"
        return
    for key in dict.fromkeys([*parts_a, *parts_b]):
        part = f"{name}{key}"
        if key in parts_a and key in parts_b:
            yield from _differences(part, parts_a[key], parts_b[key], within | {(id(a), id(b))})
        elif key in parts_a:
            yield f"{part} is {_text(parts_a[key])}, and should not be there"
        else:
            yield f"{part} is not there, and should be {_text(parts_b[key])}"


def _parts(value) -> dict | None:
    """What a value consists of, `None` if it is compared as a whole."""
    if isinstance(value, Mapping):
        return {f"[{key!r}]": part for key, part in value.items()}
    if isinstance(value, list | tuple):
        return {f"[{i}]": part for i, part in enumerate(value)}
    if isinstance(value, u.Quantity):
        return {".unit": value.unit, ".value": np.asarray(value.value)}
    if isinstance(value, NDUncertainty):
        return {".unit": value.unit, ".array": value.array}
    if type(value).__eq__ is object.__eq__ and getattr(value, "__dict__", None):
        # A model of astropy leaves its parameters uninitialised until somebody asks.
        names = [name for name in vars(value) if name != "_parameters"]
        return {f".{name}": getattr(value, name) for name in names}
    return None


def _array_differences(name: str, a: np.ndarray, b: np.ndarray) -> Iterator[str]:
    if _kind(a) != _kind(b):
        yield f"{name} is {_kind(a)}, not {_kind(b)}"
    elif a.dtype.hasobject:
        yield from _differences(name, a.tolist(), b.tolist())
    elif a.tobytes() != b.tobytes():
        one, other = (np.frombuffer(x.tobytes(), np.uint8).reshape(a.size, -1) for x in (a, b))
        differ = np.flatnonzero((one != other).any(axis=1))
        first = tuple(int(i) for i in np.unravel_index(differ[0], a.shape))
        yield (
            f"{name} differs in {differ.size} of {a.size} values, "
            f"at {first} it is {a[first]!r}, not {b[first]!r}"
        )


def _kind(array: np.ndarray) -> str:
    """Type (with its byte order), shape and unit of an array."""
    unit = getattr(array, "unit", None)
    text = f"an array of {array.dtype!r} of shape {array.shape}"
    return text if unit is None else f"{text} in {unit}"


def _text(value) -> str:
    """A value on one line, pixels not shown."""
    if isinstance(value, u.Quantity):
        return {".unit": value.unit, ".value": np.asarray(value.value)}
    if isinstance(value, NDUncertainty):
        value = value.array
    return _kind(value) if isinstance(value, np.ndarray) else repr(value)


def _is_equal(a, b) -> bool:
    try:
        return bool(a == b) or bool((a != a) & (b != b))  # noqa: PLR0124  (NaN)
    except (TypeError, ValueError):
        return False
