"""What a container may use of the machine: limits of its control group."""

import pathlib

_ROOT = pathlib.Path("/sys/fs/cgroup")


def cpu_quota(root: pathlib.Path = _ROOT) -> float | None:
    """Cores that may be used at a time; None: no limit.

    Args:
        root: Where control groups are mounted, of version 1 or 2.
    """
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota = int((root / "cpu" / "cpu.cfs_quota_us").read_text())
        period = int((root / "cpu" / "cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None


def memory_room(root: pathlib.Path = _ROOT) -> tuple[int, int] | None:
    """The limit of memory in bytes, and what is left of it; None: no limit.

    What the system caches of files is not counted as used: it gives way.
    """
    for limit_file, stat_file, name in (
        (root / "memory.max", root / "memory.stat", "anon"),
        (
            root / "memory" / "memory.limit_in_bytes",
            root / "memory" / "memory.stat",
            "total_rss",
        ),
    ):
        try:
            limit = int(limit_file.read_text())
            lines = stat_file.read_text().splitlines()
            used = int(dict(line.split() for line in lines)[name])
        except (OSError, ValueError, KeyError):
            continue
        if limit < 2**60:  # Version 1 has a number for "none".
            return limit, max(0, limit - used)
    return None
