"""
Newton's method on arrays of points, to invert a forward transform.

The functions take and return arrays only. A forward function takes pixel positions x, y of shape
(N,) and returns points of shape (M, N), M >= 2. Straight distances between the points must be
meaningful, as for unit vectors on the sky.
"""

from __future__ import annotations

import numpy as np

from .array_types import BoolArray, FloatArray, Forward, IntArray

__all__ = ["jacobian", "newton", "pseudo_inverse", "tangents"]

# Pixels; differences for derivatives. Large compared with the rounding of the forward transform,
# small compared with its curvature.
STEP = 0.1

# Derivatives are renewed if a step leaves more than this fraction of the residual.
JACOBIAN_REUSE = 0.1

# Length of the last step in units of the accuracy; less than 1 because a step with reused
# derivatives leaves a fraction of the residual.
FINAL_STEP = 0.1


def jacobian(
    forward: Forward, x: FloatArray, y: FloatArray, base: FloatArray, *, step: float = STEP
) -> FloatArray:
    """
    Return the Jacobian of a forward function by forward differences from known values.

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
    # Use one call for all points, because a call of a gwcs costs milliseconds for any number.
    points = forward(np.concatenate([x + step, x]), np.concatenate([y, y + step]))
    derivatives = (np.stack(np.split(points, 2, axis=1)) - base) / step
    return _use_other_side(forward, x, y, base, derivatives, step)


def tangents(
    forward: Forward, x: FloatArray, y: FloatArray, *, step: float = STEP
) -> tuple[FloatArray, FloatArray]:
    """
    Return the values of a forward function and its Jacobian, with one call.

    Parameters
    ----------
    forward, x, y, step
        As for `jacobian`.

    Returns
    -------
    points : array of shape (M, N)
        ``forward(x, y)``.
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
    # A forward difference is NaN where the step leaves the sky.
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
    Return the pseudo-inverse of a Jacobian, which turns residuals into pixel steps.

    Parameters
    ----------
    derivatives : array of shape (2, M, N)
        By x and by y.

    Returns
    -------
    inverse : array of shape (2, M, N)
        The pixel step is the sum over M of the pseudo-inverse times the residual.
    length : array of shape (N,)
        Length of the longer derivative.
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

    All points take each step together, and a point that has converged takes no more steps. A point
    keeps its derivatives for as long as steps remove most of its residual. A step with the same
    derivatives costs one value of the forward function, new derivatives cost two more. The result
    for a point does not depend on the other points.

    Parameters
    ----------
    forward : callable
        ``forward(x, y)`` of shape (M, N).
    target : array of shape (M, N)
        Points to reach.
    x, y : array of shape (N,)
        Start positions; NaN does not converge.
    accuracy : float
        Pixels. A point has converged if its last step is much shorter and removes the residual.
    maxiter : int
        Largest number of steps.
    max_step : float
        Pixels; longer steps are shortened to this length.
    close : float
        A point with a residual up to this length has converged and takes no step.
    common : tuple, optional
        `pseudo_inverse`, of shape (2, M) and a number, for the first steps of all points.

    Returns
    -------
    x, y : array of shape (N,)
        The positions; NaN for points that have not converged.
    converged : array of bool, shape (N,)
    """
    search = _Search(forward, target, x, y, accuracy, common)
    # A polynomial overflows at start positions far off the image.
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
    State of Newton's method for N points.

    Parameters
    ----------
    forward, target, x, y, accuracy, common
        As for `newton`.

    Attributes
    ----------
    x, y : array of shape (N,)
        Current positions.
    converged : array of bool, shape (N,)
    length : array of shape (N,)
        Length of the last known residual.
    last_step : array of shape (2, N)
    inverse : array of shape (2, M, N)
        Pseudo-inverses of the derivatives, as `pseudo_inverse` returns them.
    derivative_length : array of shape (N,)
        Length of the longer derivative.
    active : array of int
        Points that take the next step.
    selection : slice or array of int
        Index of the active points; a slice avoids copies as long as all points are active.
    outside : array of int
        Points that the last step moved off the sky.
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
        # Every residual is large compared with 0, so that the first step needs new derivatives.
        length = 0.0
        if common is not None:
            inverse, derivative_length = common
            # Every residual is small compared with this, so that the first step needs none.
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
        """`True` if no point can take another step."""
        return not (self.active.size or self.outside.size)

    def evaluate(self, close: float) -> tuple[FloatArray, FloatArray, FloatArray]:
        """
        Compute the residuals of the active points, and stop points that need no further step.

        Parameters
        ----------
        close : float
            As for `newton`.

        Returns
        -------
        values, residual : array of shape (M, active points)
            Values of the forward function, and the residuals.
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
        """Undo half of the last step of points that this step moved off the sky."""
        moved = np.hypot(*self.last_step[:, self.active]) > self.accuracy
        lost = np.isnan(self.length[self.active]) & moved
        self.outside = outside = self.active[lost]
        self.last_step[:, outside] /= 2
        self.x[outside] -= self.last_step[0, outside]
        self.y[outside] -= self.last_step[1, outside]
        self.length[outside] = previous_length[lost]

    def renew_derivatives(self, values: FloatArray, previous_length: FloatArray) -> None:
        """Compute new derivatives of active points if the last step left too much residual."""
        outdated = ~(self.length[self.selection] < JACOBIAN_REUSE * previous_length)
        if not outdated.any():
            return
        if not self.inverse.flags.writeable:
            self.inverse = self.inverse.copy()
        index = self.active[outdated]
        derivatives = jacobian(self.forward, self.x[index], self.y[index], values[:, outdated])
        self.inverse[..., index], self.derivative_length[index] = pseudo_inverse(derivatives)

    def step(self, residual: FloatArray, max_step: float) -> None:
        """Move the active points, and stop those with a short step."""
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
        # A short step is not enough, because no step removes a residual at right angles to the
        # derivatives.
        small = self.length[chosen] <= 2 * self.accuracy * self.derivative_length[chosen]
        self.converged[chosen] = short & small
        self._activate(np.concatenate([self.active[~short], self.outside]))

    def _activate(self, points: IntArray) -> None:
        self.active = points
        self.selection = points
