"""
Newton's method, to find pixel positions from points of the world.

The functions take and return plain arrays. They invert a forward function, which takes pixel
positions x, y of shape (N,) and returns points of shape (M, N), M >= 2. The straight distance
between two points must be a meaningful distance. Unit vectors on the sky are such points.
"""

from __future__ import annotations

import numpy as np

from .array_types import BoolArray, FloatArray, Forward, IntArray

__all__ = ["jacobian", "newton", "pseudo_inverse", "tangents"]

# Step in pixels for the numerical derivatives. Over this step, the forward function changes much
# more than its rounding errors, and its derivatives hardly change.
STEP = 0.1

# The derivatives at a point are computed again if a step leaves more than this fraction of the
# residual.
JACOBIAN_REUSE = 0.1

# Largest length of the last step, in units of the accuracy. The value is less than 1, because a
# step with earlier derivatives leaves a fraction of the residual.
FINAL_STEP = 0.1


def jacobian(
    forward: Forward, x: FloatArray, y: FloatArray, base: FloatArray, *, step: float = STEP
) -> FloatArray:
    """
    Return the Jacobian of a forward function at positions where its values are known.

    Parameters
    ----------
    forward : callable
        Forward function. ``forward(x, y)`` returns points of shape (M, N).
    x, y : array of shape (N,)
        Pixel positions.
    base : array of shape (M, N)
        Known values of ``forward(x, y)``.
    step : float
        Step of the differences, in pixels.

    Returns
    -------
    array of shape (2, M, N)
        Derivatives by x and by y.
    """
    # Use one call for all points, because each call of a gwcs takes milliseconds for any number of
    # points.
    points = forward(np.concatenate([x + step, x]), np.concatenate([y, y + step]))
    derivatives = (np.stack(np.split(points, 2, axis=1)) - base) / step
    return _use_other_side(forward, x, y, base, derivatives, step)


def tangents(
    forward: Forward, x: FloatArray, y: FloatArray, *, step: float = STEP
) -> tuple[FloatArray, FloatArray]:
    """
    Return the values of a forward function and its Jacobian, from one call of the function.

    Parameters
    ----------
    forward, x, y, step
        As for `jacobian`.

    Returns
    -------
    points : array of shape (M, N)
        Values of ``forward(x, y)``.
    derivatives : array of shape (2, M, N)
        Derivatives by x and by y.
    """
    points = forward(np.concatenate([x, x + step, x]), np.concatenate([y, y, y + step]))
    base, *others = np.split(points, 3, axis=1)
    derivatives = (np.stack(others) - base) / step
    return base, _use_other_side(forward, x, y, base, derivatives, step)


def _use_other_side(
    forward: Forward,
    x: FloatArray,
    y: FloatArray,
    base: FloatArray,
    derivatives: FloatArray,
    step: float,
) -> FloatArray:
    """Replace derivatives that are not finite by backward differences, in place."""
    # A forward difference is NaN if the step leads to a pixel position that is not on the sky.
    lost = np.flatnonzero(np.isfinite(base).all(0) & ~np.isfinite(derivatives).all((0, 1)))
    if lost.size:
        u, v = x[lost], y[lost]
        points = forward(np.concatenate([u - step, u]), np.concatenate([v, v - step]))
        backward = (base[:, lost] - np.stack(np.split(points, 2, axis=1))) / step
        forward_differences = derivatives[..., lost]
        derivatives[..., lost] = np.where(
            np.isfinite(forward_differences), forward_differences, backward
        )
    return derivatives


