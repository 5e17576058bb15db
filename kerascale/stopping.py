"""A request to stop: a signal, noticed where the state can be saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from kerascale.console import say
from kerascale.errors import StoppedError

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_received: list[int] = []
_between_steps = False


def requested() -> bool:
    """Whether this process was asked to stop."""
    return bool(_received)


@contextlib.contextmanager
def on_signals() -> Iterator[None]:
    """Within it SIGTERM and SIGINT ask to stop; a second SIGINT stops at once.

    Outside of the main thread, which Python gives signals to, it does nothing.

    Raises:
        StoppedError: When a signal comes outside of `between_steps`: there nothing
            is lost that is not saved.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGTERM) is _receive:
        yield
        return
    _received.clear()
    before = {number: signal.signal(number, _receive) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """Within it a signal is noted, and who trains asks for it after each step."""
    global _between_steps
    _between_steps = True
    try:
        yield
    finally:
        _between_steps = False


def _receive(number: int, frame: Any) -> None:
    del frame
    if number == signal.SIGINT and signal.SIGINT in _received:
        raise KeyboardInterrupt
    _received.append(number)
    if not _between_steps:
        raise StoppedError(None)
    if len(_received) == 1:
        name = signal.Signals(number).name
        say(f"{name}: saving, then stopping. Ctrl-C again stops at once.")
