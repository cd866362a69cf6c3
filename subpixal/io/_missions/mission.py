"""Records of missions, and one form for the images of all their files."""

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
    Flags of an instrument.

    Attributes
    ----------
    name : str
        Name in the files, in upper case.
    detector : str
        Name of the detector in the files, in upper case. An empty name stands for all detectors.
    flag_names : mapping
        Bit of each flag, by name.
    good_flags : int
        Flags that do not mask a pixel, as ``dqbitmask``.
    """

    name: str
    detector: str = ""
    flag_names: Mapping[str, int] = field(default_factory=dict)
    good_flags: int = 0


@dataclass(frozen=True)
class Mission:
    """
    File conventions of an observatory.

    Names of planes are ``data``, ``uncertainty`` (standard deviations), ``flags`` and ``weight``.

    Attributes
    ----------
    telescope : str
        Name in the files, in upper case.
    instruments : tuple of Instrument
        The first instrument with the right name and detector counts.
    extensions : mapping
        Names of the FITS extensions of each plane. The extensions of an image have the same
        EXTVER, and the same name of a chip before a dot: ``DET11.RMS`` belongs to ``DET11.SCI``.
    contexts : tuple of str
        Names of FITS extensions with integers that are neither flags nor labels.
    nodes : mapping
        Nodes of each plane in an ASDF file or a data model. The first existing node counts.
    header, model : Keywords
        Places of the metadata in FITS headers, and below ``meta`` in data models.
    needs_gwcs : bool
        `True` if FITS headers only approximate the WCS of exposures. Images with flags count as
        exposures.
    asdf_root : str
        Node of ASDF files that holds the image; empty if the mission has no ASDF files.
    default_unit : callable or None
        Function of a data model that returns the unit of an image without a unit.
    file_prefix : str
        Beginning of names of FITS files. Such files belong to the mission. Their
        headers do not matter.
    companion_key : str
        Regular expression for the beginning of names of images with planes in other files.
    companions : mapping
        Glob patterns for the file of each plane, in the folder of the image. The patterns
        contain named groups of `companion_key` in braces.
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
        """Return `True` if a file belongs to the mission, by its name or its metadata."""
        if self.file_prefix and filename.startswith(self.file_prefix):
            return True
        if telescope:
            return telescope.upper() == self.telescope
        return instrument.upper() in {known.name for known in self.instruments}

    def find_instrument(self, meta: Mapping[str, Any]) -> Instrument:
        """Return the instrument of an image, without flags if it is not known."""
        name, detector = (str(meta.get(key, "")).upper() for key in ("instrument", "detector"))
        for instrument in self.instruments:
            if instrument.name == name and instrument.detector in ("", detector):
                return instrument
        return Instrument(name, detector)

    def is_plane(self, extname: str, *planes: str) -> bool:
        """Return `True` if an extension has one of some planes of an image."""
        name = extname.rpartition(".")[2]
        return any(name in self.extensions[plane] for plane in planes)

    def find_partners(self, extname: str, plane: str) -> list[str]:
        """Return the possible names of the extension with a plane of the image in `extname`."""
        if not self.is_plane(extname, "data"):
            return []
        chip, dot, _ = extname.rpartition(".")
        return [f"{chip}{dot}{name}" for name in self.extensions[plane]]

    def find_companion(self, path: str, plane: str) -> str | None:
        """
        Find the file next to an image that has a plane of the image.

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
    """Return the bit of each flag from names in the order of bits; ``-`` stands for no flag."""
    return {name: 1 << bit for bit, name in enumerate(names.split()) if name != "-"}
