"""Defaults of arguments that give way to attributes of the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "DEFAULT_COUNTS",
    "DEFAULT_DQBITMASK",
    "DEFAULT_EXPTIME",
    "DEFAULT_RATE",
    "ImplicitDefault",
]


@dataclass(frozen=True, repr=False)
class ImplicitDefault:
    """
    Default of an argument that gives way to an attribute of the image.

    A value that the caller passes does not give way, even if it equals the default.
    """

    value: Any

    def __repr__(self) -> str:
        # Show the plain value in signatures.
        return repr(self.value)


DEFAULT_EXPTIME = ImplicitDefault(1)
DEFAULT_DQBITMASK = ImplicitDefault(0)
DEFAULT_RATE = ImplicitDefault("rate")
DEFAULT_COUNTS = ImplicitDefault("counts")
