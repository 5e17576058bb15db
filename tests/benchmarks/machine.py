"""The machine that a result is from."""

import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

_PREFIXES = (
    "CUDA_", "GLIBC_", "GOMP_", "JAX_", "KERAS", "KMP_", "MALLOC_", "MKL_", "OMP_",
    "OPENBLAS_", "TF_", "TORCH", "XLA_", "LD_PRELOAD",
)  # fmt: skip


def facts() -> dict[str, Any]:
    """What the figures depend on, and what must not have disturbed them."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "instructions": _instructions(),
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "niceness": os.nice(0),
        # Above the number of idle cores, other work was running beside.
        "load_average": os.getloadavg(),
        "environment": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith(_PREFIXES)
        },
        "revision": _revision(),
    }


def busy_seconds() -> float:
    """Processor seconds that all programs have taken since the machine started.

    What the host took away (steal) counts, too.
    """
    fields = pathlib.Path("/proc/stat").read_text(encoding="utf-8").split("\n")[0]
    user, nice, system, _, _, irq, softirq, steal = map(int, fields.split()[1:9])
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor()


def _instructions() -> list[str]:
    flags = _cpuinfo("flags").split()
    return [name for name in flags if name.startswith(("avx", "amx", "fma"))]


def _cpuinfo(field: str) -> str:
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ""
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == field:
            return value.strip()
    return ""


def _revision() -> str | None:
    folder = pathlib.Path(__file__).parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty"]
    try:
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return finished.stdout.strip() or None
