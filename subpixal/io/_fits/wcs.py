"""Read the WCS of an image in a FITS file."""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits
from astropy.utils.exceptions import AstropyDeprecationWarning
from astropy.wcs import WCS, FITSFixedWarning

from subpixal.geometry import is_celestial
from subpixal.io._missions import Mission

if TYPE_CHECKING:
    import gwcs

__all__ = ["read_wcs"]


def read_wcs(
    hdulist: fits.HDUList, hdu: Any, where: str, mission: Mission, *, needs_gwcs: bool = False
) -> WCS | gwcs.WCS | None:
    """
    Read the WCS of an image from the ASDF extension, or from the header without such an extension.

    Parameters
    ----------
    hdulist : `~astropy.io.fits.HDUList`
        The open file, which contains the lookup tables and the ASDF extension.
    hdu : HDU
        The image.
    where : str
        Names of the file and the extension, for messages of errors.
    mission : Mission
    needs_gwcs : bool
        `True` if the WCS of the header is only an approximation.

    Returns
    -------
    `astropy.wcs.WCS`, `gwcs.wcs.WCS` or None
        `None` if the WCS is not celestial.

    Raises
    ------
    ValueError
        If the WCS cannot be read, or a needed gwcs is missing.
    """
    images = [other for other in hdulist if mission.is_plane(other.name, "data")]
    wcs = None
    # The ASDF extension contains only one gwcs. Use it only if the file has a single image.
    if "ASDF" in hdulist and len(images) == 1 and images[0].shape == hdu.shape:
        wcs = _read_gwcs(hdulist["ASDF"], where)
    if needs_gwcs and wcs is None:
        reason = "has no meta.wcs for it" if "ASDF" in hdulist else "is not in the file"
        msg = (
            f"{where} is an exposure of {mission.telescope} and needs the gwcs of the extension "
            f"[ASDF], which {reason}; the WCS of the header is only an approximation"
        )
        raise ValueError(msg)
    if wcs is not None and wcs.pixel_shape is None:
        wcs.pixel_shape = hdu.shape[::-1]
    try:
        wcs = _read_fits_wcs(hdulist, hdu) if wcs is None else wcs
        return wcs if is_celestial(wcs) else None
    # Invalid headers raise many types of errors, not only those of astropy.wcs.
    except Exception as error:
        msg = f"{where}: the WCS cannot be read ({error})"
        raise ValueError(msg) from error


def _read_fits_wcs(hdulist: fits.HDUList, hdu: Any) -> WCS:
    """Build the WCS that a header describes. Lookup tables may be in other HDUs of the file."""
    header = hdu.header
    for keyword, prefix, table in (("CPDIS", "DP", "WCSDVARR"), ("D2IMDIS", "D2IM", "D2IMARR")):
        for axis in (1, 2):
            kind = str(header.get(f"{keyword}{axis}", "lookup")).lower()
            version = int(header.get(f"{prefix}{axis}.EXTVER", 1))
            if kind != "lookup":
                msg = f"{keyword}{axis} = {kind!r} is not supported, only lookup tables are"
                raise ValueError(msg)
            if f"{keyword}{axis}" in header and (table, version) not in hdulist:
                msg = f"{keyword}{axis} needs the table [{table},{version}], it is not in the file"
                raise ValueError(msg)
    if "AXISCORR" in header and ("D2IMARR", 1) not in hdulist:
        msg = "AXISCORR needs the table [D2IMARR,1], it is not in the file"
        raise ValueError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        warnings.filterwarnings("ignore", ".*AXISCORR", AstropyDeprecationWarning)
        return WCS(header, hdulist)


def _read_gwcs(hdu: Any, where: str) -> gwcs.WCS | None:
    """Read ``meta.wcs`` of an ASDF extension, without the data models of the mission."""
    import asdf
    import gwcs

    with warnings.catch_warnings():
        warnings.simplefilter("error", asdf.exceptions.AsdfConversionWarning)
        try:
            # Older files contain the ASDF bytes as an image, newer files as a table with one cell.
            values = hdu.data if hdu.is_image else np.ravel(hdu.data.field(0)[0])
            # A lazy tree converts only the nodes that are used. So asdf needs no converters for the
            # data models of the mission.
            with asdf.open(
                io.BytesIO(values.tobytes()),
                lazy_tree=True,
                lazy_load=False,
                ignore_missing_extensions=True,
            ) as file:
                wcs = file.tree.get("meta", {}).get("wcs")
        # asdf, yaml and converters raise errors of many types.
        except Exception as error:
            msg = f"{where}: the gwcs in [ASDF] cannot be read ({error})"
            raise ValueError(msg) from error
    if wcs is not None and not isinstance(wcs, gwcs.WCS):
        msg = f"{where}: meta.wcs in [ASDF] is a {type(wcs).__name__}, not a gwcs"
        raise ValueError(msg)
    return wcs
