"""
Missions: names of extensions and flags, metadata, data models.

- `registry`: flags of the instruments;
- `metadata`: metadata of an image from a header or a data model;
- `datamodels`: data models of JWST and Roman, and ASDF files of Roman.
"""
