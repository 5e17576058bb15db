"""Where the time of a run went, over all its starts: `goodput.json`.

Each start has one record, which is written anew every few seconds. What a kill leaves
unrecorded lies between two records, and counts as being down.
"""

import contextlib
import dataclasses
import functools
import itertools
import json
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kerascale.runs import layout
from kerascale.runs.folder import RunFolder
from kerascale.runtime import atomic_files, run_clock
from kerascale.runtime.console import duration, say

LOST, DOWN = "lost steps", "being down"
# In the order in which they are told.
PARTS = (
    run_clock.STEPS,
    run_clock.STARTING,
    run_clock.COMPILING,
    run_clock.PEERS,
    run_clock.DATA,
    run_clock.EVALUATING,
    run_clock.SAVING,
    run_clock.ENDING,
    LOST,
    DOWN,
)


@dataclasses.dataclass(frozen=True)
class Start:
    """One start of a run.

    Args:
        began: When its process began, in seconds since 1970.
        until: When this was written.
        first_step: Batches that had been trained before.
        step: And now.
        seconds: Part -> how long it took.
        finished: Whether the run was at its end then.
    """

    began: float
    until: float
    first_step: int
    step: int
    seconds: Mapping[str, float]
    finished: bool = False


class Record:
    """Writes the record of this start behind those of before.

    Args:
        folder: The run folder.
        first_step: See `Start`.
    """

    def __init__(self, folder: RunFolder, first_step: int) -> None:
        self._folder = folder
        self._before = read(folder.path)
        self._first_step = first_step
        self.step = first_step
        self.is_finished = False

    def write_at(self, step: int) -> None:
        """What is known after a step, unless the run is finished."""
        self.step = step
        if not self.is_finished:
            self.write()

    def write(self, finished: bool = False) -> list[Start]:
        """All starts until now; a disk that is full ends no run."""
        self.is_finished = finished
        own = Start(
            run_clock.began(),
            time.time(),
            self._first_step,
            self.step,
            run_clock.read(),
            finished,
        )
        starts = [*self._before, own]
        try:
            self._folder.write_json(
                layout.GOODPUT, {"starts": [dataclasses.asdict(s) for s in starts]}
            )
            if finished:
                run_clock.at_exit(functools.partial(note_end, self._folder.path, own))
        except OSError as error:
            say(f"goodput: {layout.GOODPUT} cannot be written ({error.strerror}).")
        return starts


def note_end(folder: pathlib.Path, start: Start) -> None:
    """Counts what came behind the last record of a finished start, until now.

    Args:
        folder: The run folder.
        start: That record. Where it is not the last one any more, nothing is done.
    """
    *before, last = read(folder) or [None]
    if last != start:
        return
    now = time.time()
    seconds = {**start.seconds, run_clock.ENDING: max(0.0, now - start.until)}
    ended = dataclasses.replace(start, until=now, seconds=seconds)
    starts = [dataclasses.asdict(each) for each in (*before, ended)]
    # The last record is there; a full disk ends no run.
    with (
        contextlib.suppress(OSError),
        atomic_files.replacing(folder / layout.GOODPUT) as temporary,
    ):
        temporary.write_text(json.dumps({"starts": starts}), encoding="utf-8")


def read(folder: pathlib.Path) -> list[Start]:
    """The starts of a run folder, oldest first; empty where none was recorded."""
    try:
        content = json.loads((folder / layout.GOODPUT).read_text(encoding="utf-8"))
        return [Start(**each) for each in content["starts"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def parts(starts: Sequence[Start]) -> dict[str, float]:
    """Part -> seconds. They sum to the time from the first start to the last record.

    Steps that were trained again are lost. The time between two starts counts as being
    down, unless the run was finished before: then a person went on with it.
    """
    found = dict.fromkeys(PARTS, 0.0)
    for i, start in enumerate(starts):
        following = starts[i + 1] if i + 1 < len(starts) else None
        seconds = dict(start.seconds)
        if following is not None:
            if not start.finished:
                found[DOWN] += _between(start, following)
            again = min(start.step - following.first_step, _done(start))
            if again > 0 and not start.finished:
                lost = seconds.get(run_clock.STEPS, 0.0) * again / _done(start)
                seconds[run_clock.STEPS] -= lost
                found[LOST] += lost
        for name, value in seconds.items():
            found[name] = found.get(name, 0.0) + value
    return found


def _between(start: Start, following: Start) -> float:
    return max(0.0, following.began - start.until)


def _done(start: Start) -> int:
    return start.step - start.first_step


def elapsed(starts: Sequence[Start]) -> float:
    """Seconds from the first start to the last record, by the system's clock.

    What lies behind the end of a run, until a person goes on with it, is left out.
    """
    if not starts:
        return 0.0
    pauses = sum(
        _between(before, after)
        for before, after in itertools.pairwise(starts)
        if before.finished
    )
    return starts[-1].until - starts[0].began - pauses


def text(found: Mapping[str, Any], total: float) -> str:
    """One line for a person, the largest parts first."""
    shown = sorted(found.items(), key=lambda part: -part[1])
    told = [
        f"{name} {100 * seconds / total:.0f} %"
        for name, seconds in shown
        if total > 0 and seconds >= 0.005 * total
    ]
    return f"time: {duration(total)} from the first start: {', '.join(told)}"
