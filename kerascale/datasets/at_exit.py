"""Functions that TensorFlow's threads call: none of them is left when Python ends.

A thread that asks for the interpreter while that ends may never get it, and what waits
for its answer waits for ever: as the destruction of an iterator that a script holds. So
the end waits until calls have ended, and those that come then are refused.
"""

import atexit
import functools
import threading
import time
from collections.abc import Callable
from typing import Any

# Behind the last call others may be on their way: as many as a pipeline reads ahead.
_QUIET_SECONDS = 0.1
_MOST_SECONDS = 30.0


class EndedError(RuntimeError):
    """Python ends."""


class Calls:
    """Those that are made now, and how many there were. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = self._begun = 0
        self._is_ending = False

    def made(self, function: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        """What a function returns.

        Raises:
            EndedError: If the end has begun.
        """
        with self._lock:
            self._begun += 1
            if self._is_ending:
                raise EndedError("Python ends: nothing is read any more.")
            self._running += 1
        try:
            return function(*given)
        finally:
            with self._lock:
                self._running -= 1

    def end(self) -> None:
        """Waits until none is made, and none comes."""
        with self._lock:
            self._is_ending = True
            before = self._begun
        if not before:
            return
        until = time.monotonic() + _MOST_SECONDS
        while time.monotonic() < until:
            time.sleep(_QUIET_SECONDS)
            with self._lock:
                begun, running = self._begun, self._running
            if begun == before and not running:
                return
            before = begun


_calls = Calls()
atexit.register(_calls.end)


def awaited(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, whose calls are awaited when Python ends.

    Args:
        function: For `tf.numpy_function`, in a pipeline of `tf.data`.
    """

    @functools.wraps(function)
    def call(*given: Any) -> Any:
        return _calls.made(function, given)

    return call
