"""NumPy arrays as a data set."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from kerascale.config.tasks import AskedTask, Task
from kerascale.datasets import targets_of_arrays
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.sources.checks import Problems, check_features, listing
from kerascale.datasets.sources.label_checks import (
    check_class_count,
    check_labels,
    check_num_classes,
)
from kerascale.datasets.sources.named_labels import classes_of, indices_of
from kerascale.errors import RefusedError


class Unread:
    """Features that are not in memory: they have `shape`, `dtype`, `ndim`, a length."""


class Part(NamedTuple):
    """The arrays of one split, and what the user calls them."""

    x_name: str
    x: Any
    y_name: str
    y: Any


def from_numpy(
    x: Any,
    y: Any,
    *,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    name: str = "arrays",
    task: AskedTask = "classification",
) -> RawData:
    """Makes a data set of arrays that are in memory already.

    Args:
        x: Numbers of shape (examples, features), (examples, time, features),
            (examples, height, width) in an integer dtype (gray images) or
            (examples, height, width, channels); or a sequence of `str`. Integer
            pixels are in 0..255.
        y: Integer class indices of shape (examples,) or (examples, 1); or the names
            of the classes; or -1 and +1.
        validation: `(x, y)` for early stopping, in the same form.
        test: `(x, y)` for the final evaluation, in the same form.
        class_names: A name for each class index. Where `y` has names, those that
            occur, sorted, unless they are given here.
        num_classes: Labels must be below it. Default: one more than the largest
            label in `y`, or the number of `class_names`.
        name: What to call the data in messages.
        task: What is asked for: `regression` takes `y` as numbers, of shape (examples,)
            or (examples, targets), `multilabel` as 0 and 1 of shape (examples, labels);
            `auto` tells it by `y`.

    Returns:
        The data, checked. `uint8` and `float32` arrays are not copied.

    Raises:
        RefusedError: With every bad shape, label and value.

    Example:

    >>> x = np.random.default_rng(0).normal(size=(8, 4))
    >>> from_numpy(x, np.arange(8) % 2).class_names
    ('0', '1')
    """
    parts = {"train": Part("x", x, "y", y)}
    for split, pair in (("validation", validation), ("test", test)):
        if pair is None:
            continue
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise RefusedError(
                f"Expected {split}=(x, y). Received: {type(pair).__name__}."
            )
        parts[split] = Part(f"{split}[0]", pair[0], f"{split}[1]", pair[1])
    return assemble(
        name, parts, class_names=class_names, num_classes=num_classes, task=task
    )


def to_array(value: Any, place: str, problems: Problems) -> np.ndarray | None:
    """`value` as an array, or None with the problem noted."""
    if isinstance(value, Unread):
        return value
    try:
        if isinstance(value, list | tuple) and value and isinstance(value[0], str):
            # NumPy's own string dtype gives every text the room of the longest.
            return np.array(value, dtype=object)
        return np.asarray(value)
    except ValueError as error:
        problems.add(
            f"Expected {place} to be an array whose rows are equally long. Received: "
            f"{type(value).__name__} ({error})."
        )
        return None


def assemble(
    name: str,
    parts: Mapping[str, Part],
    *,
    class_names: Sequence[str] | None = None,
    num_classes: int | None = None,
    look: Callable[..., tuple[Kind, Any] | None] = check_features,
    task: AskedTask = "classification",
) -> RawData:
    """Checks the arrays of all splits and makes a data set of them.

    Args:
        name: What the user calls the data.
        parts: The arrays of `train` and perhaps of `validation` and `test`.
        class_names: A name for each class index.
        num_classes: Labels must be below it.
        look: Checks features, as `check_features` does; it is asked for `Unread` ones,
            too, and the data then has what it makes of them.
        task: See `from_numpy`.

    Raises:
        RefusedError: With every problem of every split.
    """
    decision = targets_of_arrays.of_arrays(parts["train"].y, task, num_classes)
    if decision is not None:
        decision.say(task)
        return _with_targets(name, parts, decision.task, class_names, look)
    check_num_classes(num_classes)
    problems = Problems(f"{name} cannot be used", subject=name)
    if class_names is not None:
        class_names = tuple(str(class_name) for class_name in class_names)
        if len(set(class_names)) < len(class_names):
            problems.add(f"Expected distinct class names. Received: {class_names}.")
        if num_classes not in (None, len(class_names)):
            problems.add(
                f"Expected num_classes={num_classes} class names. Received: "
                f"{len(class_names)}: {listing(class_names)}. Leave one of them out."
            )
        num_classes = len(class_names)
    classes: dict[object, int] | None = None
    splits: dict[str, Split] = {}
    kind = None
    for split, part, x, y in _arrays(parts, problems):
        checked = look(x, part.x_name, problems)
        if split == "train":
            classes = classes_of(y, class_names, num_classes)
            if classes is not None and num_classes not in (None, len(classes)):
                problems.add(
                    f"Expected labels of {num_classes} classes. Received: "
                    f"{part.y_name} with {len(classes)}: {listing(classes)}. Correct "
                    "the labels, num_classes or class_names."
                )
        if classes is None:
            labels = check_labels(y, part.y_name, num_classes, problems)
        else:
            labels = indices_of(y, part.y_name, classes, problems)
        _check_lengths(part, x, y, "one label", problems)
        if checked is None or labels is None:
            continue
        splits[split] = Split(checked[1], labels)
        if split == "train":
            kind = checked[0]
            if classes is not None:
                class_names = class_names or tuple(map(str, classes))
                num_classes = len(classes)
            num_classes = num_classes or int(labels.max(initial=0)) + 1
        elif "train" in splits:
            _check_same_form(parts, splits, split, problems)
    problems.raise_if_any()
    train = splits["train"]
    check_class_count(f"{name}, {parts['train'].y_name}", len(np.unique(train.labels)))
    return RawData(
        name=name,
        kind=kind,
        class_names=class_names or tuple(str(i) for i in range(num_classes)),
        train=train,
        validation=splits.get("validation"),
        test=splits.get("test"),
    )


def _arrays(
    parts: Mapping[str, Part], problems: Problems
) -> Iterator[tuple[str, Part, Any, np.ndarray]]:
    """Each split with its features and labels as arrays, where both can be."""
    for split, part in parts.items():
        x = to_array(part.x, part.x_name, problems)
        y = to_array(part.y, part.y_name, problems)
        if x is not None and y is not None:
            yield split, part, x, y


def _check_lengths(
    part: Part, x: Any, y: np.ndarray, what: str, problems: Problems
) -> None:
    if x.ndim and y.ndim and len(x) != len(y):
        problems.add(
            f"Expected {what} for each example. Received: {len(x)} in {part.x_name} "
            f"and {len(y)} in {part.y_name}. Remove the surplus."
        )


def _check_same_form(
    parts: Mapping[str, Part], splits: Mapping[str, Split], split: str, problems
) -> None:
    train, other = splits["train"].features, splits[split].features
    if (train.shape[1:], train.dtype) != (other.shape[1:], other.dtype):
        problems.add(
            f"Expected examples like those in {parts['train'].x_name}: shape "
            f"{train.shape[1:]}, {train.dtype}. Received: {parts[split].x_name} with "
            f"shape {other.shape[1:]}, {other.dtype}. Prepare both in the same way."
        )


def _with_targets(
    name: str,
    parts: Mapping[str, Part],
    task: Task,
    names: Sequence[str] | None,
    look: Callable[..., tuple[Kind, Any] | None],
) -> RawData:
    """The same with numbers to predict, or several labels."""
    problems = Problems(f"{name} cannot be used", subject=name)
    splits: dict[str, Split] = {}
    kind = None
    for split, part, x, y in _arrays(parts, problems):
        checked = look(x, part.x_name, problems)
        labels = targets_of_arrays.checked(y, part.y_name, task, problems)
        _check_lengths(part, x, y, "a row of y", problems)
        if checked is None or labels is None:
            continue
        splits[split] = Split(checked[1], labels)
        kind = checked[0] if split == "train" else kind
        if split != "train" and "train" in splits:
            _check_same_form(parts, splits, split, problems)
            if labels.shape[1:] != splits["train"].labels.shape[1:]:
                problems.add(
                    f"Expected as many targets in {part.y_name} as in training: "
                    f"{splits['train'].labels.shape[1]}. Received: {labels.shape[1]}."
                )
    count = splits["train"].labels.shape[1] if "train" in splits else 0
    if names is not None and len(names) != count:
        problems.add(
            f"Expected class_names with a name for each of {count} targets. Received: "
            f"{listing(names)}."
        )
    problems.raise_if_any()
    usual = ["target"] if count == 1 else [str(i) for i in range(count)]
    return RawData(
        name=name,
        kind=kind,
        class_names=(),
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits.get("test"),
        task=task,
        target_names=tuple(map(str, names or usual)),
    )
