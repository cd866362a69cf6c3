"""Methods that read and write collections. `subpixal.io` registers the formats."""

from __future__ import annotations

from os import PathLike
from typing import Any

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
        Format of the file. By default, the extension of its name or its content determines the
        format.
    **options
        Options of the format. For ``'asdf'``, ``lazy=False`` reads all pixels at once. By default,
        pixels are read at each access.

    Returns
    -------
    CutoutCollection
        The cutouts.
    """

    def __init__(self, instance: Any, cls: type) -> None:
        super().__init__(instance, cls, "read", registry=None)

    def __call__(self, *args: Any, format: str | None = None, **options: Any) -> Any:  # noqa: A002
        """Read a collection; see `CutoutCollection.read`."""
        if format is None and args and isinstance(args[0], str | PathLike):
            # Identify the format here: the registry would pass an open file to the reader, which
            # needs the name.
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
        Format of the file, ``'asdf'`` or ``'fits'``. By default, the extension of its name
        determines the format.
    **options
        Options of the format. ``overwrite=True`` replaces an existing file. For ASDF,
        ``compression`` is ``'lz4'``, ``'zlib'``, ``'bzp2'`` or another method of asdf. For FITS,
        ``layout='images'`` (the default) writes an image extension for each plane of each cutout.
        ``layout='table'`` writes a table of cutouts, and one extension with the pixels of all
        cutouts for each plane.
    """

    def __init__(self, instance: Any, cls: type) -> None:
        super().__init__(instance, cls, "write", registry=None)

    def __call__(self, *args: Any, **options: Any) -> None:
        """Write a collection; see `CutoutCollection.write`."""
        self.registry.write(self._instance, *args, **options)
