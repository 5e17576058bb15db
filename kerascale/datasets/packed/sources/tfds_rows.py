"""Rows of numbers of a TFDS data set, to be packed as they are."""

from collections.abc import Mapping, Sequence

import numpy as np

from kerascale.datasets.packed.sources import whole_tables
from kerascale.datasets.sources.checks import Problems, check_features
from kerascale.datasets.sources.tfds_leaf import Leaf
from kerascale.datasets.sources.tfds_prepared import Prepared


def is_whole(prepared: Prepared) -> bool:
    """Whether a table is to be read whole: it has words, or is small and may have gaps.

    Args:
        prepared: The data set.
    """
    chosen = prepared.chosen
    if chosen.kind != "table":
        return False
    kinds = {np.dtype(leaf.feature.np_dtype).kind for leaf in chosen.features}
    if kinds & {"b", "O"} or any(leaf.form != "number" for leaf in chosen.features):
        return True
    splits = prepared.builder.info.splits
    rows = sum(splits[split].num_examples for split in prepared.splits)
    return rows * len(chosen.features) * 8 <= whole_tables.SMALL_BYTES


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
