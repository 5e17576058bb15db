"""The first batch from a late step on, against that of one of the first steps."""

import dataclasses
import pathlib
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..checkpointing import VARIABLES
from ..contenders import TESTS, Process
from ..rounds import Bench, Plan
from ..statistics import Spread
from . import sets

ROWS, WIDTH, STEP = 10**8, 8, 10**6
MOST = 1.05
# Of each round: a first batch takes a fraction of a second.
_TIMES = 10


def measure(
    bench: Bench, plan: Plan, folder: pathlib.Path, rows: int
) -> dict[str, Any]:
    """Both in turns, in one process."""
    bench.say(f"{rows:,} rows: writing")
    packed = sets.vectors(folder / f"rows-{rows}", rows, WIDTH)
    # The same share of fewer rows.
    step = STEP * rows // ROWS
    module = "benchmarks.runners.streaming_jump"
    process = Process(
        [sys.executable, "-m", module, str(packed), "0", str(step)],
        VARIABLES,
        bench.logs / "streaming-jump.log",
        cwd=TESTS,
    )
    try:
        found = process.ask("load", timeout=plan.patience_seconds)
        rounds = []
        for number in range(1, plan.rounds + 1):
            bench.say(f"first batch: round {number} of {plan.rounds}")
            answer = process.ask("run", timeout=plan.patience_seconds, epochs=_TIMES)
            rounds.append(answer["parts"])
    finally:
        process.stop()
    return {**found, "step": step, **summary(rounds, str(step))}


def summary(rounds: Sequence[Mapping[str, Sequence[float]]], late: str) -> dict:
    """Seconds to both first batches, and the later over the earlier one's."""
    first = [statistics.median(each["0"]) for each in rounds]
    later = [statistics.median(each[late]) for each in rounds]
    found = {
        "first_seconds": Spread.of(first),
        "late_seconds": Spread.of(later),
        "ratio": Spread.of([b / a for a, b in zip(first, later, strict=True)]),
    }
    return {name: dataclasses.asdict(spread) for name, spread in found.items()}
