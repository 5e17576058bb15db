"""Bytes that a process writes become lines, as a terminal would show them."""

import codecs

# What has no end by then is shown in parts: memory is not for a stuck writer.
_LONGEST = 65536


class Lines:
    """Collects what one process writes to one stream.

    Bytes that are not UTF-8 are replaced. A carriage return goes back to the start
    of the line, and what follows writes over what stood there: of a progress bar
    that was redrawn a hundred times, one line is left.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._open = ""

    def feed(self, data: bytes) -> list[str]:
        """The lines that `data` completes."""
        return self._split(self._decoder.decode(data))

    def close(self) -> list[str]:
        """The last line, if it did not end."""
        completed = self._split(self._decoder.decode(b"", final=True))
        if self._open:
            completed.append(_shown(self._open))
            self._open = ""
        return completed

    @property
    def redrawn(self) -> str:
        """The line that is being redrawn at this moment, or an empty string."""
        return _shown(self._open) if "\r" in self._open else ""

    def _split(self, text: str) -> list[str]:
        *completed, self._open = (self._open + text).split("\n")
        before, returned, last = self._open.rpartition("\r")
        if returned:
            self._open = f"{_shown(before)}\r{last}"
        if len(self._open) > _LONGEST:
            completed.append(self._open)
            self._open = ""
        return [_shown(line) for line in completed]


def _shown(line: str) -> str:
    """What stands on a terminal after `line`, carriage returns included."""
    if "\r" not in line:
        return line
    shown = ""
    for part in line.split("\r"):
        shown = part + shown[len(part) :]
    return shown.rstrip(" ")
