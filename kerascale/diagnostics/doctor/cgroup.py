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
