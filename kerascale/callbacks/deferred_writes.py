"""Files that cannot be written for a while: told once, kept in memory, written later.

A disk that is full for an hour costs no run. What is to be written waits in memory
until there is room; what was written before stays as it is.
"""

import os
import pathlib
import time
from collections.abc import Callable
from typing import Literal

from kerascale.errors import SaveFailedError
from kerascale.runtime.console import say

# How long a file waits before it is tried again, beside the times at which there is
# something new to write.
_AGAIN_SECONDS = 1.0
# On a disk that has room only now and then, each failure would be news.
_QUIET_SECONDS = 60.0


class Unwritten:
    """Which files wait for room, and what is done about it.

    Args:
        on_failure: `continue`: what cannot be written waits, and the first failure is
            told. `stop`: it raises.
    """

    def __init__(self, on_failure: Literal["continue", "stop"] = "stop") -> None:
        self._on_failure = on_failure
        self._waiting: dict[pathlib.Path, SaveFailedError] = {}
        # When it was told last, and whether it was told that there is room since.
        self._told_at: float | None = None
        self._is_told = False

    def attempt(self, path: pathlib.Path, write: Callable[[], None]) -> bool:
        """Writes a file, or leaves it waiting.

        Args:
            path: The file.
            write: Does it; what it raises as `OSError` is a failure.

        Returns:
            Whether it was written.

        Raises:
            SaveFailedError: If it was not, and that should stop the training.
        """
        try:
            write()
        except OSError as error:
            failed = _failed(path, error)
            if self._on_failure == "stop":
                raise failed from error
            self._waiting[path] = failed
            self._tell(failed)
            return False
        self._waiting.pop(path, None)
        if self._is_told and not self._waiting:
            self._is_told = False
            say("there is room again: all records and weights that waited are written")
        return True

    def _tell(self, failed: SaveFailedError) -> None:
        now = time.monotonic()
        is_quiet = self._told_at is not None and now - self._told_at < _QUIET_SECONDS
        if self._is_told or is_quiet:
            return
        self._told_at, self._is_told = now, True
        say(
            f"{failed} Until then it is kept in memory. Training goes on "
            "(--on-save-failure continue)."
        )

    def refuse(self) -> None:
        """Called when nothing comes after that could write it.

        Raises:
            SaveFailedError: If a file still waits.
        """
        for failed in self._waiting.values():
            raise failed


class RecordFile:
    """A file that grows, and what of it waits for room.

    A part of an entry is never left in the file.

    Args:
        path: The file.
        unwritten: Takes note of what waits; None: a failure raises.
    """

    def __init__(
        self, path: str | os.PathLike, unwritten: Unwritten | None = None
    ) -> None:
        self.path = pathlib.Path(path)
        self._notes = unwritten or Unwritten()
        self.begin()

    def begin(self) -> None:
        """The file as it is now; nothing waits."""
        self._size = self.path.stat().st_size if self.path.exists() else 0
        self._waiting = b""
        self._tried = 0.0

    @property
    def size(self) -> int:
        """Bytes, with those that wait."""
        return self._size + len(self._waiting)

    @property
    def waiting(self) -> bytes:
        """What waits for room."""
        return self._waiting

    def append(self, entry: bytes) -> None:
        """Writes an entry behind all others.

        Raises:
            SaveFailedError: If it cannot be written, and that should stop the training.
        """
        self._waiting += entry
        self.write_now()

    def retry(self) -> None:
        """Writes what waits, if it was not tried just now."""
        if self._waiting and time.monotonic() - self._tried >= _AGAIN_SECONDS:
            self.write_now()

    def write_now(self) -> None:
        """Writes what waits; what cannot be written waits on."""
        self._tried = time.monotonic()
        if self._waiting and self._notes.attempt(self.path, self._write):
            self._size += len(self._waiting)
            self._waiting = b""

    def content(self) -> bytes:
        """All of it, with what waits."""
        there = self.path.read_bytes()[: self._size] if self.path.exists() else b""
        return there + self._waiting

    def cut(self, size: int, waiting: bytes = b"") -> None:
        """Goes back to what the file was: its first bytes, and what waited then."""
        if self.path.exists():
            os.truncate(self.path, size)
        self._size, self._waiting = size, waiting
        self.write_now()

    def _write(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, flags, 0o666)
        try:
            # What an attempt of before has left, if even that could not be removed.
            os.ftruncate(descriptor, self._size)
            done = 0
            while done < len(self._waiting):
                done += os.pwrite(descriptor, self._waiting[done:], self._size + done)
        except OSError:
            os.ftruncate(descriptor, self._size)
            raise
        finally:
            os.close(descriptor)


def _failed(path: pathlib.Path, error: OSError) -> SaveFailedError:
    reason = error.strerror or str(error)
    return SaveFailedError(None, error.errno, f"{reason}: {path}", what=path.name)
