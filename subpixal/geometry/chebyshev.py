"""
Chebyshev polynomials that turn points of the world into approximate pixel positions.

A search for exact pixel positions starts at the approximate positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .array_types import FloatArray

__all__ = ["Polynomial"]

# Maximum total degree of the polynomial.
DEGREE = 10

# The polynomial is NaN for points with a larger normalized coordinate. The fitted points have
# coordinates up to about 1.
DOMAIN_LIMIT = 1.02

# Pixels; a fit is usable if all residuals are smaller than this.
MAX_RESIDUAL = 1.0

# Pixels; the highest degrees are omitted if all their coefficients are smaller than this.
NEGLIGIBLE = 1e-8

# Number of points in each step of an evaluation (CHUNK) and of a fit (FIT_CHUNK). The intermediate
# arrays then stay in the cache of the processor. BLAS does not start threads for such small arrays,
# for which threads would cost more time than they save.
CHUNK = 2048
FIT_CHUNK = 58


@dataclass(frozen=True, eq=False)
class Polynomial:
    """
    Two Chebyshev polynomials, for x and for y, in two coordinates of a surface.

    Attributes
    ----------
    origin : array of shape (M, 1)
        Point at which both coordinates are 0.
    linear : array of shape (2, M)
        Matrix that turns offsets from the origin into normalized coordinates. The fitted points
        have coordinates from about -1 to 1.
    coefficients : array of shape (2, degree + 1, degree + 1)
        Coefficients of the polynomials for x and for y. The indices are the degrees in the two
        coordinates.
    one_side : bool
        If `True`, the result is NaN for points on the hemisphere opposite to the origin.
    """

    origin: FloatArray
    linear: FloatArray
    coefficients: FloatArray
    one_side: bool

    @classmethod
    def fit(
        cls, points: FloatArray, x: FloatArray, y: FloatArray, *, one_side: bool
    ) -> Polynomial | None:
        """
        Fit polynomials to pixel positions by least squares.

        Parameters
        ----------
        points : array of shape (M, K)
            Points of a surface that is flat enough for a description by two coordinates.
        x, y : array of shape (K,)
            Pixel positions of the points.
        one_side : bool
            As for `Polynomial`.

        Returns
        -------
        Polynomial or None
            `None` if the fit fails or if the largest residual is 1 pixel or more.
        """
        origin = points.mean(1)[:, None]
        offsets = points - origin
        # Use the two eigenvectors along which the points extend farthest.
        axes = np.linalg.eigh(offsets @ offsets.T)[1][:, :-3:-1].T
        flat = axes @ offsets
        pixels = np.stack([x, y])
        center = pixels.mean(1)[:, None]
        half = np.ptp(pixels, axis=1)[:, None] / 2
        i, j = np.nonzero(np.add.outer(np.arange(DEGREE + 1), np.arange(DEGREE + 1)) <= DEGREE)
        try:
            linear = (pixels - center) / half @ flat.T @ np.linalg.inv(flat @ flat.T)
            along_a, along_b = _chebyshev(linear @ flat, DEGREE)
            design = along_a[i] * along_b[j]
            chunks = np.array_split(design, -(-len(x) // FIT_CHUNK), axis=1)
            normal = sum(chunk @ chunk.T for chunk in chunks)
            solution = np.linalg.solve(normal, design @ pixels.T).T
        except np.linalg.LinAlgError:
            return None
        if not np.abs(solution @ design - pixels).max() < MAX_RESIDUAL:
            return None
        coefficients = np.zeros((2, DEGREE + 1, DEGREE + 1))
        coefficients[:, i, j] = solution
        needed = (np.abs(solution) > NEGLIGIBLE).any(0)
        size = np.maximum(i, j)[needed].max(initial=1) + 1
        return cls(origin, linear @ axes, coefficients[:, :size, :size], one_side)

    def __call__(self, target: FloatArray) -> tuple[FloatArray, FloatArray]:
        """
        Return the approximate pixel positions of points.

        Parameters
        ----------
        target : array of shape (M, N)
            The points.

        Returns
        -------
        x, y : array of shape (N,)
            Pixel positions; NaN for points outside the region of the fitted points.
        """
        flat, positions = np.empty((2, 2, target.shape[1]))
        degree = self.coefficients.shape[1] - 1
        # The polynomials may overflow at points far from the fitted points.
        with np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, target.shape[1], CHUNK):
                chunk = slice(begin, begin + CHUNK)
                flat[:, chunk] = self.linear @ (target[:, chunk] - self.origin)
                along_a, along_b = _chebyshev(flat[:, chunk], degree)
                for values, matrix in zip(positions, self.coefficients, strict=True):
                    np.einsum("kn,kn->n", matrix @ along_b, along_a, out=values[chunk])
            away = ~(np.abs(flat).max(0) < DOMAIN_LIMIT)
        if self.one_side:
            away |= self.origin[:, 0] @ target <= 0
        positions[:, away] = np.nan
        x, y = positions
        return x, y


def _chebyshev(t: FloatArray, degree: int) -> FloatArray:
    """Return Chebyshev polynomials, shape (2, degree + 1, N), of numbers of shape (2, N)."""
    values = np.empty((degree + 1, *t.shape))
    values[0] = 1.0
    values[1] = t
    twice = 2 * t
    for k in range(2, degree + 1):
        np.multiply(twice, values[k - 1], out=values[k])
        values[k] -= values[k - 2]
    return values.swapaxes(0, 1)
