"""
FITS files: read images, write cutouts.

Read the modules in this order:

- ``files``: open a file, and read pixels when they are used;
- ``images`` and ``wcs``: the images of a file, each with its WCS;
- ``write``, ``cards`` and ``wcs_header``: write cutouts.
"""
