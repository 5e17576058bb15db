"""Labels of arrays that are no class indices: names, or -1 and +1."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascale.datasets.sources.checks import Problems, listing


def classes_of(
    labels: np.ndarray, class_names: Sequence[str] | None, num_classes: int | None
) -> dict[object, int] | None:
    """The index of each class, by the label that stands for it.

    Names are sorted, unless their order is given; -1 is before +1.

    Args:
        labels: Those of the training examples, of shape (examples,) or
            (examples, 1).
        class_names: The name of each class; None: those that occur.
        num_classes: How many there are; where it is not 2, -1 is no class.

    Returns:
        None where the labels are something else, which are class indices then.
    """
    values = labels.reshape(-1) if labels.ndim == 2 else labels
    if values.ndim != 1 or not len(values):
        return None
    if values.dtype.kind in "UT" or (
        values.dtype.kind == "O" and all(isinstance(v, str) for v in values)
    ):
        found = sorted(set(values.tolist())) if class_names is None else class_names
        return {name: index for index, name in enumerate(found)}
    if (
        num_classes in (None, 2)
        and values.dtype.kind in "if"
        and np.isin(values, (-1, 1)).all()
    ):
        if (values == -1).any():
            return {-1: 0, 1: 1}
    return None


def indices_of(
    labels: np.ndarray, place: str, classes: Mapping[object, int], problems: Problems
) -> np.ndarray | None:
    """Class indices as int64 of shape (examples,), or None with problems noted.

    Args:
        labels: What the user gave.
        place: What the user calls it, such as `y_test`.
        classes: From `classes_of`.
        problems: Where to note what is wrong.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        problems.add(
            f"Expected labels of shape (examples,). Received: {place} of shape "
            f"{labels.shape} and {labels.dtype}."
        )
        return None
    values = labels.tolist()
    bad = [i for i, value in enumerate(values) if not _is_class(value, classes)]
    problems.add_at(
        np.array(bad, dtype=np.int64),
        lambda i: (
            f"{place}[{i}]: expected one of {listing(classes)}, as the training "
            f"examples have. Received: {values[i]!r}. Correct or remove the example."
        ),
    )
    if bad:
        return None
    return np.array([classes[value] for value in values], dtype=np.int64)


def _is_class(value: object, classes: Mapping[object, int]) -> bool:
    if isinstance(value, str):
        return bool(value.strip()) and value in classes
    return isinstance(value, int | float) and value in classes
