"""Runs a job again and again until it is done, and strikes it meanwhile."""

import dataclasses
import os
import pathlib
import signal
import sys
import time
from collections.abc import Callable, Sequence

from kerascale.diagnostics.chaos import events
from kerascale.diagnostics.chaos.events import Event
from kerascale.diagnostics.chaos.killer import Killer
from kerascale.errors import EXIT_DONE, EXIT_STOPPED
from kerascale.launch import launch
from kerascale.runs.checkpoint import injected_faults

_KILLED = 128 + signal.SIGKILL
_EXPECTED = {events.TERM: EXIT_STOPPED}
_TAIL = 20


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One start of the job.

    Args:
        event: What was done to it; None: nothing.
        struck: Whether that came before it ended.
        began_at: Batches that had been trained when it began.
        ended_at: And when it ended.
        seconds: How long it lasted.
        code: Its exit code.
    """

    event: Event | None
    struck: bool
    began_at: int
    ended_at: int
    seconds: float
    code: int


class UnexpectedEnd(RuntimeError):
    """An attempt ended in another way than its event explains."""


def run(
    command: Sequence[str],
    plan: Sequence[Event],
    *,
    workers: int,
    logs: pathlib.Path,
    stuck_seconds: float,
    tell: Callable[[Attempt], None] = lambda attempt: None,
) -> list[Attempt]:
    """Starts a command once for each event, and then until it is done.

    Args:
        command: `train` with its flags; the same each time.
        plan: What is done to it, one event for each start.
        workers: Number of workers.
        logs: A folder for what they write.
        stuck_seconds: After how long a stopped worker is noticed.
        tell: Called after each attempt.

    Returns:
        All attempts; the last one ended with 0.

    Raises:
        UnexpectedEnd: If one ended in another way than its event explains.
    """
    attempts: list[Attempt] = []
    for event in (*plan, None):
        attempt = _attempt(
            command, event, workers, logs / f"{len(attempts):04d}.log", stuck_seconds
        )
        attempts.append(attempt)
        tell(attempt)
        if attempt.code == EXIT_DONE:
            break
    return attempts


def _attempt(
    command: Sequence[str],
    event: Event | None,
    workers: int,
    log: pathlib.Path,
    stuck_seconds: float,
) -> Attempt:
    environ = {k: v for k, v in os.environ.items() if k != injected_faults.VARIABLE}
    if event is not None and event.point:
        # The first save that begins at that step, or after it.
        environ[injected_faults.VARIABLE] = f"{event.point}:kill:from={event.step}"
    began = time.monotonic()
    with Killer(event) as killer, log.open("w") as err, open(os.devnull, "w") as out:
        code = launch(
            [sys.executable, "-m", "kerascale", *command],
            workers=workers,
            environ=environ,
            stdout=out,
            stderr=err,
            stuck_seconds=stuck_seconds,
            on_start=killer.start,
        )
    seconds = time.monotonic() - began
    in_save = event is not None and bool(event.point) and code != EXIT_DONE
    struck = killer.struck or in_save
    expected = _EXPECTED.get(event.kind, _KILLED) if struck else EXIT_DONE
    if code not in (expected, EXIT_DONE):
        tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-_TAIL:])
        raise UnexpectedEnd(
            f"chaos: expected exit code {expected} after {event or 'nothing'}. "
            f"Received: {code}. All it wrote is in {log}; the end of it:\n  {tail}"
        )
    began_at = killer.began_at or 0
    ended_at = max(killer.step, began_at)
    return Attempt(event, struck, began_at, ended_at, seconds, code)
