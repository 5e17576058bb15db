"""Looks at a machine before anything is trained on it."""

import functools
import importlib.metadata
import os
import pathlib
from collections.abc import Callable
from typing import Any

from kerascale.diagnostics.doctor import (
    cluster,
    computing,
    disk,
    memory,
    network,
    processor,
    versions,
)
from kerascale.diagnostics.doctor.findings import Finding, Report, guarded
from kerascale.runtime.cache_dir import cache_dir

__all__ = ["Finding", "Report", "cluster", "examine"]


def examine(
    *,
    run_dir: pathlib.Path = pathlib.Path("runs"),
    port: int | None = None,
    quick: bool = False,
    limit_seconds: float = 120.0,
    installed: Callable[[str], str] = importlib.metadata.version,
    statvfs: Callable[[str], Any] = os.statvfs,
) -> Report:
    """Looks at everything that a training depends on.

    Nothing is changed but the peak that the cache folder keeps.
    No check keeps another from being made. What needs TensorFlow runs in processes of
    its own.

    Args:
        run_dir: Where runs will be written; it need not be there.
        port: A port that should be free; None: whether any is.
        quick: Leave out what needs TensorFlow: devices, peak and collective.
        limit_seconds: How long each check that needs TensorFlow may take.
        installed: Name of a package -> its version.
        statvfs: Tells the room of a file system.

    Returns:
        The findings; false if something is wrong.
    """
    checks: list[tuple[str, Callable[[], list[Finding]]]] = [
        ("versions", functools.partial(versions.look, installed)),
        ("processor", processor.look),
        ("kernels", processor.look_at_kernels),
        ("threads", processor.look_at_threads),
        ("memory", memory.look),
        ("run folder", functools.partial(disk.look, "run folder", run_dir, statvfs)),
        ("cache", lambda: disk.look("cache", cache_dir(), statvfs)),
        ("TF_CONFIG", network.look_at_cluster),
        ("port", functools.partial(network.look_at_port, port)),
    ]
    if not quick:
        checks += [
            ("devices", lambda: computing.look_at_devices(limit_seconds)),
            ("collective", lambda: computing.look_at_collective(limit_seconds)),
        ]
    found = [finding for name, look in checks for finding in guarded(name, look)]
    return Report(tuple(found))
