"""What is asked for of a data set: the task, and labels as the task has them."""

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from kerascale.config.tasks import OF_CLASSES, Task
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.datasets.sources.label_checks import looks_measured
from kerascale.datasets.sources.label_codes import LabelCodes
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted, say

_TRUE, _FALSE = ("1", "true", "1.0"), ("0", "false", "0.0")
# Between the labels of a cell that has several.
_SIGNS = (";", "|")


@dataclasses.dataclass(frozen=True)
class Decision:
    """A task, and why it is the one."""

    task: Task
    why: str

    def say(self, asked: str) -> None:
        """Says it, where nobody has asked for it by name."""
        if asked == "auto":
            say(f"task: {self.task}, as {self.why} (another one: --task)")


def decide(
    asked: str, cells: np.ndarray, names: Sequence[str], num_classes: int | None
) -> Decision:
    """The task of a table, by its label columns.

    Args:
        asked: The field `task`.
        cells: Texts of shape (rows, columns).
        names: The label columns.
        num_classes: The field; labels are classes where it is given.

    Raises:
        RefusedError: If the columns cannot be labels of the task.
    """
    where = f"column {names[0]!r}" if len(names) == 1 else f"columns {listing(names)}"
    if asked != "auto":
        return Decision(asked, "--task says so")
    if len(names) > 1:
        low = np.unique(np.char.lower(cells.astype(str)))
        if set(low) <= {*_TRUE, *_FALSE}:
            return Decision("multilabel", f"{where} hold 0 and 1 alone")
        return Decision("regression", f"{where} hold numbers")
    own = cells[:, 0].astype(str)
    # That a row has none is told when they are read.
    values, counts = np.unique(own[own != ""], return_counts=True)
    if not len(values):
        return _of_classes(0, where)
    numbers = [_number(value) for value in values]
    if num_classes is not None or None in numbers:
        return _of_classes(len(values), where)
    if any(number % 1 for number in numbers):
        shown = next(v for v, n in zip(values, numbers, strict=True) if n % 1)
        return Decision("regression", f"{where} holds numbers such as {shown}")
    lowest, highest = int(min(numbers)), int(max(numbers))
    distinct = len(set(numbers))
    if looks_measured(distinct, lowest, highest, int(counts.sum())):
        why = f"{where} holds {distinct:,} different numbers, {lowest:,} to {highest:,}"
        return Decision("regression", why)
    return _of_classes(distinct, where)


def _of_classes(count: int, where: str) -> Decision:
    task = "binary" if count == 2 else "classification"
    return Decision(task, f"{where} has {count:,} classes")


def _number(text: str) -> float | None:
    try:
        number = float(text) if "_" not in text else None
    except ValueError:
        return None
    return number if number is not None and np.isfinite(number) else None


def refuse_other_task(task: str, tasks: Sequence[str], name: str) -> None:
    """Refuses a task that a recipe's model does not have."""
    if task not in tasks:
        raise RefusedError(
            f"task: expected {' or '.join(tasks)} for this recipe. Received: {task}, "
            f"with {name}. Take another recipe, or another label."
        )


