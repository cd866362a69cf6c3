"""Simulated scenes of sources, with exact positions from the full WCS of each image."""

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

# Bits of the flags. They are those of HST, so that scenes can use the good flags of HST.
HOT_PIXEL = 16
COSMIC_RAY = 4096

PSF_SIGMA = 0.07  # arcsec
SKY_RATE = 0.05  # electron / s / pixel
READ_NOISE = 3.0  # electron


@dataclass(frozen=True, eq=False)
class SimulatedImage:
    """
    A simulated image: pixels, WCS, other planes, and the true positions of the sources.

    Attributes
    ----------
    name : str
        Name of the image. It can be part of a file name.
    data, error : `~numpy.ndarray`
        Pixel values and their standard deviations, in ``unit``, float32, shape ``(ny, nx)``.
    wcs : `~astropy.wcs.WCS` or `~gwcs.wcs.WCS`
        The WCS, including the distortion.
    dq : `~numpy.ndarray`
        Flags of the pixels: 16 for a hot pixel and 4096 for a cosmic ray. The values in ``data``
        include both defects. The dtype is uint16, or uint32 for an image with a gwcs.
    weight : `~numpy.ndarray` or None
        Exposure time of each pixel of a combined image in s, float32. `None` for an exposure.
    unit : str
        Unit of ``data``: 'electron' for an exposure, 'electron / s' for a combined image.
    exptime : float
        Exposure time of the image in s.
    positions : `~numpy.ndarray`
        True 0-based pixel positions ``(x, y)`` of all sources of the scene, shape ``(N, 2)``. Some
        sources may lie off the image. The position of a source is NaN if its distance from the
        center of the image exceeds the length of the diagonal.
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
    A simulated combined image, exposures of the same sky, and the catalog of the true sources.

    Attributes
    ----------
    combined : `SimulatedImage`
        The combined image in electron / s. It has no distortion, and north is up.
    exposures : tuple of `SimulatedImage`
        The exposures in electron. They are distorted, rotated and dithered.
    truth : `~astropy.table.Table`
        Catalog with one row for each source. The columns are:

        - ``id``: number of the source, from 1;
        - ``kind``: 'star' or 'galaxy';
        - ``ra`` and ``dec``: ICRS coordinates in deg;
        - ``flux``: flux in electron / s;
        - ``sigma``: standard deviation along the major axis in arcsec;
        - ``axis_ratio``: ratio of the minor axis to the major axis;
        - ``theta``: position angle of the major axis, from north through east, in deg.

    segmentation : `~numpy.ndarray`
        Segmentation image of ``combined``, int32, shape ``(ny, nx)``. The value of a pixel is the
        ``id`` of the brightest source in the pixel. The value is 0 if the signal of this source is
        below 1.5 times the noise of the background.
    """

    combined: SimulatedImage
    exposures: tuple[SimulatedImage, ...]
    truth: Table
    segmentation: np.ndarray


def _project(ra: np.ndarray, dec: np.ndarray, ra0: np.ndarray, dec0: np.ndarray) -> np.ndarray:
    """Return gnomonic offsets in arcsec of positions in deg; the last axis is (east, north)."""
    dra = np.deg2rad(ra - ra0)
    dec = np.deg2rad(dec)
    dec0 = np.deg2rad(dec0)
    # Use half angles, because the usual formula is inaccurate near the reference position.
    bend = 2 * np.sin(dra / 2) ** 2 * np.cos(dec)
    depth = np.cos(dec - dec0) - bend * np.cos(dec0)
    offsets = [np.cos(dec) * np.sin(dra), np.sin(dec - dec0) + bend * np.sin(dec0)]
    return np.rad2deg(np.stack(offsets / np.where(depth > 0, depth, np.nan), axis=-1)) * 3600


