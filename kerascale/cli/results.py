"""What a command ends with: a table for a person, or one JSON object."""

import json
import time
from typing import Any, Protocol

from kerascale.errors import EXIT_DONE, EXIT_FAILED
from kerascale.runtime.console import say

# Too long for a table; --json has them.
_LONG = (
    "per_class",
    "confusion_matrix",
    "per_label",
    "per_target",
    "curves",
    "points",
)


def finish(result: dict[str, Any], *, as_json: bool, text: str) -> None:
    """Prints the result: as the last line of standard output if JSON is wanted."""
    say(text)
    if as_json:
        print(json.dumps(result), flush=True)


class Report(Protocol):
    """What was found out about this machine; true if all is well."""

    def to_dict(self) -> dict[str, Any]: ...

    def text(self) -> str: ...


def finish_report(report: Report, *, as_json: bool, began: float) -> int:
    """Prints a report: to standard output, as JSON if that is wanted.

    Args:
        report: Of a command that looks at this machine.
        as_json: Whether JSON is wanted; the text is then a message.
        began: When the command began, by the monotonic clock.

    Returns:
        The exit code.
    """
    if as_json:
        seconds = round(time.monotonic() - began, 3)
        summary = {**report.to_dict(), "seconds": seconds}
        finish(summary, as_json=True, text=report.text())
    else:
        print(report.text(), flush=True)
    return EXIT_DONE if report else EXIT_FAILED


def metrics_table(metrics: dict[str, Any]) -> str:
    """The metrics of a final evaluation, a line each, and the confusion matrix."""
    width = max(12, *(len(name) for name in metrics if name not in _LONG))
    lines = [
        f"  {name:<{width}} {value:.4f}"
        if isinstance(value, float)
        else f"  {name:<{width}} {value}"
        for name, value in metrics.items()
        if name not in _LONG
    ]
    for title in ("per_target", "per_label"):
        lines += _rows(title.removeprefix("per_"), metrics.get(title) or {})
    per_class = metrics.get("per_class")
    if per_class:
        lines += ["", *_confusion_lines(list(per_class), metrics["confusion_matrix"])]
    return "\n".join(lines)


def _rows(title: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    """A line for each target, or for each of several labels."""
    if not rows:
        return []
    names = list(next(iter(rows.values())))
    side = max(len(title), *map(len, rows))
    lines = ["", f"  {title:<{side}}" + "".join(f"{name:>19}" for name in names)]
    for label, row in rows.items():
        cells = "".join(f"{_short(row[name]):>19}" for name in names)
        lines.append(f"  {label:<{side}}{cells}")
    return lines


def _short(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _confusion_lines(names: list[str], confusion: list[list[int]]) -> list[str]:
    if len(names) > 20:
        return [f"  (confusion matrix of {len(names)} classes: in evaluation.json)"]
    cell = max(4, *(len(str(count)) + 1 for row in confusion for count in row))
    cell = max(cell, min(14, 1 + max(len(name) for name in names)))
    side = max(len(name) for name in names)
    head = "".join(f"{name[: cell - 1]:>{cell}}" for name in names)
    lines = ["  confusion matrix (rows: true, columns: predicted)"]
    lines.append(f"  {'':<{side}}{head}")
    for name, row in zip(names, confusion, strict=True):
        counts = "".join(f"{count or '.':>{cell}}" for count in row)
        lines.append(f"  {name:<{side}}{counts}")
    return lines
