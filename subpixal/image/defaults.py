"""Defaults of arguments that an image overrides unless the caller passes a value."""

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
    """The default of an argument; passing the plain value counts as explicit."""

    value: Any

    def __repr__(self) -> str:
        # Signatures show the value.
        return repr(self.value)


DEFAULT_EXPTIME = ImplicitDefault(1)
DEFAULT_DQBITMASK = ImplicitDefault(0)
DEFAULT_RATE = ImplicitDefault("rate")
DEFAULT_COUNTS = ImplicitDefault("counts")
