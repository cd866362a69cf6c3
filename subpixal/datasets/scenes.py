"""Scenes of simulated sources, drawn through the full WCS of each image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from astropy.table import Table
from astropy.wcs import WCS

from .wcs import make_wcs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from astropy.wcs.wcsapi import BaseLowLevelWCS
    from numpy.random import Generator

__all__ = ["Scene", "SimulatedImage", "make_scene", "make_segmentation"]

# Flag bits of HST, so that the good flags of HST apply to scenes, too.
HOT_PIXEL = 16
COSMIC_RAY = 4096

PSF_SIGMA = 0.07  # arcsec
SKY_RATE = 0.05  # electron / s / pixel
READ_NOISE = 3.0  # electron


@dataclass(frozen=True, eq=False)
class SimulatedImage:
    """
    A simulated image with its planes and the true positions of the sources.

    Attributes
    ----------
    name : str
        Name of the image, usable as part of a file name.
    data, error : `~numpy.ndarray`
        Pixels and their standard deviations, float32, shape ``(ny, nx)``, in ``unit``.
    wcs : `~astropy.wcs.WCS` or `~gwcs.wcs.WCS`
        The WCS, distortion included.
    dq : `~numpy.ndarray`
        Flags: 16 (hot pixel) and 4096 (cosmic ray), both present in ``data``. The type is uint16,
        for gwcs uint32.
    weight : `~numpy.ndarray` or None
        Exposure time of each pixel of a combined image in s, float32. `None` for an exposure.
    unit : str
        Unit of ``data``: 'electron', for a combined image 'electron / s'.
    exptime : float
        Exposure time in s.
    positions : `~numpy.ndarray`
        True 0-based pixel positions ``(x, y)`` of all sources of the scene, shape ``(N, 2)``, also
        of sources off the image. NaN if the distance from the center exceeds the diagonal.
    """

    name: str
    data: np.ndarray
    wcs: BaseLowLevelWCS
    error: np.ndarray
    dq: np.ndarray
    weight: np.ndarray | None
    unit: str
    exptime: float
    positions: np.ndarray


@dataclass(frozen=True, eq=False)
class Scene:
    """
    A combined image, exposures of the same sky, and the true sources.

    Attributes
    ----------
    combined : `SimulatedImage`
        The combined image: undistorted, north up, in electron / s.
    exposures : tuple of `SimulatedImage`
        Distorted, rotated and dithered exposures, in electron.
    truth : `~astropy.table.Table`
        One row per source: ``id`` (from 1), ``kind`` ('star' or 'galaxy'), ``ra`` and ``dec``
        (ICRS, deg), ``flux`` (electron / s), ``sigma`` (of the major axis, arcsec), ``axis_ratio``
        and ``theta`` (position angle of the major axis, from north through east, deg).
    segmentation : `~numpy.ndarray`
        Segmentation image of ``combined``, int32, shape ``(ny, nx)``. A pixel has the ``id`` of its
        brightest source, or 0 if that source is below 1.5 times the noise of the background.
    """

    combined: SimulatedImage
    exposures: tuple[SimulatedImage, ...]
    truth: Table
    segmentation: np.ndarray


def _project(ra: np.ndarray, dec: np.ndarray, ra0: np.ndarray, dec0: np.ndarray) -> np.ndarray:
    """Return gnomonic offsets (east, north; last axis) in arcsec of positions in deg."""
    dra = np.deg2rad(ra - ra0)
    dec = np.deg2rad(dec)
    dec0 = np.deg2rad(dec0)
    # Use half angles, because the textbook formula loses digits near the reference.
    bend = 2 * np.sin(dra / 2) ** 2 * np.cos(dec)
    depth = np.cos(dec - dec0) - bend * np.cos(dec0)
    offsets = [np.cos(dec) * np.sin(dra), np.sin(dec - dec0) + bend * np.sin(dec0)]
    return np.rad2deg(np.stack(offsets / np.where(depth > 0, depth, np.nan), axis=-1)) * 3600


def _find_positions(
    wcs: BaseLowLevelWCS, ra: np.ndarray, dec: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return pixel positions of sources, and the Jacobians at these positions.

    A Jacobian has the derivatives of the offset (east, north), in arcsec, by (x, y). Newton's
    method on the forward transform finds the positions, because the inverses of WCSs are not exact
    enough for the truth.
    """
    size = np.array(wcs.pixel_shape)
    positions = np.tile((size - 1) / 2, (len(ra), 1))
    jacobians = np.full((len(ra), 2, 2), np.nan)
    steps = np.full(len(ra), np.inf)
    near = np.arange(len(ra))
    nodes = np.array([[0, 0], [0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]])
    for iteration in range(20):
        x, y = np.moveaxis(positions[near] + nodes[:, None], -1, 0)
        is_fits = isinstance(wcs, WCS)
        lon, lat = wcs.all_pix2world(x, y, 0) if is_fits else wcs(x, y, with_bounding_box=False)
        offset, right, left, up, down = _project(lon, lat, ra[near], dec[near])
        jacobians[near] = np.stack([right - left, up - down], axis=-1)
        step = np.linalg.solve(jacobians[near], offset[..., None])[..., 0]
        positions[near] -= step
        steps[near] = np.hypot(*step.T)
        if iteration == 0:
            # A polynomial can map positions far off the image back into the image.
            near = np.flatnonzero(steps < np.hypot(*size))
        elif np.all(steps[near] < 1e-8):
            break
    positions[~(steps < 1e-6)] = np.nan
    return positions, jacobians


