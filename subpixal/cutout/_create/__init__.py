"""
The pipeline of the ``create_*`` functions.

Read the modules in this order:

- `api`: the public functions;
- `catalog`: columns of a catalog that the functions use;
- `labels` and `segmentation`: segments of the sources, and the pixels that they mask;
- `box_policy`: sizes of the boxes;
- `selection`: map boxes to another image, and drop sources that cannot be cut;
- `cutter`: cut all planes of all boxes.
"""
