"""The page of planted faults: a table for each room, as Markdown."""

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


def markdown(outcomes: Sequence[Outcome], seconds: float, jobs: int) -> str:
    """The page.

    Args:
        outcomes: One for each fault.
        seconds: How long all of it took.
        jobs: How many were looked at at a time.
    """
    caught = [each for each in outcomes if each.caught_by]
    lines = [
        _TEXT,
        f"{len(caught)} of {len(outcomes)} were caught, in {seconds / 60:.0f} minutes, "
        f"{jobs} at a time on {os.cpu_count()} cores.",
    ]
    ordered = sorted(outcomes, key=lambda o: (o.fault.room, o.fault.file))
    for room, of_room in itertools.groupby(ordered, key=lambda o: o.fault.room):
        lines += ["", f"## {room}", "", "| fault | caught by | s |", "| - | - | -: |"]
        lines += [
            f"| {o.fault.name.replace('-', ' ')} | {_by(o)} | {o.seconds:.0f} |"
            for o in of_room
        ]
    return "\n".join(lines) + "\n"


def _by(outcome: Outcome) -> str:
    if not outcome.caught_by:
        return "**nothing**"
    # Without its file and its parameters, which may be long.
    test = outcome.caught_by.partition("[")[0].rpartition("::")[2]
    return test.removeprefix("test_").replace("_", " ")
