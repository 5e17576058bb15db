"""Memory that a step frees is kept for the next step, where the C library is glibc.

A step allocates and frees hundreds of megabytes. By default glibc gives large blocks
back to the system at once, and so it does with what a thread other than the first has
freed: the next step pays for each page again. With one arena of which nothing is given
back (more than 2 GiB free at its end are) there are no page faults between two steps.

It is set where `KERASCALE_KEEP_MEMORY=1` asks for it. A Transformer of 10.8 million
parameters, split over two cores, gains 8 to 18 % a step; a small one as one program
loses 10 %, for a reason that was not found.

Threads share the lock of the one arena. Small blocks do not need it, and with few
cores nobody waits for it; with many that was not measured, and nothing is set.
"""

import ctypes
import os
from collections.abc import Mapping

VARIABLE = "KERASCALE_KEEP_MEMORY"

# Names and values of `mallopt`, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8
_OPTIONS = {
    _M_ARENA_MAX: 1,
    _M_MMAP_MAX: 0,
    _M_TRIM_THRESHOLD: 2**31 - 1,
    _M_TOP_PAD: 64 * 2**20,
}

# With more nothing is set.
MOST_CORES = 16

# Whether this process keeps memory.
_keeps = False


def keep_memory(environ: Mapping[str, str]) -> None:
    """Sets it for this process, if it is asked for and nothing speaks against it.

    Args:
        environ: Environment variables.
    """
    global _keeps
    _keeps = _keeps or (not why_not(environ) and _set())


def keeps_memory() -> bool:
    """Whether this process keeps memory."""
    return _keeps


def why_not(environ: Mapping[str, str]) -> str:
    """Why nothing would be set; empty if it would.

    Args:
        environ: Environment variables.
    """
    if environ.get(VARIABLE) != "1":
        return f"{VARIABLE} is not 1"
    own = [name for name in environ if name.startswith("MALLOC_")]
    if "glibc.malloc" in environ.get("GLIBC_TUNABLES", ""):
        own.append("GLIBC_TUNABLES")
    if environ.get("LD_PRELOAD"):  # Often another allocator.
        own.append("LD_PRELOAD")
    if own:
        return f"{', '.join(sorted(own))} is set"
    if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
        return "the C library is not glibc"
    cores = len(os.sched_getaffinity(0))
    if cores > MOST_CORES:
        return f"{cores} cores, measured with few"
    return ""


def _set() -> bool:
    # All of them, or what is set would not do what it is for.
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(name, value) == 1 for name, value in _OPTIONS.items()])
