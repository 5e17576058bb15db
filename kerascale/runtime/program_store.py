"""What compilers have made of a program, on the disk, for the next process.

A file is executed by who finds it. So there is a folder for each type of machine and
each version, and nothing is read that another user can have written.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import platform
from collections.abc import Sequence

from kerascale.runtime import atomic_files, host
from kerascale.runtime.cache_dir import cache_dir

# A program of a hundred steps takes one or two megabytes.
_MOST_BYTES = 256 * 2**20
_DIGEST_BYTES = hashlib.sha256().digest_size


class ProgramStore:
    """Programs by their keys; a damaged one is as if it were not there.

    Args:
        folder: See `folder_of`. It need not be there.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder

    def get(self, key: str) -> bytes | None:
        """What was put; None: nothing, or it is damaged, or not this user's alone."""
        path = self.folder / key
        with contextlib.suppress(OSError):
            data = read_own(path)
            if data is None:
                return None
            digest, content = data[:_DIGEST_BYTES], data[_DIGEST_BYTES:]
            if hashlib.sha256(content).digest() == digest:
                os.utime(path)  # The ones that are not asked for go first.
                return content
            path.unlink(missing_ok=True)
        return None

    def put(self, key: str, content: bytes) -> None:
        """Keeps a program, as far as the disk has room and may be written."""
        with contextlib.suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_files.replacing(self.folder / key, shared=True) as path:
                path.write_bytes(hashlib.sha256(content).digest() + content)
                path.chmod(0o600)
            shorten(self.folder.parent)


def folder_of(kind: str, facts: Sequence[object]) -> pathlib.Path:
    """The folder for this machine type, user and settings.

    Args:
        kind: Whose programs: a folder of the user's cache folder.
        facts: What they depend on beside the machine: versions, settings.
    """
    key = [
        *facts,
        platform.machine(),
        _processor(),
        os.getuid(),
        host.usable_cores(),
    ]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()
    return cache_dir() / kind / digest[:32]


def read_own(path: pathlib.Path) -> bytes | None:
    """A file that nobody but this user can have written; None: another one."""
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        if stat.st_uid != os.getuid() or stat.st_mode & 0o022:
            return None
        return file.read()


def shorten(folders: pathlib.Path) -> None:
    """Removes those that were not used for the longest time, beyond the limit."""
    found = [(path.stat(), path) for path in folders.glob("*/*")]
    found.sort(key=lambda each: each[0].st_mtime, reverse=True)
    total = 0
    for stat, path in found:
        total += stat.st_size
        if total > _MOST_BYTES:
            path.unlink(missing_ok=True)


def _processor() -> list[str]:
    """The processor's name and instruction sets, which programs are compiled for."""
    names = ("model name", "flags", "Features", "CPU part")
    return sorted({x for x in host.cpuinfo().splitlines() if x.startswith(names)})
