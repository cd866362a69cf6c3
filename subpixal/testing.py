"""Functions that compare cutouts in tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units as u
from astropy.nddata import NDUncertainty

from subpixal.cutout.extract import original_box
from subpixal.geometry import has_same_axes, pixel_separation
from subpixal.image import PLANES, ImageInfo

from .cutout import Cutout, CutoutCollection

if TYPE_CHECKING:
    from numpy.typing import NDArray

    FloatArray = NDArray[np.float64]

__all__ = ["assert_cutouts_equal"]

ATTRIBUTES = (
    "src_id",
    "status",
    "blc",
    "trc",
    "dx",
    "dy",
    "src_pos",
    "src_weight",
    "exptime",
    "data_units",
    "unit",
    "extraction_slice",
    "insertion_slice",
    "meta",
    "psf",
    *PLANES,
)

IMAGE_ATTRIBUTES = tuple(field.name for field in fields(ImageInfo) if field.name != "wcs")

# Largest number of differences that a message lists. Further differences are only counted.
MAX_DIFFERENCES = 50


def assert_cutouts_equal(
    actual: Cutout | CutoutCollection,
    desired: Cutout | CutoutCollection,
    *,
    wcs_tolerance: float = 1e-7,
) -> None:
    """
    Raise an error if two cutouts, or two collections, differ in content.

    The function compares everything that an archive stores. This includes the bits of all planes
    with their dtype and byte order, the class and unit of the uncertainty, the position, the
    source, the type of its identifier, the metadata, the PSF and the image. For collections, it
    also includes the order of the cutouts, the images that cutouts share, and the dropped sources.
    The function does not compare whether planes share memory.

    Arrays, mappings and sequences in metadata, PSFs and identifiers are compared element by
    element. Other objects are compared with ``==``. If their class does not define ``==``, their
    class and attributes are compared.

    Parameters
    ----------
    actual, desired : Cutout or CutoutCollection
        The objects to compare.
    wcs_tolerance : float
        Largest difference between the WCSs of the images, in pixels. The WCSs are compared at the
        corners, edges and centers of the cutouts, and NaN equals NaN. The default is the rounding
        error of world values in double precision.

    Raises
    ------
    TypeError
        If ``desired`` is neither a cutout nor a collection.
    AssertionError
        If the objects differ. The message lists the attributes that differ, with both values.

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
    lines = list(_content_differences(actual, desired, wcs_tolerance))
    if lines:
        if len(lines) > MAX_DIFFERENCES:
            more = len(lines) - MAX_DIFFERENCES
            lines[MAX_DIFFERENCES:] = [f"and {more} more differences"]
        raise AssertionError("\n".join(["the cutouts are not equal:", *lines]))


def _content_differences(actual: Any, desired: Any, wcs_tolerance: float) -> Iterator[str]:
    for kind in (Cutout, CutoutCollection):
        if isinstance(desired, kind) and not isinstance(actual, kind):
            yield f"it is a {type(actual).__name__}, not a {type(desired).__name__}"
            return
    if isinstance(desired, CutoutCollection):
        if len(actual) != len(desired):
            yield f"there are {len(actual)} cutouts, not {len(desired)}"
            return
        yield from _differences("image_numbers", actual.image_numbers, desired.image_numbers)
        dropped = _dropped_one_by_one(actual), _dropped_one_by_one(desired)
        yield from _differences("dropped", *dropped)
    else:
        actual = [actual]
        desired = [desired]
    images: dict[tuple[int, int], tuple[ImageInfo, ImageInfo, list]] = {}
    for number, (a, b) in enumerate(zip(actual, desired, strict=True)):
        label = f"cutout {number} (id {b.src_id!r}): "
        yield from (label + line for line in _cutout_differences(a, b))
        # Collect the cutouts of each image, so that its WCS is evaluated only once.
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


def _wcs_differences(
    a: ImageInfo, b: ImageInfo, cutouts: Sequence[tuple[str, Cutout]], tolerance: float
) -> Iterator[str]:
    """Yield the differences of the WCSs of two images, at positions in their cutouts."""
    if not has_same_axes(a.grid, b.grid):
        yield f"{cutouts[0][0]}image_wcs has the world {a.grid.world!r}, not {b.grid.world!r}"
        return
    x, y = np.concatenate([_positions(cutout) for _, cutout in cutouts], axis=-1)
    largest = pixel_separation(a.grid, b.grid, x, y).reshape(len(cutouts), -1).max(axis=1)
    for (label, _), error in zip(cutouts, largest, strict=True):
        if error > tolerance:
            yield f"{label}image_wcs differs by {error:.3g} pixels, more than {tolerance:.3g}"


def _positions(cutout: Cutout) -> FloatArray:
    """Return the positions in the image of corners, edges and center, of shape (2, 9)."""
    fraction = np.array([0, 0.5, 1])
    x0, y0 = cutout.origin
    width, height = cutout.naxis
    x, y = np.meshgrid(x0 + fraction * (width - 1), y0 + fraction * (height - 1))
    return np.array([x.ravel(), y.ravel()])


