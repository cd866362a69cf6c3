"""WCSs as FITS headers, with the error that they were measured to have.

What a header cannot say exactly, as that of a gwcs, is fitted. Nothing is
written before it has been read again and compared.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
from astropy.io import fits

from subpixal.geometry import (
    FITSAdapter,
    PixelBox,
    PixelGrid,
    jacobian,
    low_level_wcs,
    offset_wcs,
    pseudo_inverse,
)

__all__ = ["LARGEST", "sky_header"]

# An error that nobody can tell from none, and the largest one that is written, in pixels.
NONE = 1e-6

LARGEST = 0.01

# Of the SIP polynomials of a fit, and the points along each axis that it is made at.
DEGREES = (3, 5, 7)

NODES = 21

# Points along each axis at which a header is compared; every pixel of a small cutout.
CHECKS = 65

_STRUCTURE = ("SIMPLE", "BITPIX", "NAXIS", "EXTEND")

_TABLES = {"WCSDVARR": "DP", "D2IMARR": "D2IM"}


def sky_header(wcs, box: PixelBox, name: str, tables: list) -> fits.Header:
    """
    Header that describes a WCS in a part of its pixel grid.

    Parameters
    ----------
    wcs : object
        APE 14 WCS of two pixel axes, low or high level.
    box : PixelBox
        The pixels for which the header must be right.
    name : str
        What the WCS is called in errors.
    tables : list of HDU
        All lookup tables of the file; those that the header refers to are
        appended.

    Returns
    -------
    `~astropy.io.fits.Header`
        Cards of the WCS, without any of the structure of an HDU. ``WCSFIT`` says
        whether it is a fit, ``WCSERR`` is the largest error in pixels.

    Raises
    ------
    ValueError
        If no header is right to 0.01 pixels.
    """
    sky = PixelGrid(wcs, box.shape)
    best, error = None, np.inf
    for fitted, made in _headers(sky, box):
        own = measure_error(sky, *made, box)
        if own < error:
            best, error = (fitted, *made), own
        if error <= NONE:
            break
    if not error <= LARGEST:
        found = "there is none" if best is None else f"the best has an error of {error:.2g}"
        msg = (
            f"the WCS of {name} has no FITS header that is right to {LARGEST} pixels over "
            f"{box.width}x{box.height} pixels: {found}; format='asdf' keeps it as it is"
        )
        raise ValueError(msg)
    fitted, header, own_tables = best
    _number_tables(header, own_tables, len(tables))
    tables.extend(own_tables)
    header["WCSFIT"] = fitted, "whether the WCS is a TAN-SIP fit"
    header["WCSERR"] = float(f"{error:.1e}"), "[pixel] largest error of the WCS"
    return header


def _headers(sky: PixelGrid, box: PixelBox) -> Iterator[tuple[bool, tuple]]:
    """Whether it is a fit, header and tables, the simplest first."""
    exact = _write_exactly(sky, box)
    if exact is not None:
        yield False, exact
    if sky.world.is_sky:
        yield from ((True, (header, [])) for header in _fits(sky, box))


def _write_exactly(sky: PixelGrid, box: PixelBox):
    """Header and tables of a FITS WCS, `None` for any other or where astropy cannot write it."""
    # A wrapper that does nothing but move the origin becomes a FITS WCS.
    wcs = low_level_wcs(offset_wcs(sky.wcs, (0, 0), box.shape))
    if not FITSAdapter.handles(wcs):
        return None
    try:
        # The primary description, also of one that was read as an alternate.
        primary, *tables = wcs.to_fits(relax=True, key=" ")
    # astropy has no common error for what it cannot write.
    except Exception:  # noqa: BLE001
        return None
    return _finish(primary.header, wcs), tables


def _fits(sky: PixelGrid, box: PixelBox) -> Iterator[fits.Header]:
    """Headers of tangential projections with SIP polynomials that fit best in a box."""
    from astropy.wcs.utils import celestial_frame_to_wcs

    try:
        wcs = celestial_frame_to_wcs(sky.world.frame, projection="TAN")
    except ValueError:
        return
    # Closer towards the borders, where a fit otherwise is worst.
    nodes = np.cos(np.linspace(0, np.pi, NODES))
    u, v = (grid.ravel() for grid in np.meshgrid(nodes, nodes))
    center, half = np.array(box.center), np.array(box.naxis) / 2
    x, y = np.append(u, 0) * half[0] + center[0], np.append(v, 0) * half[1] + center[1]
    lon, lat = np.degrees(sky.world.lonlat(sky.to_world(x, y)))
    if not (np.isfinite(lon) & np.isfinite(lat)).all():
        return
    wcs.wcs.crval = lon[-1], lat[-1]
    # The default is another one at a pole.
    wcs.wcs.lonpole = 180.0
    wcs.wcs.crpix, wcs.wcs.cd = (1, 1), np.eye(2)
    plane = np.stack(wcs.wcs_world2pix(lon[:-1], lat[:-1], 0), axis=-1)
    wcs.wcs.crpix = center + 1
    wcs.wcs.ctype = [f"{ctype}-SIP" for ctype in wcs.wcs.ctype]
    for degree in DEGREES:
        wcs.wcs.cd, wcs.sip = _fit_sip(u, v, plane, half, degree, wcs.wcs.crpix)
        yield _finish(wcs.to_header(relax=True), wcs)


def _fit_sip(u, v, plane, half, degree: int, crpix):
    """
    Matrix and SIP polynomials that take offsets from the centre to the tangential plane.

    `astropy.wcs.utils.fit_wcs_from_points` searches for what is the solution of
    linear equations, and finds it less precisely.
    """
    from astropy.wcs import Sip

    powers = [(i, n - i) for n in range(1, degree + 1) for i in range(n + 1)]
    # Offsets in units of half the size, where powers are of one order.
    basis = np.stack([u**i * v**j for i, j in powers], axis=-1)
    solution = np.linalg.lstsq(basis, plane, rcond=None)[0]
    terms = solution / [[half[0] ** i * half[1] ** j] for i, j in powers]
    cd = np.stack([terms[powers.index((1, 0))], terms[powers.index((0, 1))]], axis=-1)
    sip = np.zeros((2, degree + 1, degree + 1))
    for (i, j), term in zip(powers, np.linalg.solve(cd, terms.T).T, strict=True):
        sip[:, i, j] = term if i + j > 1 else 0
    return cd, Sip(*sip, None, None, crpix)


def measure_error(sky: PixelGrid, header: fits.Header, tables: list, box: PixelBox) -> float:
    """
    Largest distance, in pixels of a box, of where a header and a WCS put a position.

    Infinite if the header cannot be read, or leaves positions out that the WCS has.
    """
    x, y = (
        grid.ravel()
        for grid in np.meshgrid(
            *(
                np.linspace(low - 0.5, high + 0.5, min(2 * (high - low) + 3, CHECKS))
                for low, high in zip(box.blc, box.trc, strict=True)
            )
        )
    )

    def forward(x, y):
        return sky.world.vectors(sky.to_world(x, y))

    try:
        found = _read(header, tables)
        values = found.world.values_in(sky.world, found.to_world(x, y))
    # A header can be wrong in more ways than astropy.wcs has errors for.
    except Exception:  # noqa: BLE001
        return np.inf
    points = forward(x, y)
    inverse, _ = pseudo_inverse(jacobian(forward, x, y, points))
    step = np.einsum("kmn,mn->kn", inverse, sky.world.vectors(values) - points)
    there = np.isfinite(points).all(axis=0)
    error = np.hypot(*step)[there]
    return float(error.max()) if there.any() and np.isfinite(error).all() else np.inf


def _read(header: fits.Header, tables: list) -> PixelGrid:
    from astropy.wcs import WCS

    with warnings.catch_warnings():
        # That dates are told in two ways, and the like.
        warnings.simplefilter("ignore")
        return PixelGrid(WCS(header.copy(), fits.HDUList([fits.PrimaryHDU(), *tables])))


def _finish(header: fits.Header, wcs) -> fits.Header:
    """Header without the structure of an HDU, and with all the digits that it can hold."""
    for keyword in _STRUCTURE:
        header.remove(keyword, ignore_missing=True)
    # What wcslib leaves out of a longitude can be more than 1e-6 pixels.
    for name, values in (("CRPIX", wcs.wcs.crpix), ("CRVAL", wcs.wcs.crval)):
        for i, value in enumerate(values.tolist(), 1):
            header[f"{name}{i}"] = value
    return header


def _number_tables(header: fits.Header, tables: list, count: int) -> None:
    """Give lookup tables, and what refers to them, numbers that nobody else in a file has."""
    for number, table in enumerate(tables, count + 1):
        header[f"{_TABLES[table.name]}{table.ver}.EXTVER"] = number
        table.ver = number
