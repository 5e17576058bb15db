"""A terminal: lines go up, what is going on stays at the bottom and is redrawn."""

import os
import threading
from typing import TextIO

from kerascale.runtime.live_view import LiveView, lay_out

_ERASE_LINE = "\r\x1b[K"
_ERASE_BELOW = "\r\x1b[J"


class Screen:
    """Lines go up, the status or the view stays at the bottom. Safe for threads.

    The cursor rests in an empty line above the view: what somebody else writes
    appears there, and not in the middle of it, and a terminal that is made narrower
    wraps nothing above the place from which all is drawn again.

    Args:
        stream: Standard error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._status = ""
        self._view: LiveView | None = None
        self._drawn: tuple[str, ...] = ()
        self._lock = threading.RLock()
        self.is_terminal = stream.isatty()

    def size(self) -> os.terminal_size | None:
        """Columns and lines; None if this is no terminal."""
        if not self.is_terminal:
            return None
        try:
            size = os.get_terminal_size(self._stream.fileno())
        except (OSError, ValueError):  # The terminal is gone.
            size = os.terminal_size((0, 0))
        # Some terminals say that they have none.
        return os.terminal_size((size.columns or 100, size.lines or 20))

    def line(self, text: str) -> None:
        """Writes a line, or several, above the status."""
        with self._lock:
            if self._drawn:
                self._write(f"{_ERASE_BELOW}{text}\n{self._drawing()}")
            else:
                erase = _ERASE_LINE if self._status else ""
                self._write(f"{erase}{text}\n{self._status}")

    def status(self, text: str) -> None:
        """Shows `text` as the status in place of the last one. Empty: none."""
        if not self.is_terminal:
            return
        with self._lock:
            # A status that wraps could not be erased.
            text = text[: self.size().columns - 1]
            if self._drawn:  # The view tells more.
                return
            if text != self._status:
                erase = _ERASE_LINE if self._status else ""
                self._status = text
                self._write(f"{erase}{text}")

    def show(self, view: LiveView | None) -> None:
        """Shows a view in place of the last one. None: none any more."""
        if not self.is_terminal:
            return
        with self._lock:
            if view is None:
                if self._drawn:
                    self._write(_ERASE_BELOW)
                self._view, self._drawn = None, ()
                return
            self.status("")
            self._view = view
            self._write(self._drawing())

    def _drawing(self) -> str:
        """What draws the view, each line over the one that stood there."""
        size = self.size()
        is_unicode = "utf" in (getattr(self._stream, "encoding", None) or "").lower()
        lines = lay_out(self._view, size.columns - 1, is_unicode)
        # One that is higher than the terminal would scroll.
        self._drawn = tuple(lines[: size.lines - 1])
        below = "".join(f"\r\n{line}\x1b[K" for line in self._drawn)
        up = f"\x1b[{len(self._drawn)}A" if self._drawn else ""
        return f"{_ERASE_LINE}{below}\x1b[J{up}\r"

    def _write(self, text: str) -> None:
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            # The terminal is gone, or who read the pipe. The workers go on, and
            # their output is still taken, so that they do not block.
            pass
