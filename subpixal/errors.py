"""
Exceptions and warnings of the package.

The package raises an exception of astropy if astropy has one for the situation, so that
one ``except`` serves both libraries. New exceptions derive from a builtin exception.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from astropy.nddata import NoOverlapError, PartialOverlapError
from astropy.utils.exceptions import AstropyUserWarning
from numpy.typing import ArrayLike

__all__ = [
    "ExposureError",
    "NoOverlapError",
    "NotConvergedError",
    "PartialOverlapError",
    "SubpixalWarning",
]

# Number of exposures that the message of an error lists.
_MAX_LISTED = 3


class NotConvergedError(ValueError):
    """
    Error for sky positions that map to no verified pixel position.

    Parameters
    ----------
    message : str
        Description of the positions and of the failure.
    where : array of int, optional
        Indices of the positions that did not converge.
    """

    def __init__(self, message: str, where: ArrayLike | None = None) -> None:
        super().__init__(message)
        self.where = where


class ExposureError(RuntimeError):
    """
    Error for exposures of a batch that failed.

    Parameters
    ----------
    failures : dict
        Tracebacks by the name of the exposure. They become the notes of the error.
    message : str
        Outcome of the other exposures.
    """

    def __init__(self, failures: dict[str, str], message: str) -> None:
        self.failures = failures
        self.message = message
        super().__init__(failures, message)
        for name, text in failures.items():
            self.add_note(f"{name}:\n{text}")

    def __str__(self) -> str:
        count = len(self.failures)
        listed = list(self.failures.items())[:_MAX_LISTED]
        reasons = [f"{name}: {text.strip().splitlines()[-1]}" for name, text in listed]
        if count > len(listed):
            reasons.append(f"and {count - len(listed)} more")
        plural = "s" if count > 1 else ""
        return f"{count} exposure{plural} failed ({'; '.join(reasons)}); {self.message}"


class SubpixalWarning(AstropyUserWarning):
    """Warning about a property of the data that affects the results."""


@contextmanager
def naming_arguments(*names: str) -> Iterator[None]:
    """
    Attach the names of arguments to errors, so that callers can find the cause.

    An error of the body gets the attribute ``arguments``, a tuple of names. If contexts are
    nested, the innermost one sets the attribute.

    Parameters
    ----------
    *names : str
        Names of the arguments that the body validates.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if not hasattr(error, "arguments"):
            error.arguments = names  # type: ignore[union-attr]  # exceptions accept attributes
        raise
