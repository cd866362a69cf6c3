"""
Archives of cutouts as ASDF files.

Read the modules in this order:

- ``archive``: write and read a file;
- ``converters``, ``integration`` and ``versions``: the extension of asdf;
- ``collection``, ``cutout``, ``image``, ``wcs``, ``metadata``, ``columns``, ``pixel_blocks``: the
  nodes of the tree;
- ``reader``, ``blocks``, ``validate_tree``, ``tree_checksum``: access to the bytes of a file;
- ``merge`` and ``content_hash``: merge several archives.

  A collection is stored in parts. A part contains cutouts of one image that have the same planes.
"""
