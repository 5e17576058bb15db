"""What of files is in the system's cache."""

import os
import pathlib

_PART_BYTES = 8 * 2**20


def read(place: pathlib.Path) -> None:
    """Brings a file, or all files of a folder, into the cache."""
    paths = [place] if place.is_file() else sorted(place.rglob("*"))
    for path in paths:
        if path.is_file():
            with open(path, "rb", buffering=0) as file:
                while file.read(_PART_BYTES):
                    pass


def forget(path: pathlib.Path) -> None:
    """Has a file dropped from the cache, but for pages that somebody has mapped."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # What is not on the disk yet stays.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(descriptor)
