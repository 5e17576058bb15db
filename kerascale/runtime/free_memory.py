"""Memory that can still be had: of the machine, and of the control groups it is in."""

import contextlib
import ctypes
import os
import pathlib
from collections.abc import Iterator

_ROOT = pathlib.Path("/sys/fs/cgroup")
_OWN = pathlib.Path("/proc/self/cgroup")
_MEMINFO = pathlib.Path("/proc/meminfo")
_STATM = pathlib.Path("/proc/self/statm")
# Version 1 has a number for "none".
_NO_LIMIT = 2**60


def memory_room(
    root: pathlib.Path = _ROOT, own: pathlib.Path = _OWN
) -> tuple[int, int] | None:
    """The limit of memory in bytes, and what is left of it; None: no limit.

    Of several control groups, one inside the other, that one counts which has least
    left. What the system caches of files is not counted as used: it gives way.

    Args:
        root: Where control groups are mounted, of version 1 or 2.
        own: The file that names the groups of this process.
    """
    found = [
        room
        for folder, files in _folders(root, own)
        if (room := _room(folder, *files)) is not None
    ]
    return min(found, key=lambda room: room[1], default=None)


def give_back() -> None:
    """Gives memory back to the system that the C library keeps for later.

    It keeps what was freed between two pieces that are in use. Where the library is not
    glibc, nothing is done.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_bytes() -> int:
    """Bytes of this process that are in memory, as Linux tells it.

    Raises:
        OSError: Where the system does not tell.
    """
    pages = int(_STATM.read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def available_bytes(
    root: pathlib.Path = _ROOT,
    own: pathlib.Path = _OWN,
    meminfo: pathlib.Path = _MEMINFO,
) -> int:
    """Memory that can still be had, in bytes: of the machine or of the container.

    Args:
        root: See `memory_room`.
        own: See `memory_room`.
        meminfo: What the system says of its memory. Where it says nothing, all that
            the machine has is taken.
    """
    free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        fields = dict(
            line.split(":", 1) for line in meminfo.read_text().splitlines() if line
        )
        free = min(free, int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError):
        pass  # Not every system has this file.
    room = memory_room(root, own)
    return free if room is None else min(free, room[1])


# The file of the limit, that of what is used, and the names of it in there. Files in
# a tmpfs are memory that does not give way.
_VERSION_2 = ("memory.max", "memory.stat", ("anon", "shmem"))
_VERSION_1 = ("memory.limit_in_bytes", "memory.stat", ("total_rss", "total_shmem"))


def _folders(
    root: pathlib.Path, own: pathlib.Path
) -> Iterator[tuple[pathlib.Path, tuple[str, str, tuple[str, ...]]]]:
    """The folders of all groups that this process is in, and what they hold."""
    paths = {}
    try:
        for line in own.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths[controllers] = pathlib.PurePath(path.lstrip("/"))
    except (OSError, ValueError):
        pass
    here = pathlib.PurePath()
    # In a container the path may be the host's: then only the root is there.
    for path in (inner := paths.get("", here), *inner.parents):
        yield root / path, _VERSION_2
    for path in (inner := paths.get("memory", here), *inner.parents):
        yield root / "memory" / path, _VERSION_1


def _room(
    folder: pathlib.Path, limit_file: str, stat_file: str, names: tuple[str, ...]
) -> tuple[int, int] | None:
    try:
        limit = int((folder / limit_file).read_text())
        lines = (folder / stat_file).read_text().splitlines()
        counts = dict(line.split() for line in lines)
        used = int(counts[names[0]])
        used += sum(int(counts.get(name, 0)) for name in names[1:])
    except (OSError, ValueError, KeyError):
        return None  # Version 2 says "max" where there is no limit.
    return None if limit >= _NO_LIMIT else (limit, max(0, limit - used))
