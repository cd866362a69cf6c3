"""
The pipeline of the ``create_*`` functions.

Read the modules in this order:

- `api`: the public functions;
- `catalog`: columns of a catalog that the functions use;
- `labels` and `segmentation`: boxes and pixels of the labels of sources;
- `box_policy`: size of the boxes;
- `selection`: map boxes, and drop sources that cannot be cut;
- `cutter`: cut all planes of all boxes.
"""
