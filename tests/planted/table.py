"""The table of planted faults, as Markdown."""

import os
from collections.abc import Sequence

from .running import Outcome

_TEXT = """\
# Planted faults

Each row is a small fault that was put into a copy of the source, and the first of the
default tests of its room that failed because of it.
`python -m tests.planted --write docs/planted_faults.md` plants them all again, and
fails if no test sees one of them.
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
        f"{len(caught)} of {len(outcomes)} were caught, in {seconds / 60:.1f} minutes "
        f"({jobs} at a time on {os.cpu_count()} cores).",
        "",
        "| room | fault | file | caught by | seconds |",
        "| :-- | :-- | :-- | :-- | --: |",
    ]
    for each in sorted(outcomes, key=lambda o: (o.fault.room, o.fault.file)):
        fault = each.fault
        lines.append(
            f"| {fault.room} | {fault.name.replace('-', ' ')} | `{fault.file}` "
            f"| {_by(each)} | {each.seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


def _by(outcome: Outcome) -> str:
    if not outcome.caught_by:
        return "**nothing**"
    # A file, and a test in it; its parameters may be long.
    test = outcome.caught_by.removeprefix("tests/").partition("[")[0]
    return f"`{test}`" + ("" if outcome.named else " (none of those named)")
