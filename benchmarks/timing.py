"""Times of functions that are measured side by side."""

import ctypes
import gc
import os
import subprocess
import sys
import time
import tracemalloc

MIN_REPEATS = 3

# Imports vary more from run to run than what they are compared for.
MIN_IMPORTS = 15

TIMED = "from time import process_time as t; start = t(); {}; print(t() - start)"


def time_in_turn(functions, seconds: float, repeats: int = MIN_REPEATS) -> list[float]:
    """
    Shortest times of functions, which are called in turn.

    Seconds of the processor, its work for the system included: what others do
    on the machine counts only where it slows down memory, and that can only
    make a run longer. Each run fills memory that is new to the process, as the only
    run of a user does: otherwise small arrays would get that of the last run, and large
    ones not. And each comes after one that does not count, so that the system
    has the memory: a virtual machine gets it from its host, at a cost of its own.

    Parameters
    ----------
    functions : sequence of callable
        What a function returns is kept until it has been timed.
    seconds : float
        How long to go on; at least ``repeats`` rounds are made.
    repeats : int
        Smallest number of rounds.
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
    """Give what has been freed back to the system, where that can be asked for."""
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def peak_memory(function) -> float:
    """Most bytes that a function has allocated at any time, arrays included."""
    release_memory()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def time_imports(statements, seconds: float) -> list[float]:
    """Shortest times of import statements in new processes, which run in turn."""
    best, end, rounds = [float("inf")] * len(statements), time.monotonic() + seconds, 0
    while rounds < MIN_IMPORTS or time.monotonic() < end:
        for k, statement in enumerate(statements):
            best[k] = min(best[k], float(run_python("-c", TIMED.format(statement))))
        rounds += 1
    return best


def run_python(*arguments: str) -> str:
    """What a new process prints."""
    # As of a package that is installed, modules are compiled once.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, capture_output=True, check=True, text=True, env=environment
    ).stdout
