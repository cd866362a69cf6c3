"""
Write cutouts to FITS files, for programs that do not read ASDF.

There are two layouts. Either each plane of each cutout is an image extension. Or the pixels of all
cutouts are concatenated in one flat extension for each plane, with a table of positions as in MEDS
files. The package does not read these files.
"""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from subpixal.cutout import Cutout, CutoutCollection
from subpixal.errors import SubpixalWarning
from subpixal.geometry import PixelBox
from subpixal.image import PLANES, common_dtype
from subpixal.io.paths import Name, refuse_existing, replacing

from .cards import add_meta, as_ascii, as_card_value, as_pixels, as_table_hdu, as_unit
from .wcs_header import wcs_to_header

__all__ = ["write_fits"]

# Mapping from a kind of contents that FITS cannot hold to the names of the lost contents.
Lost = dict[str, set[str]]


def write_fits(
    cutouts: Cutout | CutoutCollection,
    path: Name,
    *,
    overwrite: bool = False,
    layout: str = "images",
) -> None:
    """
    Write cutouts to a FITS file.

    Parameters
    ----------
    cutouts : Cutout or CutoutCollection
    path : str or path
    overwrite : bool
        Whether an existing file may be replaced.
    layout : {'images', 'table'}
        ``'images'``: an image extension for each plane of each cutout. EXTVER is the number of the
        cutout. The names of the extensions are SCI, MASK, DQ, WHT and SEG. Extensions of
        uncertainties have the name ERR, VAR or IVAR, or UNC if the type of uncertainty is unknown.
        ``'table'``: one flat extension with the pixels of all cutouts for each plane. A table
        CUTOUTS contains the position of each cutout in these extensions, and a table IMAGES
        contains the header of each image.

    Raises
    ------
    OSError
        If the file exists and ``overwrite`` is false.
    ValueError
        If no header describes a WCS within 0.01 pixels, or if FITS does not support the type of the
        pixels.
    """
    if layout not in LAYOUTS:
        msg = f"layout must be one of {tuple(LAYOUTS)}, got {layout!r}"
        raise ValueError(msg)
    refuse_existing(path, overwrite=overwrite)
    if isinstance(cutouts, Cutout):
        cutouts = CutoutCollection([cutouts])
    primary = fits.PrimaryHDU()
    primary.header["LAYOUT"] = layout, "of the cutouts in this file"
    primary.header["NCUTOUTS"] = len(cutouts), "number of cutouts"
    lost: Lost = {}
    hdus = [primary, *LAYOUTS[layout](cutouts, lost)]
    dropped = cutouts.dropped
    if len(dropped):
        hdus.append(as_table_hdu({name: dropped[name] for name in dropped.colnames}, "DROPPED"))
    zipped = str(path).lower().endswith(".gz")
    with replacing(path) as file, gzip.open(file, "wb") if zipped else file as out:
        fits.HDUList(hdus).writeto(out)
    if lost:
        contents = "; ".join(f"{key}: {', '.join(sorted(values))}" for key, values in lost.items())
        msg = (
            f"{path} leaves out contents that FITS cannot hold ({contents}); format='asdf' keeps it"
        )
        # astropy's registry of formats calls this function. With this level, the warning points to
        # the line that calls `write`.
        warnings.warn(msg, SubpixalWarning, stacklevel=5)


def _image_hdus(collection: CutoutCollection, lost: Lost) -> list[Any]:
    """Return an extension for each plane of each cutout, and the lookup tables of the WCSs."""
    hdus: list[Any] = []
    tables: list[Any] = []
    for extver, cutout in enumerate(collection, 1):
        box = PixelBox.from_shape(cutout.shape)
        # Each cutout needs its own lookup tables, which start at different pixels of different
        # cutouts.
        wcs_cards = wcs_to_header(cutout.wcs, box, f"cutout {cutout.src_id!r}", tables)
        for name in cutout.planes:
            header = _cutout_cards(cutout, lost) if name == "data" else _id_card(cutout, lost)
            unit = {"data": cutout.unit, "uncertainty": getattr(cutout.uncertainty, "unit", None)}
            if unit.get(name) is not None:
                header["BUNIT"] = as_unit(unit[name])
            header.extend(wcs_cards, end=True)
            if name == "data":
                _add_meta(header, cutout.meta, lost)
            uncertainty_type, _ = cutout.store.uncertainty_type_and_unit(cutout.row)
            pixels = as_pixels(name, cutout.store.existing_plane(cutout.row, name))
            extname = PLANES[name].with_uncertainty_type(uncertainty_type).fits_name
            hdus.append(fits.ImageHDU(pixels, header, name=extname, ver=extver))
        _note_psf(cutout.psf, lost)
    return hdus + tables


