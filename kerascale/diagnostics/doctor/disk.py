"""Disks: room, and how long it takes until what was written is on them."""

import os
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

from kerascale.diagnostics.doctor.findings import Finding

_MIB = 2**20
# A small run with its checkpoints and TensorBoard's files.
_WRONG = 64 * _MIB
_LITTLE = 1024 * _MIB
_SLOW_SECONDS = 0.5
_WRITTEN = 4 * _MIB


def look(
    name: str,
    folder: pathlib.Path,
    statvfs: Callable[[str], Any] = os.statvfs,
) -> list[Finding]:
    """Looks at the disk of a folder. Nothing is left in it.

    Args:
        name: What the folder is.
        folder: It need not be there: then its nearest parent is looked at.
        statvfs: Tells the room of a file system, as `os.statvfs` does.
    """
    there = folder.absolute()
    while not os.path.lexists(there):
        there = there.parent
    # Names no file until the room is known: even that may be refused.
    values: dict[str, Any] = {"folder": str(folder)}
    if not there.is_dir():
        found = f"{folder}: {there} is not a folder"
        return [Finding(name, "wrong", found, "Name another folder.", values)]
    system = statvfs(str(there))
    free = system.f_bavail * system.f_frsize
    values["free_bytes"] = free
    text = f"{folder}: {_size(free)} free"
    if system.f_flag & os.ST_RDONLY:
        found = f"{folder}: on a read-only file system"
        return [Finding(name, "wrong", found, "Name another folder.", values)]
    if system.f_files and not system.f_favail:
        found = f"{folder}: the file system has no room for another file (inodes)"
        mend = "Remove files, or name a folder on another disk."
        return [Finding(name, "wrong", found, mend, values)]
    if free < _WRONG:
        mend = "Make room, or name a folder on another disk: checkpoints need it."
        return [Finding(name, "wrong", f"{text}: full", mend, values)]
    try:
        latency, speed = _measure(there)
    except OSError as error:
        found = f"{folder}: cannot be written ({error.strerror})"
        mend = "Make it writable, or name another folder."
        return [Finding(name, "wrong", found, mend, values)]
    values |= {"fsync_seconds": latency, "write_bytes_per_second": speed}
    text += f", fsync {latency * 1000:.1f} ms, {_size(speed)}/s"
    if latency > _SLOW_SECONDS:
        mend = "A save waits for it several times. Take a local disk, if there is one."
        return [Finding(name, "warning", f"{text}: slow", mend, values)]
    if free < _LITTLE:
        mend = "Runs keep several checkpoints: make room for larger models."
        return [Finding(name, "warning", text, mend, values)]
    return [Finding(name, "ok", text, "", values)]


def _measure(folder: pathlib.Path) -> tuple[float, float]:
    """Seconds until a small write is on the disk, and bytes a second of a large one."""
    # Without a name where the system can: a kill leaves nothing behind.
    with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
        seconds = []
        for _ in range(5):
            file.write(os.urandom(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
        content = os.urandom(_WRITTEN)
        began = time.perf_counter()
        file.write(content)
        os.fsync(file.fileno())
        return statistics.median(seconds), _WRITTEN / (time.perf_counter() - began)


def _size(count: float) -> str:
    if count < 1024 * _MIB:
        return f"{count / _MIB:.0f} MiB"
    return f"{count / 2**30:.1f} GiB"