def of_texts(
    task: Task, cells: np.ndarray, names: Sequence[str], path: str
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of a regression or of several labels, out of the cells of a table.

    Args:
        task: `regression` or `multilabel`.
        cells: Texts of shape (rows, columns), without blanks around them.
        names: The label columns.
        path: What the user calls the table.

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
            known = [_number(value) for value in values]
            numbers = np.array([np.nan if n is None else n for n in known])
            expected = "a number"
        with np.errstate(over="ignore"):
            found[:, place] = numbers[codes]
        bad = np.flatnonzero(~np.isfinite(found[:, place]))
        if len(bad):
            first = int(bad[0])
            shown = repr(str(own[first])) if own[first] else "nothing"
            problems.append(
                f"{path}, column {name!r}: expected {expected} in each row, for "
                f"--task {task}. Received: {shown} in row {first}, counted from 0, and "
                f"{len(bad) - 1:,} more such rows. Correct them, or leave them out"
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


def decided(probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
    """The class index of each example: the likeliest, or by the threshold of two."""
    if threshold is None:
        return probabilities.argmax(axis=-1)
    return (probabilities[:, 1] >= threshold).astype(np.int64)


def with_task(
    raw: RawData, asked: str, tasks: Sequence[str], order: Sequence[str]
) -> RawData:
    """Data of classes, with its task, and its classes in their order.

    Args:
        raw: The data; its task is `classification`, if it is not decided yet.
        asked: The field `task`.
        tasks: Those of the recipe.
        order: The field `class_order`.

    Raises:
        RefusedError: If there is no such task of the data, or another order.
    """
    if raw.kind == "corpus":
        return raw
    if raw.task in OF_CLASSES:
        if raw.is_told and asked == "auto" and raw.task in tasks:
            decided = Decision(raw.task, "it was said")
        else:
            decided = task_of(raw, asked, tasks)
        raw = dataclasses.replace(_ordered(raw, decided.task, order), task=decided.task)
    elif order:
        raise RefusedError(
            f"class_order: expected only with classes. Received: {listing(order)} with "
            f"--task {raw.task}. Leave it out."
        )
    refuse_other_task(raw.task, tasks, raw.name)
    return raw


def task_of(raw: RawData, asked: str, tasks: Sequence[str]) -> Decision:
    """The task of data of classes, which is said where nobody has asked for it.

    Raises:
        RefusedError: If it is no task of classes, or of another number of them.
    """
    count = len(raw.class_names)
    decided = _of_classes(count, raw.name)
    if asked == "auto":
        if decided.task not in tasks:
            decided = Decision("classification", "the recipe has no other")
        if len(tasks) > 1:
            decided.say(asked)
        return decided
    if asked not in OF_CLASSES:
        raise RefusedError(
            f"task: expected one of {', '.join(OF_CLASSES)}, as labels are classes. "
            f"Received: {asked}, with {raw.name}. Leave --task out."
        )
    if asked == "binary" and count != 2:
        raise RefusedError(
            f"task: expected two classes for binary. Received: {count}, with "
            f"{raw.name}: {listing(raw.class_names)}. Take --task classification."
        )
    return Decision(asked, "--task says so")


def number_order(names: Sequence[str]) -> list[str]:
    """Names that are numbers, by their size; an empty list: some are none."""
    if any(_number(name) is None for name in names):
        return []
    return sorted(names, key=lambda name: float(name))


def _ordered(raw: RawData, task: str, order: Sequence[str]) -> RawData:
    names = raw.class_names
    if not order:
        if task == "ordinal" and not number_order(names):
            raise RefusedError(
                "class_order: expected the classes from the lowest to the highest, as "
                f"their names do not tell. Received: none, for {listing(names)}. Pass "
                "--class-order LOWEST ... HIGHEST."
            )
        if task != "ordinal":
            return raw
        order = number_order(names)
    if sorted(order) != sorted(names):
        raise RefusedError(
            f"class_order: expected each of {listing(names)} once. Received: "
            f"{listing(order)}."
        )
    place = np.array([list(order).index(name) for name in names], np.int64)
    splits = {
        name: None
        if split is None
        else dataclasses.replace(split, labels=place[split.labels])
        for name, split in _splits(raw).items()
    }
    return dataclasses.replace(raw, class_names=tuple(order), **splits)


def _splits(raw: RawData) -> dict[str, Split | None]:
    return {"train": raw.train, "validation": raw.validation, "test": raw.test}


def moments(labels: np.ndarray) -> dict[str, tuple[float, ...]]:
    """Mean and standard deviation of each target, as `DataInfo` has them."""
    wide = labels.astype(np.float64)
    mean, scale = wide.mean(axis=0), wide.std(axis=0)
    constant = scale <= 1e-12 * np.maximum(1.0, np.abs(mean))
    if constant.any():
        raise RefusedError(
            "label: expected targets that differ. Received: column(s) of one value in "
            f"all training examples, {mean[constant][0]:g}. Take another label."
        )
    far = np.abs(mean) > 1e5 * scale
    if far.any():
        say(
            f"note: a target of mean {mean[far][0]:.6g} and deviation "
            f"{scale[far][0]:.3g} loses digits as float32: subtract a constant from it"
        )
    return {
        "target_mean": tuple(mean.tolist()),
        "target_scale": tuple(scale.tolist()),
    }


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
