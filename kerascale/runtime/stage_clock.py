"""In which stage this process is, and how long it was in each: one clock for all.

The stages of the main thread follow one another without a gap, so that they sum to the
time since the clock began.
"""

import contextlib
import os
import pathlib
import time
from collections.abc import Iterator

STARTING = "starting"
COMPILING = "compiling"
PEERS = "waiting for peers"
DATA = "waiting for data"
STEPS = "steps"
EVALUATING = "evaluating"
SAVING = "saving"

_stage: str | None = None
_since = 0.0
_began = 0.0
_seconds: dict[str, float] = {}


def begin(ago: float = 0.0) -> None:
    """Begins in `starting`, unless the clock runs already.

    Args:
        ago: Seconds for which that stage has lasted.
    """
    global _stage, _since, _began
    if _stage is not None:
        return
    _seconds.clear()
    _began = time.time() - ago
    _stage, _since = STARTING, time.monotonic() - ago


def end() -> None:
    """Stops the clock: the next `begin` counts anew."""
    global _stage
    _stage = None


def began() -> float:
    """When it began, by `time.time()`."""
    return _began


def enter(stage: str) -> None:
    """From now on it is this stage. Nothing happens where the clock does not run."""
    global _stage, _since
    if _stage is None:
        return
    now = time.monotonic()
    _seconds[_stage] = _seconds.get(_stage, 0.0) + now - _since
    _stage, _since = stage, now


@contextlib.contextmanager
def within(stage: str) -> Iterator[None]:
    """This stage within another one, which goes on afterwards."""
    before = _stage
    enter(stage)
    try:
        yield
    finally:
        if before is not None:
            enter(before)


def move(seconds: float, source: str, target: str) -> None:
    """Counts seconds of one stage as those of another; no more than it has."""
    if _stage is None:
        return
    enter(_stage)
    seconds = max(0.0, min(seconds, _seconds.get(source, 0.0)))
    _seconds[source] = _seconds.get(source, 0.0) - seconds
    _seconds[target] = _seconds.get(target, 0.0) + seconds


def read() -> dict[str, float]:
    """Stage -> seconds until now."""
    if _stage is not None:
        enter(_stage)
    return dict(_seconds)


def process_seconds() -> float:
    """How long this process has been running; 0 where the system does not tell."""
    try:
        text = pathlib.Path("/proc/self/stat").read_text()
        ticks = int(text.rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return max(0.0, age)
