"""A cell of a label column: what it stands for, or what is wrong with it."""

import numpy as np

from kerascale.datasets.sources.csv_faults import Fault
from kerascale.datasets.sources.csv_rows import parse_number


def label_fault(cell: str, numeric: bool, num_classes: int | None) -> Fault | None:
    """What is wrong with one label, or None.

    Args:
        cell: The label.
        numeric: Whether most labels of the column are numbers.
        num_classes: Labels are whole numbers below it. None: whatever there is.
    """
    number, whole = parse_number(cell), whole_number(cell)
    if not cell.strip() or (number is not None and np.isnan(number)):
        expected = "a label"
    elif num_classes is not None:
        if whole is not None and 0 <= whole < num_classes:
            return None
        expected = f"a label in 0..{num_classes - 1}"
        return Fault(expected, cell.strip(), "Correct the label, or num_classes.")
    elif numeric and whole is None:
        expected = "a whole number, as most labels are"
    elif number is not None and np.isinf(number):
        expected = "the name of a class"
    else:
        return None
    return Fault(expected, shown(cell))


def whole_number(cell: str) -> int | None:
    """The whole number in a cell, such as `3` or `3.0`, or None."""
    number = parse_number(cell)
    if number is None or not np.isfinite(number) or number % 1:
        return None
    try:
        return int(cell)  # exact where a float is not
    except ValueError:
        return int(number)


def shown(cell: str) -> str:
    """A cell as a message has it."""
    if not cell:
        return "nothing"
    return repr(cell if len(cell) <= 60 else f"{cell[:60]}...")
