"""What a run's time goes into: one clock for all that the main thread does.

Its parts follow one another without a gap, so that they sum to the time since the clock
began.
"""

import atexit
import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator

STARTING = "starting"
COMPILING = "compiling"
PEERS = "waiting for peers"
DATA = "waiting for data"
STEPS = "steps"
EVALUATING = "evaluating"
SAVING = "saving"
ENDING = "ending"

# When a launcher began to start this process, in seconds since 1970; its clock is that
# of the chief's host.
BEGAN = "KERASCALE_START_BEGAN"

_part: str | None = None
_since = 0.0
_began = 0.0
_seconds: dict[str, float] = {}
_last: Callable[[], None] | None = None


def begin(ago: float = 0.0) -> None:
    """Begins in `starting`, unless the clock runs already.

    Args:
        ago: Seconds for which that part has lasted.
    """
    global _part, _since, _began
    if _part is not None:
        return
    _seconds.clear()
    _began = time.time() - ago
    _part, _since = STARTING, time.monotonic() - ago


def begin_process() -> None:
    """Begins with the start of this process, which is all for one training."""
    begin(ago=_start_seconds())
    atexit.register(_leave)


def at_exit(call: Callable[[], None]) -> None:
    """Calls it as late as this process can, if it is all for one training.

    Args:
        call: It replaces what was to be called before.
    """
    global _last
    _last = call


def _leave() -> None:
    if _last is not None:
        _last()


def end() -> None:
    """Stops the clock: the next `begin` counts anew."""
    global _part
    _part = None


def began() -> float:
    """When it began, by `time.time()`."""
    return _began


def enter(part: str) -> None:
    """From now on it is this part. Nothing happens where the clock does not run."""
    global _part, _since
    if _part is None:
        return
    now = time.monotonic()
    _seconds[_part] = _seconds.get(_part, 0.0) + now - _since
    _part, _since = part, now


@contextlib.contextmanager
def within(part: str) -> Iterator[None]:
    """This part within another one, which goes on afterwards."""
    before = _part
    enter(part)
    try:
        yield
    finally:
        if before is not None:
            enter(before)


def move(seconds: float, source: str, target: str) -> None:
    """Counts seconds of one part as those of another; no more than it has."""
    if _part is None:
        return
    enter(_part)
    seconds = max(0.0, min(seconds, _seconds.get(source, 0.0)))
    _seconds[source] = _seconds.get(source, 0.0) - seconds
    _seconds[target] = _seconds.get(target, 0.0) + seconds


def read() -> dict[str, float]:
    """Part -> seconds until now."""
    if _part is not None:
        enter(_part)
    return dict(_seconds)


def _start_seconds() -> float:
    """How long this start has lasted: by its launcher's clock, or the process's."""
    own = _process_seconds()
    # Processes that this one starts began later. A locale may have a comma in it.
    told = os.environ.pop(BEGAN, "").replace(",", ".")
    try:
        return max(own, time.time() - float(told))
    except ValueError:
        return own


def _process_seconds() -> float:
    """How long this process has been running; 0 where the system does not tell."""
    try:
        text = pathlib.Path("/proc/self/stat").read_text()
        ticks = int(text.rpartition(")")[2].split()[19])
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0.0
    return max(0.0, age)
