"""What is asked for of a data set: the task, and labels as the task has them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kerascale.config.tasks import OF_CLASSES, Task
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import listing
from kerascale.datasets.sources.label_checks import looks_measured
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

_TRUE, _FALSE = ("1", "true", "1.0"), ("0", "false", "0.0")


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
    numbers = [number_of(value) for value in values]
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


def number_of(text: str) -> float | None:
    """The finite number that a cell holds; None: it holds none."""
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
    if any(number_of(name) is None for name in names):
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


def moments_of(
    task: str, name: str, labels: Callable[[], np.ndarray], loss: str
) -> dict[str, Any]:
    """Mean and deviation of the targets of a regression; of other tasks nothing.

    Args:
        task: Of the data.
        name: What the user calls it.
        labels: Gives those of the training examples, as `moments` takes them.
        loss: The field `regression_loss`.

    Raises:
        RefusedError: As `moments` does; or if it is no regression, and has a loss.
    """
    if task == "regression":
        return moments(labels(), loss)
    if loss != "squared":
        raise RefusedError(
            f"regression_loss: expected it with numbers to predict. Received: {loss}, "
            f"with {name}, whose task is {task}. Leave it out."
        )
    return {}


def moments(labels: np.ndarray, loss: str = "squared") -> dict[str, Any]:
    """Mean and standard deviation of each target, as `DataInfo` has them.

    Args:
        labels: Of shape (examples, targets), those of the training.
        loss: `squared`, or `poisson`, which no negative target has.

    Raises:
        RefusedError: If a target is always the same, or negative where it must not be.
    """
    if loss == "poisson" and labels.min() < 0:
        raise RefusedError(
            "regression_loss: expected targets of 0 and more for poisson. Received: "
            f"{labels.min():g} among the training examples. Take squared."
        )
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
        "target_loss": loss,
    }
