"""Turns what processes left into the rows of a report."""

from collections.abc import Sequence

from kerascale.diagnostics.verify import batch_sizes, compare_records, zero_gradients
from kerascale.diagnostics.verify.compare_records import KINDS
from kerascale.diagnostics.verify.jobs import Configuration, Job
from kerascale.diagnostics.verify.processes import Ending
from kerascale.diagnostics.verify.report import Report, Row
from kerascale.errors import RefusedError


class Judge:
    """Compares configurations with one device.

    Args:
        job: What was trained.
        reference: What one device left.

    Raises:
        RefusedError: If one device refused the job.
    """

    def __init__(self, job: Job, reference: Ending) -> None:
        self._job = job
        self._record = reference.records[0]
        self._status = self._record.status()
        if self._status is not None and self._status.outcome == "refused":
            raise RefusedError(self._status.message)
        self._failed = _failure(reference)
        self._limit = compare_records.tolerance(job.precision, job.steps)
        self._left_out: dict[int, zero_gradients.LeftOut] = {}
        self._against_spread: dict[str, None] = {}
        if not self._failed:
            self._left_out = zero_gradients.left_out(
                self._status.variables,
                self._record.gradients(),
                has_batch_normalization=self._status.has_batch_normalization,
                precision=job.precision,
            )

    def report(
        self,
        subject: str,
        kinds: Sequence[Configuration],
        endings: Sequence[Ending],
        notes: Sequence[str],
    ) -> Report:
        """The report on all configurations, of which the first is the reference."""
        if self._failed:
            rows = [Row(kinds[0].name, "failed", message=self._failed)]
            rows += [Row(kind.name, "not compared") for kind in kinds[1:]]
        else:
            rows = [Row(kinds[0].name, "reference", steps=self._job.steps)]
            pairs = zip(kinds[1:], endings[1:], strict=True)
            rows += [self.row(kind.name, ending) for kind, ending in pairs]
            notes = [*self._notes(), *notes]
        return Report(
            subject,
            passed=all(row.verdict in ("reference", "same") for row in rows),
            precision=self._job.precision,
            limit=self._limit,
            steps=self._job.steps,
            rows=tuple(rows),
            left_out=tuple(str(variable) for variable in self._left_out.values()),
            notes=tuple(notes),
        )

    def row(self, name: str, ending: Ending) -> Row:
        """A configuration beside the reference.

        Args:
            name: What the table calls it.
            ending: What its processes left.
        """
        failed = _failure(ending)
        if failed:
            return Row(name, "failed", message=failed)
        compared = []
        for record in ending.records:
            variables = record.status().variables
            if variables != self._status.variables:
                message = _other_variables(self._status.variables, variables)
                return Row(name, "failed", message=message)
            comparison = compare_records.compare(
                self._record,
                record,
                variables=variables,
                limit=self._limit,
                left_out=self._left_out,
            )
            self._against_spread.update(dict.fromkeys(comparison.against_spread))
            compared.append(comparison)
        first = []
        for kind in KINDS:
            found = [c.first[kind] for c in compared if kind in c.first]
            if found:
                first.append(min(found, key=lambda difference: difference.step))
        return Row(
            name,
            "differs" if first else "same",
            steps=compared[0].steps,
            largest={kind: max(c.largest[kind] for c in compared) for kind in KINDS},
            first=tuple(first),
        )

    def _notes(self) -> list[str]:
        notes = [batch_sizes.describe(self._status.batch_sizes), *self._status.notes]
        if self._against_spread:
            name = next(iter(self._against_spread))
            notes.append(
                "moving means that are zero but for rounding, measured against the "
                f"spread: {len(self._against_spread)} ({name}, ...)"
            )
        return notes


def _failure(ending: Ending) -> str:
    """Why a configuration failed: in its own words, or else its last lines."""
    if ending.failed is None:
        return ""
    status = ending.failed.status()
    if status is not None and status.outcome != "done":
        return status.message
    return "\n".join([f"{ending.failure}. Its last lines:", *ending.last_lines])


def _other_variables(one: tuple[str, ...], other: tuple[str, ...]) -> str:
    pairs = zip((*one, ""), (*other, ""), strict=False)
    here, there = next((a, b) for a, b in pairs if a != b)
    return (
        f"expected the {len(one)} weights of 1 device. Received: {len(other)}, of "
        f"which the first other one is {there or 'missing'} in place of "
        f"{here or 'none'}."
    )
