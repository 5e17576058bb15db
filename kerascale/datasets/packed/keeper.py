"""Keeps the part of mapped files that counts as memory of this process small.

A page of a mapped file that was read counts as memory of the process, though it is the
system's cache and gives way. Containers, job schedulers and people look at that number.
Where it passes a limit, the pages are taken out of the process, and stay in the cache.
"""

import mmap
import os
import pathlib
import threading
import time
import weakref

# Files of no more than that in all stay in the process.
SMALL_BYTES = 200 * 2**20
# What may be read of larger ones before it is taken out.
LIMIT_BYTES = 96 * 2**20
_STATM = pathlib.Path("/proc/self/statm")
# Between two looks: pages come at gigabytes a second, or not at all, and begin at once.
_SHORTEST, _LONGEST = 0.004, 0.05

_maps: "weakref.WeakSet[mmap.mmap]" = weakref.WeakSet()
_lock = threading.Lock()
_thread: threading.Thread | None = None


def watch(mapping: mmap.mmap) -> None:
    """Keeps a mapping of a file, as long as it is there."""
    global _thread
    if not (_STATM.exists() and hasattr(mmap, "MADV_DONTNEED")):
        return
    with _lock:
        _maps.add(mapping)
        is_running = _thread is not None and _thread.is_alive()
        if not is_running and sum(map(len, _maps)) > SMALL_BYTES:
            _thread = threading.Thread(
                target=_keep, name="kerascale-mapped-files", daemon=True
            )
            _thread.start()


def _keep() -> None:
    base = last = _file_bytes()
    then, wait = time.monotonic(), _SHORTEST
    while True:
        time.sleep(wait)
        with _lock:
            maps = list(_maps)
        if sum(map(len, maps)) <= SMALL_BYTES:
            if not maps:
                return
            continue
        now, found = time.monotonic(), _file_bytes()
        if found - base > LIMIT_BYTES:
            drop(maps)
            found = base = _file_bytes()
        rate = max(0, found - last) / max(now - then, 1e-3)
        # Half of the time after which the limit would be reached.
        left = LIMIT_BYTES - (found - base)
        wait = min(_LONGEST, max(_SHORTEST, 0.5 * left / max(rate, 1)))
        last, then = found, now
        del maps


def drop(maps: list[mmap.mmap]) -> None:
    """Takes the pages of mappings out of this process; they are read again if needed.

    None was written to: that would be lost.
    """
    for mapping in maps:
        try:
            mapping.madvise(mmap.MADV_DONTNEED)
        except ValueError:  # It was closed meanwhile.
            continue


def _file_bytes() -> int:
    """Pages of files that count as memory of this process, in bytes."""
    _, _, shared, *_ = _STATM.read_text().split()
    return int(shared) * os.sysconf("SC_PAGE_SIZE")
