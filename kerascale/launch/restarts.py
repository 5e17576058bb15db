"""Whether a job that failed is started again."""

import collections
import dataclasses

from kerascale.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_REFUSED, EXIT_STOPPED
from kerascale.launch.summary import Ending
from kerascale.runtime.console import counted

# A shell's own: a command that is not there, or is no program.
_NO_COMMAND = (126, 127)
# What a person has asked for, or would be the same the next time.
_FINAL = (EXIT_DONE, EXIT_REFUSED, EXIT_STOPPED, EXIT_INTERRUPTED, *_NO_COMMAND)
_LONGEST_PAUSE = 60.0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What follows on an ending.

    Args:
        again: Whether all workers are started again.
        seconds: After which pause.
        text: What a person is told; empty: nothing.
    """

    again: bool
    seconds: float = 0.0
    text: str = ""


class Restarts:
    """Counts the restarts of one job.

    Args:
        most: How many there may be.
        backoff_seconds: The pause before the first; it doubles with each one.

    Attributes:
        reasons: One of `kerascale.runtime.heartbeat.REASONS` -> restarts for it.
    """

    def __init__(self, most: int, backoff_seconds: float) -> None:
        self._most = most
        self._backoff_seconds = backoff_seconds
        self._count = 0
        self._failed_at: int | None = None
        self.reasons: collections.Counter[str] = collections.Counter()

    def judge(self, ending: Ending) -> Verdict:
        """Decides, and counts."""
        final = ending.failed is None or ending.failed.code in _FINAL
        if self._most < 1 or final or ending.signal is not None:
            return Verdict(False)
        if ending.hopeless:
            return Verdict(False, text="not started again: it would fail again.")
        if ending.step == self._failed_at:
            return Verdict(
                False,
                text=f"given up: it failed twice in a row at step {ending.step}.",
            )
        self._failed_at = ending.step
        if self._count == self._most:
            return Verdict(
                False,
                text=f"given up after {counted(self._count, 'restart')} "
                "(--max-restarts). The same command goes on from the last checkpoint.",
            )
        pause = min(self._backoff_seconds * 2**self._count, _LONGEST_PAUSE)
        self._count += 1
        self.reasons[ending.failed.reason] += 1
        return Verdict(
            True,
            pause,
            f"starting all workers again in {pause:g} s (restart {self._count} of at "
            f"most {self._most}).",
        )