def _find_positions(
    wcs: BaseLowLevelWCS, ra: np.ndarray, dec: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """
    Return the pixel positions of sources, and the Jacobian at each position.

    A Jacobian consists of the derivatives of the offset (east, north), in arcsec, by (x, y). The
    inverse of a WCS is not exact enough for true positions. The function therefore finds the
    positions by Newton's method on the transform from pixels to the sky.
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
            # Skip sources far off the image, because a distortion polynomial can move them to wrong
            # positions on the image.
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

    The sources are Gaussians on the sky. Two of five sources are stars, the others are elliptical
    galaxies. Every tenth source lies near the border of the combined image. Exposures are rotated
    and dithered, so that some sources lie on the edge of an exposure and others outside it. The
    background is zero on average.

    Parameters
    ----------
    n_sources : int, optional
        Number of sources.
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the combined image. Each exposure covers an area of similar size.
    seed : int, optional
        Seed of the random numbers. Equal arguments give equal scenes.
    exposures : sequence of str, optional
        Kind of the WCS of each exposure, at least one. See `make_wcs` for the kinds.
    center : tuple of float, optional
        Right ascension and declination of the center of the combined image, in deg.
    scale, exposure_scale : float, optional
        Pixel scales of the combined image and of the exposures, in arcsec.
    noise : bool, optional
        If `True`, all images contain noise, and the exposures contain hot pixels and cosmic rays.
        The sources are the same with and without noise.

    Returns
    -------
    scene : `Scene`
        The images, the catalog of the true sources, and a segmentation image.

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
    # Make exposures that are not square, so that tests can detect swapped axes.
    ny, nx = (round(n * scale / exposure_scale) for n in (0.9 * shape[0], shape[1]))
    images = []
    for i, kind in enumerate(exposures):
        # Use multiples of the golden angle (2.4 rad), which are evenly distributed for any number
        # of exposures.
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
        # The logarithms of the fluxes are uniformly distributed. Larger sources are brighter, so
        # that their pixels stand out from the noise.
        "flux": 10 ** rng.uniform(0.3, 2.0, n_sources) * major / PSF_SIGMA,
        "sigma": major,
        "axis_ratio": np.hypot(PSF_SIGMA, size * rng.uniform(0.3, 1.0, n_sources)) / major,
        "theta": np.where(star, 0.0, rng.uniform(0.0, 180.0, n_sources)),
    }
    units = {"ra": "deg", "dec": "deg", "flux": "electron / s", "sigma": "arcsec", "theta": "deg"}
    return Table(columns, units=units)


def _scatter(rng: Generator, n_sources: int, shape: tuple[int, int]) -> np.ndarray:
    """Return random positions ``(x, y)``, every tenth of them within 6 pixels of the border."""
    size = np.array(shape[::-1])
    spacing = 0.5 * np.sqrt(size.prod() / max(n_sources, 1))
    positions = np.empty((n_sources, 2))
    for i, position in enumerate(positions):
        # Draw positions until one is far enough from the others. Limit the number of draws, because
        # the border can be full. The last draw is then used.
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
    """Simulate an image with its segmentation image; ``rng`` adds noise and defects."""
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
    """Return positions of sources, and an iterator over id, slices and pixels of each one."""
    positions, jacobians = _find_positions(wcs, truth["ra"].data, truth["dec"].data)
    theta = np.deg2rad(truth["theta"].data)
    sin, cos = np.sin(theta), np.cos(theta)
    sigma = truth["sigma"].data * np.stack([np.ones(len(truth)), truth["axis_ratio"].data])
    # For each source, a matrix turns offsets in pixels into offsets along the axes of its ellipse,
    # in units of sigma. In these units, the source is round.
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
    """Integrate a Gaussian of unit flux over each pixel with 3 x 3 Gauss-Legendre points."""
    nodes, weights = np.polynomial.legendre.leggauss(3)
    y, x = (np.arange(axis.start, axis.stop)[:, None] + nodes / 2 for axis in box)
    x, y = x - position[0], y - position[1]
    u, v = (row[0] * x + row[1] * y[:, :, None, None] for row in whiten)
    integrals = np.einsum("yjxi,j,i->yx", np.exp(-(u**2 + v**2) / 2), weights / 2, weights / 2)
    return integrals * abs(np.linalg.det(whiten)) / (2 * np.pi)


def _spoil_pixels(rng: Generator, electrons: np.ndarray, dq: np.ndarray) -> None:
    """Add one hot pixel and one cosmic ray for every 5,000 pixels, and set their flags."""
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
    Make a segmentation image of many ellipses, evenly distributed over the image.

    The ellipses have positions in pixels only, without a WCS.

    Parameters
    ----------
    shape : tuple of int, optional
        Shape ``(ny, nx)`` of the image.
    n_sources : int, optional
        Number of ellipses, at most one for every 12 x 12 pixels. Each ellipse is 10 to 30 pixels
        wide and high.
    seed : int, optional
        Seed of the random numbers. Equal arguments give equal images.

    Returns
    -------
    segmentation : `~numpy.ndarray`
        Segmentation image, int32, shape ``(ny, nx)``. The ellipses do not overlap.
    catalog : `~astropy.table.Table`
        Catalog with one row for each ellipse. The column ``id`` is the number of the ellipse, from
        1. The columns ``x`` and ``y`` are the 0-based pixel position of the center.

    Examples
    --------
    >>> from subpixal.datasets import make_segmentation
    >>> segmentation, catalog = make_segmentation((300, 200), n_sources=40)
    >>> int(segmentation.max()), catalog.colnames
    (40, ['id', 'x', 'y'])
    """
    ny, nx = shape
    # Place at most one ellipse in each cell of a mesh, so that the ellipses cannot overlap. It
    # would take long to compare all pairs of ellipses.
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