def pseudo_inverse(derivatives: FloatArray) -> tuple[FloatArray, FloatArray]:
    """
    Return the pseudo-inverse of the Jacobian at each point.

    The pseudo-inverse turns the residual of a point into a step in pixels.

    Parameters
    ----------
    derivatives : array of shape (2, M, N)
        Derivatives by x and by y.

    Returns
    -------
    inverse : array of shape (2, M, N)
        Pseudo-inverses. The step in pixels is the sum over M of pseudo-inverse times residual.
    length : array of shape (N,)
        Length of the longer of the two derivatives at each point.
    """
    jx, jy = derivatives
    a, b, c = (np.einsum("mn,mn->n", u, v) for u, v in ((jx, jx), (jx, jy), (jy, jy)))
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        inverse = np.array([c * jx - b * jy, a * jy - b * jx]) / (a * c - b * b)
    return inverse, np.sqrt(np.maximum(a, c))


def newton(
    forward: Forward,
    target: FloatArray,
    x: FloatArray,
    y: FloatArray,
    *,
    accuracy: float,
    maxiter: int,
    max_step: float,
    close: float = 0.0,
    common: tuple[FloatArray, float] | None = None,
) -> tuple[FloatArray, FloatArray, BoolArray]:
    """
    Find the pixel positions at which a forward function has given values.

    The function computes each step for all points at once. A point that has converged takes no
    further steps. A point keeps its derivatives as long as each step removes most of the residual.
    A step with earlier derivatives needs one value of the forward function. New derivatives need
    two more values. The result for a point does not depend on the other points.

    Parameters
    ----------
    forward : callable
        Forward function. ``forward(x, y)`` returns points of shape (M, N).
    target : array of shape (M, N)
        Values of the forward function at the unknown positions.
    x, y : array of shape (N,)
        Start positions. The search fails for a start position that is NaN.
    accuracy : float
        Largest accepted error of a position, in pixels. A point has converged if its last step is
        at most a tenth of the accuracy, and its residual corresponds to at most twice the accuracy.
    maxiter : int
        Largest number of steps.
    max_step : float
        Largest length of a step, in pixels. Longer steps are shortened to this length.
    close : float
        A point has converged, without a further step, if the length of its residual is at most
        this.
    common : tuple, optional
        Pseudo-inverse for the first steps of all points. It is a pair as from `pseudo_inverse`, but
        for one point: an array of shape (2, M) and a number.

    Returns
    -------
    x, y : array of shape (N,)
        The positions; NaN for points that have not converged.
    converged : array of bool, shape (N,)
        `True` for points that have converged.
    """
    search = _Search(forward, target, x, y, accuracy, common)
    # Ignore overflows, because a distortion polynomial can overflow far off the image.
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        for steps in range(maxiter + 1):
            values, residual, previous_length = search.evaluate(close)
            if steps == maxiter or search.is_finished:
                break
            search.renew_derivatives(values, previous_length)
            search.step(residual, max_step)
    search.x[~search.converged] = search.y[~search.converged] = np.nan
    return search.x, search.y, search.converged


