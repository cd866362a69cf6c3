"""
Exceptions and warnings of the package.

If astropy has an exception for a situation, this package raises that exception. One ``except``
clause then handles the errors of both libraries. The exceptions that this package defines derive
from builtin exceptions.
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

# Largest number of failed exposures that the message of an error lists.
_MAX_LISTED = 3


class NotConvergedError(ValueError):
    """
    Error for sky positions without a confirmed pixel position.

    Parameters
    ----------
    message : str
        Description of the sky positions and of the failure.
    where : array of int, optional
        Indices of the sky positions for which the search did not converge.
    """

    def __init__(self, message: str, where: ArrayLike | None = None) -> None:
        super().__init__(message)
        self.where = where


class ExposureError(RuntimeError):
    """
    Error for a batch of exposures in which one or more exposures failed.

    Parameters
    ----------
    failures : dict
        Traceback of each failed exposure, by the name of the exposure. The tracebacks become the
        notes of the error.
    message : str
        Description of the outcome of the other exposures.
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
    Attach the names of arguments to errors, so that callers can find the invalid argument.

    If the body of the ``with`` statement raises a `TypeError` or a `ValueError`, the error gets
    the attribute ``arguments``, a tuple of names. If such statements are nested, the innermost
    one sets the attribute.

    Parameters
    ----------
    *names : str
        Names of the arguments that the body of the ``with`` statement validates.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        if not hasattr(error, "arguments"):
            error.arguments = names  # type: ignore[union-attr]  # exceptions accept attributes
        raise
