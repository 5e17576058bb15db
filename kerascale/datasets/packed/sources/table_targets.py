"""Labels of a table that is packed: classes, or columns of numbers to predict."""

import os
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from kerascale.config.tasks import OF_CLASSES, Task
from kerascale.datasets import targets, targets_of_texts
from kerascale.datasets.sources.table_columns import label_columns
from kerascale.datasets.sources.tables import UnusableError
from kerascale.datasets.tables import frames
from kerascale.errors import RefusedError

if TYPE_CHECKING:
    from kerascale.datasets.packed.sources import SourceOptions


class Targets(NamedTuple):
    """What is to be told of each row, which is no class.

    Args:
        task: `regression` or `multilabel`.
        names: The columns.
        path: Of the table, for messages.
    """

    task: Task
    names: tuple[str, ...]
    path: str

    def of_cells(self, cells: np.ndarray, first: int) -> np.ndarray:
        """float32 of shape (rows, targets).

        Args:
            cells: Texts of shape (rows, targets).
            first: The number of the first row, from 0.

        Raises:
            RefusedError: If one is no number, or neither 0 nor 1.
        """
        cells = frames.stripped(cells)
        found, _ = targets_of_texts.of_texts(
            self.task, cells, self.names, self.path, first
        )
        return found


def decide(prefix: str, path: str, options: "SourceOptions") -> Targets | None:
    """What a table is packed for; None: its labels are classes.

    Without `task` it is told by the first rows; and by all, where whole numbers in
    these look measured.

    Args:
        prefix: `csv` or `parquet`.
        path: Its files.
        options: Of which `task`, `label` and `num_classes` count.

    Raises:
        RefusedError: If there are no such columns, or several labels in a cell.
    """
    if options.label is None or options.task in OF_CLASSES:
        return None
    path = os.fspath(path)
    how = options.csv_options
    names = label_columns(options.label, frames.names_of(prefix, path, how))
    if not names:
        return None  # It is told where the table is opened.
    if options.task == "auto":
        try:
            decision = _told(prefix, path, names, options, is_peek=True)
            if decision.task == "regression" and len(names) == 1:
                decision = _told(prefix, path, names, options)
        except (RefusedError, UnusableError):
            return None  # What is wrong with its lines is told there, too.
        if decision.task in OF_CLASSES:
            return None
        decision.say("auto")
        return Targets(decision.task, names, path)
    if options.task == "multilabel" and len(names) == 1:
        raise RefusedError(
            "label: expected several columns (--label a,b) to pack a table of several "
            f"labels. Received: {names[0]!r}, whose cells may hold several. Write a "
            "column of 0 and 1 for each label, or train from the file in memory."
        )
    return Targets(options.task, names, path)


def _told(
    prefix: str,
    path: str,
    names: tuple[str, ...],
    options: "SourceOptions",
    *,
    is_peek: bool = False,
) -> targets.Decision:
    table = frames.read(prefix, path, names, options.csv_options, is_peek=is_peek)
    cells = frames.stripped(table.cells(names))
    return targets.decide("auto", cells, names, options.num_classes)
