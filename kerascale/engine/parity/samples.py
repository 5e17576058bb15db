"""A few rows of a user's batch, in the orders that tell the most."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets import nests

# Rows of a small batch: more show nothing else, and take longer.
ROWS = 8


@dataclasses.dataclass(frozen=True)
class Sample:
    """A small batch.

    Args:
        batch: A nest of tensors: (x,), (x, y) or (x, y, sample_weight).
        rows: Examples in it.
    """

    batch: Any
    rows: int


def samples(batch: Any) -> list[Sample]:
    """Small batches out of one: with rows twice, an uneven one, and one that is sorted.

    Where rows stand twice both slices have all of them: what is no sum, as a maximum,
    is then not hidden by zeros. In the sorted one a slice has all rows of one class, or
    of the shortest sequences.

    Args:
        batch: Of at least two rows.
    """
    total = num_rows(batch)
    even = min(ROWS, total - total % 2)
    odd = min(ROWS - 3, total if total % 2 else total - 1)
    order = _sorted(batch, min(total, 4 * ROWS))
    # From both ends: of two slices each has its own.
    ends = np.concatenate([order[: even // 2], order[len(order) - even // 2 :]])
    twice = np.tile(np.arange(min(ROWS, total)), 2)
    uneven = np.arange(total - odd, total)
    # Of one row a slice would have none.
    picked = [each for each in (twice, uneven, ends) if len(each) > 1]
    return [Sample(_take(batch, each), len(each)) for each in picked]


def num_rows(batch: Any) -> int:
    """Examples in a batch."""
    return _rows_of(nests.flat(batch)[0])


def cut(batch: Any, offset: int, count: int, whole: Callable[[int], bool]) -> Any:
    """The rows of a slice.

    Args:
        batch: A small one.
        offset: Rows before it.
        count: Rows of it.
        whole: Says by a member's number whether it is left as it is.
    """
    number = -1

    def member(tensor: Any) -> Any:
        nonlocal number
        number += 1
        if whole(number):
            return tensor
        return _rows(tensor, np.arange(offset, offset + count))

    return nests.map_present(member, batch)


def _take(batch: Any, rows: np.ndarray) -> Any:
    return nests.map_present(lambda tensor: _rows(tensor, rows), batch)


def _rows(tensor: Any, rows: np.ndarray) -> Any:
    if isinstance(tensor, tf.SparseTensor):
        parts = [
            tf.sparse.slice(
                tensor,
                tf.concat([[row], tf.zeros_like(tensor.dense_shape[1:])], 0),
                tf.concat([[1], tensor.dense_shape[1:]], 0),
            )
            for row in rows
        ]
        return tf.sparse.concat(0, parts)
    return tf.gather(tensor, rows)


def _rows_of(tensor: Any) -> int:
    if isinstance(tensor, tf.SparseTensor):
        return int(tensor.dense_shape[0])
    if isinstance(tensor, tf.RaggedTensor):
        return int(tensor.nrows())
    return int(tf.shape(tensor)[0])


def _sorted(batch: Any, total: int) -> np.ndarray:
    """The numbers of the first rows, in the order of what is most telling of them."""
    keys = []
    for member in reversed(batch if isinstance(batch, tuple) else (batch,)):
        for tensor in nests.flat(member):
            key = _key(tensor, total)
            if key is not None and len(np.unique(key)) > 1:
                keys.append(key)
    if not keys:
        return np.arange(total)
    # Labels before inputs; weights come last, though they stand behind labels.
    has_weights = isinstance(batch, tuple) and len(batch) > 2 and len(keys) > 1
    key = keys[1] if has_weights else keys[0]
    return np.argsort(key, kind="stable")


def _key(tensor: Any, total: int) -> np.ndarray | None:
    """A number for each row: its label, or how much of it is not zero."""
    if not isinstance(tensor, tf.Tensor) or tensor.dtype == tf.string:
        return None
    values = tensor[:total].numpy().reshape(total, -1)
    if values.shape[1] == 1:
        return values[:, 0]
    if values.dtype.kind in "iub":
        return np.count_nonzero(values, axis=1)
    return values.argmax(axis=1) if _is_one_hot(values) else values.mean(axis=1)


def _is_one_hot(values: np.ndarray) -> bool:
    return bool(np.all(np.count_nonzero(values, axis=1) == 1))