class _Search:
    """
    State of a search for N points with Newton's method.

    Parameters
    ----------
    forward, target, x, y, accuracy, common
        As for `newton`.

    Attributes
    ----------
    x, y : array of shape (N,)
        Current positions.
    converged : array of bool, shape (N,)
        `True` for points that have converged.
    length : array of shape (N,)
        Length of the last known residual of each point.
    last_step : array of shape (2, N)
        Last step of each point, in pixels.
    inverse : array of shape (2, M, N)
        Pseudo-inverses of the derivatives, from `pseudo_inverse`.
    derivative_length : array of shape (N,)
        Length of the longer of the two derivatives at each point.
    active : array of int
        Indices of the points that take the next step.
    selection : slice or array of int
        Index of the active points. It is a slice as long as all points are active, to avoid copies.
    outside : array of int
        Indices of the points that the last step moved to a position that is not on the sky.
    """

    def __init__(
        self,
        forward: Forward,
        target: FloatArray,
        x: FloatArray,
        y: FloatArray,
        accuracy: float,
        common: tuple[FloatArray, float] | None,
    ) -> None:
        dimensions, count = target.shape
        inverse: FloatArray = np.full((2, dimensions), np.nan)
        derivative_length = np.nan
        # With a previous residual of 0, the first step always computes new derivatives.
        length = 0.0
        if common is not None:
            inverse, derivative_length = common
            # With an infinite previous residual, the first step uses the common derivatives.
            length = np.inf
        self.forward = forward
        self.target = target
        self.accuracy = accuracy
        self.x = np.array(x, float)
        self.y = np.array(y, float)
        self.converged = np.zeros(count, bool)
        self.length = np.full(count, length)
        self.last_step = np.zeros((2, count))
        self.inverse = np.broadcast_to(inverse[..., None], (2, dimensions, count))
        self.derivative_length = np.full(count, derivative_length)
        self.active: IntArray = np.arange(count)
        self.selection: slice | IntArray = slice(None)
        self.outside: IntArray = self.active[:0]

    @property
    def is_finished(self) -> bool:
        """`True` if all points have stopped."""
        return not (self.active.size or self.outside.size)

    def evaluate(self, close: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """
        Compute the residuals of the active points, and stop points with a small residual.

        Parameters
        ----------
        close : float
            As for `newton`.

        Returns
        -------
        values, residual : array of shape (M, active points)
            Values of the forward function, and the differences between targets and values.
        previous_length : array of shape (active points,)
            Lengths of the residuals before the last step.
        """
        chosen = self.selection
        values = self.forward(self.x[chosen], self.y[chosen])
        residual = self.target[:, chosen] - values
        length = np.sqrt(np.einsum("mn,mn->n", residual, residual))
        previous_length = self.length[self.active]
        self.length[chosen] = length
        self.converged[chosen] = length <= close
        self._step_back(previous_length)
        going = (length > close) & np.isfinite(length)
        if going.all():
            return values, residual, previous_length
        self._activate(self.active[going])
        return values[:, going], residual[:, going], previous_length[going]

    def _step_back(self, previous_length: FloatArray) -> None:
        """Undo half of the last step of a point if the step moved the point off the sky."""
        moved = np.hypot(*self.last_step[:, self.active]) > self.accuracy
        lost = np.isnan(self.length[self.active]) & moved
        self.outside = outside = self.active[lost]
        self.last_step[:, outside] /= 2
        self.x[outside] -= self.last_step[0, outside]
        self.y[outside] -= self.last_step[1, outside]
        self.length[outside] = previous_length[lost]

    def renew_derivatives(self, values: FloatArray, previous_length: FloatArray) -> None:
        """Compute new derivatives for active points whose residual did not decrease enough."""
        outdated = ~(self.length[self.selection] < JACOBIAN_REUSE * previous_length)
        if not outdated.any():
            return
        if not self.inverse.flags.writeable:
            self.inverse = self.inverse.copy()
        index = self.active[outdated]
        derivatives = jacobian(self.forward, self.x[index], self.y[index], values[:, outdated])
        self.inverse[..., index], self.derivative_length[index] = pseudo_inverse(derivatives)

    def step(self, residual: FloatArray, max_step: float) -> None:
        """Move the active points, and stop the points whose step was short."""
        chosen = self.selection
        step = np.einsum("kmn,mn->kn", self.inverse[..., chosen], residual)
        size = np.hypot(*step)
        long = size > max_step
        if long.any():
            step[:, long] *= max_step / size[long]
        self.x[chosen] += step[0]
        self.y[chosen] += step[1]
        self.last_step[:, chosen] = step
        short = size <= FINAL_STEP * self.accuracy
        # A short step alone does not prove convergence. If the residual is at right angles to the
        # derivatives, the step is short but does not remove the residual.
        small = self.length[chosen] <= 2 * self.accuracy * self.derivative_length[chosen]
        self.converged[chosen] = short & small
        self._activate(np.concatenate([self.active[~short], self.outside]))

    def _activate(self, points: IntArray) -> None:
        self.active = points
        self.selection = points
