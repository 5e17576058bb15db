"""What happened to a run, and when: one line per event, written as it happens."""

import contextlib
import datetime
import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from kerascale.errors import RefusedError, StoppedError
from kerascale.runs.files import brief
from kerascale.runs.layout import TIMELINE
from kerascale.runtime import heartbeat
from kerascale.runtime.console import say

_STARTED, _RESUMED, _AGAIN = "started", "resumed", "started again"
_STARTS = (_STARTED, _RESUMED, _AGAIN)
_STOPPED, _FINISHED = "stopped on request", "finished"


def note(folder: pathlib.Path, event: str, **details: Any) -> None:
    """Appends an event to the timeline of a run folder.

    A timeline that cannot be written, on a full disk say, ends no run: that is said.

    Args:
        folder: The run folder.
        event: What happened.
        details: What JSON can hold.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "event": event, **details}) + "\n"
    try:
        with open(folder / TIMELINE, "a", encoding="utf-8") as file:
            file.write(line)
    except OSError as error:
        say(f"timeline: {folder / TIMELINE} cannot be written ({error.strerror}).")


@contextlib.contextmanager
def recorded(folder: pathlib.Path | None, step: int) -> Iterator[None]:
    """Notes the beginning of a training, and how it ended. A kill leaves no end.

    Args:
        folder: The run folder; None on a worker that is not the chief.
        step: Batches that had been trained before.
    """
    if folder is None:
        yield
        return
    restarted = heartbeat.restarted_in() is not None
    event = _AGAIN if restarted else _RESUMED if step else _STARTED
    note(folder, event, step=step)
    try:
        yield
    except RefusedError:  # It was nothing, or is as it was before.
        raise
    except StoppedError as error:
        note(folder, _STOPPED, step=error.step)
        raise
    except BaseException as error:
        reason = brief(error) if isinstance(error, Exception) else type(error).__name__
        note(folder, "failed", reason=reason)
        raise
    note(folder, _FINISHED)


def read(folder: pathlib.Path) -> list[dict[str, Any]]:
    """The events of a run folder, oldest first.

    Returns:
        Objects with `time`, `event` and details. A line that a kill has cut short is
        an event `unreadable`. Empty for a run that was trained before there were
        timelines.
    """
    try:
        lines = (folder / TIMELINE).read_text("utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    return [_parse(line) for line in lines]


def starts(events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the events with which a process went on with the run."""
    return [event for event in events if event["event"] in _STARTS]


def wall_seconds(events: Sequence[dict[str, Any]], now: float) -> float:
    """Seconds from the first start until now, kills and restarts included.

    What lies between a stop on request, or the end, and the next start is left out: it
    is a person's or a scheduler's time. After a kill or a failure all of it counts.

    Args:
        events: What `read` returned.
        now: By `time.time()`.
    """
    seconds, since = 0.0, None
    for event in events:
        if event["event"] in _STARTS:
            since = _at(event) if since is None else since
        elif event["event"] in (_STOPPED, _FINISHED) and since is not None:
            seconds += _at(event) - since
            since = None
    return seconds if since is None else seconds + now - since


def _at(event: dict[str, Any]) -> float:
    return datetime.datetime.fromisoformat(event["time"]).timestamp()


def _parse(line: str) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        event = None
    if isinstance(event, dict) and {"time", "event"} <= set(event):
        with contextlib.suppress(TypeError, ValueError):
            datetime.datetime.fromisoformat(event["time"])
            return event
    return {"time": "", "event": "unreadable", "line": line[:80]}
