"""Where points of the world are on an image, by a polynomial: a start for a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Polynomial"]

DEGREE = 10

# How far a polynomial reaches; 1 is as far as the points that it goes through.
AWAY = 1.02

# Pixels that it may be off at them.
USEFUL = 1.0

# Pixels; degrees of which all coefficients are smaller are left out.
NEGLIGIBLE = 1e-8

# Points that it is evaluated at, and fitted to, in one go: what they make stays in the cache,
# and BLAS starts no threads, which cost more than they gain on anything so small.
CHUNK = 2048

FEW = 58


@dataclass(frozen=True, eq=False)
class Polynomial:
    """
    Chebyshev polynomials in two coordinates of a surface.

    Attributes
    ----------
    middle : array of shape (M, 1)
        The point of the surface at which the coordinates are 0.
    linear : array of shape (2, M)
        What makes coordinates of a point's distance from it; they are -1 and 1 about
        where the known points end.
    coefficients : array of shape (2, degree + 1, degree + 1)
        For x and y, by the degree in both coordinates.
    one_side : bool
        Whether what is behind the middle, as the other half of the sky, is elsewhere.
    """

    middle: np.ndarray
    linear: np.ndarray
    coefficients: np.ndarray
    one_side: bool

    @classmethod
    def fit(cls, points: np.ndarray, x, y, *, one_side: bool) -> Polynomial | None:
        """
        Fit positions by least squares.

        Parameters
        ----------
        points : array of shape (M, K)
            Points of a surface that is flat enough for two axes.
        x, y : array of shape (K,)
            Their pixel positions.
        one_side : bool
            See the class.

        Returns
        -------
        Polynomial or None
            `None` where it would not be any good.
        """
        middle = points.mean(1)[:, None]
        around = points - middle
        axes = np.linalg.eigh(around @ around.T)[1][:, :-3:-1].T
        flat = axes @ around
        pixels = np.stack([x, y])
        center, half = pixels.mean(1)[:, None], np.ptp(pixels, axis=1)[:, None] / 2
        i, j = np.nonzero(np.add.outer(np.arange(DEGREE + 1), np.arange(DEGREE + 1)) <= DEGREE)
        try:
            linear = (pixels - center) / half @ flat.T @ np.linalg.inv(flat @ flat.T)
            along_a, along_b = _chebyshev(linear @ flat, DEGREE)
            design = along_a[i] * along_b[j]
            pieces = np.array_split(design, -(-len(x) // FEW), axis=1)
            normal = sum(piece @ piece.T for piece in pieces)
            found = np.linalg.solve(normal, design @ pixels.T).T
        except np.linalg.LinAlgError:
            return None
        if not np.abs(found @ design - pixels).max() < USEFUL:
            return None
        coefficients = np.zeros((2, DEGREE + 1, DEGREE + 1))
        coefficients[:, i, j] = found
        needed = (np.abs(found) > NEGLIGIBLE).any(0)
        size = np.maximum(i, j)[needed].max(initial=1) + 1
        return cls(middle, linear @ axes, coefficients[:, :size, :size], one_side)

    def __call__(self, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """
        Pixel positions of points; NaN away from the points that were fitted.

        Parameters
        ----------
        target : array of shape (M, N)

        Returns
        -------
        x, y : array of shape (N,)
        """
        flat, found = np.empty((2, 2, target.shape[1]))
        degree = self.coefficients.shape[1] - 1
        # What is away from the points may overflow.
        with np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, target.shape[1], CHUNK):
                piece = slice(begin, begin + CHUNK)
                flat[:, piece] = self.linear @ (target[:, piece] - self.middle)
                along_a, along_b = _chebyshev(flat[:, piece], degree)
                for values, matrix in zip(found, self.coefficients, strict=True):
                    np.einsum("kn,kn->n", matrix @ along_b, along_a, out=values[piece])
            away = ~(np.abs(flat).max(0) < AWAY)
        if self.one_side:
            away |= self.middle[:, 0] @ target <= 0
        found[:, away] = np.nan
        return tuple(found)


def _chebyshev(t: np.ndarray, degree: int) -> np.ndarray:
    """Chebyshev polynomials of arrays of shape (2, N), of shape (2, degree + 1, N)."""
    values = np.empty((degree + 1, *t.shape))
    values[0], values[1] = 1.0, t
    twice = 2 * t
    for k in range(2, degree + 1):
        np.multiply(twice, values[k - 1], out=values[k])
        values[k] -= values[k - 2]
    return values.swapaxes(0, 1)
