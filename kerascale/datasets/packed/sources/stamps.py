"""What tells whether files have changed: names, sizes, times of change."""

import hashlib
import os
from collections.abc import Iterable
from typing import Any


class Stamps:
    """Sums up files, one after the other."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.num_files = 0
        self.num_bytes = 0

    def add(self, path: str, name: str) -> None:
        """Adds a file.

        Args:
            path: Where it is. One that is gone counts as empty: reading it tells.
            name: Relative to the source.
        """
        size, changed = size_and_time(path)
        line = f"{name}\0{size}\0{changed}\n"
        self._digest.update(line.encode("utf-8", "surrogateescape"))
        self.num_files += 1
        self.num_bytes += size

    def to_json(self) -> dict[str, Any]:
        return {
            "files": self.num_files,
            "bytes": self.num_bytes,
            "sha256": self._digest.hexdigest(),
        }


def identity_of(paths: Iterable[str]) -> dict[str, Any]:
    """The identity of a source of some files, which may lie anywhere."""
    stamps = Stamps()
    for path in paths:
        stamps.add(path, os.path.basename(path))
    return stamps.to_json()


def size_and_time(path: str) -> tuple[int, int]:
    """Size and time of change of a file; zeros if it is gone."""
    try:
        found = os.stat(path)
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
