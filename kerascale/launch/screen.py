"""Where the launcher writes: lines, and on a terminal one status line below them."""

import os
import threading
from typing import TextIO

_ERASE_LINE = "\r\x1b[K"


class Screen:
    """Lines go up, the status stays at the bottom. Safe to use from several threads.

    Args:
        stream: The launcher's standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status = ""
        self._lock = threading.Lock()
        self.is_terminal = stream.isatty()

    def size(self) -> os.terminal_size | None:
        """Columns and lines; None if this is no terminal."""
        if not self.is_terminal:
            return None
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except OSError:  # The terminal is gone.
            size = os.terminal_size((0, 0))
        # Some terminals say that they have none.
        return os.terminal_size((size.columns or 100, size.lines or 20))

    def line(self, text: str) -> None:
        """Writes a line, or several, above the status."""
        with self._lock:
            erase = _ERASE_LINE if self._status else ""
            self._write(f"{erase}{text}\n{self._status}")

    def status(self, text: str) -> None:
        """Shows `text` as the status in place of the last one. Empty: none."""
        if not self.is_terminal:
            return
        with self._lock:
            # A status that wraps could not be erased.
            text = text[: self.size().columns - 1]
            if text != self._status:
                erase = _ERASE_LINE if self._status else ""
                self._status = text
                self._write(f"{erase}{text}")

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone, or who read the pipe. The workers go on, and
            # their output is still taken, so that they do not block.
            pass
