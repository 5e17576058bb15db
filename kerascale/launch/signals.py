"""Signals to the launcher, noted for the loop that watches over the workers."""

import signal
import threading
import time
from typing import Any, Self

_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# A wrapper may pass on the Ctrl-C that the terminal has delivered too: that is one.
_SAME_PRESS_SECONDS = 0.5


class Signals:
    """While it is entered, a signal to this process is noted and does nothing else.

    A signal that was ignored before stays so (`nohup`). In a thread that is not the
    main one nothing is changed, since Python gives signals to the main thread.
    """

    def __init__(self) -> None:
        # The first signal, and whether a SIGINT came after it.
        self.first: int | None = None
        self.hurry = False
        self._first_at = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in _FORWARDED:
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
            # Ignored, as some parents leave it, it would hide how a worker ended.
            self._before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def _note(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first, self._first_at = number, now
        elif number == signal.SIGINT and now - self._first_at > _SAME_PRESS_SECONDS:
            self.hurry = True
