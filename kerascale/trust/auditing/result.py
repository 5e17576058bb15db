"""What an audit found, and how it is kept."""

import dataclasses
import pathlib
from typing import Any

from kerascale.reporting import output_paths
from kerascale.runs import layout
from kerascale.trust.auditing.drift import Drift
from kerascale.trust.auditing.groups import SMALLEST

TITLES = {
    "accuracy": "accuracy",
    "selection_rate": "said yes",
    "true_positive_rate": "true positives",
    "false_positive_rate": "false positives",
    "mae": "mean error",
    "bias": "bias",
    "accuracy_difference": "accuracy, largest difference",
    "demographic_parity_difference": "demographic parity, difference",
    "demographic_parity_ratio": "demographic parity, ratio",
    "equalized_odds_difference": "equalised odds, difference",
    "mae_difference": "mean error, largest difference",
    "bias_difference": "bias, largest difference",
}


@dataclasses.dataclass(frozen=True)
class Group:
    """The numbers of one group.

    Args:
        name: Its value in the column.
        examples: How many there are.
        values: Metric -> the number and its 95 % interval; None: nobody to ask.
        calibration: See `calibration.measure`; None of a regression.
    """

    name: str
    examples: int
    values: dict[str, list[float] | None]
    calibration: dict[str, Any] | None

    @property
    def is_small(self) -> bool:
        return self.examples < SMALLEST


@dataclasses.dataclass(frozen=True)
class Audit:
    """An audit of a run.

    Args:
        path: The run folder.
        what: The split, or the data.
        task: Of the run.
        column: The column of groups; None: none was asked for.
        note: How its numbers were cut.
        overall: All examples.
        groups: The worst first; those with fewer than 20 examples last.
        small: The names of the latter.
        differences: Name -> `value`, and `p`: how often chance makes as much of it.
        calibration: Of all examples; None of a regression.
        against: The new data; None: none was compared.
        columns: Drift of each column.
        answers: Drift of the model's answers.
        told_apart: How well a model tells old from new rows: area under its ROC curve;
            None: too few rows are new.
        compared: How many old and new examples.
        copies: New rows that are training rows.
    """

    path: pathlib.Path
    what: str
    task: str
    column: str | None
    note: str
    overall: Group
    groups: tuple[Group, ...]
    small: tuple[str, ...]
    differences: dict[str, Any]
    calibration: dict[str, Any] | None
    against: str | None = None
    columns: tuple[Drift, ...] = ()
    answers: tuple[Drift, ...] = ()
    told_apart: float | None = None
    compared: tuple[int, int] | None = None
    copies: int = 0

    @property
    def worst(self) -> Group | None:
        """The group that the model fails most, of those with enough examples."""
        return next((group for group in self.groups if not group.is_small), None)

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "run_dir": str(self.path),
            "data": self.what,
            "task": self.task,
            "group": self.column,
            "note": self.note,
            "overall": _group(self.overall),
            "groups": {group.name: _group(group) for group in self.groups},
            "too_small": list(self.small),
            "worst": None if self.worst is None else self.worst.name,
            "differences": self.differences,
        }
        if self.against is not None:
            found["drift"] = {
                "against": self.against,
                "examples": list(self.compared or ()),
                "copies": self.copies,
                "told_apart": self.told_apart,
                "columns": [each.to_json() for each in self.columns],
                "answers": [each.to_json() for each in self.answers],
            }
        return found

    def text(self) -> str:
        """Tables for a terminal."""
        lines = _group_lines(self)
        for name, found in self.differences.items():
            chance = f"   by chance p = {found['p']:.3f}" if "p" in found else ""
            of = f" (class {found['class']})" if "class" in found else ""
            lines.append(f"  {TITLES[name] + of:<40}{found['value']:>9.4f}{chance}")
        if self.column is not None and not self.differences:
            lines.append(
                "  no differences: fewer than two groups have 20 examples or more"
            )
        if self.small:
            lines.append(
                f"  fewer than {SMALLEST} examples, compared with nothing: "
                f"{', '.join(self.small)}"
            )
        if self.calibration is not None:
            ece, chance = (self.calibration[n] for n in ("ece", "ece_by_chance"))
            said = "more than" if ece > chance else "no more than"
            lines.append(
                f"  calibration error (ECE) {ece:.4f}, {said} chance gives a "
                f"calibrated model ({chance:.4f})"
            )
        lines += _drift_lines(self)
        return "\n".join(lines)

    def write(self) -> pathlib.Path:
        """Writes `audit.json` and the page `audit.html` into the run folder.

        Returns:
            The page.

        Raises:
            RefusedError: If the packages that lay out pages are not installed.
        """
        from kerascale.reporting import packages

        packages.refuse_without_packages("audit")
        from kerascale.trust.auditing.page import render

        output_paths.write_json(self.path / layout.AUDIT, self.to_json())
        page = self.path / layout.AUDIT_PAGE
        output_paths.write(page, render.render(self).encode())
        return page


def _group(group: Group) -> dict[str, Any]:
    found: dict[str, Any] = {"examples": group.examples}
    for name, value in group.values.items():
        found[name] = None
        if value is not None:
            found[name] = {"value": value[0], "interval": value[1:]}
    if group.calibration is not None:
        found["calibration"] = group.calibration
    return found


def _group_lines(audit: Audit) -> list[str]:
    names = list(audit.overall.values)
    side = max(len(group.name) for group in (audit.overall, *audit.groups))
    side = max(side, 8)
    head = f"  {audit.column or '':<{side}}{'examples':>10}"
    lines = [head + "".join(f"{TITLES[name]:>28}" for name in names)]
    for group in (*audit.groups, audit.overall):
        cells = "".join(f"{_cell(group.values[name]):>28}" for name in names)
        lines.append(f"  {group.name:<{side}}{group.examples:>10,}{cells}")
    return lines


def _cell(value: list[float] | None) -> str:
    if value is None:
        return "."
    return f"{value[0]:.3f} ({value[1]:.3f} to {value[2]:.3f})"


def _drift_lines(audit: Audit) -> list[str]:
    if audit.against is None:
        return []
    lines = [
        f"  {audit.against}: {audit.compared[1]:,} new examples beside "
        f"{audit.compared[0]:,} of the training"
    ]
    if audit.copies:
        lines.append(f"  {audit.copies:,} of the new ones are training examples")
    if audit.told_apart is not None:
        lines.append(
            f"  a model tells them apart with an area under its ROC curve of "
            f"{audit.told_apart:.3f} (0.5: not at all)"
        )
    for each in (*audit.columns, *audit.answers):
        mark = "drift" if each.is_found else "."
        lines.append(
            f"  {each.name:<28}{mark:>7}  PSI {each.psi:>7.3f}  p {each.p:.2g}  "
            f"{each.then} -> {each.now}"
        )
    return lines