def _dropped_one_by_one(cutouts: CutoutCollection) -> list[Any]:
    return [group._replace(id=i) for group in cutouts.dropped_groups for i in group.id.tolist()]


def _differences(
    name: str, a: Any, b: Any, within: frozenset[tuple[int, int]] = frozenset()
) -> Iterator[str]:
    """
    Yield texts that describe the differences between two values of any class.

    A value may contain itself. To avoid infinite recursion, ``within`` contains the pairs whose
    comparison is not finished.
    """
    pair = id(a), id(b)
    if a is b or pair in within:
        return
    if _are_plain_arrays(a, b):
        yield from _array_differences(name, a, b)
        return
    if not _have_same_class(a, b):
        described_a = f"{_describe(a)} ({type(a).__name__})"
        described_b = f"{_describe(b)} ({type(b).__name__})"
        yield f"{name} is {described_a}, not {described_b}"
        return
    parts_a = _get_parts(a)
    parts_b = _get_parts(b)
    if parts_a is not None and parts_b is not None:
        yield from _part_differences(name, parts_a, parts_b, within | {pair})
    elif not _is_equal(a, b):
        yield f"{name} is {a!r}, not {b!r}"


def _part_differences(
    name: str, a: Mapping[str, Any], b: Mapping[str, Any], within: frozenset[tuple[int, int]]
) -> Iterator[str]:
    for key in dict.fromkeys([*a, *b]):
        part = f"{name}{key}"
        if key not in b:
            yield f"{part} is {_describe(a[key])}, and should not be there"
        elif key not in a:
            yield f"{part} is not there, and should be {_describe(b[key])}"
        else:
            yield from _differences(part, a[key], b[key], within)


def _are_plain_arrays(a: Any, b: Any) -> bool:
    arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
    quantities = isinstance(a, u.Quantity) and isinstance(b, u.Quantity)
    return arrays and not quantities


def _have_same_class(a: Any, b: Any) -> bool:
    # Mappings that are equal may have different classes. The same is true for units.
    return type(a) is type(b) or any(
        isinstance(a, kind) and isinstance(b, kind) for kind in (Mapping, u.UnitBase)
    )


def _get_parts(value: Any) -> dict[str, Any] | None:
    """Return a mapping of the parts of a value, or `None` if it is compared as a whole."""
    if isinstance(value, Mapping):
        return {f"[{key!r}]": part for key, part in value.items()}
    if isinstance(value, list | tuple):
        return {f"[{i}]": part for i, part in enumerate(value)}
    if isinstance(value, u.Quantity):
        return {".unit": value.unit, ".value": np.asarray(value.value)}
    if isinstance(value, NDUncertainty):
        return {".unit": value.unit, ".array": value.array}
    if type(value).__eq__ is object.__eq__ and getattr(value, "__dict__", None):
        # Ignore an attribute that models of astropy initialize at the first access.
        names = [name for name in vars(value) if name != "_parameters"]
        return {f".{name}": getattr(value, name) for name in names}
    return None


def _array_differences(name: str, a: np.ndarray, b: np.ndarray) -> Iterator[str]:
    if _describe_array(a) != _describe_array(b):
        yield f"{name} is {_describe_array(a)}, not {_describe_array(b)}"
    elif a.dtype.hasobject:
        yield from _differences(name, a.tolist(), b.tolist())
    elif a.tobytes() != b.tobytes():
        bytes_a = np.frombuffer(a.tobytes(), np.uint8).reshape(a.size, -1)
        bytes_b = np.frombuffer(b.tobytes(), np.uint8).reshape(a.size, -1)
        differ = np.flatnonzero((bytes_a != bytes_b).any(axis=1))
        first = tuple(int(i) for i in np.unravel_index(differ[0], a.shape))
        yield (
            f"{name} differs in {differ.size} of {a.size} values, "
            f"at {first} it is {a[first]!r}, not {b[first]!r}"
        )


def _describe_array(array: np.ndarray) -> str:
    """Return a text with the dtype, byte order, shape and unit of an array."""
    unit = getattr(array, "unit", None)
    text = f"an array of {array.dtype!r} of shape {array.shape}"
    return text if unit is None else f"{text} in {unit}"


def _describe(value: Any) -> str:
    """Return a text of one line for a value. The text omits the elements of arrays."""
    if isinstance(value, NDUncertainty):
        value = value.array
    is_array = isinstance(value, np.ndarray)
    if is_array and not (isinstance(value, u.Quantity) and value.isscalar):
        return _describe_array(value)
    return repr(value)


def _is_equal(a: Any, b: Any) -> bool:
    try:
        return bool(a == b) or bool((a != a) & (b != b))  # noqa: PLR0124  (NaN)
    except (TypeError, ValueError):
        return False
