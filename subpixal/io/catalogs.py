"""Source catalogues from the files that photutils, SExtractor, JWST and Roman write."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from astropy.io import fits
from astropy.table import Table

from subpixal.io._fits.files import open_fits
from subpixal.io._missions.datamodels import read_asdf_catalog

from .paths import check_file, is_asdf, is_remote, parse_image_name

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
    Read a source catalogue.

    The format is found out from the contents first and the suffix last: ECSV,
    FITS (also SExtractor's FITS_1.0 and FITS_LDAC), SExtractor's ASCII_HEAD,
    CSV, Parquet (which needs the extra ``parquet``), ASDF files of Roman, plain
    text tables, and what `astropy.table.Table.read` recognises by itself, such as
    VOTables. Text must name its columns, which SExtractor's ASCII does not;
    its ASCII_SKYCAT calls the first four ``id, ra, dec, mag`` whatever they are,
    and is refused, too.

    Parameters
    ----------
    path : str or path-like
        The file, which must be a local one. The table of a FITS file that has several is picked in
        brackets, such as ``'cat.fits[OBJECTS]'``.

    Returns
    -------
    `~astropy.table.Table`
        The columns as the file has them, those with missing values masked.
        Display formats of FITS columns are dropped: astropy cannot print
        columns with some that SExtractor writes.

    Raises
    ------
    OSError
        If the file is missing (FileNotFoundError), or a damaged FITS file.
    ValueError
        If it is not a table, has several tables to choose from, or no names of columns.
    ImportError
        If a package that the format needs is not installed.
    """
    file, extension = parse_image_name(path)
    if is_remote(file):
        msg = f"{file}: a catalogue must be a local file"
        raise ValueError(msg)
    check_file(file)
    table_format = _find_format(Path(file))
    if table_format == "fits":
        return _read_fits(file, extension)
    if extension is not None:
        msg = f"{file} is not a FITS file and has no extension {extension}"
        raise ValueError(msg)
    if is_asdf(file):
        return read_asdf_catalog(file)
    table = _read_other(file, table_format)
    if table.colnames and all(_NO_NAME.fullmatch(name) for name in table.colnames):
        msg = f"{file}: the catalogue has no header; {_NAMES_NEEDED}"
        raise ValueError(msg)
    return table


def _read_other(file: str, table_format: str | None) -> Table:
    """Read a catalogue in a format of which astropy knows more than we."""
    try:
        return Table.read(file, format=table_format)
    except ImportError as error:
        extra = "pip install 'subpixal[parquet]'" if table_format == "parquet" else error
        msg = f"{file}: reading this catalogue needs a package that is not installed: {extra}"
        raise ImportError(msg) from error
    # Each of the dozen parsers has errors of its own.
    except Exception as error:
        kind = f"as {table_format}" if table_format else "in any known format"
        # The rest of astropy's message is a table of all formats.
        reason = str(error).partition("\n")[0]
        msg = f"{file}: the catalogue cannot be read {kind} ({reason})"
        raise ValueError(msg) from error


def _find_format(path: Path) -> str | None:
    """Name the format in astropy's words, None if astropy is to find out."""
    with path.open("rb") as file:
        start = file.read(4096)
    if start.startswith(b"\x1f\x8b"):
        with gzip.open(path) as file:
            start = file.read(4096)
        path = path.with_suffix("")
    if start.startswith(b"SIMPLE  ="):
        return "fits"
    if start.startswith(b"PAR1"):
        return "parquet"
    if start.startswith(b"QueryResult"):
        msg = f"{path}: ASCII_SKYCAT does not say what its columns are; {_NAMES_NEEDED}"
        raise ValueError(msg)
    if start.startswith(b"# %ECSV"):
        return "ascii.ecsv"
    if _SEXTRACTOR.match(start):
        return "ascii.sextractor"
    if path.suffix.lower() == ".csv":
        return "ascii.csv"
    return "ascii" if path.suffix.lower() in _TEXT_SUFFIXES else None


def _read_fits(path: str, extension: Any) -> Table:
    """Read the catalogue in a FITS file."""
    with open_fits(path) as hdulist:
        hdu = _choose_table(hdulist, path, extension)
        # Before astropy parses the columns: it refuses to build some of them
        # with their TDISP, and cannot print others, such as 'I10' of a float.
        for key in list(hdu.header["TDISP*"]):
            del hdu.header[key]
        try:
            return Table.read(hdu, format="fits", unit_parse_strict="silent")
        except Exception as error:
            msg = f"{path}[{hdu.name}]: the catalogue cannot be read ({error})"
            raise ValueError(msg) from error


def _choose_table(hdulist: fits.HDUList, path: str, extension: Any) -> Any:
    """Return the only table that can be meant."""
    tables = {
        index: hdu
        for index, hdu in enumerate(hdulist)
        # JWST files keep their metadata in a table called ASDF.
        if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and hdu.name != "ASDF"
    }
    if isinstance(extension, int):
        found = [hdu for index, hdu in tables.items() if index == extension]
    elif extension is not None:
        name, version = extension
        found = [h for h in tables.values() if h.name == name and version in (None, h.ver)]
    else:
        # FITS_LDAC has a second table, with the header of the image.
        found = [h for h in tables.values() if h.name == "LDAC_OBJECTS"] or [*tables.values()]
    if len(found) != 1:
        what = "" if extension is None else f" {extension}"
        names = ", ".join(f"[{index}] {hdu.name}".strip() for index, hdu in tables.items())
        problem = f"no table{what}" if not found else "several tables, pick one in brackets"
        msg = f"{path}: {problem}; its tables are: {names or 'none'}"
        raise ValueError(msg)
    return found[0]
