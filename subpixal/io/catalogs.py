"""Read source catalogs of photutils, SExtractor, Euclid, JWST and Roman."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits
from astropy.table import Table

from subpixal.io._fits.files import open_fits
from subpixal.io._missions import find_in, find_root, open_asdf

from .paths import GZIP_START, Extension, check_file, is_asdf, is_remote, parse_image_name

if TYPE_CHECKING:
    import os


__all__ = ["read_catalog"]

_SEXTRACTOR = re.compile(rb"\s*#\s*1\s+[A-Za-z]\w*")

_TEXT_SUFFIXES = (".txt", ".dat", ".cat", ".tab", ".lst")

_NO_NAME = re.compile(r"col\d+|[-+]?[\d.]+([eE][-+]?\d+)?(_\d+)?")

_NAMES_NEEDED = (
    "columns must have names: SExtractor writes them with CATALOG_TYPE ASCII_HEAD, "
    "FITS_LDAC or FITS_1.0"
)


def read_catalog(path: str | os.PathLike[str]) -> Table:
    """
    Read a source catalog.

    The content of the file determines the format, or the suffix if the content is ambiguous. The
    formats are ECSV, FITS (also SExtractor's FITS_1.0 and FITS_LDAC), SExtractor's ASCII_HEAD, CSV,
    Parquet (which needs the extra ``parquet``), ASDF files of Roman, plain text tables, and all
    formats that `astropy.table.Table.read` identifies, such as VOTables. Columns of text files need
    names. The format ASCII of SExtractor has no names, and its format ASCII_SKYCAT names the first
    four columns ``id, ra, dec, mag`` regardless of their content. Both formats raise an error.

    Parameters
    ----------
    path : str or path-like
        Name of a local file. Brackets such as ``'cat.fits[OBJECTS]'`` select one of several tables
        of a FITS file.

    Returns
    -------
    `~astropy.table.Table`
        The columns of the file, with a mask for missing values. Display formats of FITS columns are
        dropped, because astropy cannot print columns with some of the formats that SExtractor
        writes.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), or if it is a damaged FITS file.
    ValueError
        If the file contains no table or several tables, or if the columns have no names.
    ImportError
        If a package that the format needs is not installed.
    """
    file, extension = parse_image_name(path)
    if is_remote(file):
        msg = f"{file}: a catalog must be a local file"
        raise ValueError(msg)
    check_file(file)
    table_format = _find_format(Path(file))
    if table_format == "fits":
        return _read_fits(file, extension)
    if extension is not None:
        msg = f"{file} is not a FITS file and has no extension {extension}"
        raise ValueError(msg)
    if is_asdf(file):
        return _read_asdf(file)
    table = _read_other(file, table_format)
    if table.colnames and all(_NO_NAME.fullmatch(name) for name in table.colnames):
        msg = f"{file}: the catalog has no header; {_NAMES_NEEDED}"
        raise ValueError(msg)
    return table


def _read_asdf(path: str) -> Table:
    """Read the catalog in an ASDF file of a mission."""
    with open_asdf(path) as tree:
        catalog = find_in(find_root(tree, path), "source_catalog")
        if isinstance(catalog, Table):
            return Table(catalog, copy=True)
    msg = f"{path}: there is no source_catalog in the file"
    raise ValueError(msg)


def _read_other(file: str, table_format: str | None) -> Table:
    """Read a catalog in a format that astropy reads."""
    try:
        return Table.read(file, format=table_format)
    except ImportError as error:
        extra = "pip install 'subpixal[parquet]'" if table_format == "parquet" else error
        msg = f"{file}: reading this catalog needs a package that is not installed: {extra}"
        raise ImportError(msg) from error
    # The parsers of astropy raise errors of many types.
    except Exception as error:
        kind = f"as {table_format}" if table_format else "in any known format"
        # The other lines of the message of astropy list all formats.
        reason = str(error).partition("\n")[0]
        msg = f"{file}: the catalog cannot be read {kind} ({reason})"
        raise ValueError(msg) from error


def _find_format(path: Path) -> str | None:
    """Return astropy's name of the format, or `None` if astropy must identify the format."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(GZIP_START):
        with gzip.open(path) as file:
            start = file.read(4096)
        path = path.with_suffix("")
    if start.startswith(b"SIMPLE  ="):
        return "fits"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"QueryResult"):
        msg = f"{path}: ASCII_SKYCAT does not contain the names of columns; {_NAMES_NEEDED}"
        raise ValueError(msg)
    if start.startswith(b"# %ECSV"):
        return "ascii.ecsv"
    if _SEXTRACTOR.match(start):
        return "ascii.sextractor"
    if path.suffix.lower() == ".csv":
        return "ascii.csv"
    return "ascii" if path.suffix.lower() in _TEXT_SUFFIXES else None


def _read_fits(path: str, extension: Extension) -> Table:
    """Read the catalog in a FITS file."""
    with open_fits(path) as hdulist:
        hdu = _choose_table(hdulist, path, extension)
        # Remove TDISP before astropy parses the columns: astropy refuses some display formats
        # and cannot print columns with others, such as 'I10' for floats.
        for key in list(hdu.header["TDISP*"]):
            del hdu.header[key]
        try:
            return Table.read(hdu, format="fits", unit_parse_strict="silent")
        except Exception as error:
            msg = f"{path}[{hdu.name}]: the catalog cannot be read ({error})"
            raise ValueError(msg) from error


def _choose_table(hdulist: fits.HDUList, path: str, extension: Extension) -> Any:
    """Return the table that an extension in brackets selects, or the only table of the file."""
    tables = {
        index: hdu
        for index, hdu in enumerate(hdulist)
        # The table ASDF in files of JWST contains metadata.
        if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and hdu.name != "ASDF"
    }
    found = [hdu for index, hdu in tables.items() if _is_selected(index, hdu, extension)]
    if extension is None:
        # The other table of FITS_LDAC contains the header of the image.
        found = [hdu for hdu in found if hdu.name == "LDAC_OBJECTS"] or found
    if len(found) == 1:
        return found[0]
    asked = "" if extension is None else f" {extension}"
    problem = "several tables, select one in brackets" if found else f"no table{asked}"
    names = ", ".join(f"[{index}] {hdu.name}".strip() for index, hdu in tables.items())
    msg = f"{path}: {problem}; its tables are: {names or 'none'}"
    raise ValueError(msg)


def _is_selected(index: int, hdu: Any, extension: Extension) -> bool:
    """Return `True` if an extension in brackets selects an HDU, or if there are no brackets."""
    if extension is None or isinstance(extension, int):
        return extension in (None, index)
    name, version = extension
    return hdu.name == name and version in (None, hdu.ver)
