"""Labels of TFDS data sets: classes, several labels, or numbers to predict."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from kerascale.config.tasks import OF_CLASSES, AskedTask, Task
from kerascale.datasets import targets, targets_of_arrays, targets_of_texts
from kerascale.datasets.info import DataInfo
from kerascale.datasets.sources.checks import Problems, listing
from kerascale.datasets.sources.label_checks import check_class_count
from kerascale.datasets.sources.tfds_cells import texts_of
from kerascale.datasets.sources.tfds_leaf import Leaf
from kerascale.errors import RefusedError
from kerascale.runtime.console import say


def values_of(leaves: tuple[Leaf, ...], found: Mapping[str, np.ndarray]) -> np.ndarray:
    """The values of labels as one array.

    Args:
        leaves: The features of the labels.
        found: Values of each, by name.

    Returns:
        Of one `ClassLabel` int64 of shape (rows,); of one that holds several numbers
        or labels of shape (rows, labels); of others texts of shape (rows, features).
    """
    first = leaves[0]
    if len(leaves) == 1 and first.form == "class":
        return found[first.name].astype(np.int64)
    if first.is_one_number:
        return texts_of(first, found[first.name][:, 0])[:, None]
    if len(leaves) == 1 and first.form in ("numbers", "classes"):
        return found[first.name]
    return np.stack([texts_of(leaf, found[leaf.name]) for leaf in leaves], axis=1)


def missing(values: np.ndarray) -> np.ndarray:
    """Which rows have no label: bool of shape (rows,)."""
    if values.ndim == 1:
        return values < 0
    if values.dtype == object:
        return (values == "").any(axis=1)
    if values.dtype.kind == "f":
        return ~np.isfinite(values).all(axis=1)
    return np.zeros(len(values), bool)


def known(where: str, labels: Mapping[str, np.ndarray]) -> list[str]:
    """The splits that can be used, of which all labels are known.

    Args:
        where: What the user calls the data.
        labels: Split -> labels, as TFDS has them.

    Raises:
        RefusedError: If training examples lack one.
    """
    lacking = {split: int(missing(own).sum()) for split, own in labels.items()}
    if lacking["train"]:
        raise RefusedError(
            f"{where}: expected a label for every training example. Received: "
            f"{lacking['train']} of {len(labels['train'])} without one (-1, NaN or an "
            "empty text). Take another data set or config."
        )
    for split, count in lacking.items():
        if count:
            say(
                f"{where}: the {split} split is not used: {count} of its "
                f"{len(labels[split])} examples have no label"
            )
    return [split for split, count in lacking.items() if not count]


@dataclasses.dataclass(frozen=True)
class Decided:
    """What labels are for.

    Args:
        where: What the user calls the data.
        leaves: The features of the labels.
        task: Of classes `classification`, until somebody decides.
        is_told: Whether the task was decided, and said.
        class_names: Of classes.
        target_names: Of others.
        places: Cell -> class index, of classes that are words or numbers.
    """

    where: str
    leaves: tuple[Leaf, ...]
    task: Task = "classification"
    is_told: bool = False
    class_names: tuple[str, ...] = ()
    target_names: tuple[str, ...] = ()
    places: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def labels(self, values: np.ndarray, split: str, first: int = 0) -> np.ndarray:
        """Labels as `Split` has them.

        Args:
            values: What `values_of` made of some rows.
            split: Where they are, for messages.
            first: The number of the first of these rows.

        Raises:
            RefusedError: With the first that is none.
        """
        if values.ndim == 1:
            return values
        place = f"{self.where}, {split} examples"
        names = [leaf.name for leaf in self.leaves]
        if values.dtype != object:
            problems = Problems(f"{self.where} cannot be used", subject=self.where)
            where = f"the labels of the {split} examples"
            labels = targets_of_arrays.checked(values, where, self.task, problems)
            problems.raise_if_any()
            return labels
        if not self.class_names:
            return targets_of_texts.of_texts(self.task, values, names, place, first)[0]
        found = np.array([self.places.get(cell, -1) for cell in values[:, 0]], np.int64)
        if (found < 0).any():
            unknown = sorted(set(values[found < 0, 0]))
            raise RefusedError(
                f"{place}, {names[0]!r}: expected labels among "
                f"{listing(self.class_names)}, as the training examples have. "
                f"Received: {listing(unknown)}. Correct the labels."
            )
        return found


def refuse_other_task(where: str, leaves: tuple[Leaf, ...], asked: AskedTask) -> None:
    """Refuses a task that labels cannot have, before they are read.

    Args:
        where: What the user calls the data.
        leaves: The features of the labels.
        asked: The field `task`.

    Raises:
        RefusedError: With the tasks that they can have.
    """
    forms = {leaf.form for leaf in leaves if not leaf.is_one_number}
    shown = listing(leaf.name for leaf in leaves)
    if len(leaves) > 1:
        allowed, what = ("regression", "multilabel"), f"{shown} are several features"
    elif forms == {"classes"}:
        allowed, what = ("multilabel",), f"{shown} holds any of several classes"
    elif forms == {"numbers"}:
        allowed, what = ("regression", "multilabel"), f"{shown} holds several numbers"
    elif forms == {"class"}:
        allowed, what = OF_CLASSES, f"the labels, {shown}, are classes"
    elif forms == {"word"}:
        # `red;blue` are two labels.
        allowed, what = (*OF_CLASSES, "multilabel"), f"{shown} holds words"
    else:
        return
    if asked not in ("auto", *allowed):
        raise RefusedError(
            f"task: expected one of {', '.join(allowed)}, as {what}. Received: {asked},"
            f" with {where}. Leave --task out, or name other labels: --label NAME."
        )


def decide(
    where: str,
    leaves: tuple[Leaf, ...],
    values: np.ndarray,
    asked: AskedTask,
    num_classes: int | None,
) -> Decided:
    """What labels are for, by those of the training examples.

    Args:
        where: What the user calls the data.
        leaves: The features of the labels.
        values: What `values_of` made of the training examples.
        asked: The field `task`.
        num_classes: The field.

    Raises:
        RefusedError: If they cannot be labels of the task.
    """
    first = leaves[0]
    if values.ndim == 1:
        return Decided(where, leaves, class_names=tuple(first.feature.names))
    if values.dtype != object:
        return _of_several(where, leaves, values, asked)
    names = tuple(leaf.name for leaf in leaves)
    decision = targets.decide(asked, values, names, num_classes)
    decision.say(asked)
    told = Decided(where, leaves, decision.task, is_told=True)
    if decision.task not in OF_CLASSES:
        _, target_names = targets_of_texts.of_texts(
            decision.task, values, names, f"{where}, train examples"
        )
        return dataclasses.replace(told, target_names=target_names)
    indices, class_names = targets_of_texts.classes_of_texts(
        values[:, 0], where, names[0], num_classes
    )
    check_class_count(f"{where}, {names[0]!r}", len(np.unique(indices)))
    return dataclasses.replace(
        told,
        # An order is asked for where the classes are known.
        is_told=decision.task != "ordinal",
        class_names=class_names,
        places=dict(zip(values[:, 0], indices.tolist(), strict=True)),
    )


def _of_several(
    where: str, leaves: tuple[Leaf, ...], values: np.ndarray, asked: AskedTask
) -> Decided:
    """Of one feature that holds several numbers, or any of several classes."""
    leaf, width = leaves[0], values.shape[1]
    names = () if leaf.form == "classes" else _numbered(leaf)
    if leaf.form == "classes":
        names = tuple(leaf.feature.feature.names)
    if leaf.form == "classes":
        decision = targets.Decision("multilabel", f"{leaf.name!r} holds several labels")
    elif asked != "auto":
        decision = targets.Decision(asked, "--task says so")
    elif np.isin(values, (0, 1)).all():
        decision = targets.Decision("multilabel", f"{leaf.name!r} holds 0 and 1 alone")
    else:
        decision = targets.Decision("regression", f"{leaf.name!r} has {width} numbers")
    decision.say(asked)
    return Decided(where, leaves, decision.task, True, target_names=names)


def like_training(where: str, leaves: tuple[Leaf, ...], info: DataInfo) -> Decided:
    """The labels of another data set, as those of a training are.

    Args:
        where: What the user calls the other data set.
        leaves: The features of its labels.
        info: What is known of the data of the training.

    Raises:
        RefusedError: If there are other labels.
    """
    first = leaves[0]
    if info.class_names:
        names = info.class_names
        if len(leaves) == 1 and first.form == "class":
            names = tuple(first.feature.names)
        places = {name: place for place, name in enumerate(info.class_names)}
        return Decided(where, leaves, info.task, True, names, places=places)
    names = tuple(leaf.name for leaf in leaves)
    if first.form == "classes":
        names = tuple(first.feature.feature.names)
    elif first.form == "numbers" and not first.is_one_number:
        names = _numbered(first)
    expected = info.target_names
    if names != expected and (info.task == "multilabel" or len(names) != len(expected)):
        raise RefusedError(
            f"{where}: expected the labels {listing(info.target_names)}, as in "
            f"training. Received: {listing(names)}. Pass --label."
        )
    return Decided(where, leaves, info.task, True, target_names=info.target_names)


def _numbered(leaf: Leaf) -> tuple[str, ...]:
    return tuple(f"{leaf.name}_{i}" for i in range(leaf.feature.shape[0]))
