"""Tables that are read in parts, in memory that does not grow with them.

A table in memory is put together from the same parts, so that both are equal.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from kerascale.datasets import memory, regions
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.class_names import with_test_of
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.datasets.sources.label_codes import MOST_LABELS, LabelCodes
from kerascale.errors import RefusedError
from kerascale.runtime import free_memory

# After as many parts it is seen whether what is left will fit.
_PARTS_OF_A_CHECK = 16


class Part(NamedTuple):
    """Some rows of a table.

    Args:
        features: float32 of shape (rows, columns); or an object array of `str`, of
            shape (rows,).
        codes: int64 of shape (rows,), into `labels`.
        labels: The labels, as text.
        state: What `Table.parts` needs to go on behind these rows, in JSON.
        bytes_read: Of the table's files.
        num_numbers: Of a column of text: the cells that are numbers.
        targets: Of a table with `Table.targets`, their cells: an object array of `str`
            of shape (rows, targets). It has neither codes nor labels.
    """

    features: np.ndarray
    codes: np.ndarray
    labels: list[str]
    state: Mapping[str, Any]
    bytes_read: int
    num_numbers: int = 0
    targets: np.ndarray | None = None


class UnusableError(Exception):
    """Something is wrong with a table; `Table.refusal` says what."""


class Table(Protocol):
    """A table whose files and columns are known."""

    name: str
    """What the user called it: `csv:` or `parquet:` and a path."""

    path: str
    """The path, as the user gave it."""

    files: tuple[str, ...]
    """The files that it consists of."""

    label: str
    """The label column."""

    targets: tuple[str, ...]
    """Columns of numbers to predict, or of several labels, in place of a label."""

    feature_names: tuple[str, ...]
    """The columns of features, in the order of `Part.features`."""

    kind: Literal["vector", "text"]
    """What is in them."""

    num_rows: int | None
    """How many there are; None: not known."""

    num_bytes: int
    """Of all files."""

    num_classes: int | None
    """Labels are whole numbers below it. None: whatever there is."""

    is_test: bool
    """Nothing is trained on it: it may have few rows of each class."""

    def parts(self, state: Mapping[str, Any]) -> Iterator[Part]:
        """All rows, or those behind the state of a part.

        Raises:
            UnusableError: If a cell is not as it should be.
        """

    def refusal(self) -> RefusedError:
        """Reads it once more, and says what is wrong with it."""


def read(table: Table) -> RawData:
    """Reads a table into memory, in one pass and without a copy.

    Raises:
        RefusedError: With everything that is wrong with it.
    """
    labels = LabelCodes()
    codes = regions.Growing((), np.int64)
    if table.kind == "vector":
        rows = regions.Growing((len(table.feature_names),), np.float32)
    else:
        rows = _Texts()
    num_numbers = 0
    try:
        for number, part in enumerate(table.parts({})):
            rows.append(part.features)
            codes.append(labels.add(part.codes, part.labels))
            num_numbers += part.num_numbers
            check_number(labels)
            if number % _PARTS_OF_A_CHECK == 0:
                _look_ahead(table, part.bytes_read, rows, codes)
    except UnusableError as error:
        raise table.refusal() from error
    free_memory.give_back()  # What parts took.
    class_names, order = classes(table, labels, num_numbers)
    indices = codes.array()
    for start in range(0, len(indices), 2**18):
        own = indices[start : start + 2**18]
        own[:] = order[own]
    return RawData(
        name=table.name,
        kind=table.kind,
        class_names=class_names,
        train=Split(rows.array(), indices),
        feature_names=table.feature_names,
    )


def with_test_file(
    load: Callable[..., RawData],
    raw: RawData,
    path: str,
    label: str,
    num_classes: int | None = None,
    options: CsvOptions = USUAL,
) -> RawData:
    """The data of `load_csv` or `load_parquet`, with the test examples of other files.

    Args:
        load: That function.
        raw: What it gave.
        path: Files with the same columns; others may be there.
        label: As `load` takes it, like the next two.
        num_classes: As `load` takes it.
        options: As `load` takes it.

    Raises:
        RefusedError: With what is wrong in the files, or differs from the training's.
    """
    options = options.only(raw.feature_names)
    other = load(path, label, num_classes, options, is_test=True)
    return with_test_of(raw, other, path)


def check_number(labels: LabelCodes) -> None:
    """Stops where there are too many labels to be classes."""
    if labels.are_too_many:
        raise UnusableError


def classes(
    table: Table, labels: LabelCodes, num_numbers: int
) -> tuple[tuple[str, ...], np.ndarray]:
    """Class names, and the label index of each code, when all rows were read.

    Args:
        table: The table.
        labels: Its labels.
        num_numbers: Of a column of text: the cells that are numbers.

    Raises:
        RefusedError: If they are no classes, or most texts are numbers.
    """
    found = labels.classes(table.num_classes, is_test=table.is_test)
    if found is None or num_numbers * 2 > labels.num_rows:
        raise table.refusal()
    if not table.is_test:
        count = len(np.unique(found[1]))
        check_class_count(f"{table.path}, column {table.label!r}", count)
    return found


def unknown_refusal(table: Table, remedy: str) -> RefusedError:
    """What to say where a second reading found nothing wrong."""
    if table.num_rows is None or table.num_rows > MOST_LABELS:
        remedy += (
            f" Or it has more than {MOST_LABELS:,} distinct labels in column "
            f"{table.label!r}, which are no classes."
        )
    return RefusedError(
        f"{table.path}: expected a table that can be read. Received: one that cannot, "
        f"for a reason that was not found. {remedy}"
    )


def _look_ahead(
    table: Table, bytes_read: int, *arrays: "regions.Growing | _Texts"
) -> None:
    """Makes room for what will come, or refuses it where there is none.

    Raises:
        RefusedError: If it will not fit in memory.
    """
    more = table.num_bytes / max(1, bytes_read) - 1
    held = sum(array.nbytes for array in arrays)
    memory.refuse_too_much(table.name, 0, int(held * more))
    for array in arrays:
        count = table.num_rows
        if count is None:
            count = int(len(array) * (1 + more) * 1.02)
        array.expect(count)


class _Texts:
    """Texts that are appended."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._texts)

    def expect(self, rows: int) -> None:
        """Nothing: each has memory of its own."""

    def append(self, texts: np.ndarray) -> None:
        self._texts.extend(texts)
        self.nbytes += sum(map(sys.getsizeof, texts)) + texts.nbytes

    def array(self) -> np.ndarray:
        array = np.empty(len(self._texts), dtype=object)
        array[:] = self._texts
        return array
