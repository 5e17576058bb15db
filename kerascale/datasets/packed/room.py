"""Memory that threads share: who needs more of it than is left waits."""

import contextlib
import threading
from collections.abc import Iterator


class Room:
    """So many bytes, for whoever says how many are needed.

    Args:
        size: In bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = self._left = size
        self._changed = threading.Condition()

    @contextlib.contextmanager
    def taken(self, size: int) -> Iterator[None]:
        """Waits until so many bytes are left, and takes them for as long as it lasts.

        Args:
            size: In bytes; more than all are all, for one alone.
        """
        size = min(size, self._size)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= size)
            self._left -= size
        try:
            yield
        finally:
            with self._changed:
                self._left += size
                self._changed.notify_all()
