"""The errors of the package.

Where astropy has an error for a situation, it is used: one ``except`` then
serves both libraries. What is new has a builtin base besides.
"""

from astropy.nddata import NoOverlapError, PartialOverlapError
from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    "ExposureError",
    "NoOverlapError",
    "NotConvergedError",
    "PartialOverlapError",
    "SubpixalWarning",
]


class NotConvergedError(ValueError):
    """Sky positions have no pixel position that the forward transform confirms.

    Parameters
    ----------
    message : str
        What was mapped and what failed.
    where : array of int, optional
        Indices of the positions that did not converge.
    """

    def __init__(self, message: str, where=None) -> None:
        super().__init__(message)
        self.where = where


class ExposureError(RuntimeError):
    """Exposures of a batch failed.

    Parameters
    ----------
    failures : dict
        Tracebacks by name of the exposure.
    rest : str
        What became of the others.
    """

    def __init__(self, failures: dict[str, str], rest: str) -> None:
        self.failures, self.rest = failures, rest
        super().__init__(failures, rest)
        for name, text in failures.items():
            self.add_note(f"{name}:\n{text}")

    def __str__(self) -> str:
        some = list(self.failures.items())[:3]
        reasons = [f"{name}: {text.strip().splitlines()[-1]}" for name, text in some]
        more, count = len(self.failures) - len(some), len(self.failures)
        reasons += [f"and {more} more"] if more else []
        plural = "s" if count > 1 else ""
        return f"{count} exposure{plural} failed ({'; '.join(reasons)}); {self.rest}"


class SubpixalWarning(AstropyUserWarning):
    """Something about the data that the user should know."""
