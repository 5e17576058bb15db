"""Work in the background that leaves the processors to the training.

A thread that writes and sums without a pause takes one core. Where training wants all
of them, its steps take longer as long as that lasts: the same work over more time is
hardly felt.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterator

# Bytes of work between two rests: short enough to be no burden, some milliseconds.
PIECE = 2**20
# Processor time before the first rest: what is small is done at once.
_AT_ONCE = 0.05
# The lowest priority that still gets its turn: others on the machine may be busy too.
_NICE = 19

_current = threading.local()


class Pace:
    """How much of the time a thread may work that ends with its work.

    What is large is done at the lowest priority; that cannot be taken back.

    Args:
        share: The share of the time, of one core.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._hurry = threading.Event()

    def hurry(self) -> None:
        """Somebody waits: no rests from now on."""
        self._hurry.set()

    def calm(self) -> None:
        """Nobody waits any more."""
        self._hurry.clear()

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Within it `rest` keeps this thread to the pace."""
        _current.pace, _current.worked = self, time.thread_time() + _AT_ONCE
        try:
            yield
        finally:
            _current.pace = None

    def _rest(self) -> None:
        now = time.thread_time()
        worked = now - _current.worked
        if worked > 0:
            _current.worked = now
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            self._hurry.wait(worked * (1 / self._share - 1))


def rest() -> None:
    """Called between two pieces of work; without a pace it does nothing."""
    pace = getattr(_current, "pace", None)
    if pace is not None:
        pace._rest()
