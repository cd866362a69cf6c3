"""
Cost of the package, in comparison with code that uses only numpy, astropy and photutils.

    python -m benchmarks

`jobs` lists the measurements and their limits. `scenes` simulates the images.
"""

import os

# Idle threads of OpenBLAS spin, and the time of the processor includes them.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
