"""Checks of class labels: what may be one, and what looks like a measured value."""

import numpy as np

from kerascale.datasets.sources.checks import Problems
from kerascale.errors import RefusedError

# Below that many distinct values a small table may have a class for every other row.
_FEW_VALUES = 20
_FEW_EXAMPLES_OF_A_VALUE = 10


def looks_measured(num_distinct: int, lowest: int, highest: int, count: int) -> bool:
    """Whether whole numbers are values to predict, such as prices, and no classes.

    They are where most of them occur once or twice: more distinct values than half of
    the examples, as scikit-learn's `type_of_target` warns of. Or where few examples
    share a value and most numbers between the smallest and the largest are no value:
    classes are numbered without gaps.

    Args:
        num_distinct: Distinct values.
        lowest: The smallest value.
        highest: The largest value.
        count: Examples.
    """
    if num_distinct < _FEW_VALUES:
        return False
    if num_distinct * 2 > count:
        return True
    has_gaps = highest - lowest + 1 > 2 * num_distinct
    return has_gaps and num_distinct * _FEW_EXAMPLES_OF_A_VALUE > count


def measured_fault(num_distinct: int, count: int, unit: str, way_out: str) -> str:
    """What to say, after the place, about labels that look measured.

    Args:
        num_distinct: Distinct values.
        count: Rows, or examples.
        unit: What is counted, such as `rows`.
        way_out: What to do if they are classes nevertheless.
    """
    return (
        "expected classes as labels, each of several examples. Received: "
        f"{num_distinct:,} distinct whole numbers in {count:,} {unit}, which look like "
        "a value to predict. Pass --task regression, which packed data and recipes for "
        "classes alone do not have, or sort the values into a few classes. If they are "
        f"classes, {way_out}."
    )


def check_num_classes(num_classes: int | None) -> None:
    """Refuses a number of classes that no classifier can have."""
    if num_classes is None:
        return
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer):
        raise RefusedError(
            "Expected a whole number of classes. Received: "
            f"num_classes={num_classes!r}. Leave it out to count them."
        )
    if num_classes < 2:
        raise RefusedError(
            "Expected at least 2 classes. Received: "
            f"num_classes={num_classes}. Leave it out to count them."
        )


def label_out_of_range(value: object, num_classes: int) -> str:
    """What to say, after the place, about a label outside `0..num_classes - 1`."""
    return (
        f"expected a label in 0..{num_classes - 1}. Received: {value}. "
        "Correct the label, or num_classes."
    )


def check_class_count(name: str, num_found: int) -> None:
    """Refuses training examples that all belong to one class."""
    if num_found < 2:
        raise RefusedError(
            f"{name}: expected training examples of at least 2 classes. Received: "
            f"{num_found}. Add examples of another class."
        )


def check_labels(
    labels: np.ndarray, place: str, num_classes: int | None, problems: Problems
) -> np.ndarray | None:
    """Class indices as int64 of shape (examples,), or None with problems noted.

    Args:
        labels: What the user gave.
        place: What the user calls it, such as `y_train`.
        num_classes: Labels must be below it. None: there are as many classes as the
            largest label says; identifiers are refused.
        problems: Where to note what is wrong.
    """
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    received = f"Received: {place} of shape {labels.shape} and {labels.dtype}."
    if labels.ndim != 1:
        hint = (
            f" If it is one-hot, pass {place}.argmax(axis=1)."
            if labels.ndim == 2
            else ""
        )
        problems.add(f"Expected labels of shape (examples,). {received}{hint}")
        return None
    if labels.dtype.kind not in "iub":
        hint = (
            f"Pass {place}.astype('int64') if they are whole numbers."
            if labels.dtype.kind == "f"
            else f"Pass np.unique({place}, return_inverse=True)[1]."
        )
        problems.add(f"Expected integer labels. {received} {hint}")
        return None
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    limit = int(labels.max(initial=0)) + 1 if num_classes is None else num_classes
    if num_classes is None and limit > max(1000, len(labels)):
        problems.add(
            "Expected labels that count from 0, as num_classes is not given. Received: "
            f"{place}[{int(labels.argmax())}] = {limit - 1} among {len(labels)} "
            f"examples. Pass np.unique({place}, return_inverse=True)[1]."
        )
        return None
    distinct = len(np.unique(labels)) if num_classes is None else 0
    if distinct and looks_measured(
        distinct, int(labels.min()), int(labels.max()), len(labels)
    ):
        way_out = "count them from 0 and pass num_classes"
        fault = measured_fault(distinct, len(labels), "examples", way_out)
        problems.add(f"{place}: {fault}")
        return None
    # Compared before the cast: a uint64 above 2**63 would come out negative.
    bad = np.flatnonzero((labels < 0) | (labels >= limit))
    problems.add_at(
        bad, lambda i: f"{place}[{i}]: {label_out_of_range(labels[i], limit)}"
    )
    return None if len(bad) else labels.astype(np.int64)