def make_scene(
    n_sources: int = 60,
    shape: tuple[int, int] = (512, 512),
    seed: int = 1,
    exposures: Sequence[str] = ("sip", "lookup", "gwcs"),
    *,
    center: tuple[float, float] = (150.1, 2.2),
    scale: float = 0.04,
    exposure_scale: float = 0.06,
    noise: bool = True,
) -> Scene:
    """
    Simulate a combined image and distorted exposures of stars and galaxies.

    Sources are Gaussians on the sky. Two in five are stars, the others are elliptical galaxies.
    Every tenth source lies on the border of the combined image. Exposures are rotated and dithered,
    so that their edges cut some sources and exclude others. The background is zero on average.

    Parameters
    ----------
    n_sources : int, optional
        Number of sources.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the combined image. Exposures are about as large on the sky.
    seed : int, optional
        Seed of the random numbers. Equal arguments give equal scenes.
    exposures : sequence of str, optional
        Kinds of the WCSs of the exposures, at least one, see `make_wcs`.
    center : tuple of float, optional
        Right ascension and declination of the center of the combined image, in deg.
    scale, exposure_scale : float, optional
        Pixel scale of the combined image and of the exposures, in arcsec.
    noise : bool, optional
        Whether to add noise, hot pixels and cosmic rays. The sources do not depend on this choice.

    Returns
    -------
    scene : `Scene`
        The images, the true catalog and a segmentation image.

    Examples
    --------
    >>> from subpixal.datasets import make_scene
    >>> scene = make_scene(n_sources=20, shape=(200, 200), exposures=["sip"])
    >>> scene.combined.data.shape, scene.exposures[0].positions.shape
    ((200, 200), (20, 2))
    """
    rng = np.random.default_rng(seed)
    wcs = make_wcs("tan", shape, center, scale)
    truth = _make_truth(rng, n_sources, wcs)
    noise_rng = rng if noise else None
    times = 500.0 + 100.0 * np.arange(len(exposures))
    y, x = (np.linspace(-1, 1, n) for n in shape)
    weight = times.sum() * (1 - 0.15 * np.add.outer(y**2, x**2))
    combined, labels = _make_image(noise_rng, truth, "combined", wcs, times.sum(), weight)
    # Exposures are not square, so that a swap of the axes becomes visible.
    ny, nx = (round(n * scale / exposure_scale) for n in (0.9 * shape[0], shape[1]))
    images = []
    for i, kind in enumerate(exposures):
        # Multiples of the golden angle (2.4 rad) cover all directions evenly for any number.
        dither = 0.15 * np.array([np.cos(2.4 * i), np.sin(2.4 * i)])
        pointing = wcs.all_pix2world([(0.5 + dither) * shape[::-1]], 0)[0]
        exposure_wcs = make_wcs(kind, (ny, nx), pointing, exposure_scale, 25.0 + 47.0 * i)
        name = f"exposure{i + 1}-{kind}"
        images.append(_make_image(noise_rng, truth, name, exposure_wcs, times[i])[0])
    return Scene(combined, tuple(images), truth, labels)


