"""Processor times and memory of functions. The functions run in turn."""

import ctypes
import gc
import os
import subprocess
import sys
import time
import tracemalloc

MIN_REPEATS = 3

# Times of imports vary by more than the difference to measure, so repeat imports often.
MIN_IMPORTS = 15

TIMED = "from time import process_time as t; start = t(); {}; print(t() - start)"


def time_in_turn(functions, seconds: float, repeats: int = MIN_REPEATS) -> list[float]:
    """
    Measure the shortest times of functions, which run one after the other in each round.

    Times are the sum of user time and system time of the processor. Other processes can
    only make a run slower, because they slow down the memory. Therefore, the shortest time
    is the best estimate.

    Freed memory is released before each timed run, so that the run fills new memory, like the
    single run of a user. Otherwise, only small arrays would reuse memory of the previous
    run. Before each timed run, there is a run that is not timed, because a virtual machine
    has to get new memory from its host first.

    Parameters
    ----------
    functions : sequence of callable
        Functions without arguments.
    seconds : float
        Minimum duration of the measurement.
    repeats : int
        Minimum number of rounds.

    Returns
    -------
    list of float
        Seconds of the processor, one for each function.
    """
    best, end, rounds = [float("inf")] * len(functions), time.monotonic() + seconds, 0
    while rounds < repeats or time.monotonic() < end:
        for k, function in enumerate(functions):
            function()
            release_memory()
            start = time.process_time()
            result = function()
            best[k] = min(best[k], time.process_time() - start)
            del result
        rounds += 1
    return best


def release_memory() -> None:
    """Return freed memory to the system, if the platform supports this."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory(function) -> float:
    """Return the largest number of bytes that a function has allocated at one time."""
    release_memory()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def time_imports(statements, seconds: float) -> list[float]:
    """Measure the shortest times of import statements. New processes run them in turn."""
    best, end, rounds = [float("inf")] * len(statements), time.monotonic() + seconds, 0
    while rounds < MIN_IMPORTS or time.monotonic() < end:
        for k, statement in enumerate(statements):
            best[k] = min(best[k], float(run_python("-c", TIMED.format(statement))))
        rounds += 1
    return best


def run_python(*arguments: str) -> str:
    """Run code in a new Python process and return the printed output."""
    # Write bytecode, because modules of an installed package are compiled only once.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, check=True, text=True, env=environment
    ).stdout
