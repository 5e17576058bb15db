"""Labels of one set of examples, told by the class names of another."""

import dataclasses

import numpy as np

from kerascale.datasets.raw import Split
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
    indices = np.array([places.get(name, 0) for name in found], dtype=np.int64)
    return dataclasses.replace(split, labels=indices[split.labels])
