"""Records of missions, and a class for the images in all their files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from astropy import units as u

from .metadata import Keywords

__all__ = ["FileImage", "Instrument", "Mission", "number_flags"]


@dataclass(frozen=True)
class Instrument:
    """
    Data quality flags of an instrument.

    Attributes
    ----------
    name : str
        Name in the files, in upper case.
    detector : str
        Name of the detector in the files, in upper case. An empty name stands for all detectors.
    flag_names : mapping
        Mapping from the name of each flag to its bit.
    good_flags : int
        Flags that do not mask a pixel, as an integer in the form of ``dqbitmask``.
    """

    name: str
    detector: str = ""
    flag_names: Mapping[str, int] = field(default_factory=dict)
    good_flags: int = 0


@dataclass(frozen=True)
class Mission:
    """
    File conventions of an observatory.

    The names of the planes are ``data``, ``uncertainty`` (standard deviations), ``flags`` and
    ``weight``.

    Attributes
    ----------
    telescope : str
        Name in the files, in upper case.
    instruments : tuple of Instrument
        Records of instruments. The first record with the name and the detector of an image is used.
    extensions : mapping
        Mapping from each plane to the possible names of its FITS extension. All extensions of an
        image have the same EXTVER. Names may begin with the name of a chip and a dot; then
        ``DET11.RMS`` belongs to ``DET11.SCI``.
    contexts : tuple of str
        Names of FITS extensions with integers that are neither flags nor labels.
    nodes : mapping
        Mapping from each plane to its possible nodes in an ASDF file or a data model. The first
        node that exists is used.
    header, model : Keywords
        Keywords of the metadata in FITS headers, and paths of the metadata below ``meta`` in data
        models.
    needs_gwcs : bool
        `True` if FITS headers only approximate the WCS of exposures. Images with flags are treated
        as exposures.
    asdf_root : str
        Node of ASDF files that contains the image. Empty if the mission has no ASDF files.
    default_unit : callable or None
        Function that takes a data model without a unit and returns the unit of its image.
    file_prefix : str
        Files whose names begin with this text belong to the mission, regardless of their headers.
    companion_key : str
        Regular expression for the beginning of a file name. It matches names of images whose planes
        are in several files.
    companions : mapping
        Mapping from a plane to a glob pattern for its file, which is in the folder of the image.
        Names in braces stand for the named groups of `companion_key`.
    """

    telescope: str
    instruments: tuple[Instrument, ...] = ()
    extensions: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "data": ("SCI",),
            "uncertainty": ("ERR",),
            "flags": ("DQ",),
            "weight": ("WHT",),
        }
    )
    contexts: tuple[str, ...] = ("CTX", "CON")
    nodes: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "data": ("data",),
            "uncertainty": ("err",),
            "flags": ("dq",),
            "weight": ("weight", "wht"),
        }
    )
    header: Keywords = field(default_factory=Keywords)
    model: Keywords = field(default_factory=Keywords.of_models)
    needs_gwcs: bool = False
    asdf_root: str = ""
    default_unit: Callable[[Any], u.UnitBase] | None = None
    file_prefix: str = ""
    companion_key: str = ""
    companions: Mapping[str, str] = field(default_factory=dict)

    def owns(self, telescope: str, instrument: str, filename: str) -> bool:
        """Return `True` if the name or the metadata of a file identifies this mission."""
        if self.file_prefix and filename.startswith(self.file_prefix):
            return True
        if telescope:
            return telescope.upper() == self.telescope
        return instrument.upper() in {known.name for known in self.instruments}

    def find_instrument(self, meta: Mapping[str, Any]) -> Instrument:
        """Return the record of the instrument of an image. Unknown instruments have no flags."""
        name, detector = (str(meta.get(key, "")).upper() for key in ("instrument", "detector"))
        for instrument in self.instruments:
            if instrument.name == name and instrument.detector in ("", detector):
                return instrument
        return Instrument(name, detector)

    def is_plane(self, extname: str, *planes: str) -> bool:
        """Return `True` if an extension of this name contains one of the given planes."""
        name = extname.rpartition(".")[2]
        return any(name in self.extensions[plane] for plane in planes)

    def find_partners(self, extname: str, plane: str) -> list[str]:
        """Return the possible names of the extension with a plane, for the image in `extname`."""
        if not self.is_plane(extname, "data"):
            return []
        chip, dot, _ = extname.rpartition(".")
        return [f"{chip}{dot}{name}" for name in self.extensions[plane]]

    def find_companion(self, path: str, plane: str) -> str | None:
        """
        Find the file that contains a plane of an image, in the folder of the image.

        Raises
        ------
        ValueError
            If there are several such files.
        """
        found = re.match(self.companion_key, Path(path).name)
        if plane not in self.companions or found is None:
            return None
        pattern = self.companions[plane].format(**found.groupdict())
        files = sorted(Path(path).parent.glob(pattern))
        if len(files) > 1:
            names = ", ".join(file.name for file in files)
            msg = f"{path}: several files have the {plane} of this image, keep one of: {names}"
            raise ValueError(msg)
        return str(files[0]) if files else None


@dataclass(kw_only=True)
class FileImage:
    """
    Image of a file or a data model.

    Attributes
    ----------
    data, uncertainty, flags, weight : array of shape (ny, nx) or None
        Planes, which may be lazy. Uncertainties are standard deviations.
    wcs : object or None
    meta : dict
        ``name``, and metadata as in `metadata_from_header`.
    instrument : Instrument
    unit : `~astropy.units.UnitBase` or None
    exptime : float or None
        Exposure time in seconds.
    """

    data: Any
    wcs: Any
    meta: dict[str, Any]
    instrument: Instrument = Instrument("")
    uncertainty: Any = None
    flags: Any = None
    weight: Any = None
    unit: u.UnitBase | None = None
    exptime: float | None = None


def number_flags(names: str) -> dict[str, int]:
    """Map names of flags to bits. The names are in the order of bits; ``-`` skips a bit."""
    return {name: 1 << bit for bit, name in enumerate(names.split()) if name != "-"}
