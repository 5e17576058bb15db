"""Labels of arrays that are no classes: numbers to predict, or several labels."""

from typing import Any

import numpy as np

from kerascale.config.tasks import Task
from kerascale.datasets.sources.checks import Problems
from kerascale.datasets.sources.label_checks import looks_measured
from kerascale.datasets.targets import Decision


def of_arrays(y: Any, asked: str, num_classes: int | None) -> Decision | None:
    """The task of an array of labels; None: its labels are classes.

    Args:
        y: As the user gave it.
        asked: The field `task`.
        num_classes: The field.
    """
    if asked in ("regression", "multilabel"):
        return Decision(asked, "--task says so")
    if asked != "auto" or num_classes is not None:
        return None
    try:
        y = np.asarray(y)
    except ValueError:
        return None  # It is told where it is looked at.
    if y.dtype.kind not in "iubf" or y.ndim not in (1, 2) or not y.size:
        return None
    if y.ndim == 2 and y.shape[1] > 1:
        # Exactly one in each row is a class, one-hot: how to pass it is told.
        if np.isin(y, (0, 1)).all():
            one_hot = (y.sum(axis=1) == 1).all()
            return None if one_hot else Decision("multilabel", "y holds 0 and 1 alone")
        return Decision("regression", f"y has {y.shape[1]} columns of numbers")
    if y.dtype.kind == "f":
        # -1 and +1 are classes; whole numbers in floats are told to be cast.
        has_fraction = np.isfinite(y).all() and (y % 1 != 0).any()
        return Decision("regression", "y has fractions") if has_fraction else None
    values = np.unique(y)
    if y.dtype.kind == "b" or not looks_measured(
        len(values), int(values[0]), int(values[-1]), y.size
    ):
        return None
    return Decision("regression", f"y has {len(values):,} different whole numbers")


def checked(y: np.ndarray, place: str, task: Task, problems: Problems) -> Any:
    """Targets or several labels as float32; None, with problems noted, if it is none.

    Args:
        y: What the user gave.
        place: What the user calls it.
        task: `regression` or `multilabel`.
        problems: Where to note what is wrong.

    Returns:
        float32 of shape (examples, targets).
    """
    received = f"Received: {place} of shape {y.shape} and {y.dtype}."
    least = 2 if task == "multilabel" else 1
    labels = y[:, None] if y.ndim == 1 else y
    if labels.ndim != 2 or y.dtype.kind not in "iubf" or labels.shape[1] < least:
        problems.add(
            f"Expected numbers of shape (examples, targets) for task {task}, at least "
            f"{least} in a row. {received}"
        )
        return None
    with np.errstate(over="ignore"):
        found = labels.astype(np.float32)
    good = np.isin(found, (0, 1)) if task == "multilabel" else np.isfinite(found)
    expected = "0 or 1" if task == "multilabel" else "a finite number"
    bad = np.flatnonzero(~good.all(axis=1))
    problems.add_at(
        bad,
        lambda i: f"{place}[{i}]: expected {expected}. Received: {labels[i].tolist()}.",
    )
    return None if len(bad) else found
