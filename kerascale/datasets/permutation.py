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

import tensorflow as tf

_ROUNDS = 16


def permuted(positions: tf.Tensor, key: tf.Tensor, count: int) -> tf.Tensor:
    """The numbers at these positions of a permutation of 0..count-1.

    Args:
        positions: int64 tensor of shape (positions,), below `count`.
        key: uint64 scalar or of shape (1,), well mixed.
        count: At least 1.
    """
    max_index = _max_index(count)
    # The kernel refuses no index at all, so the last one always goes along.
    asked = tf.concat([tf.cast(positions, tf.int64), [max_index]], axis=0)
    found = tf.raw_ops.RandomIndexShuffle(
        index=asked,
        seed=_seed_words(tf.reshape(key, [])),
        max_index=tf.constant(max_index, tf.int64),
        rounds=_ROUNDS,
    )
    # Leaving the index too many out of its cycle makes a permutation of the rest.
    return tf.where(found[:-1] == count, found[-1], found[:-1])


def permuted_of(
    positions: tf.Tensor, keys: tf.Tensor, counts: tf.Tensor, possible: set[int]
) -> tf.Tensor:
    """The same of as many permutations as there are positions.

    Args:
        positions: int64 tensor of shape (positions,), each below its count.
        keys: uint64 tensor of that shape.
        counts: int64 tensor of that shape.
        possible: All that `counts` may hold.
    """
    last = counts - 1
    for count in possible:
        if count >= 1 and _max_index(count) == count:
            last = tf.where(counts == count, counts, last)
    seeds = _seed_words(keys[:, None])

    def at(index: tf.Tensor) -> tf.Tensor:
        return tf.raw_ops.RandomIndexShuffle(
            index=tf.concat([index, [0]], 0),
            seed=tf.concat([seeds, tf.zeros([1, 3], tf.uint32)], 0),
            max_index=tf.concat([last, [0]], 0),
            rounds=_ROUNDS,
        )[:-1]

    found = at(positions)
    return tf.where(found == counts, at(last), found)


def _max_index(count: int) -> int:
    """That of the kernel: one more where its block would be too small; see above."""
    return count - (0 if _is_power_of_four(count - 1) else 1)


def _is_power_of_four(number: int) -> bool:
    return number.bit_count() == 1 and number.bit_length() % 2 == 1


def _seed_words(key: tf.Tensor) -> tf.Tensor:
    # Spread over the words so that each gets 21 bits of its own at its low end.
    distances = tf.constant([0, 21, 42], tf.uint64)
    return tf.cast(tf.bitwise.right_shift(key, distances), tf.uint32)
