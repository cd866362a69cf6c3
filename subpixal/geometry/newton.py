"""Inverting a forward transform: Newton's method on arrays of points.

The functions take and return arrays only. A forward function takes pixel
positions x, y of shape (N,) and returns points of shape (M, N), M >= 2, in
which straight distances are meaningful (unit vectors on the sky).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

__all__ = ["jacobian", "newton", "pseudo_inverse", "tangents"]

# Derivatives are renewed where a step leaves more than this part of what there was.
CHORD = 0.1

# How short the last step is, in accuracies: a chord leaves a part of what it removes.
LAST = 0.1

Forward = Callable[[np.ndarray, np.ndarray], np.ndarray]

# Large against rounding of the forward transform, small against its curvature.
STEP = 0.1


def jacobian(forward: Forward, x, y, base, *, step: float = STEP) -> np.ndarray:
    """
    Jacobian of a forward function by forward differences, where its values are known.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` of shape (M, N).
    x, y : array of shape (N,)
        Pixel positions.
    base : array of shape (M, N)
        ``forward(x, y)``.
    step : float
        Difference in pixels.

    Returns
    -------
    array of shape (2, M, N)
        Derivatives by x and by y.
    """
    # One call for all: a gwcs costs milliseconds a call and nothing a point.
    points = forward(np.concatenate([x + step, x]), np.concatenate([y, y + step]))
    found = np.stack(np.split(points, 2, axis=1)) - base
    return _complete(forward, x, y, base, found / step, step)


def tangents(forward: Forward, x, y, *, step: float = STEP) -> tuple[np.ndarray, np.ndarray]:
    """
    Values of a forward function, and its Jacobian as `jacobian` has it, in one call.

    Parameters
    ----------
    forward, x, y, step
        As for `jacobian`.

    Returns
    -------
    points : array of shape (M, N)
    derivatives : array of shape (2, M, N)
    """
    points = forward(np.concatenate([x, x + step, x]), np.concatenate([y, y, y + step]))
    base, *others = np.split(points, 3, axis=1)
    return base, _complete(forward, x, y, base, (np.stack(others) - base) / step, step)


def _complete(forward, x, y, base, found, step) -> np.ndarray:
    """Derivatives, from the other side where one side is beyond the end of the sky."""
    lost = np.flatnonzero(np.isfinite(base).all(0) & ~np.isfinite(found).all((0, 1)))
    if lost.size:
        left, below = np.split(
            forward(
                np.concatenate([x[lost] - step, x[lost]]), np.concatenate([y[lost], y[lost] - step])
            ),
            2, axis=1,
        )  # fmt: skip
        back = (base[:, lost] - np.stack([left, below])) / step
        found[..., lost] = np.where(np.isfinite(found[..., lost]), found[..., lost], back)
    return found


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
    common: tuple[np.ndarray, float] | None = None,
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
    common : tuple, optional
        `pseudo_inverse`, of shape (2, M) and a number, that all points start with.

    Returns
    -------
    x, y : array of shape (N,)
        The positions; NaN where they did not close.
    closed : array of bool, shape (N,)
    """
    x, y = np.array(x, float), np.array(y, float)
    closed, left, last = np.zeros(x.shape, bool), np.zeros(x.shape), np.zeros((2, *x.shape))
    inverse, size = _start_with(common, target.shape)
    todo = np.arange(x.size)
    # A polynomial overflows where a start point is far off.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for taken in range(maxiter + 1):
            # A view is enough where all points are meant.
            here = todo if taken else slice(None)
            base = forward(x[here], y[here])
            residual = target[:, here] - base
            length = np.sqrt(np.einsum("mn,mn->n", residual, residual))
            before, left[here], closed[here] = left[todo], length, length <= close
            beyond = _step_back(todo, before, left, last, x, y, accuracy) if taken else todo[:0]
            going = (length > close) & np.isfinite(length)
            if not going.all():
                here = todo = todo[going]
                before, base, residual = before[going], base[:, going], residual[:, going]
            if taken == maxiter or not (todo.size or beyond.size):
                break
            stale = ~(left[here] < CHORD * before) if taken else np.isnan(size[here])
            if stale.any():
                at = todo[stale]
                inverse = inverse if inverse.flags.writeable else inverse.copy()
                renewed = pseudo_inverse(jacobian(forward, x[at], y[at], base[:, stale]))
                inverse[..., at], size[at] = renewed
            step = np.einsum("kmn,mn->kn", inverse[..., here], residual)
            length = np.hypot(*step)
            long = length > max_step
            if long.any():
                step[:, long] *= max_step / length[long]
            x[here] += step[0]
            y[here] += step[1]
            last[:, here] = step
            # What is left across the surface no step removes, however short it is.
            short = length <= LAST * accuracy
            closed[here] = short & (left[here] <= 2 * accuracy * size[here])
            todo = np.concatenate([todo[~short], beyond])
    x[~closed] = y[~closed] = np.nan
    return x, y, closed


def _start_with(common, shape) -> tuple[np.ndarray, np.ndarray]:
    """Pseudo-inverses of all points to begin with; NaN where there are none."""
    inverse, size = (np.full((2, shape[0]), np.nan), np.nan) if common is None else common
    return np.broadcast_to(inverse[..., None], (2, *shape)), np.full(shape[1], size)


def _step_back(todo, before, left, last, x, y, accuracy) -> np.ndarray:
    """Points that a step has brought to where there is no sky, after half of that step."""
    lost = np.isnan(left[todo]) & (np.hypot(*last[:, todo]) > accuracy)
    beyond = todo[lost]
    last[:, beyond] /= 2
    x[beyond] -= last[0, beyond]
    y[beyond] -= last[1, beyond]
    left[beyond] = before[lost]
    return beyond
