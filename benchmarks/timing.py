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

    Times are seconds of the processor, user and system. Other processes on the
    machine can only slow down the memory, so the shortest time is the best estimate.
    Each run fills memory that is new to the process, as the single run of a user
    does. Otherwise small arrays would reuse memory of the previous run, and large
    arrays would not. Each timed run follows an untimed run, because a virtual
    machine has to get new memory from its host first.

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
    """Return the peak of the bytes that a function allocates, including arrays."""
    release_memory()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def time_imports(statements, seconds: float) -> list[float]:
    """Measure the shortest times of import statements, in new processes that run in turn."""
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
