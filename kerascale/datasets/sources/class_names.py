"""Labels of one set of examples, told by the class names of another."""

import dataclasses

import numpy as np

from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources.checks import listing
from kerascale.errors import RefusedError
from kerascale.runtime.console import counted


def with_classes_of(
    split: Split,
    found: tuple[str, ...],
    class_names: tuple[str, ...],
    place: str,
) -> Split:
    """The same examples, whose labels are indices of other class names.

    Args:
        split: The examples.
        found: Their class names, by label index.
        class_names: Those of the training examples.
        place: What the user calls the examples.

    Raises:
        RefusedError: If an example is of a class that was not trained.
    """
    counts = np.bincount(split.labels, minlength=len(found))
    indices = indices_among(found, counts, class_names, place)
    return dataclasses.replace(split, labels=indices[split.labels])


def with_test_of(raw: RawData, other: RawData, path: str) -> RawData:
    """A table with the test examples of another one.

    Args:
        raw: The table; its columns were asked for in the other one.
        other: The other one.
        path: What the user called that.

    Raises:
        RefusedError: With what differs from the training's.
    """
    refuse_other_kind(raw.name, raw.kind, other.kind, path)
    test = with_classes_of(other.train, other.class_names, raw.class_names, path)
    if other.kind == "vector":  # The columns may stand in another order.
        order = [other.feature_names.index(name) for name in raw.feature_names]
        if order != list(range(len(order))):
            test = dataclasses.replace(test, features=test.features[:, order])
    return dataclasses.replace(raw, test=test)


def refuse_other_kind(name: str, kind: str, found: str, path: str) -> None:
    """Refuses test examples of a kind that is not the training's.

    Args:
        name: What the user called the training data.
        kind: Theirs.
        found: That of the test examples.
        path: What the user called these.
    """
    if found != kind:
        raise RefusedError(
            f"{path}: expected {kind} data, as {name} is. Received: {found} data. Give "
            "both the same columns."
        )


def indices_among(
    found: tuple[str, ...],
    counts: np.ndarray,
    class_names: tuple[str, ...],
    place: str,
) -> np.ndarray:
    """The label index of each class that was found among those of the training.

    Args:
        found: The classes that were found.
        counts: Examples of each.
        class_names: Those of the training examples.
        place: What the user calls the examples.

    Returns:
        int64 of shape (found,).

    Raises:
        RefusedError: If an example is of a class that was not trained.
    """
    unknown = {
        name: int(count)
        for name, count in zip(found, counts, strict=True)
        if count and name not in class_names
    }
    if unknown:
        raise RefusedError(
            f"{place}: expected labels among {listing(class_names)}, as the training "
            f"examples have. Received: {listing(unknown)}, in "
            f"{counted(sum(unknown.values()), 'example')}. Correct the labels, or "
            "leave these examples out."
        )
    places = {name: index for index, name in enumerate(class_names)}
    return np.array([places.get(name, 0) for name in found], dtype=np.int64)
