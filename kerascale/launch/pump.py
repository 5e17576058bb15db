"""Takes what the workers write and shows it: prefixed lines, one progress bar."""

import collections
import dataclasses
import os
import selectors
import threading
import time
from typing import IO

from kerascale.errors import EXIT_REFUSED
from kerascale.launch.lines import Lines
from kerascale.launch.worker import Worker
from kerascale.runtime.live_view import MARK, LiveView
from kerascale.runtime.terminal import Screen

_LOOK_SECONDS = 0.05
# How long a line of another worker than the first waits before it is shown. What
# all of them refuse is then known to be the same before it is shown twice.
_HOLD_SECONDS = 0.5
# How long the words of a worker that has refused wait for the first worker's.
_REFUSAL_SECONDS = 2.0
_TAIL_LINES = 200


@dataclasses.dataclass(eq=False)
class _Source:
    """One stream of one worker."""

    worker: Worker
    pipe: IO[bytes]
    lines: Lines = dataclasses.field(default_factory=Lines)
    tail: collections.deque[str] = dataclasses.field(
        default_factory=lambda: collections.deque(maxlen=_TAIL_LINES)
    )
    open: bool = True
    refused: bool = False
    compared: bool = False


@dataclasses.dataclass(eq=False)
class _Held:
    """A line that waits to be shown."""

    source: _Source
    text: str
    due: float


class Pump(threading.Thread):
    """Shows the output of the workers until all of it has ended.

    A thread of its own, so that a terminal that is stopped (Ctrl-S) or a full pipe
    holds up the output alone, and not the watch over the workers. Every worker's
    standard error is shown, and the standard output of all but the first, whose
    standard output is the launcher's own.

    Args:
        workers: The workers; their pipes are read here alone.
        screen: Where the lines go.
    """

    def __init__(self, workers: list[Worker], screen: Screen) -> None:
        super().__init__(name="kerascale-launch-output", daemon=True)
        self._screen = screen
        self._errors = [_Source(worker, worker.process.stderr) for worker in workers]
        self._held: list[_Held] = []
        self._notes: collections.deque[str] = collections.deque()
        self._ending = threading.Event()
        self._selector = selectors.DefaultSelector()
        outputs = [
            _Source(worker, worker.process.stdout)
            for worker in workers
            if worker.process.stdout is not None
        ]
        for source in (*self._errors, *outputs):
            self._selector.register(source.pipe, selectors.EVENT_READ, source)

    def say(self, text: str) -> None:
        """Shows a line of the launcher's own, without waiting until it is shown."""
        self._notes.append(text)

    def run(self) -> None:
        while self._has_work() and not self._ending.is_set():
            for key, _ in self._selector.select(_LOOK_SECONDS):
                self._read(key.data)
            self._look_at_refusals()
            self._show_due(time.monotonic())
        self._screen.status("")
        self._screen.show(None)
        self._look_at_refusals()
        self._show_due(float("inf"))

    def _has_work(self) -> bool:
        # An exit code that is not known yet decides what is shown.
        running = any(source.worker.running for source in self._errors)
        return running or bool(self._selector.get_map())

    def finish(self, seconds: float) -> None:
        """Waits until everything is shown, after all workers have ended.

        Args:
            seconds: How long to wait for output that does not end: of a process
                that has left the worker's group and holds its pipe.
        """
        self.join(seconds)
        self._ending.set()
        self.join(seconds)

    def last_lines(self, worker: Worker, number: int) -> list[str]:
        """The last lines of a worker's standard error."""
        return list(self._errors[worker.index].tail)[-number:]

    def _read(self, source: _Source) -> None:
        data = os.read(source.pipe.fileno(), 65536)
        if data:
            completed = source.lines.feed(data)
        else:
            completed = source.lines.close()
            source.open = False
            self._selector.unregister(source.pipe)
            source.pipe.close()
        hold = _HOLD_SECONDS if source.worker.index else 0.0
        due = time.monotonic() + hold
        for text in completed:
            if text.startswith(MARK):
                self._screen.show(LiveView.from_line(text))
                continue
            source.tail.append(text)
            self._held.append(_Held(source, text, due))
        if not source.worker.index:
            self._show_due(time.monotonic())
            self._screen.status(source.lines.redrawn)

    def _look_at_refusals(self) -> None:
        """Leaves out what a worker refuses in the same words as the first one."""
        now = time.monotonic()
        for source in self._errors:
            ended = not source.open and source.worker.code == EXIT_REFUSED
            if ended and not source.refused:
                source.refused = True
                for held in self._of(source):
                    held.due = now + _REFUSAL_SECONDS
        first, *others = self._errors
        for source in others:
            if first.refused and source.refused and not source.compared:
                source.compared = True
                held = self._of(source)
                same = min(len(held), _common_end(source.tail, first.tail))
                for line in held[len(held) - same :]:
                    self._held.remove(line)

    def _of(self, source: _Source) -> list[_Held]:
        return [held for held in self._held if held.source is source]

    def _show_due(self, now: float) -> None:
        while self._notes:
            self._screen.line(self._notes.popleft())
        waiting = []
        for held in self._held:
            if held.due <= now:
                self._screen.line(f"[{held.source.worker.name}] {held.text}")
            else:
                waiting.append(held)
        self._held = waiting


def _common_end(one: collections.deque[str], other: collections.deque[str]) -> int:
    """How many lines at the end of both are the same."""
    number = 0
    for mine, theirs in zip(reversed(one), reversed(other), strict=False):
        if mine != theirs:
            break
        number += 1
    return number
