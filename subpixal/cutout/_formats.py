"""Reading and writing by format. The formats are registered by the room that knows files."""

from __future__ import annotations

from astropy.io.registry import UnifiedReadWrite

__all__ = ["ReadCollection", "WriteCollection"]


class ReadCollection(UnifiedReadWrite):
    """
    Read a collection from a file.

    Parameters
    ----------
    path : str or path
        The file.
    format : str, optional
        Its format, ``'asdf'``; by default found from the file.
    **options
        Of the format.

    Returns
    -------
    CutoutCollection
    """

    def __init__(self, instance, cls) -> None:
        super().__init__(instance, cls, "read", registry=None)

    def __call__(self, *args, **options):
        return self.registry.read(self._cls, *args, **options)


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
        Of the format; ``overwrite=True`` replaces an existing file. For FITS,
        ``layout='images'`` (the default) makes extensions for each cutout,
        ``layout='table'`` a table and a flat extension for each plane.
    """

    def __init__(self, instance, cls) -> None:
        super().__init__(instance, cls, "write", registry=None)

    def __call__(self, *args, **options) -> None:
        self.registry.write(self._instance, *args, **options)
