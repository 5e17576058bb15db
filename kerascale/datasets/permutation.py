"""A permutation of so many numbers, as a function that starts at any position.

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

from collections.abc import Callable

import tensorflow as tf

_ROUNDS = 16


def permuted(positions: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    """The numbers at these positions of a permutation of 0..count-1.

    Args:
        positions: int64 tensor of shape (positions,), below `count`.
        key: uint64 scalar, well mixed.
        count: At least 1.
    """
    last = tf.constant(_max_index(count), tf.int64)
    return _walked(positions, key, last, tf.constant(count, tf.int64))


def permuted_in_groups(
    positions: tf.Tensor,
    groups: tf.Tensor,
    key_of: Callable[[tf.Tensor], tf.Tensor],
    counts: tf.Tensor,
    possible: set[int],
) -> tf.Tensor:
    """The same of several permutations, each asked at some of the positions.

    A permutation takes some time to begin, and little for each position: it should be
    asked for many at once.

    Args:
        positions: int64 tensor of shape (positions,), each below its count.
        groups: int64 tensor of that shape: the number of each one's permutation.
        key_of: Number of a permutation, int64 scalar -> its key, uint64 scalar.
        counts: int64 tensor of that shape, the same within a group.
        possible: All that `counts` may hold.
    """
    last = counts - 1
    for count in possible:
        if count >= 1 and _max_index(count) == count:
            last = tf.where(counts == count, counts, last)
    distinct = tf.unique(groups).y

    def body(i: tf.Tensor, found: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        own = tf.where(groups == distinct[i])
        first = own[0, 0]
        values = _walked(
            tf.gather_nd(positions, own),
            key_of(distinct[i]),
            last[first],
            counts[first],
        )
        return i + 1, tf.tensor_scatter_nd_update(found, own, values)

    _, found = tf.while_loop(
        lambda i, _: i < tf.size(distinct),
        body,
        (tf.constant(0), tf.zeros_like(positions)),
        parallel_iterations=1,
    )
    return found


def _walked(
    positions: tf.Tensor, key: tf.Tensor, last: tf.Tensor, count: tf.Tensor
) -> tf.Tensor:
    # The kernel refuses no index at all, so the last one always goes along.
    found = tf.raw_ops.RandomIndexShuffle(
        index=tf.concat([tf.cast(positions, tf.int64), last[None]], axis=0),
        seed=_seed_words(key),
        max_index=last,
        rounds=_ROUNDS,
    )
    # Leaving the index too many out of its cycle makes a permutation of the rest.
    return tf.where(found[:-1] == count, found[-1], found[:-1])


def _max_index(count: int) -> int:
    """That of the kernel: one more where its block would be too small; see above."""
    return count - (0 if _is_power_of_four(count - 1) else 1)


def _is_power_of_four(number: int) -> bool:
    return number.bit_count() == 1 and number.bit_length() % 2 == 1


def _seed_words(key: tf.Tensor) -> tf.Tensor:
    # Spread over the words so that each gets 21 bits of its own at its low end.
    distances = tf.constant([0, 21, 42], tf.uint64)
    return tf.cast(tf.bitwise.right_shift(key, distances), tf.uint32)
