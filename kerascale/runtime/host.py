"""How many cores this process may use."""

import os


def usable_cores() -> int:
    """Cores that this process may run on; all of the machine where that is not told.

    Linux tells it, after `taskset` and in a container whose cores are given by number.
    """
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
