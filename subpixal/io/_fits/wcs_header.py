"""
Describe WCSs by FITS headers with a measured error.

Headers cannot describe some WCSs exactly, for example most gwcs objects. Such a WCS is approximated
by a fit. Before a header is written, it is parsed again and compared with the WCS.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from subpixal.geometry import (
    FITSAdapter,
    PixelBox,
    PixelGrid,
    jacobian,
    low_level_wcs,
    offset_wcs,
    pseudo_inverse,
)

__all__ = ["wcs_to_header"]

# Error in pixels. The search ends at a header with a smaller error.
NEGLIGIBLE_ERROR = 1e-6

# Error in pixels. Headers with a larger error are refused.
MAX_WCS_ERROR = 0.01

# Degrees of the SIP polynomials of fits, in the order in which they are tried.
DEGREES = (3, 5, 7)

# Number of points along each axis for a fit.
FIT_POINTS = 21

# Largest number of points along each axis for the comparison. In small cutouts, two points for each
# pixel are enough.
CHECK_POINTS = 65

_STRUCTURE = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND")

# Mapping from the name of a lookup table to the prefix of the keywords that refer to it.
_TABLES = {"WCSDVARR": "DP", "D2IMARR": "D2IM"}


def wcs_to_header(wcs: Any, box: PixelBox, name: str, tables: list[Any]) -> fits.Header:
    """
    Return a header that describes a WCS for the pixels of a box.

    Parameters
    ----------
    wcs : object
        APE 14 WCS of two pixel axes, low or high level.
    box : PixelBox
        Pixels for which the header must agree with the WCS.
    name : str
        Name of the WCS in messages of errors.
    tables : list of HDU
        Lookup tables of the file so far. The function appends the tables of the new header.

    Returns
    -------
    `~astropy.io.fits.Header`
        Cards of the WCS, without cards of the HDU such as ``NAXIS``. ``WCSFIT`` is true for a fit,
        and ``WCSERR`` is the largest error in pixels.

    Raises
    ------
    ValueError
        If all headers have errors above 0.01 pixels.
    """
    grid = PixelGrid(wcs, box.shape)
    best: tuple[bool, fits.Header, list[Any]] | None = None
    error = np.inf
    for candidate in _make_headers(grid, box):
        _, header, own_tables = candidate
        candidate_error = measure_error(grid, header, own_tables, box)
        if candidate_error < error:
            best, error = candidate, candidate_error
        if error <= NEGLIGIBLE_ERROR:
            break
    if best is None or error > MAX_WCS_ERROR:
        found = "there is none" if best is None else f"the best has an error of {error:.2g}"
        msg = (
            f"the WCS of {name} has no FITS header that is right to {MAX_WCS_ERROR} pixels over "
            f"{box.width}x{box.height} pixels: {found}; format='asdf' keeps the WCS"
        )
        raise ValueError(msg)
    is_fit, header, own_tables = best
    _number_tables(header, own_tables, len(tables))
    tables.extend(own_tables)
    header["WCSFIT"] = is_fit, "whether the WCS is a TAN-SIP fit"
    header["WCSERR"] = float(f"{error:.1e}"), "[pixel] largest error of the WCS"
    return header


def _make_headers(grid: PixelGrid, box: PixelBox) -> Iterator[tuple[bool, fits.Header, list[Any]]]:
    """
    Yield the exact header, then fits of rising degree, each with its tables.

    The first of the three values is `True` for a fit.
    """
    exact = _write_exactly(grid, box)
    if exact is not None:
        yield False, *exact
    if grid.world.is_sky:
        for header in _fit_headers(grid, box):
            yield True, header, []


def _write_exactly(grid: PixelGrid, box: PixelBox) -> tuple[fits.Header, list[Any]] | None:
    """Return header and tables of a FITS WCS; `None` if astropy cannot write the WCS."""
    # If the WCS is a FITS WCS with a shifted origin, move the shift into the FITS WCS.
    wcs = low_level_wcs(offset_wcs(grid.wcs, (0, 0), box.shape))
    if not FITSAdapter.handles(wcs):
        return None
    try:
        # A blank key makes the description primary, even if it was an alternate one.
        primary, *tables = wcs.to_fits(relax=True, key=" ")
    # astropy raises errors of many types here.
    except Exception:  # noqa: BLE001
        return None
    return _finish(primary.header, wcs), tables


def _fit_headers(grid: PixelGrid, box: PixelBox) -> Iterator[fits.Header]:
    """Fit tangential projections with SIP polynomials in a box, and yield their headers."""
    from astropy.wcs.utils import celestial_frame_to_wcs

    try:
        wcs = celestial_frame_to_wcs(grid.world.frame, projection="TAN")
    except ValueError:
        return
    # Chebyshev points are denser near the borders, where fits are worst.
    points = np.cos(np.linspace(0, np.pi, FIT_POINTS))
    u, v = (axis.ravel() for axis in np.meshgrid(points, points))
    center = np.array(box.center)
    half = np.array(box.naxis) / 2
    # The last point is the center.
    x = np.append(u, 0) * half[0] + center[0]
    y = np.append(v, 0) * half[1] + center[1]
    lon, lat = np.degrees(grid.world.lonlat(grid.to_world(x, y)))
    if not (np.isfinite(lon) & np.isfinite(lat)).all():
        return
    wcs.wcs.crval = lon[-1], lat[-1]
    # Set the value, because wcslib has another default if the reference point is a pole.
    wcs.wcs.lonpole = 180.0
    wcs.wcs.crpix = (1, 1)
    wcs.wcs.cd = np.eye(2)
    plane = np.stack(wcs.wcs_world2pix(lon[:-1], lat[:-1], 0), axis=-1)
    wcs.wcs.crpix = center + 1
    wcs.wcs.ctype = [f"{ctype}-SIP" for ctype in wcs.wcs.ctype]
    for degree in DEGREES:
        wcs.wcs.cd, wcs.sip = _fit_sip(u, v, plane, half, degree, wcs.wcs.crpix)
        yield _finish(wcs.to_header(relax=True), wcs)


def _fit_sip(
    u: NDArray[np.float64],
    v: NDArray[np.float64],
    plane: NDArray[np.float64],
    half: NDArray[np.float64],
    degree: int,
    crpix: NDArray[np.float64],
) -> tuple[NDArray[np.float64], Any]:
    """
    Return the CD matrix and the SIP polynomials from offsets to the tangential plane.

    The fit is linear. `astropy.wcs.utils.fit_wcs_from_points` minimizes iteratively and is less
    precise.
    """
    from astropy.wcs import Sip

    powers = [(i, n - i) for n in range(1, degree + 1) for i in range(n + 1)]
    # In units of half the size of the box, all powers have the same order of magnitude.
    basis = np.stack([u**i * v**j for i, j in powers], axis=-1)
    solution = np.linalg.lstsq(basis, plane, rcond=None)[0]
    terms = solution / [[half[0] ** i * half[1] ** j] for i, j in powers]
    cd = np.stack([terms[powers.index((1, 0))], terms[powers.index((0, 1))]], axis=-1)
    sip = np.zeros((2, degree + 1, degree + 1))
    for (i, j), term in zip(powers, np.linalg.solve(cd, terms.T).T, strict=True):
        sip[:, i, j] = term if i + j > 1 else 0
    return cd, Sip(*sip, None, None, crpix)


def measure_error(grid: PixelGrid, header: fits.Header, tables: list[Any], box: PixelBox) -> float:
    """
    Return the largest distance between a header and a WCS in a box, in pixels.

    The distance is infinite if astropy cannot read the header, or if only the WCS maps a point of
    the box to the sky.
    """
    axes = (
        np.linspace(low - 0.5, high + 0.5, min(2 * (high - low) + 3, CHECK_POINTS))
        for low, high in zip(box.blc, box.trc, strict=True)
    )
    x, y = (axis.ravel() for axis in np.meshgrid(*axes))
    try:
        found = _read(header, tables)
        values = found.world.values_in(grid.world, found.to_world(x, y))
    # Invalid headers raise many types of errors, not only those of astropy.wcs.
    except Exception:  # noqa: BLE001
        return np.inf
    points = grid.to_vectors(x, y)
    inverse, _ = pseudo_inverse(jacobian(grid.to_vectors, x, y, points))
    step = np.einsum("kmn,mn->kn", inverse, grid.world.vectors(values) - points)
    maps = np.isfinite(points).all(axis=0)
    error = np.hypot(*step)[maps]
    return float(error.max()) if maps.any() and np.isfinite(error).all() else np.inf


def _read(header: fits.Header, tables: list[Any]) -> PixelGrid:
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        # astropy warns, for example, if a header has a date in two forms.
        warnings.simplefilter("ignore")
        return PixelGrid(WCS(header.copy(), fits.HDUList([fits.PrimaryHDU(), *tables])))


def _finish(header: fits.Header, wcs: Any) -> fits.Header:
    """Remove cards that describe an HDU, and write CRPIX and CRVAL with all digits."""
    for keyword in _STRUCTURE:
        header.remove(keyword, ignore_missing=True)
    # wcslib drops digits, which can shift the position by more than 1e-6 pixels.
    for name, values in (("CRPIX", wcs.wcs.crpix), ("CRVAL", wcs.wcs.crval)):
        for i, value in enumerate(values.tolist(), 1):
            header[f"{name}{i}"] = value
    return header


def _number_tables(header: fits.Header, tables: list[Any], count: int) -> None:
    """Give each lookup table a unique number in the file, and update the keywords."""
    for number, table in enumerate(tables, count + 1):
        header[f"{_TABLES[table.name]}{table.ver}.EXTVER"] = number
        table.ver = number
