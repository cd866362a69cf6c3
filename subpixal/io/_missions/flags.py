"""Text for good flags (flags that do not mask a pixel), for the command line."""

from __future__ import annotations

from collections.abc import Mapping

from astropy.nddata import extend_bit_flag_map, interpret_bit_flags

from .registry import FLAG_NAMES

__all__ = ["format_flags", "parse_flags"]


def parse_flags(text: str) -> str | None:
    """
    Parse the good flags of a command.

    Parameters
    ----------
    text : str
        ``none``, ``mission``, or bits or names of flags, with or without ``~`` in front.

    Returns
    -------
    str or None
        `None` for the text ``none``. Names are not converted to bits, because the bits depend on
        the image.

    Raises
    ------
    ValueError
        If the text is something else.
    """
    if text.lower() in ("mission", "none"):
        return "mission" if text.lower() == "mission" else None
    try:
        interpret_bit_flags(text, flag_name_map=extend_bit_flag_map("AnyFlags", **FLAG_NAMES))
    except (AttributeError, ValueError):
        msg = (
            "--dqbitmask must be none, bits as in 16,64 or 80, names as in HOT+WARM, "
            f"or ~ bits or names, got {text!r}"
        )
        raise ValueError(msg) from None
    return text


def format_flags(good: int | None, names: Mapping[str, int]) -> str:
    """Return the text for `parse_flags` of good flags, with names if all these flags have names."""
    if not good:
        return "none" if good is None else "0"
    bits = ~good if good < 0 else good
    found = sorted((bit, name) for name, bit in names.items() if bit & bits)
    if sum(bit for bit, _ in found) != bits:
        return str(good)
    text = "+".join(name for _, name in found)
    return f"~({text})" if good < 0 else text
