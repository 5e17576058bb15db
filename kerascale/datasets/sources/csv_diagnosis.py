"""Says what is wrong with a table, after the fast reader has given up on it.

Two passes over its files, neither of which keeps a row: the first decides what each
column should hold, the second names the cells that do not hold it.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import compress

import numpy as np

from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.csv_faults import CsvFaults, Fault
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.csv_rows import data_rows, line_of_cell, parse_number
from kerascale.datasets.sources.label_cells import label_fault, shown, whole_number
from kerascale.datasets.sources.label_checks import looks_measured, measured_fault
from kerascale.runtime.console import counted

# The words that pandas takes for a column of booleans.
BOOLEANS = frozenset({"True", "TRUE", "true", "False", "FALSE", "false"})
_LARGEST = float(np.finfo(np.float32).max)
# Distinct labels that are counted.
_MOST_COUNTED = 2_000_000


@dataclasses.dataclass(frozen=True)
class Lines:
    """The rows of one file of a table, as they are written.

    Args:
        path: The file.
        rows: Gives each row's number and its cells, from the first one on.
        unit: What the number counts: a `line` of the file, or a `row`.
    """

    path: str
    rows: Callable[[], Iterator[tuple[int, list[str]]]]
    unit: str = "line"


def diagnose(
    path: str,
    names: tuple[str, ...],
    roles: Mapping[str, str],
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
) -> None:
    """The same as `diagnose_all` of one CSV file, whose header has been checked."""
    lines = [Lines(path, lambda: data_rows(path, options))]
    diagnose_all(path, lines, names, roles, num_classes)


def diagnose_all(
    path: str,
    files: Sequence[Lines],
    names: tuple[str, ...],
    roles: Mapping[str, str],
    num_classes: int | None = None,
) -> None:
    """Refuses a table with what is wrong in it; returns if nothing is.

    Args:
        path: What the user called it.
        files: What it consists of.
        names: The column names, in order.
        roles: What each column should hold: `feature` (numbers or text, as most of
            its cells), `number`, `text`, `label`, `test label` (of few rows
            and classes, perhaps) or `ignored`.
        num_classes: Labels are whole numbers below it. None: whatever there is.

    Raises:
        RefusedError: With line and column of each fault.
    """
    columns = [_Column(name, roles[name]) for name in names]
    for file in files:
        where = f" of {file.path}" if len(files) > 1 else ""
        _count_cells(file, columns, where)
    problems = Problems(f"{path} cannot be used")
    _decide_features(path, files[0].unit, columns, problems)
    for column in columns:
        if column.role in ("label", "test label"):
            _decide_label(path, column, num_classes, problems)
    for file in files:
        faults = CsvFaults(file.path, [column.name for column in columns], file.unit)
        _name_cells(file, columns, num_classes, faults)
        faults.tell(problems)
    problems.raise_if_any()


@dataclasses.dataclass
class _Column:
    """What was counted in a column, and what it should hold in the end."""

    name: str
    role: str
    num_filled: int = 0
    num_numbers: int = 0
    num_booleans: int = 0
    num_fractions: int = 0
    text_seen: str = ""
    fraction_seen: str = ""
    whole_numbers: set[int] = dataclasses.field(default_factory=set)

    def count(self, cell: str, place: str) -> None:
        number = parse_number(cell)
        if number is not None:
            self.num_numbers += 1
            whole = whole_number(cell)
            if whole is None and np.isfinite(number):
                self.num_fractions += 1
                self.fraction_seen = self.fraction_seen or f"{cell!r} {place}"
            elif (
                whole is not None
                and self.role == "label"
                and len(self.whole_numbers) < _MOST_COUNTED
            ):
                self.whole_numbers.add(whole)
        elif cell.strip():
            self.num_booleans += cell in BOOLEANS
            self.text_seen = self.text_seen or f"{cell[:40]!r} {place}"
        else:
            return
        self.num_filled += 1

    @property
    def num_texts(self) -> int:
        """Cells that hold something, and no number."""
        return self.num_filled - self.num_numbers

    def is_mostly(self, count: int) -> bool:
        return count * 2 > self.num_filled


def _count_cells(file: Lines, columns: list[_Column], where: str) -> None:
    are_features = [column.role in ("feature", "number") for column in columns]
    others = [(i, column) for i, column in enumerate(columns) if not are_features[i]]
    num_clean = 0
    for line, cells in file.rows():
        if len(cells) != len(columns):
            continue
        place = f"on {file.unit} {line}{where}"
        if _all_numbers(list(compress(cells, are_features))):
            num_clean += 1
            for index, column in others:
                column.count(cells[index], place)
        else:
            for column, cell in zip(columns, cells, strict=True):
                column.count(cell, place)
    for column in compress(columns, are_features):
        column.num_numbers += num_clean
        column.num_filled += num_clean


def _all_numbers(cells: list[str]) -> bool:
    """Whether all cells are numbers in float32's range: a fast way past clean rows."""
    try:
        numbers = list(map(float, cells))
    except ValueError:
        return False
    text = "".join(cells)
    if "_" in text or not text.isascii():  # see parse_number
        return False
    # A NaN may hide from max, never from the sum.
    return max(map(abs, numbers), default=1.0) <= _LARGEST and sum(numbers) * 0 == 0


