"""Table of the missions."""

from __future__ import annotations

from .euclid import EUCLID
from .hst import HST
from .jwst import JWST
from .mission import Mission
from .roman import ROMAN

__all__ = ["FLAG_NAMES", "MISSIONS", "find_mission"]

MISSIONS = (HST, JWST, ROMAN, EUCLID)

# Conventions of files of all other observatories.
_OTHER = Mission("")

# Mapping from names of flags to bits, for all missions. If the bits of a name differ between
# missions, the last mission counts.
FLAG_NAMES = {
    name: bit
    for mission in MISSIONS
    for instrument in mission.instruments
    for name, bit in instrument.flag_names.items()
}


def find_mission(telescope: str, instrument: str, filename: str = "") -> Mission:
    """
    Find the mission of an image.

    Parameters
    ----------
    telescope, instrument : str
        Names in the file, or empty text if the file does not contain them. The name of the
        instrument is used only if the telescope is not known, because instruments of different
        telescopes share names.
    filename : str
        Name of the FITS file without its folder.

    Returns
    -------
    Mission
        The mission. For other telescopes, a record with the most common conventions.
    """
    for mission in MISSIONS:
        if mission.owns(telescope, instrument, filename):
            return mission
    return _OTHER
