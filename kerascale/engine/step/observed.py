"""The compiled losses of a step, for somebody who looks at it while it runs."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

_collector = threading.local()

# Name, value, whether it has a value for each row, and the outputs it was given.
Noted = tuple[str, Any, bool, list[Any]]


@contextlib.contextmanager
def collecting() -> Iterator[list[Noted]]:
    """Within it, in this thread, losses note what they gave."""
    _collector.box = []
    try:
        yield _collector.box
    finally:
        _collector.box = None


@contextlib.contextmanager
def unseen() -> Iterator[None]:
    """Within it, in this thread, nobody looks."""
    before = getattr(_collector, "box", None)
    _collector.box = None
    try:
        yield
    finally:
        _collector.box = before


def note(name: str, value: Any, by_row: bool, outputs: list[Any]) -> None:
    """Called by a loss."""
    box = getattr(_collector, "box", None)
    if box is not None:
        box.append((name, value, by_row, outputs))


def is_wanted() -> bool:
    """Whether somebody looks."""
    return getattr(_collector, "box", None) is not None
