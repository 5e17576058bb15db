"""What others write to a terminal on which a view is drawn: it goes above the view."""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from kerascale.runtime.terminal import Screen


class Above:
    """Stands in for a stream of the terminal; whole lines go above the view.

    Args:
        stream: The stream.
        screen: Where the view is.
    """

    def __init__(self, stream: TextIO, screen: Screen) -> None:
        self._stream = stream
        self._screen = screen
        self._open = ""

    def write(self, text: str) -> int:
        """Shows the lines that `text` completes."""
        complete, newline, self._open = (self._open + text).rpartition("\n")
        if newline:
            self._screen.line(complete)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """What is no line yet waits until it is one."""

    def close_line(self) -> None:
        """Shows what did not become a line."""
        if self._open:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def kept_above(screen: Screen) -> Iterator[None]:
    """Within it, what Python code writes to this terminal goes above the view."""
    before = (sys.stdout, sys.stderr)
    proxies = [Above(s, screen) if s.isatty() else s for s in before]
    own = dict(zip(map(id, before), proxies, strict=True))
    handlers = [h for h in _handlers() if id(h.stream) in own]
    streams = [handler.stream for handler in handlers]
    for handler in handlers:
        handler.setStream(own[id(handler.stream)])
    sys.stdout, sys.stderr = proxies
    try:
        yield
    finally:
        for proxy in proxies:
            if isinstance(proxy, Above):
                proxy.close_line()
        if [sys.stdout, sys.stderr] == proxies:  # Else somebody redirects them now.
            sys.stdout, sys.stderr = before
        for handler, stream in zip(handlers, streams, strict=True):
            handler.setStream(stream)


def _handlers() -> list[logging.StreamHandler]:
    loggers = [logging.getLogger(), *logging.Logger.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        if isinstance(logger, logging.Logger)
        for handler in logger.handlers
        if isinstance(handler, logging.StreamHandler)
    ]
