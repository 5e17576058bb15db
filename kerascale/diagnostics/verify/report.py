"""What `verify` found, as a table and as one object."""

import dataclasses
import math
from typing import Any

from kerascale.diagnostics.verify.compare_records import KINDS, Difference

# The configuration that shows how large rounding grows.
NUDGED = "1 device, nudged"
_ABOUT_NUDGED = (
    "nudged: 1 device, whose initial weights were changed in their last digit. What "
    "is\nabout as far from the reference as this may be rounding."
)
# A difference that begins larger than this many times the limit is not rounding.
_FAR = 1e4
# Rounding differs that much from one order of sums to another.
_ABOUT = 10.0

_HEADS = ("configuration", "steps", *KINDS, "verdict")


@dataclasses.dataclass(frozen=True)
class Row:
    """One configuration.

    Args:
        configuration: Its name.
        verdict: `reference`, `same`, `differs`, `failed` or `not compared`; and
            `rounding` for one device that was nudged.
        steps: Steps that were compared.
        largest: Kind -> largest relative difference from the reference.
        first: The first differences above the limit, at most one of each kind:
            weights before loss, metrics and predictions.
        message: Why it failed.
    """

    configuration: str
    verdict: str
    steps: int = 0
    largest: dict[str, float] = dataclasses.field(default_factory=dict)
    first: tuple[Difference, ...] = ()
    message: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """Whether a training gives one result on any hardware. True if it does.

    Args:
        subject: What was trained.
        passed: Whether every configuration is within the limit.
        precision: `float64` or `float32`.
        limit: The largest relative difference that passes.
        steps: Steps of each training.
        rows: One for each configuration; the first is the reference.
        left_out: Variables that were not compared, each with the reason.
        notes: What else a reader should know.
    """

    subject: str
    passed: bool
    precision: str
    limit: float
    steps: int
    rows: tuple[Row, ...]
    left_out: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.passed

    def text(self) -> str:
        """The table, and below it what a person should know."""
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        lines = [
            f"{self.subject}: {steps} in {self.precision}; largest relative "
            f"difference from 1 device, limit {self.limit:g}",
            *(f"  {note}" for note in self.notes),
            "",
            *_table([_HEADS, *map(_cells, self.rows)]),
            "",
        ]
        if self.left_out:
            lines += [
                "left out, because their gradient is zero but for rounding:",
                *(f"  {variable}" for variable in self.left_out),
                "",
            ]
        lines += [line for row in self.rows for line in _explanation(row)]
        if any(row.configuration == NUDGED for row in self.rows):
            lines += [_ABOUT_NUDGED, ""]
        return "\n".join([*lines, self._verdict()])

    @property
    def may_be_rounding(self) -> bool:
        """Whether a configuration differs, by so little that rounding might do it."""
        return any(
            difference.value < _FAR * self.limit
            for row in self.rows
            for difference in row.first[:1]
        )

    def with_rounding(self, row: Row) -> "Report":
        """The same with a row that shows how large rounding grows."""
        shown = dataclasses.replace(row, first=(), verdict="rounding")
        return dataclasses.replace(self, rows=(*self.rows, shown))

    def _explained(self) -> bool:
        """Whether no difference is larger than rounding grows on one device."""
        largest = [row.largest for row in self.rows if row.verdict == "rounding"]
        return bool(largest) and all(
            row.largest[kind] <= max(_ABOUT * largest[0].get(kind, 0.0), self.limit)
            for row in self.rows
            if row.verdict == "differs"
            for kind in KINDS
        )

    def _verdict(self) -> str:
        if self.passed:
            return "PASSED: one result on all of them."
        verdicts = [row.verdict for row in self.rows]
        if verdicts[0] == "failed":
            return "FAILED: it does not train, so there is nothing to compare."
        if self._explained() and "failed" not in verdicts:
            return "FAILED: outside of the limit, but no further than rounding grows."
        if "differs" in verdicts:
            return "FAILED: the result depends on the hardware."
        return "FAILED: it does not train on all of them."

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it. A difference that is not finite is None."""
        return _plain(dataclasses.asdict(self))


def _cells(row: Row) -> tuple[str, ...]:
    values = [
        f"{row.largest[kind]:.1e}" if kind in row.largest else "-" for kind in KINDS
    ]
    steps = str(row.steps) if row.steps else "-"
    return (row.configuration, steps, *values, row.verdict)


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(widths) - 1
    return [
        "  ".join(
            cell.ljust(width) if i in (0, last) else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _explanation(row: Row) -> list[str]:
    if row.message:
        first, *rest = row.message.splitlines()
        return [
            f"{row.configuration} {row.verdict}: {first}",
            *(f"  {line}" for line in rest),
            "",
        ]
    if not row.first:
        return []
    lines = [f"{row.configuration} differs:"]
    for difference in row.first:
        when = f"first at step {difference.step}"
        if difference.step == 0:
            when = "before the first step"
        if difference.kind == "predictions":
            when = "after the last step"
        what = f"{difference.kind}, {when}"
        lines.append(f"  {what}: {difference.name} by {difference.value:.2g}")
    return [*lines, ""]


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
