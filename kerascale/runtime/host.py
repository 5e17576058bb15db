"""The processor of this machine, and how many cores this process may use."""

import functools
import os
import pathlib


def usable_cores() -> int:
    """Cores that this process may run on; all of the machine where that is not told.

    Linux tells it, after `taskset` and in a container whose cores are given by number.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def cpuinfo() -> str:
    """The content of `/proc/cpuinfo`; empty where Linux does not tell."""
    try:
        return pathlib.Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return ""


def cpu_model() -> str | None:
    """The line of `/proc/cpuinfo` that names the processor; None: there is none."""
    lines = cpuinfo().splitlines()
    return next((line for line in lines if line.startswith("model name")), None)