def _id_card(cutout: Cutout, lost: Lost) -> fits.Header:
    try:
        value = as_card_value(cutout.src_id)
    except ValueError:
        value = as_ascii(cutout.src_id)
        _lose(lost, "ids, which become text", value)
    return fits.Header([("SRCID", value, "identifier of the source")])


def _cutout_cards(cutout: Cutout, lost: Lost) -> fits.Header:
    header = _id_card(cutout, lost)
    image = cutout.image
    x, y = cutout.src_pos
    x0, y0 = cutout.origin
    cards = [
        ("STATUS", cutout.status, "filled if the cutout leaves the image"),
        ("IMAGE", as_ascii(image.name), "image that was cut"),
        ("STAGE", as_ascii(image.stage), "step that cut it"),
        ("BLC1", cutout.blc[0], "first pixel of the image along x, from 0"),
        ("BLC2", cutout.blc[1], "first pixel of the image along y, from 0"),
        ("TRC1", cutout.trc[0], "last pixel of the image along x, from 0"),
        ("TRC2", cutout.trc[1], "last pixel of the image along y, from 0"),
        ("DX", cutout.dx, "[pixel] displacement of the image along x"),
        ("DY", cutout.dy, "[pixel] displacement of the image along y"),
        ("SRCX", x, "[pixel] source in the image along x, from 0"),
        ("SRCY", y, "[pixel] source in the image along y, from 0"),
        ("LTV1", -x0, "cutout pixel = image pixel + LTV1"),
        ("LTV2", -y0, "cutout pixel = image pixel + LTV2"),
        ("LTM1_1", 1.0, "cutout pixel / image pixel"),
        ("LTM2_2", 1.0, "cutout pixel / image pixel"),
        ("EXPTIME", cutout.exptime, "[s] exposure time"),
        ("DATAUNIT", cutout.data_units, "counts or rate"),
    ]
    if cutout.src_weight is not None:
        cards.append(("SRCWT", cutout.src_weight, "weight of the source in fits"))
    header.extend(cards)
    return header


def _table_hdus(collection: CutoutCollection, lost: Lost) -> list[Any]:
    """Return the tables, a flat extension for each plane, and the lookup tables of the WCSs."""
    stored = list(collection.selection)
    columns = _columns(collection, stored)
    planes = []
    for extname, name, pieces in _flat_planes(stored):
        start, flat = _concatenate(name, pieces)
        columns[f"start_{extname.lower()}"] = start
        planes.append(fits.ImageHDU(flat, name=extname))
    count = sum(bool(store.get_overrides(i).meta) for store, i in stored)
    if count:
        _lose(lost, "metadata of single cutouts", f"those of {count} cutouts")
    images, tables = _images(collection, columns, lost)
    if columns["id"].dtype.kind == "O":
        _lose(lost, "ids, which become text", "those of all cutouts")
    for store, i in stored:
        _note_psf(store.get_psf(i), lost)
    return [as_table_hdu(columns, "CUTOUTS"), *planes, images, *tables]