def _make_truth(rng: Generator, n_sources: int, wcs: WCS) -> Table:
    world = wcs.all_pix2world(_scatter(rng, n_sources, wcs.array_shape), 0)
    star = np.arange(n_sources) % 5 < 2
    size = np.where(star, 0.0, rng.uniform(0.08, 0.3, n_sources))
    major = np.hypot(PSF_SIGMA, size)
    columns = {
        "id": np.arange(n_sources) + 1,
        "kind": np.where(star, "star", "galaxy"),
        "ra": world[:, 0],
        "dec": world[:, 1],
        # Fluxes are uniform in decades. Larger sources are brighter, so that they are detectable.
        "flux": 10 ** rng.uniform(0.3, 2.0, n_sources) * major / PSF_SIGMA,
        "sigma": major,
        "axis_ratio": np.hypot(PSF_SIGMA, size * rng.uniform(0.3, 1.0, n_sources)) / major,
        "theta": np.where(star, 0.0, rng.uniform(0.0, 180.0, n_sources)),
    }
    units = {"ra": "deg", "dec": "deg", "flux": "electron / s", "sigma": "arcsec", "theta": "deg"}
    return Table(columns, units=units)


def _scatter(rng: Generator, n_sources: int, shape: tuple[int, int]) -> np.ndarray:
    """Return separate positions ``(x, y)``, every tenth within 6 pixels of the border."""
    size = np.array(shape[::-1])
    spacing = 0.5 * np.sqrt(size.prod() / max(n_sources, 1))
    positions = np.empty((n_sources, 2))
    for i, position in enumerate(positions):
        # Limit the number of draws, because a border can be full. The last draw is then used.
        for _ in range(200):
            position[:] = rng.uniform(-0.5, size - 0.5)
            if i % 10 == 9:
                axis = rng.integers(2)
                position[axis] = rng.choice([0, size[axis] - 1]) + rng.uniform(-6, 6)
            if np.all(np.hypot(*(positions[:i] - position).T) > spacing):
                break
    return positions


def _make_image(
    rng: Generator | None,
    truth: Table,
    name: str,
    wcs: BaseLowLevelWCS,
    exptime: float,
    weight: np.ndarray | None = None,
) -> tuple[SimulatedImage, np.ndarray]:
    """Simulate an image and its segmentation image, with noise and defects if ``rng`` is given."""
    shape = wcs.array_shape
    depth = np.full(shape, exptime) if weight is None else weight
    positions, stamps = _draw_sources(truth, wcs)
    model = np.zeros(shape)
    brightest = np.zeros(shape)
    labels = np.zeros(shape, np.int32)
    for label, slices, pixels in stamps:
        model[slices] += pixels * depth[slices]
        labels[slices][pixels > brightest[slices]] = label
        np.maximum(brightest[slices], pixels, out=brightest[slices])
    sky = SKY_RATE * depth
    labels[brightest * depth < 1.5 * np.sqrt(sky + READ_NOISE**2)] = 0
    data = model
    error = np.sqrt(model + sky + READ_NOISE**2)
    dq = np.zeros(shape, np.uint16 if isinstance(wcs, WCS) else np.uint32)
    if rng is not None:
        data = rng.poisson(model + sky) - sky + rng.normal(0, READ_NOISE, shape)
    unit = "electron"
    if weight is not None:
        data = data / depth
        error = error / depth
        unit = "electron / s"
    elif rng is not None:
        _spoil_pixels(rng, data, dq)
    image = SimulatedImage(
        name=name,
        data=data.astype(np.float32),
        wcs=wcs,
        error=error.astype(np.float32),
        dq=dq,
        weight=None if weight is None else weight.astype(np.float32),
        unit=unit,
        exptime=float(exptime),
        positions=positions,
    )
    return image, labels


def _draw_sources(truth: Table, wcs: BaseLowLevelWCS) -> tuple[np.ndarray, Iterator[tuple]]:
    """Return positions on an image, and an iterator over id, slices and pixels of each source."""
    positions, jacobians = _find_positions(wcs, truth["ra"].data, truth["dec"].data)
    theta = np.deg2rad(truth["theta"].data)
    sin, cos = np.sin(theta), np.cos(theta)
    sigma = truth["sigma"].data * np.stack([np.ones(len(truth)), truth["axis_ratio"].data])
    # Matrices from offsets in pixels to offsets along the axes of the ellipse, in units of sigma.
    # Sources are round in these units.
    whiten = np.moveaxis([[sin, cos], [cos, -sin]] / sigma[:, None], -1, 0) @ jacobians
    on = np.flatnonzero(np.isfinite(positions).all(axis=1))
    reach = 5 * np.linalg.norm(np.linalg.inv(whiten[on]), axis=2)
    shape = np.array(wcs.pixel_shape)
    start = np.clip(np.floor(positions[on] - reach), 0, shape).astype(int)
    stop = np.clip(np.ceil(positions[on] + reach) + 1, 0, shape).astype(int)
    corners = zip(on, start, stop, strict=True)
    boxes = [(i, (slice(y0, y1), slice(x0, x1))) for i, (x0, y0), (x1, y1) in corners]
    return positions, (
        (truth["id"][i], box, truth["flux"][i] * _integrate_gaussian(positions[i], whiten[i], box))
        for i, box in boxes
    )


