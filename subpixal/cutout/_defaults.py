"""Defaults of arguments for which an image comes first, unless somebody says the same."""

__all__ = ["ANY_FLAG", "COUNTS", "ONE_SECOND", "RATE", "Unsaid"]


class Unsaid:
    """
    What marks a default.

    It equals the value that it stands for, which is what signatures show. Who writes
    that value himself has said it.
    """

    __slots__ = ()


class _Number(Unsaid, int):
    pass


class _Word(Unsaid, str):
    __slots__ = ()


ONE_SECOND, ANY_FLAG = _Number(1), _Number(0)
RATE, COUNTS = _Word("rate"), _Word("counts")
