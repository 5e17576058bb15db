"""The global order of an epoch, as a function that starts at any position.

A function and no stored permutation, so that a run begins at any step at no cost and
every process computes its own rows of the same batch, whatever their number: see
`pipeline.Batches`, and `stateless` for what is drawn beside the order.

TensorFlow's `RandomIndexShuffle` (the Simon block cipher with cycle walking,
https://eprint.iacr.org/2013/404) gives one index of a permutation at no cost for
the others. Three things in TensorFlow 2.21 need care:

- It keeps only the low bits of each seed word: 8 for up to 65,536 examples. Raw
  words would repeat the order every 256 epochs, so they are hashed first.
- `tf.random.experimental.index_shuffle` fixes 4 rounds, which leaves patterns: of
  5 million examples the first half of the order differs from a fair draw by 16
  standard deviations. With 16 rounds the same tests see nothing.
- For 4**k + 1 examples, k >= 8 (65,537; 262,145; ...), its block is one bit too
  small: one example comes twice and the last one never.
"""

import functools
import operator

import tensorflow as tf

from kerascale.datasets import stateless
from kerascale.errors import RefusedError

_ROUNDS = 16


def shuffled(
    positions: tf.Tensor,
    *,
    seed: int,
    epoch: tf.Tensor | int,
    num_examples: int,
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
    return _shuffled(positions, key, _checked_size(num_examples))


def batches(
    first: int,
    shape: tuple[int, int],
    *,
    seed: int,
    epoch: tf.Tensor,
    num_examples: int,
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

    Returns:
        int64 tensor of that shape.
    """
    key = tf.constant(stateless.stream_key(seed, "order"), tf.uint64)
    run = _batches_of(shape, _checked_size(num_examples))
    return run(key, tf.cast(epoch, tf.int64), tf.cast(first, tf.int64))


@functools.lru_cache(maxsize=16)
def _batches_of(
    shape: tuple[int, int], num_examples: int
) -> tf.types.experimental.PolymorphicFunction:
    @tf.function(autograph=False)
    def run(key: tf.Tensor, epoch: tf.Tensor, first: tf.Tensor) -> tf.Tensor:
        count = shape[0] * shape[1]
        positions = first + tf.range(count, dtype=tf.int64)
        positions = tf.minimum(positions, num_examples - 1)
        key = stateless.key_of_epoch(key, epoch)
        # The kernel has one thread; two of them run beside each other.
        halves = [positions[: count // 2], positions[count // 2 :]]
        found = [_shuffled(half, key, num_examples) for half in halves]
        return tf.reshape(tf.concat(found, axis=0), shape)

    return run


def _shuffled(positions: tf.Tensor, key: tf.Tensor, num_examples: int) -> tf.Tensor:
    # One more index where the block would be too small; see below.
    max_index = num_examples - (0 if _is_power_of_four(num_examples - 1) else 1)
    # The kernel refuses no index at all, so the last one always goes along.
    asked = tf.concat([tf.cast(positions, tf.int64), [max_index]], axis=0)
    found = tf.raw_ops.RandomIndexShuffle(
        index=asked,
        seed=_seed_words(key),
        max_index=tf.constant(max_index, tf.int64),
        rounds=_ROUNDS,
    )
    # Leaving the index too many out of its cycle makes a permutation of the rest.
    return tf.where(found[:-1] == num_examples, found[-1], found[:-1])


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


def _is_power_of_four(number: int) -> bool:
    return number.bit_count() == 1 and number.bit_length() % 2 == 1


def _seed_words(key: tf.Tensor) -> tf.Tensor:
    # Spread over the words so that each gets 21 bits of its own at its low end.
    distances = tf.constant([0, 21, 42], tf.uint64)
    return tf.cast(tf.bitwise.right_shift(key, distances), tf.uint32)
