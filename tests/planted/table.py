"""The pages of planted faults: a table for each room, as Markdown."""

import itertools
import os
from collections.abc import Sequence

from .running import Outcome

_TEXT = """\
# Planted faults

Each row is a small fault that was put into a copy of the source, and the first of the
default tests of its room that failed because of it. The command plants them all again,
and fails if one of them is seen by no test:

```sh
python -m tests.planted
```
"""
_STEP_TEXT = """\
# Planted faults: data, models, the step
"""
# What computes a step, apart from all that is around it: two pages that are short.
_OF_THE_STEP = (
    "config",
    "datasets",
    "engine",
    "layers",
    "models",
    "ops",
    "optimizers",
    "strategies",
)
_AROUND, _STEP = "planted_faults.md", "planted_faults_of_the_step.md"


def pages(outcomes: Sequence[Outcome], seconds: float, jobs: int) -> dict[str, str]:
    """The name of each page, and what stands on it.

    Args:
        outcomes: One for each fault.
        seconds: How long all of it took.
        jobs: How many were looked at at a time.
    """
    caught = [each for each in outcomes if each.caught_by]
    result = (
        f"{len(caught)} of {len(outcomes)} were caught, in {seconds / 60:.0f} minutes, "
        f"{jobs} at a time on {os.cpu_count()} cores."
    )
    around = [each for each in outcomes if each.fault.room not in _OF_THE_STEP]
    step = [each for each in outcomes if each.fault.room in _OF_THE_STEP]
    of_the_step = f"Those of data, models and the step: [{_STEP}]({_STEP})."
    beside = f"What the command says, and the other rooms: [{_AROUND}]({_AROUND})."
    return {
        _AROUND: "\n".join([_TEXT, result, of_the_step, *_tables(around)]) + "\n",
        _STEP: "\n".join([_STEP_TEXT, beside, *_tables(step)]) + "\n",
    }


def _tables(outcomes: Sequence[Outcome]) -> list[str]:
    lines = []
    ordered = sorted(outcomes, key=lambda o: (o.fault.room, o.fault.file))
    for room, of_room in itertools.groupby(ordered, key=lambda o: o.fault.room):
        lines += ["", f"## {room}", "", "| fault | caught by | s |", "| - | - | -: |"]
        lines += [
            f"| {o.fault.name.replace('-', ' ')} | {_by(o)} | {o.seconds:.0f} |"
            for o in of_room
        ]
    return lines


def _by(outcome: Outcome) -> str:
    if not outcome.caught_by:
        return "**nothing**"
    # Without its file and its parameters, which may be long.
    test = outcome.caught_by.partition("[")[0].rpartition("::")[2]
    return test.removeprefix("test_").replace("_", " ")
