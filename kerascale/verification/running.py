"""Runs a job on every kind of hardware, and makes the report."""

import pathlib
import tempfile
from collections.abc import Sequence

from kerascale.console import say
from kerascale.errors import RefusedError
from kerascale.verification import batch_sizes, comparing, processes, zero_gradients
from kerascale.verification.comparing import KINDS
from kerascale.verification.jobs import Configuration, Job, configurations
from kerascale.verification.plants import PLANTS
from kerascale.verification.processes import Ending
from kerascale.verification.records import Status
from kerascale.verification.report import Report, Row

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
        return _report(job, subject, kinds, endings, notes)


def _report(
    job: Job,
    subject: str,
    kinds: Sequence[Configuration],
    endings: Sequence[Ending],
    notes: Sequence[str],
) -> Report:
    reference = endings[0]
    status = reference.records[0].status()
    if status is not None and status.outcome == "refused":
        raise RefusedError(status.message)
    failed = _failure(reference)
    limit = comparing.tolerance(job.precision, job.steps)
    omitted: dict[int, zero_gradients.LeftOut] = {}
    if failed:
        rows = [Row(kinds[0].name, "failed", message=failed)]
        rows += [Row(kind.name, "not compared") for kind in kinds[1:]]
    else:
        omitted = zero_gradients.left_out(
            status.variables,
            reference.records[0].gradients(),
            has_batch_normalization=status.has_batch_normalization,
            precision=job.precision,
        )
        rows = [Row(kinds[0].name, "reference", steps=job.steps)]
        rows += [
            _row(kind, reference, ending, status, limit, omitted)
            for kind, ending in zip(kinds[1:], endings[1:], strict=True)
        ]
        sizes = batch_sizes.describe(status.batch_sizes)
        notes = [sizes, *notes, *status.notes]
    return Report(
        subject,
        passed=all(row.verdict in ("reference", "same") for row in rows),
        precision=job.precision,
        limit=limit,
        steps=job.steps,
        rows=tuple(rows),
        left_out=tuple(str(variable) for variable in omitted.values()),
        notes=tuple(notes),
    )


def _row(
    kind: Configuration,
    reference: Ending,
    ending: Ending,
    status: Status,
    limit: float,
    omitted: dict[int, zero_gradients.LeftOut],
) -> Row:
    failed = _failure(ending)
    if failed:
        return Row(kind.name, "failed", message=failed)
    compared = []
    for record in ending.records:
        variables = record.status().variables
        if variables != status.variables:
            return Row(kind.name, "failed", message=_other_variables(status, variables))
        compared.append(
            comparing.compare(
                reference.records[0],
                record,
                variables=variables,
                limit=limit,
                left_out=omitted,
            )
        )
    largest = {
        what: max(comparison.largest[what] for comparison in compared) for what in KINDS
    }
    first = []
    for what in KINDS:
        found = [c.first[what] for c in compared if what in c.first]
        if found:
            first.append(min(found, key=lambda difference: difference.step))
    return Row(
        kind.name,
        "differs" if first else "same",
        steps=compared[0].steps,
        largest=largest,
        first=tuple(first),
    )


def _failure(ending: Ending) -> str:
    """Why a configuration failed: in its own words, or else its last lines."""
    if ending.failed is None:
        return ""
    status = ending.failed.status()
    if status is not None and status.outcome != "done":
        return status.message
    return "\n".join([f"{ending.failure}. Its last lines:", *ending.last_lines])


def _other_variables(status: Status, variables: tuple[str, ...]) -> str:
    pairs = zip((*status.variables, ""), (*variables, ""), strict=False)
    one, other = next((a, b) for a, b in pairs if a != b)
    return (
        f"expected the {len(status.variables)} weights of 1 device. Received: "
        f"{len(variables)}, of which the first other one is {other or 'missing'} "
        f"in place of {one or 'none'}."
    )