def _concatenate(
    name: str, pieces: list[NDArray[Any] | None]
) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Concatenate pieces. Return the start of each piece (-1 if it is missing) and the pixels."""
    found = [piece for piece in pieces if piece is not None]
    size = np.array([0 if piece is None else piece.size for piece in pieces], np.int64)
    start = np.where(size > 0, np.cumsum(size) - size, -1)
    dtype = common_dtype(name, {piece.dtype for piece in found})
    flat = np.concatenate([piece.ravel() for piece in found], dtype=dtype)
    return start, as_pixels(name, flat)


def _columns(collection: CutoutCollection, stored: list[Any]) -> dict[str, NDArray[Any]]:
    """Return the columns of the table CUTOUTS, without the starts of the planes."""
    table = collection.table
    columns = {name: np.asarray(table[name]) for name in table.colnames}
    blc, trc = columns["blc"], columns["trc"]
    displacement = np.stack([columns["dx"], columns["dy"]], axis=-1)
    columns["width"], columns["height"] = (trc - blc + 1).T
    columns["origin"] = blc - displacement
    columns["cutout_src_pos"] = columns["src_pos"] - columns["origin"]
    units = {}
    for key, pairs in {
        "bunit": [store.image.unit for store, _ in stored],
        "bunit_uncertainty": [store.uncertainty_type_and_unit(i)[1] for store, i in stored],
    }.items():
        # Converting a unit to text is slow: convert each unit once.
        names = {unit: as_unit(unit) for unit in set(pairs)}
        units[key] = np.array([names[unit] for unit in pairs], str)
    return columns | units


def _flat_planes(
    stored: list[Any],
) -> Iterator[tuple[str, str, list[NDArray[Any] | None]]]:
    """Yield the names of extension and plane, and the pixels of each cutout or `None`."""
    kinds = [store.uncertainty_type_and_unit(i)[0] for store, i in stored]
    for name, plane in PLANES.items():
        pieces = [store.get_plane(i, name) for store, i in stored]
        extnames = [
            None if piece is None else plane.with_uncertainty_type(kind).fits_name
            for piece, kind in zip(pieces, kinds, strict=True)
        ]
        for extname in dict.fromkeys(extnames):
            if extname is not None:
                chosen = zip(pieces, extnames, strict=True)
                yield extname, name, [p if e == extname else None for p, e in chosen]


def _images(
    collection: CutoutCollection, columns: Mapping[str, NDArray[Any]], lost: Lost
) -> tuple[fits.BinTableHDU, list[Any]]:
    """Return the table of the images, and the lookup tables of their WCSs."""
    names = ("name", "stage", "exptime", "data_units", "bunit")
    rows = []
    headers = []
    tables: list[Any] = []
    for number, image in enumerate(collection.images):
        in_image = columns["image"] == number
        origin = columns["origin"][in_image]
        last = origin + np.stack([columns["width"], columns["height"]], axis=-1)[in_image] - 1
        low = np.floor(origin.min(axis=0))
        high = np.ceil(last.max(axis=0))
        # The header must agree with the WCS in a box that contains all cutouts of the image.
        box = PixelBox(*(int(n) for n in (*low, *high)))
        header = fits.Header()
        if image.shape is not None:
            header["NAXIS"] = 2
            header["NAXIS1"], header["NAXIS2"] = image.shape[::-1]
        header.extend(wcs_to_header(image.wcs, box, f"image {image.name!r}", tables), end=True)
        _add_meta(header, image.meta, lost)
        _note_psf(image.psf, lost)
        rows.append((image.name, image.stage, image.exptime, image.data_units, as_unit(image.unit)))
        headers.append(header.tostring(endcard=False, padding=False))
    table: dict[str, Any] = {}
    if rows:
        table = dict(zip(names, zip(*rows, strict=True), strict=True))
    return as_table_hdu(table | {"header": headers}, "IMAGES"), tables


def _lose(lost: Lost, kind: str, name: str) -> None:
    lost.setdefault(kind, set()).add(name)


def _add_meta(header: fits.Header, meta: Mapping[str, Any], lost: Lost) -> None:
    for key in add_meta(header, meta):
        _lose(lost, "metadata", key)


def _note_psf(psf: Any, lost: Lost) -> None:
    if psf is not None:
        _lose(lost, "PSFs", type(psf).__name__)


LAYOUTS = {"images": _image_hdus, "table": _table_hdus}
