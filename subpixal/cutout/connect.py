"""Reading and writing by format. The formats are registered by the room that knows files."""

from __future__ import annotations

from os import PathLike

from astropy.io.registry import UnifiedReadWrite

__all__ = ["ReadCollection", "WriteCollection"]


class ReadCollection(UnifiedReadWrite):
    """
    Read a collection from a file.

    Parameters
    ----------
    path : str, path or file
        The file.
    format : str, optional
        Its format; by default found from the name of the file.
    **options
        Of the format. For ``'asdf'``: ``lazy=False`` reads all pixels now, and not
        when they are asked for.

    Returns
    -------
    CutoutCollection
    """

    def __init__(self, instance, cls) -> None:
        super().__init__(instance, cls, "read", registry=None)

    def __call__(self, *args, format=None, **options):  # noqa: A002
        """Read a collection; see `CutoutCollection.read`."""
        if format is None and args and isinstance(args[0], str | PathLike):
            # The registry would open the file to see what it is, and hand it on open.
            path = str(args[0])
            found = self.registry.identify_format("read", self._cls, path, None, args, options)
            format = found[0] if len(found) == 1 else None  # noqa: A001
        return self.registry.read(self._cls, *args, format=format, **options)


class WriteCollection(UnifiedReadWrite):
    """
    Write the collection to a file.

    Parameters
    ----------
    path : str or path
        The file.
    format : str, optional
        Its format, ``'asdf'`` or ``'fits'``; by default found from the name of the file.
    **options
        Of the format; ``overwrite=True`` replaces an existing file. For ASDF,
        ``compression`` is ``'lz4'``, ``'zlib'``, ``'bzp2'`` or what else asdf knows. For FITS,
        ``layout='images'`` (the default) makes extensions for each cutout,
        ``layout='table'`` a table and a flat extension for each plane.
    """

    def __init__(self, instance, cls) -> None:
        super().__init__(instance, cls, "write", registry=None)

    def __call__(self, *args, **options) -> None:
        """Write a collection; see `CutoutCollection.write`."""
        self.registry.write(self._instance, *args, **options)
