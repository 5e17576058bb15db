"""The command: `python -m tests.planted [NAME ...] [--room ROOM] [--jobs N]`."""

import argparse
import dataclasses
import os
import pathlib
import sys
import tempfile
import time
from collections.abc import Sequence

from .fault import Fault
from .faults import ALL
from .running import Outcome, Runner
from .table import pages

_TREE = pathlib.Path(__file__).resolve().parents[2]
_MOST_JOBS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    faults = _chosen(options.names, options.room)
    if options.list:
        for fault in faults:
            print(f"{fault.room:<12} {fault.name}")
        return 0
    for fault in faults:
        fault.patched(_TREE)  # Before anything is run.
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kerascale-planted-") as folder:
        runner = Runner(
            _TREE, pathlib.Path(folder), options.jobs, named_only=options.named_only
        )
        outcomes = []
        for outcome in runner.outcomes(faults):
            outcomes.append(outcome)
            _tell(outcome, len(outcomes), len(faults), time.monotonic() - began)
        outcomes = _without_those_that_always_fail(runner, outcomes)
    seconds = time.monotonic() - began
    survivors = [each for each in outcomes if not each.caught_by]
    print(
        f"{len(outcomes) - len(survivors)} of {len(outcomes)} were caught, in "
        f"{seconds:.0f} s"
    )
    for each in survivors:
        print(f"SURVIVED: {each.fault.name} ({each.fault.file}) {each.note}")
    if options.write:
        for name, text in pages(outcomes, seconds, options.jobs).items():
            (options.write / name).write_text(text, "utf-8")
    return 1 if survivors else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.planted",
        description="Plants faults in copies of the source, and runs the default tests "
        "of their rooms. Exit code 1: no test has seen one of them.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="faults by name")
    parser.add_argument("--room", help="those of one room")
    parser.add_argument("--list", action="store_true", help="name them, run nothing")
    parser.add_argument(
        "--named-only",
        action="store_true",
        help="only the tests that a fault names, not the rest of its room",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=min(_MOST_JOBS, os.cpu_count() or 1),
        help="how many at a time (default: %(default)s)",
    )
    parser.add_argument(
        "--write", type=pathlib.Path, metavar="FOLDER", help="write two pages"
    )
    options = parser.parse_args(arguments)
    if options.jobs < 1:
        parser.error("--jobs: expected at least 1")
    if options.write and (options.names or options.room):
        parser.error("--write: the pages are of all faults")
    if options.write and not options.write.is_dir():
        parser.error(f"--write: expected a folder. Received: {options.write}")
    return options


def _chosen(names: Sequence[str], room: str | None) -> list[Fault]:
    known = {fault.name for fault in ALL}
    unknown = [name for name in names if name not in known]
    if unknown:
        sys.exit(f"no such fault: {', '.join(unknown)} (--list names them)")
    chosen = [
        fault
        for fault in ALL
        if (not names or fault.name in names) and room in (None, fault.room)
    ]
    if not chosen:
        sys.exit("there is no such fault (--list names them)")
    return chosen


def _tell(outcome: Outcome, done: int, total: int, seconds: float) -> None:
    left = seconds / done * (total - done)
    by = outcome.caught_by or "NOTHING"
    if outcome.caught_by and not outcome.named:
        by += " (none of those named)"
    note = f" [{outcome.note}]" if outcome.note else ""
    print(
        f"{done:>3} of {total}, {left / 60:.0f} min left  {outcome.fault.room:<11} "
        f"{outcome.fault.name}: {by} in {outcome.seconds:.0f} s{note}",
        flush=True,
    )


def _without_those_that_always_fail(
    runner: Runner, outcomes: Sequence[Outcome]
) -> list[Outcome]:
    """A test that fails without a fault too has caught none."""
    tests = sorted({each.caught_by for each in outcomes if each.caught_by})
    print(f"without a fault: {len(tests)} tests ...", flush=True)
    failing = runner.failing_without_fault(tests)
    for test in sorted(failing):
        print(f"it fails without a fault too: {test}")
    return [
        dataclasses.replace(each, caught_by="", note=f"{each.caught_by} always fails")
        if each.caught_by in failing
        else each
        for each in outcomes
    ]


if __name__ == "__main__":
    sys.exit(main())
