"""A request to stop: a signal, noticed where the state can be saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from kerascale.console import say

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []


def requested() -> bool:
    """Whether this process was asked to stop."""
    return bool(_received)


@contextlib.contextmanager
def on_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGINT ask to stop; a second SIGINT stops at once.

    Outside of the main thread, which Python gives signals to, it does nothing.
    """
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _receive) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _receive(number: int, frame: Any) -> None:
    del frame
    if number == signal.SIGINT and signal.SIGINT in _received:
        raise KeyboardInterrupt
    _received.append(number)
    if len(_received) == 1:
        name = signal.Signals(number).name
        say(f"{name}: saving, then stopping. Ctrl-C again stops at once.")
