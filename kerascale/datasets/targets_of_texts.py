"""Labels of a table, out of its cells."""

import re
from collections.abc import Sequence

import numpy as np

from kerascale.config.tasks import Task
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.label_codes import LabelCodes
from kerascale.datasets.targets import number_of
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted

_TRUE, _FALSE = ("1", "true", "1.0"), ("0", "false", "0.0")
# Between the labels of a cell that has several.
_SIGNS = (";", "|")


def of_texts(
    task: Task,
    cells: np.ndarray,
    names: Sequence[str],
    path: str,
    first_row: int = 0,
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of a regression or of several labels, out of the cells of a table.

    Args:
        task: `regression` or `multilabel`.
        cells: Texts of shape (rows, columns), without blanks around them.
        names: The label columns.
        path: What the user calls the table.
        first_row: The number of the first of these rows, from 0.

    Returns:
        float32 of shape (rows, targets), and the name of each target.

    Raises:
        RefusedError: With the first cells that are no labels.
    """
    if task == "multilabel" and len(names) == 1:
        return _of_sets(cells[:, 0])
    found = np.empty(cells.shape, np.float32)
    problems = []
    for place, name in enumerate(names):
        own = cells[:, place].astype(str)
        values, codes = np.unique(own, return_inverse=True)
        if task == "multilabel":
            low = np.char.lower(values)
            numbers = np.where(np.isin(low, _TRUE), 1.0, np.nan)
            numbers = np.where(np.isin(low, _FALSE), 0.0, numbers)
            expected = "0 or 1"
        else:
            known = [number_of(value) for value in values]
            numbers = np.array([np.nan if n is None else n for n in known])
            expected = "a number"
        with np.errstate(over="ignore"):
            found[:, place] = numbers[codes]
        bad = np.flatnonzero(~np.isfinite(found[:, place]))
        if len(bad):
            first = int(bad[0])
            shown = repr(str(own[first])) if own[first] else "nothing"
            more = f", and {len(bad) - 1:,} more such rows" if len(bad) > 1 else ""
            problems.append(
                f"{path}, column {name!r}: expected {expected} in each row, for "
                f"--task {task}. Received: {shown} in row {first_row + first}, "
                f"counted from 0{more}. Correct them, or leave them out"
            )
    if problems:
        raise RefusedError(problems, heading=f"{path} cannot be used")
    return found, tuple(names)


def _of_sets(cells: np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Cells such as `red;blue`, or empty ones, in which no label is."""
    sets = [
        {part.strip() for part in re.split("[;|]", str(cell)) if part.strip()}
        for cell in cells
    ]
    names = tuple(sorted(set().union(*sets)))
    if len(names) < 2:
        raise RefusedError(
            f"label: expected cells with several labels between {listing(_SIGNS)}, or "
            "several columns (--label a,b). Received: "
            f"{counted(len(names), 'label')} in all."
        )
    place = {name: index for index, name in enumerate(names)}
    found = np.zeros((len(sets), len(names)), np.float32)
    for row, labels in enumerate(sets):
        found[row, [place[name] for name in labels]] = 1
    return found, names


def classes_of_texts(
    cells: np.ndarray, path: str, label: str, num_classes: int | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class indices and class names of one label column.

    Raises:
        RefusedError: If a cell is no label.
    """
    values, codes = np.unique(cells.astype(str), return_inverse=True)
    labels = LabelCodes()
    codes = labels.add(codes.astype(np.int64), values.tolist())
    if "" in values:
        first = int(np.flatnonzero(cells == "")[0])
        raise RefusedError(
            f"{path}, column {label!r}: expected a label in each row. Received: none "
            f"in {counted(int((cells == '').sum()), 'row')}, first in row {first}, "
            "counted from 0. Leave these rows out."
        )
    # Numbers that look measured are classes where somebody says so.
    found = labels.classes(num_classes, is_test=True)
    if found is None:
        raise RefusedError(
            f"{path}, column {label!r}: expected classes, all whole numbers or all "
            f"names. Received: {listing(values[:5])}. Correct the labels."
        )
    names, order = found
    return order[codes], names
