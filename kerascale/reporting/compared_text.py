"""Runs side by side, as text and as plain values."""

from collections.abc import Sequence
from typing import Any

from kerascale.reporting.comparison import Comparison, Parting

_LONGEST_VALUE = 24


def to_json(comparison: Comparison) -> dict[str, Any]:
    """The comparison as plain values."""
    return {
        "runs": [run.name for run in comparison.runs],
        "identical": comparison.identical,
        "verdict": comparison.verdict,
        "differences": [vars(each) for each in comparison.differences],
        "results": comparison.results,
        "partings": [_parting(each) for each in comparison.partings],
    }


def _parting(parting: Parting) -> dict[str, Any]:
    found = parting.rounding
    within = None
    if found is not None:
        within = {**vars(found), "is_within": found.is_within}
    return {**vars(parting), "rounding": within}


def to_text(comparison: Comparison) -> str:
    """The comparison as a person reads it on a terminal."""
    lines = [
        f"{label}  {run.name}"
        for label, run in zip(comparison.labels, comparison.runs, strict=True)
    ]
    rows = [
        (f"{each.about} {each.name}", each.values) for each in comparison.differences
    ]
    if rows:
        lines += ["", "what differs", *_table(comparison.labels, rows)]
    if comparison.results:
        results = list(comparison.results.items())
        lines += ["", "results", *_table(comparison.labels, results)]
    return "\n".join([*lines, "", comparison.verdict])


def _table(labels: Sequence[str], rows: Sequence[tuple[str, list[Any]]]) -> list[str]:
    cells = [(name, [_cell(value) for value in values]) for name, values in rows]
    side = max(len(name) for name, _ in cells)
    width = 2 + max(len(cell) for _, row in cells for cell in row)
    head = "".join(f"{label:>{width}}" for label in labels)
    return [
        f"  {'':<{side}}{head}",
        *(
            f"  {name:<{side}}{''.join(f'{c:>{width}}' for c in row)}"
            for name, row in cells
        ),
    ]


def _cell(value: Any) -> str:
    if value is None:
        return "none"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
