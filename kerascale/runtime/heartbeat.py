"""Signs of life: a process says how far it is, and whoever watches over it reads that.

The record is a file of a fixed size, written over in place. It holds no time: who
reads it notes when it changed, by a clock of its own that cannot jump.
"""

import dataclasses
import faulthandler
import json
import os
import pathlib
import signal
from collections.abc import Mapping

# The file to write to; set by whoever watches.
FILE = "KERASCALE_HEARTBEAT"
# The run folder of the attempt before; set when a job is started again.
RUN_DIR = "KERASCALE_RESTARTED_IN"
# How often the job was started again, as JSON: reason -> count.
RESTARTS = "KERASCALE_RESTARTS"
# Why a job is started again: a signal ended it, it failed itself, it did not move.
REASONS = ("killed", "failed", "stuck")
# On this signal every thread's stack is written to standard error.
STACKS_SIGNAL = signal.SIGUSR1

STARTING = "starting"
TRAINING = "training"
VALIDATING = "validating"
BETWEEN = "between epochs"
ENDING = "evaluating and saving"
# What failed would fail again: a loss that is NaN, a run whose files are damaged.
HOPELESS = "hopeless"
# In these a step follows on a step; in any other it may compile, read or write.
STEADY = (TRAINING, VALIDATING)

# More than a path and the rest can take.
_SIZE = 8192


@dataclasses.dataclass(frozen=True)
class Beat:
    """One sign of life.

    Args:
        count: How many there were before.
        step: Batches that have been trained.
        phase: What the process is doing.
        run_dir: The run folder, once it is known.
    """

    count: int = 0
    step: int = 0
    phase: str = STARTING
    run_dir: str | None = None


_last: Beat | None = None
_has_trained = False
_descriptor: int | None = None


def start(environ: Mapping[str, str] = os.environ) -> None:
    """Begins to beat, if somebody watches over this process; else nothing is done."""
    global _last, _descriptor
    path = environ.get(FILE)
    if path is None or _descriptor is not None:
        return
    _descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    faulthandler.register(STACKS_SIGNAL, all_threads=True, chain=False)
    _last = Beat()
    _write(_last)


def beat(
    phase: str, *, step: int | None = None, run_dir: str | os.PathLike | None = None
) -> None:
    """Says that this process has come this far.

    Args:
        phase: What it is doing from now on.
        step: Batches that have been trained; None: as many as before.
        run_dir: The run folder; None: the one of before.
    """
    global _last, _has_trained
    if _last is None:
        return
    _has_trained = _has_trained or phase == TRAINING
    _last = Beat(
        _last.count + 1,
        _last.step if step is None else step,
        phase,
        _last.run_dir if run_dir is None else str(pathlib.Path(run_dir).absolute()),
    )
    _write(_last)


def has_trained() -> bool:
    """Whether a step has ended since `start`."""
    return _has_trained


def read(path: str | os.PathLike) -> Beat | None:
    """The last sign of life in a file; None: there is none, or it is being written."""
    try:
        with open(path, "rb") as file:
            return Beat(**json.loads(file.read(_SIZE)))
    except (OSError, ValueError, TypeError):
        return None


def restarted_in(environ: Mapping[str, str] = os.environ) -> pathlib.Path | None:
    """The run folder in which this process goes on for one that failed; or None."""
    path = environ.get(RUN_DIR)
    return pathlib.Path(path) if path else None


def restarts(environ: Mapping[str, str] = os.environ) -> dict[str, int]:
    """How often the job was started again, for each of `REASONS`."""
    counts = json.loads(environ.get(RESTARTS) or "{}")
    return {reason: counts.get(reason, 0) for reason in REASONS}


def _write(beat: Beat) -> None:
    text = json.dumps(dataclasses.asdict(beat))
    os.pwrite(_descriptor, text.encode().ljust(_SIZE), 0)
