"""
Benchmarks of the package against code that uses only numpy, astropy and photutils.

    python -m benchmarks

The module `jobs` lists the measurements and their limits. `scenes` simulates the images.
"""

import os

# Idle threads of OpenBLAS wait in a loop, which would add to the measured processor time.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
