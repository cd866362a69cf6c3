"""
What the package costs, against what its users would do without it.

    python -m benchmarks

`jobs` says what is measured and what it may cost, `scenes` on which images.
"""

import os

# Threads that wait for work count as work.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
