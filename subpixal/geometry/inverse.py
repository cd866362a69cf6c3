"""Inverting a forward transform: Newton's method on arrays of points.

The functions take and return arrays only. A forward function takes pixel
positions x, y of shape (N,) and returns points of shape (M, N), M >= 2, in
which straight distances are meaningful (unit vectors on the sky).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["jacobian", "newton", "pseudo_inverse"]

# Derivatives are renewed where a step leaves more than this part of what there was.
CHORD = 0.1

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Large against rounding of the forward transform, small against its curvature.
STEP = 0.1


def jacobian(forward: Forward, x, y, base=None, *, step: float = STEP) -> np.ndarray:
    """
    Jacobian of a forward function by forward differences.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` of shape (M, N).
    x, y : array of shape (N,)
        Pixel positions.
    base : array of shape (M, N), optional
        ``forward(x, y)`` where it is known already.
    step : float
        Difference in pixels.

    Returns
    -------
    array of shape (2, M, N)
        Derivatives by x and by y.
    """
    if base is None:
        base = forward(x, y)
    found = _differences(forward, x, y, base, step)
    lost = np.flatnonzero(np.isfinite(base).all(0) & ~np.isfinite(found).all((0, 1)))
    if lost.size:
        # Next to where the sky ends one side will do.
        back = _differences(forward, x[lost], y[lost], base[:, lost], -step)
        found[..., lost] = np.where(np.isfinite(found[..., lost]), found[..., lost], back)
    return found


def _differences(forward, x, y, base, step):
    # One call for all: a gwcs costs milliseconds a call and nothing a point.
    points = forward(np.concatenate([x + step, x]), np.concatenate([y, y + step]))
    return np.stack([points[:, : len(x)] - base, points[:, len(x) :] - base]) / step


def pseudo_inverse(derivatives: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    What turns a residual into the pixel step that removes it, by least squares.

    Parameters
    ----------
    derivatives : array of shape (2, M, N)
        By x and by y.

    Returns
    -------
    inverse : array of shape (2, M, N)
        The step is the sum over M of this times the residual.
    size : array of shape (N,)
        Length of the longer derivative.
    """
    jx, jy = derivatives
    a, b, c = (np.einsum("mn,mn->n", u, v) for u, v in ((jx, jx), (jx, jy), (jy, jy)))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        inverse = np.array([c * jx - b * jy, a * jy - b * jx]) / (a * c - b * b)
    return inverse, np.sqrt(np.maximum(a, c))


def newton(
    forward: Forward,
    target: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    *,
    accuracy: float,
    maxiter: int,
    max_step: float,
    close: float = 0.0,
    near: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Pixel positions whose forward transform is the target.

    Newton's method, on all points at once; a point leaves as soon as it closes.
    Derivatives serve for as long as a step removes most of what was left: a
    chord step costs one call of the forward function, new derivatives cost two
    more. No point depends on the others.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` of shape (M, N).
    target : array of shape (M, N)
        The points to reach.
    x, y : array of shape (N,)
        Where to start; NaN is given up.
    accuracy : float
        A point has closed with a step that is shorter than this, in pixels, and
        makes up for what was left.
    maxiter : int
        Largest number of steps.
    max_step : float
        Longest step in pixels; a longer one is shortened.
    close : float
        Residuals up to this length count as closed without a step.
    near : tuple of array, optional
        `pseudo_inverse` at points near the start points; NaN where not known.

    Returns
    -------
    x, y : array of shape (N,)
        The positions; NaN where they did not close.
    closed : array of bool, shape (N,)
    """
    x, y = np.array(x, float), np.array(y, float)
    closed = np.zeros(x.shape, bool)
    left = np.zeros(x.shape)
    if near is None:
        near = np.full((2, *target.shape), np.nan), np.full(x.shape, np.nan)
    inverse, size = near
    todo = np.arange(x.size)
    # A polynomial overflows where a start point is far off.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for taken in range(maxiter + 1):
            base = forward(x[todo], y[todo])
            residual = target[:, todo] - base
            before, left[todo] = left[todo], np.sqrt(np.einsum("mn,mn->n", residual, residual))
            closed[todo] = left[todo] <= close
            going = ~closed[todo] & np.isfinite(left[todo])
            if not going.all():
                todo, before, base, residual = (
                    todo[going], before[going], base[:, going], residual[:, going]
                )  # fmt: skip
            if not todo.size or taken == maxiter:
                break
            stale = np.isnan(size[todo])
            if taken:
                stale |= ~(left[todo] < CHORD * before)
            if stale.any():
                at = todo[stale]
                inverse[..., at], size[at] = pseudo_inverse(
                    jacobian(forward, x[at], y[at], base[:, stale])
                )
            step = np.einsum("kmn,mn->kn", inverse[..., todo], residual)
            length = np.hypot(*step)
            step *= np.minimum(1, max_step / np.maximum(length, 1e-300))
            x[todo] += step[0]
            y[todo] += step[1]
            # What is left across the surface no step removes, however short it is.
            closed[todo] = (length <= accuracy) & (left[todo] <= 2 * accuracy * size[todo])
            todo = todo[length > accuracy]
    x[~closed] = y[~closed] = np.nan
    return x, y, closed
