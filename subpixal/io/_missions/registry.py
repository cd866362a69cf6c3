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

# Flags of all missions. Some names have other bits in other missions.
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
        Names in the file, empty if they are not known. The instrument only counts if the
        telescope is not known, because instruments of different telescopes share names.
    filename : str
        Name of the FITS file without its folder.

    Returns
    -------
    Mission
        A mission with the most common conventions if the telescope is not known.
    """
    for mission in MISSIONS:
        if mission.owns(telescope, instrument, filename):
            return mission
    return _OTHER
