"""The global order of an epoch, as a function that starts at any position.

A function and no stored permutation, so that a run begins at any step at no cost and
every process computes its own rows of the same batch, whatever their number: see
`pipeline.Batches`, `permutation` for how an index is found, and `stateless` for what is
drawn beside the order. What each order does to sorted data: docs/streaming.md.
"""

import functools
import operator
from typing import Any, Literal

import tensorflow as tf

from kerascale.datasets import order_blocks, permutation, stateless
from kerascale.errors import RefusedError

# Whether all examples are shuffled, or those that lie together stay so for a while.
Order = Literal["full", "blocks"]


def shuffled(
    positions: tf.Tensor,
    *,
    seed: int,
    epoch: tf.Tensor | int,
    num_examples: int,
    how: Order = "full",
) -> tf.Tensor:
    """The example indices at these positions of the epoch's global order.

    Over all positions it is a permutation of 0..num_examples-1. Works eagerly, in
    a `tf.function` and in `tf.data` maps.

    Args:
        positions: int64 tensor of shape (positions,), each from 0 to
            num_examples - 1. May be empty.
        seed: An integer from 0 to 2**63 - 1.
        epoch: An integer, or an integer tensor of shape ().
        num_examples: How many examples there are, at least 1.
        how: Whether all are shuffled, or neighbours kept together; see `order_blocks`.

    Returns:
        int64 tensor of shape (positions,).

    Raises:
        RefusedError: If `seed` or `num_examples` is out of its range.

    Example:

    ```python
    second_batch = tf.range(128, 256, dtype=tf.int64)
    indices = shuffled(second_batch, seed=7, epoch=3, num_examples=60_000)
    ```
    """
    key = stateless.epoch_key(seed, epoch, "order")
    return _shuffled(positions, key, _checked_size(num_examples), how)


def batches(
    first: int,
    shape: tuple[int, int],
    *,
    seed: int,
    epoch: tf.Tensor,
    num_examples: int,
    columns: tuple[int, int],
    how: Order = "full",
) -> tf.Tensor:
    """The example indices of several full batches, quickly where nothing is traced.

    Traced once for each shape and size, whatever the seed: operations that run one by
    one take longer than the order itself.

    Args:
        first: Position of the first example; int64 scalar tensor or integer.
        shape: Batches, and examples in a batch.
        seed: As in `shuffled`.
        epoch: int64 scalar.
        num_examples: As in `shuffled`. Positions behind the last one hold its index.
        columns: The first of the places in a batch that are asked for, and how many.
        how: As in `shuffled`.

    Returns:
        int64 tensor of shape (batches, columns).
    """
    key = tf.constant(stateless.stream_key(seed, "order"), tf.uint64)
    run = _batches_of(shape, columns, _checked_size(num_examples), how)
    return run(key, tf.cast(epoch, tf.int64), tf.cast(first, tf.int64))


@functools.lru_cache(maxsize=16)
def _batches_of(
    shape: tuple[int, int], columns: tuple[int, int], num_examples: int, how: Order
) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(autograph=False)
    def run(key: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        positions = first + places(shape, columns)
        positions = tf.minimum(positions, num_examples - 1)
        count = shape[0] * columns[1]
        key = stateless.key_of_epoch(key, epoch)
        # The kernel has one thread; two of them run beside each other.
        halves = [positions[: count // 2], positions[count // 2 :]]
        found = [_shuffled(half, key, num_examples, how) for half in halves]
        return tf.reshape(tf.concat(found, axis=0), (shape[0], columns[1]))

    return run


def places(shape: tuple[int, int], columns: tuple[int, int]) -> tf.Tensor:
    """Where some columns of several batches are, counted from the first example.

    Args:
        shape: Batches, and examples in a batch.
        columns: The first of them, and how many.

    Returns:
        int64 tensor of shape (batches * columns,).
    """
    first, count = columns
    rows = tf.range(shape[0], dtype=tf.int64)[:, None] * shape[1]
    return tf.reshape(rows + tf.range(first, first + count, dtype=tf.int64), [-1])


def _shuffled(
    positions: tf.Tensor, key: tf.Tensor, num_examples: int, how: Order
) -> tf.Tensor:
    if how == "blocks":
        return order_blocks.shuffled(positions, key, num_examples)
    return permutation.permuted(positions, key, num_examples)


def _checked_size(num_examples: int) -> int:
    try:
        size = operator.index(num_examples)
    except TypeError:
        size = 0
    if size < 1:
        raise RefusedError(
            "There is nothing to shuffle. Expected: an integer of at least 1. "
            f"Received: num_examples={num_examples!r}."
        )
    return size


def of_split(split: str, config: Any) -> dict[str, Any]:
    """Arguments of `Batches` that say how a split is shuffled.

    Args:
        split: "train", or another, which is not.
        config: Has the field `shuffle`.
    """
    asked = getattr(config, "shuffle", "full")
    is_shuffled = split == "train" and asked != "none"
    return {"shuffle": is_shuffled, "order": "blocks" if asked == "blocks" else "full"}
