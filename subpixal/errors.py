"""The errors of the package.

Where astropy has an error for a situation, it is used: one ``except`` then
serves both libraries. What is new has a builtin base besides.
"""

from astropy.nddata import NoOverlapError, PartialOverlapError
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["NoOverlapError", "NotConvergedError", "PartialOverlapError", "SubpixalWarning"]


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


class SubpixalWarning(AstropyUserWarning):
    """Something about the data that the user should know."""