def _integrate_gaussian(
    position: np.ndarray, whiten: np.ndarray, box: tuple[slice, slice]
) -> np.ndarray:
    """Integrate a Gaussian of unit flux over pixels, by 3 x 3 Gauss-Legendre points."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    y, x = (np.arange(axis.start, axis.stop)[:, None] + nodes / 2 for axis in box)
    x, y = x - position[0], y - position[1]
    u, v = (row[0] * x + row[1] * y[:, :, None, None] for row in whiten)
    integrals = np.einsum("yjxi,j,i->yx", np.exp(-(u**2 + v**2) / 2), weights / 2, weights / 2)
    return integrals * abs(np.linalg.det(whiten)) / (2 * np.pi)


def _spoil_pixels(rng: Generator, electrons: np.ndarray, dq: np.ndarray) -> None:
    """Add hot pixels and cosmic rays, one of each per 5,000 pixels, and flag them."""
    ny, nx = dq.shape
    n_defects = max(3, dq.size // 5000)
    hot = rng.integers(ny, size=n_defects), rng.integers(nx, size=n_defects)
    electrons[hot] += rng.uniform(500, 5000, n_defects)
    dq[hot] |= HOT_PIXEL
    for _ in range(n_defects):
        along = np.arange(0, rng.exponential(4) + 1, 0.5)
        angle = rng.uniform(0, np.pi)
        x = (rng.uniform(0, nx) + along * np.cos(angle)).astype(int)
        y = (rng.uniform(0, ny) + along * np.sin(angle)).astype(int)
        track = (x >= 0) & (x < nx) & (y < ny)
        electrons[y[track], x[track]] += rng.uniform(300, 3000)
        dq[y[track], x[track]] |= COSMIC_RAY


def make_segmentation(
    shape: tuple[int, int] = (4096, 4096), n_sources: int = 10_000, seed: int = 1
) -> tuple[np.ndarray, Table]:
    """
    Make a segmentation image of many ellipses at constant density, without a sky.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the image.
    n_sources : int, optional
        Number of ellipses, at most one per 12 x 12 pixels. They are 10 to 30 pixels wide and high.
    seed : int, optional
        Seed of the random numbers. Equal arguments give equal images.

    Returns
    -------
    segmentation : `~numpy.ndarray`
        Segmentation image, int32, shape ``(ny, nx)``; the segments do not overlap.
    catalog : `~astropy.table.Table`
        Columns ``id`` (from 1) and ``x``, ``y``, the 0-based centers of the ellipses in pixels.

    Examples
    --------
    >>> from subpixal.datasets import make_segmentation
    >>> segmentation, catalog = make_segmentation((300, 200), n_sources=40)
    >>> int(segmentation.max()), catalog.colnames
    (40, ['id', 'x', 'y'])
    """
    ny, nx = shape
    # Place one source in each cell of a mesh, because a comparison of all pairs is slow.
    columns = max(1, round(np.sqrt(n_sources * nx / ny)))
    rows = max(1, -(-n_sources // columns))
    cell = np.array([nx / columns, ny / rows])
    if cell.min() < 12:
        msg = (
            f"n_sources must leave 12 x 12 pixels for each source, got {n_sources} sources in an "
            f"image of {nx} x {ny} pixels"
        )
        raise ValueError(msg)
    rng = np.random.default_rng(seed)
    number = np.sort(rng.choice(columns * rows, n_sources, replace=False))
    corner = np.stack([number % columns, number // columns], axis=1) * cell - 0.5
    axes = rng.uniform(5.5, np.minimum(14.5, cell / 2 - 0.25), (n_sources, 2))
    centers = corner + axes + (cell - 2 * axes) * rng.random((n_sources, 2))
    segmentation = np.zeros(shape, np.int32)
    for label, center, (a, b) in zip(range(1, n_sources + 1), centers, axes, strict=True):
        x, y = (np.arange(np.ceil(c - r), c + r) - c for c, r in zip(center, (a, b), strict=True))
        x0, y0 = np.ceil(center - (a, b)).astype(int)
        inside = (x / a) ** 2 + (y[:, None] / b) ** 2 <= 1
        segmentation[y0 : y0 + y.size, x0 : x0 + x.size][inside] = label
    return segmentation, Table([np.arange(n_sources) + 1, *centers.T], names=("id", "x", "y"))
