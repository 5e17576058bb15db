"""Examples per second: now, in the middle of all seconds, and what that leaves."""

import collections
import statistics

# A speed is measured over this long.
_WINDOW = 1.0
# How many of them the median is taken of: those of the last hour.
_MOST = 3600


class Speed:
    """Measures a training; validation and compiling are no part of its speed.

    Times are those of one clock, in seconds.
    """

    def __init__(self) -> None:
        self._samples: collections.deque[float] = collections.deque(maxlen=_MOST)
        self._mark: tuple[int, float] | None = None
        self._examples, self._seconds = 0, 0.0

    def begin(self, done: int, now: float) -> None:
        """Training begins, or goes on, after `done` examples."""
        self._mark = done, now

    def pause(self) -> None:
        """What comes now is no training."""
        self._mark = None

    def add(self, done: int, now: float) -> None:
        """As many examples are done now."""
        if self._mark is None:
            return
        examples, seconds = done - self._mark[0], now - self._mark[1]
        if seconds >= _WINDOW:
            self._examples += examples
            self._seconds += seconds
            self._samples.append(examples / seconds)
            self._mark = done, now

    def end(self, done: int, now: float) -> None:
        """An epoch's training ends: what was shorter than a second counts too."""
        if self._mark is not None:
            self._examples += done - self._mark[0]
            self._seconds += now - self._mark[1]
            self._mark = None

    def now(self, done: int, now: float) -> float | None:
        """In the last second; None: it is not known."""
        if self._samples:
            return self._samples[-1]
        return self.mean(done, now)

    def mean(self, done: int, now: float) -> float | None:
        """Over all of the training."""
        examples, seconds = self._examples, self._seconds
        if self._mark is not None:
            examples += done - self._mark[0]
            seconds += now - self._mark[1]
        return examples / seconds if seconds > 0 and examples > 0 else None

    def median(self, done: int, now: float) -> float | None:
        """Of all seconds."""
        if self._samples:
            return statistics.median(self._samples)
        return self.mean(done, now)
