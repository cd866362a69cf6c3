"""
Missions: their file conventions, metadata and data models.

Read the modules in this order:

- ``mission``: the record of a mission;
- ``hst``, ``jwst``, ``roman``, ``euclid``: one record each;
- ``registry``: the table of all missions;
- ``metadata``: metadata of an image in a header or a data model;
- ``datamodels``: data models, and ASDF files of missions;
- ``flags``: good flags on the command line.
"""

from .datamodels import find_root, model_image, model_labels, open_asdf
from .flags import format_flags, parse_flags
from .metadata import find_in, metadata_from_header, parse_unit
from .mission import FileImage, Mission
from .registry import FLAG_NAMES, find_mission

__all__ = [
    "FLAG_NAMES",
    "FileImage",
    "Mission",
    "find_in",
    "find_mission",
    "find_root",
    "format_flags",
    "metadata_from_header",
    "model_image",
    "model_labels",
    "open_asdf",
    "parse_flags",
    "parse_unit",
]
