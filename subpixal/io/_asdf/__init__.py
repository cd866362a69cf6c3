"""
Archives of cutouts as ASDF files.

Read the modules in this order:

- ``archive``: write and read a file;
- ``converters``, ``integration`` and ``versions``: the extension of asdf;
- ``collection``, ``cutout``, ``image``, ``wcs``, ``metadata``, ``columns``, ``pixel_blocks``:
  the parts of the tree;
- ``reader``, ``blocks``, ``validate_tree``, ``tree_checksum``: access to the bytes of a file;
- ``merge`` and ``content_hash``: several archives.
"""
