"""When a run was worked on: `attempts.jsonl`, a line for each start and each stop."""

import json
import pathlib
import time
from collections.abc import Sequence
from typing import Any

_START, _STOP = "start", "stop"


def note_start(path: pathlib.Path, began: float, step: int) -> None:
    """Says that a process goes on with the run.

    Args:
        path: The file.
        began: When it began, by `time.time()`.
        step: Batches that had been trained.
    """
    _append(path, {"event": _START, "time": round(began, 3), "step": step})


def note_stop(path: pathlib.Path, step: int) -> None:
    """Says that it ended on request, or with the last step: no time is lost then.

    Args:
        path: The file.
        step: Batches that have been trained.
    """
    if path.exists():  # Else nothing was begun.
        now = round(time.time(), 3)
        _append(path, {"event": _STOP, "time": now, "step": step})


def read(path: pathlib.Path) -> list[dict[str, Any]]:
    """The lines of the file, without one that a kill has cut off."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    events = []
    for line in lines:
        try:
            event = json.loads(line)
            events.append({k: event[k] for k in ("event", "time", "step")})
        except (ValueError, KeyError, TypeError):
            continue
    return events


def wall_seconds(events: Sequence[dict[str, Any]], now: float) -> float:
    """Seconds from the first start until now, kills and restarts included.

    What lies between a stop on request and the next start is left out: it is a
    person's or a scheduler's time. After a kill all of it counts.

    Args:
        events: What `read` returned.
        now: By `time.time()`.
    """
    seconds, since = 0.0, None
    for event in events:
        if event["event"] == _START:
            since = event["time"] if since is None else since
        elif since is not None:
            seconds += event["time"] - since
            since = None
    return seconds if since is None else seconds + now - since


def _append(path: pathlib.Path, event: dict[str, Any]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
