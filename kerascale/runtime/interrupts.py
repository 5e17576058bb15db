"""A request to stop: a signal, noticed where the state can be saved."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

from kerascale.errors import StoppedError
from kerascale.runtime.console import say

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
    if _listens():
        _listen()
        yield
        return
    _received.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = _listen()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def between_steps() -> Iterator[None]:
    """Within it a signal is noted, and who trains asks for it after each step."""
    global _between_steps
    if _listens():
        _listen()
    _between_steps = True
    try:
        yield
    finally:
        _between_steps = False


def _listens() -> bool:
    is_main = threading.current_thread() is threading.main_thread()
    return is_main and signal.getsignal(signal.SIGTERM) is _receive


def _listen() -> dict[int, Any]:
    """Takes the signals; also those that TensorFlow took, behind Python's back.

    The server of a worker has a handler for SIGTERM of its own.
    """
    return {number: signal.signal(number, _receive) for number in _SIGNALS}


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