def _decide_features(
    path: str, unit: str, columns: list[_Column], problems: Problems
) -> None:
    undecided = [column for column in columns if column.role == "feature"]
    # Where no row fits the header, the columns are not to blame.
    any_filled = any(column.num_filled for column in columns)
    for column in columns:
        if column.role != "ignored" and any_filled and column.num_filled == 0:
            problems.add(
                f"{path}, column {column.name!r}: expected values. Received: no value "
                f"on any {unit}. Fill or remove the column."
            )
            column.role = "ignored"
        elif column.role in ("feature", "number"):
            if column.num_booleans == column.num_filled:
                column.role = "boolean"
            elif column.role == "number" or column.is_mostly(column.num_numbers):
                column.role = "number"
            else:
                column.role = "text"
    texts = [column for column in undecided if column.role == "text"]
    if texts and len(undecided) > 1:
        shown = [
            f"{column.name!r} ({counted(column.num_texts, 'cell')}, such as "
            f"{column.text_seen})"
            for column in texts[:5]
        ]
        problems.add(
            f"{path}: expected numbers in every column, or one column of text and no "
            f"other. Received: text in {len(texts)} of {len(undecided)} columns: "
            f"{', '.join(shown)}{', ...' if len(texts) > 5 else ''}. Write the text as "
            "numbers, or choose columns with --columns or --drop-columns."
        )
        for column in texts:
            column.role = "ignored"


def _decide_label(
    path: str, column: _Column, num_classes: int | None, problems: Problems
) -> None:
    if column.is_mostly(column.num_fractions):
        problems.add(
            f"{path}, column {column.name!r}: expected classes as labels: names or "
            f"whole numbers. Received: fractions, such as {column.fraction_seen}. "
            "Pass --task regression, or sort the values into classes."
        )
        column.role = "ignored"
    elif num_classes is None and _looks_measured(column):
        fault = measured_fault(
            len(column.whole_numbers),
            column.num_filled,
            "rows",
            "write them as names, or count them from 0 and pass --num-classes N",
        )
        problems.add(f"{path}, column {column.name!r}: {fault}")
        column.role = "ignored"
    elif num_classes is not None or column.is_mostly(column.num_numbers):
        column.role = "label number"
    else:
        column.role = "label"


def _looks_measured(column: _Column) -> bool:
    found = column.whole_numbers
    if not found or not column.is_mostly(column.num_numbers):
        return False
    return looks_measured(len(found), min(found), max(found), column.num_filled)


def _name_cells(
    file: Lines,
    columns: list[_Column],
    num_classes: int | None,
    faults: CsvFaults,
) -> None:
    are_features = [column.role == "number" for column in columns]
    for line, cells in file.rows():
        if len(cells) != len(columns):
            faults.add_ragged(line, len(cells))
            continue
        if not any(cell.strip() for cell in cells):
            faults.add_empty(line)
            continue
        clean = _all_numbers(list(compress(cells, are_features)))
        for index, (column, cell) in enumerate(zip(columns, cells, strict=True)):
            if column.role == "ignored" or (clean and are_features[index]):
                continue
            if column.role.startswith("label"):
                numeric = column.role == "label number"
                fault = label_fault(cell, numeric, num_classes)
            else:
                fault = _feature_fault(cell, column.role)
            if fault is not None:
                if file.unit == "line":  # Cells may have several.
                    place = line_of_cell(line, cells, index)
                else:
                    place = line
                faults.add_cell(place, index, fault)


def _feature_fault(cell: str, role: str) -> Fault | None:
    if role == "text":
        if cell.strip():
            return None
        expected = "text"
    elif role == "boolean":
        if cell in BOOLEANS:
            return None
        expected = "True or False"
    else:
        number = parse_number(cell)
        expected = "a number"
        if number is not None:
            with np.errstate(over="ignore"):
                if np.isfinite(np.float32(number)):
                    return None
            expected = "a finite number in the range of float32"
    return Fault(expected, shown(cell))
