"""Rows of numbers of a TFDS data set, to be packed as they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascale.datasets.sources.checks import Problems, check_features, listing
from kerascale.datasets.sources.tfds_features import Leaf
from kerascale.errors import RefusedError


def refuse_words(name: str, columns: Sequence[Leaf]) -> None:
    """Refuses a table that has more than numbers.

    Args:
        name: What the user calls it.
        columns: Its features.

    Raises:
        RefusedError: Naming each column of words, classes, or True and False.
    """
    words = [
        leaf.name
        for leaf in columns
        if leaf.form != "number" or np.dtype(leaf.feature.np_dtype).kind == "b"
    ]
    if words:
        raise RefusedError(
            f"{name}: expected columns of numbers, to pack them. Received: words, "
            f"classes or True and False in {listing(words)}. Leave them out "
            "(--drop-columns), or train on it in memory (--pack never)."
        )


def numbers(columns: Sequence[Leaf], batch: Mapping[str, np.ndarray]) -> np.ndarray:
    """float32 of shape (rows, columns)."""
    with np.errstate(over="ignore"):
        parts = [batch[leaf.name].astype(np.float32) for leaf in columns]
    return np.stack(parts, axis=1)


def refuse_gaps(name: str, features: np.ndarray, split: str, first: int) -> None:
    """Refuses numbers that are not finite.

    Args:
        name: What the user calls the data.
        features: Of some rows.
        split: Where they are.
        first: The number of the first of them.

    Raises:
        RefusedError: With the first of them.
    """
    problems = Problems(f"{name} cannot be used", subject=name)
    check_features(features, f"the {split} examples", problems, first=first)
    problems.raise_if_any()
