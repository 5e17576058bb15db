"""Runs a job on every kind of hardware, and makes the report."""

import dataclasses
import pathlib
import tempfile
from collections.abc import Sequence

from kerascale.diagnostics.verify import processes
from kerascale.diagnostics.verify.injected_faults import PLANTS
from kerascale.diagnostics.verify.jobs import Job, configurations
from kerascale.diagnostics.verify.report import NUDGED, Report
from kerascale.diagnostics.verify.verdicts import Judge
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

PRECISIONS = ("float64", "float32")


def refuse_options(
    *,
    steps: int,
    replicas: int,
    workers: int,
    precision: str,
    engine: bool,
    plant: str | None,
) -> None:
    """Refuses what cannot be verified.

    Raises:
        RefusedError: Naming every problem.
    """
    problems = []
    limits = {"steps": (steps, 1), "replicas": (replicas, 2), "workers": (workers, 2)}
    for name, (value, least) in limits.items():
        if name == "workers" and value == 0 and not isinstance(value, bool):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            none = "0 (none) or " if name == "workers" else ""
            problems.append(
                f"{name}: expected {none}an integer >= {least}. Received: {value!r}"
            )
    choices = {"precision": (precision, PRECISIONS), "plant": (plant, tuple(PLANTS))}
    for name, (value, known) in choices.items():
        if value not in known and not (name == "plant" and value is None):
            problems.append(
                f"{name}: expected {' or '.join(known)}. Received: {value!r}"
            )
    if plant is not None and not engine:
        problems.append(
            f"plant: expected none without the engine, which it breaks. Received: "
            f"{plant!r} with --plain (engine=False). Leave one of them out"
        )
    if problems:
        raise RefusedError(problems, heading="verify")


def run(
    job: Job,
    subject: str,
    *,
    replicas: int,
    workers: int,
    notes: Sequence[str] = (),
    limit_seconds: float = processes.LIMIT_SECONDS,
) -> Report:
    """Trains a job on one device, on several, and on several workers; compares.

    Args:
        job: What to train.
        subject: What the report calls it.
        replicas: Logical devices of the second configuration.
        workers: Processes of the third; 0: there is none.
        notes: What a reader of the report should know.
        limit_seconds: How long a process may go without leaving anything.

    Raises:
        RefusedError: If one device refuses the job.
    """
    kinds = configurations(replicas, workers)
    names = ", ".join(kind.name for kind in kinds)
    say(f"verify: {subject}, {job.steps} steps in {job.precision} on {names}")
    with tempfile.TemporaryDirectory(prefix="kerascale-verify-") as name:
        folder = pathlib.Path(name)
        job.write(folder / "job.json")
        endings = processes.run_all(
            kinds, folder / "job.json", folder, limit_seconds=limit_seconds
        )
        judge = Judge(job, endings[0])
        report = judge.report(subject, kinds, endings, notes)
        if not report.may_be_rounding:
            return report
        say("verify: training once more on 1 device, to see how large rounding grows")
        dataclasses.replace(job, nudge=True).write(folder / "nudged.json")
        (again,) = processes.run_all(
            kinds[:1],
            folder / "nudged.json",
            folder / "nudged",
            limit_seconds=limit_seconds,
        )
        return report.with_rounding(judge.row(NUDGED, again))
