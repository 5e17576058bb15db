"""How much the loss of an example counts, by its class."""

import math
from collections.abc import Sequence

import numpy as np

from kerascale.config.fields import nearest
from kerascale.datasets.sources.checks import listing
from kerascale.errors import RefusedError

BALANCED = "balanced"


def class_weights(
    wanted: Sequence[str], class_names: Sequence[str], labels: np.ndarray
) -> np.ndarray:
    """The weight of each class.

    Args:
        wanted: `("balanced",)`: each class counts as much as the others, by examples /
            (classes * examples of the class), as scikit-learn's
            `compute_class_weight` has it. Or `NAME=WEIGHT` of some classes; that of
            the others is 1.
        class_names: The name of each class.
        labels: Class indices of the training examples, of shape (examples,).

    Returns:
        float32 of shape (classes,).

    Raises:
        RefusedError: With every class that there is not, and every wrong weight.
    """
    counts = np.bincount(labels, minlength=len(class_names))
    return weights_of(wanted, class_names, counts)


def weights_of(
    wanted: Sequence[str], class_names: Sequence[str], counts: np.ndarray
) -> np.ndarray:
    """The same of classes with so many training examples each."""
    if tuple(wanted) == (BALANCED,):
        total = int(np.sum(counts))
        weights = total / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return weights.astype(np.float32)
    weights = np.ones(len(class_names), np.float32)
    problems = []
    named = set()
    for text in wanted:
        name, _, number = text.rpartition("=")
        if not name:
            problems.append(
                "class_weight: expected balanced, or NAME=WEIGHT for some classes. "
                f"Received: {text!r}."
            )
        elif name not in class_names:
            problems.append(
                f"class_weight: expected classes among {listing(class_names)}. "
                f"Received: {name!r}.{nearest(name, class_names)}"
            )
        elif name in named or not _is_weight(number):
            problems.append(
                "class_weight: expected one positive number for each class. Received: "
                f"{text!r}."
            )
        else:
            weights[list(class_names).index(name)] = float(number)
        named.add(name)
    if problems:
        raise RefusedError(problems, heading="class_weight")
    return weights


def _is_weight(text: str) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return math.isfinite(number) and number > 0
