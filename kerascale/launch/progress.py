"""Whether a worker still gets anywhere, by its signs of life."""

import pathlib

from kerascale.runtime import heartbeat
from kerascale.runtime.heartbeat import Beat

# How much longer than a step anything may take that compiles, reads or writes.
_PATIENCE = 20
# A step may take this many times the longest of before: the last batch of an epoch
# has another size and is compiled again.
_LONGER = 3


class Progress:
    """The signs of life of one worker.

    Args:
        path: The file that it writes to.
        stuck_seconds: How long nothing may happen where a step follows on a step.
        now: By the clock whose times `look` is given.
    """

    def __init__(self, path: pathlib.Path, stuck_seconds: float, now: float) -> None:
        self.path = path
        self._stuck_seconds = stuck_seconds
        self._changed = now
        self._longest = 0.0
        self.beat: Beat | None = None

    def look(self, now: float) -> None:
        """Reads the last sign of life."""
        beat = heartbeat.read(self.path)
        if beat is None or beat == self.beat:
            return
        if self.beat is not None and beat.phase in heartbeat.STEADY:
            self._longest = max(self._longest, now - self._changed)
        self.beat, self._changed = beat, now

    def silent_seconds(self, now: float) -> float:
        """How long it has not moved."""
        return now - self._changed

    def is_stuck(self, now: float, is_held: bool = False) -> bool:
        """Whether it has not moved for too long; never if it gave no sign at all.

        Args:
            now: As of `look`.
            is_held: Whether a signal holds the process up: it does no longer work.
        """
        if self.beat is None:
            return False
        limit = self._stuck_seconds if is_held else self._limit()
        return self.silent_seconds(now) > limit

    def _limit(self) -> float:
        if self.beat.phase not in heartbeat.STEADY:
            return _PATIENCE * self._stuck_seconds
        return max(self._stuck_seconds, _LONGER * self._longest)
