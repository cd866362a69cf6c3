"""Defaults of arguments for which an image comes first, unless somebody says the same."""

from __future__ import annotations

__all__ = [
    "DEFAULT_COUNTS",
    "DEFAULT_DQBITMASK",
    "DEFAULT_EXPTIME",
    "DEFAULT_RATE",
    "ImplicitDefault",
]


class ImplicitDefault:
    """
    What marks a default.

    It equals the value that it stands for, which is what signatures show. Who writes
    that value himself has said it.
    """

    __slots__ = ()


class _Number(ImplicitDefault, int):
    pass


class _Word(ImplicitDefault, str):
    __slots__ = ()


DEFAULT_EXPTIME, DEFAULT_DQBITMASK = _Number(1), _Number(0)


DEFAULT_RATE, DEFAULT_COUNTS = _Word("rate"), _Word("counts")
