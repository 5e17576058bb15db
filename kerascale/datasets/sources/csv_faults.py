"""The faults of cells and lines: a few are named each, many of one kind in one line."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from kerascale.datasets.sources.checks import Problems, listing
from kerascale.runtime.console import counted, say

# Of one kind: that many are named one by one.
_MOST_NAMED = 5
_MOST_SHOWN = 3


class Fault(NamedTuple):
    """What is wrong with a cell.

    Args:
        expected: Such as `a number`.
        received: What is there instead.
        remedy: What to do about it: a sentence. None: to correct or to remove it.
    """

    expected: str
    received: str
    remedy: str | None = None


@dataclasses.dataclass
class _Kind:
    count: int = 0
    named: list[tuple[int, str]] = dataclasses.field(default_factory=list)
    shown: list[str] = dataclasses.field(default_factory=list)

    def add(self, line: int, text: str, shown: str) -> None:
        self.count += 1
        if self.count <= _MOST_NAMED:
            self.named.append((line, text))
            self.shown.append(shown)

    @property
    def examples(self) -> str:
        return ", ".join(self.shown[:_MOST_SHOWN])


class CsvFaults:
    """Collects what is wrong, in a memory that does not grow with the file.

    Args:
        path: The file.
        names: Its columns.
        unit: What a row is found by: a `line` or a `row`.
    """

    def __init__(self, path: str, names: list[str], unit: str = "line") -> None:
        self._path = path
        self._names = names
        self._unit = unit
        self._cells: dict[tuple[int, str, str], _Kind] = {}
        self._ragged = _Kind()
        self._empty = _Kind()

    def add_cell(self, line: int, index: int, fault: Fault) -> None:
        """Notes a wrong cell: the line on which it starts, and its column's number."""
        remedy = fault.remedy or f"Correct or remove the {self._unit}."
        text = (
            f"{self._path}, {self._unit} {line}, column {self._names[index]!r}: "
            f"expected {fault.expected}. Received: {fault.received}. {remedy}"
        )
        kind = self._cells.setdefault((index, fault.expected, remedy), _Kind())
        kind.add(line, text, f"{fault.received} on {self._unit} {line}")

    def add_ragged(self, line: int, num_cells: int) -> None:
        """Notes a line with more or fewer cells than there are columns."""
        hint = "Fill the missing cells, or remove the line."
        if num_cells > len(self._names):
            hint = "Put a text that contains a comma into double quotes."
        text = (
            f"{self._path}, line {line}: expected {self._expected_cells}. Received: "
            f"{num_cells}. {hint}"
        )
        self._ragged.add(line, text, f"{num_cells} on line {line}")

    def add_empty(self, line: int) -> None:
        """Notes a line without any value."""
        text = (
            f"{self._path}, {self._unit} {line}: expected values. Received: empty "
            f"cells only. Remove the {self._unit}."
        )
        self._empty.add(line, text, str(line))

    def tell(self, problems: Problems) -> None:
        """Adds what was found to `problems`, in the order of the lines."""
        told = []
        for (index, expected, remedy), kind in self._cells.items():
            place = f"{self._path}, column {self._names[index]!r}"
            told += self._told(
                kind,
                f"{place}: expected {expected} in each cell. Received: {kind.count:,} "
                f"other cells: {kind.examples} and so on. {remedy.rstrip('.')}, or "
                "leave the column out (--drop-columns).",
            )
        told += self._told(
            self._ragged,
            f"{self._path}: expected {self._expected_cells} on each line. Received: "
            f"another number on {self._ragged.count:,} lines: {self._ragged.examples} "
            "and so on. Fill missing cells, and put a text that contains a comma into "
            "double quotes.",
        )
        told += self._told(
            self._empty,
            f"{self._path}: expected values on each {self._unit}. Received: empty "
            f"cells only on {self._empty.count:,} {self._unit}s: "
            f"{self._empty.examples} and so on. Remove these {self._unit}s.",
        )
        for _, text in sorted(told, key=lambda item: item[0]):
            problems.add(text)

    @property
    def _expected_cells(self) -> str:
        return f"{counted(len(self._names), 'cell')} ({listing(self._names)})"

    @staticmethod
    def _told(kind: _Kind, summary: str) -> list[tuple[int, str]]:
        if kind.count <= _MOST_NAMED:
            return kind.named
        return [(kind.named[0][0], summary)]


# Up to here float32 has every integer.
_ALL_INTEGERS = 2**24


def say_merged(
    path: str, columns: Mapping[str, np.ndarray], features: np.ndarray, said: set[str]
) -> None:
    """Says which columns of integers, such as ids, float32 does not tell apart.

    Args:
        path: The file.
        columns: Columns of features of some rows, as float64.
        features: The same as float32, of shape (rows, columns).
        said: Columns of which it was said; added to.
    """
    for (name, column), values in zip(columns.items(), features.T, strict=True):
        if name in said or not len(values) or np.abs(values).max() < _ALL_INTEGERS:
            continue
        # Of each block of a large file: looking for equal ones takes long.
        if (column == values).all() or (column != np.floor(column)).any():
            continue
        before, after = len(np.unique(column)), len(np.unique(values))
        if after < before:
            said.add(name)
            say(
                f"note: {path}, column {name!r}: features are float32, in which the "
                f"{before} different integers of {len(values)} rows become {after}. "
                f"Leave it out if it is an id: --drop-columns {name}"
            )
