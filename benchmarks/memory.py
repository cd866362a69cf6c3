"""
Anonymous memory of collections in addition to their pixels, measured in a separate process.

    python -m benchmarks.memory COUNT

The script runs on Linux only, because it reads the anonymous memory from ``/proc``.
"""

import json
import re
import sys
import tempfile
import warnings
from pathlib import Path

from subpixal import CutoutCollection

from .bare import flat_planes
from .scenes import Scene
from .timing import release_memory


def anonymous_memory() -> int:
    """Return the memory of the process in bytes, without mapped files."""
    release_memory()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"RssAnon:\s+(\d+)", status)[1])


def measure(count: int) -> dict[str, float]:
    """Return the memory of collections of ``count`` cutouts, in bytes, without their pixels."""
    scene, small, found = Scene(count), Scene(count // 10 + 1), {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cutouts.asdf"
        # Import modules and fill caches before the measurement, so that their memory does not
        # count.
        small.cut_planes().write(path)
        CutoutCollection.read(path)[0].data.sum()
        before = anonymous_memory()
        cutouts = scene.cut_planes()
        held = anonymous_memory() - before
        pixels = sum(plane.nbytes for plane in flat_planes(cutouts).values())
        found["cut"] = held - pixels
        cutouts.write(path, overwrite=True)
        del cutouts
        before = anonymous_memory()
        cutouts = CutoutCollection.read(path)
        cutouts[count // 2].data.sum()
        found["read from an archive"] = anonymous_memory() - before
    return found


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(measure(int(sys.argv[1]))))
