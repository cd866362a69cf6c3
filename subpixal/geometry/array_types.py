"""Array types for annotations."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["BoolArray", "FloatArray", "Forward", "IntArray"]

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

# Function that takes pixel positions x, y of shape (N,) and returns points of shape (M, N).
Forward = Callable[[FloatArray, FloatArray], FloatArray]
