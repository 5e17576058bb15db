"""Memory: what is free, on the machine and in the container."""

import os
import pathlib

from kerascale.diagnostics.doctor.findings import Finding
from kerascale.runtime import allocator, free_memory

_MIB = 2**20
# TensorFlow alone takes about half a gibibyte.
_WRONG = 700 * _MIB
_FEW = 2048 * _MIB
# Where nothing else forbids it: `kerascale.runtime.tf_environment`.
_WHY = "there is a GPU, or TensorFlow was imported first"


def look(
    meminfo: pathlib.Path = pathlib.Path("/proc/meminfo"),
    limits: tuple[int, int] | None = None,
) -> list[Finding]:
    """Tells how much memory can still be had.

    Args:
        meminfo: What the system says of its memory.
        limits: The container's limit and what is left of it, in bytes; None: as it
            is told here.
    """
    limits = free_memory.memory_room() if limits is None else limits
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    free = total
    try:
        lines = meminfo.read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        free = int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        pass
    text = f"{_gib(free)} free of {_gib(total)}"
    values = {"free_bytes": free, "total_bytes": total}
    if limits is not None:
        limit, left = limits
        text += f"; the container has {_gib(left)} left of {_gib(limit)}"
        values |= {"limit_bytes": limit, "left_bytes": left}
        free = min(free, left)
    keeps = values["keeps"] = allocator.keeps_memory(os.environ)
    kept = "kept" if keeps else f"not kept ({allocator.why_not(os.environ) or _WHY})"
    text += f"; what a step frees is {kept} for the next"
    if free < _WRONG:
        mend = "End what uses the memory, or raise the container's limit."
        return [Finding("memory", "wrong", f"{text}: too little", mend, values)]
    if free < _FEW:
        mend = "Larger models and data sets will not fit. End what uses the memory."
        return [Finding("memory", "warning", text, mend, values)]
    return [Finding("memory", "ok", text, "", values)]


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
