"""At which steps of an epoch something is recorded: the same in every run."""

import math

# Records in an epoch, at most.
_MOST = 20


class Intervals:
    """Steps at which records are due, whatever the time and the interruptions.

    Args:
        steps_per_epoch: Batches in one pass.
    """

    def __init__(self, steps_per_epoch: int) -> None:
        self._every = math.ceil(steps_per_epoch / _MOST)
        # Batches of this epoch that were looked at; a part of a run's state.
        self.seen = 0

    def passed(self, done: int) -> list[int]:
        """The due steps since the last call, after `done` batches of the epoch."""
        before, self.seen = self.seen, done
        first = before // self._every + 1
        return [i * self._every for i in range(first, done // self._every + 1)]

    def end_epoch(self) -> None:
        """The next epoch begins anew."""
        self.seen = 0
