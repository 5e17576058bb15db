"""An order that keeps neighbours together, for disks that read at random slowly.

Blocks of 256 examples are permuted, then the examples within a window of 512 blocks: at
any time an epoch reads in 512 places, each of them nearly one after the other
(marin-community/marin #2917). It is a function of (seed, epoch, position), as the full
order is: no position costs more than another.
"""

import tensorflow as tf

from kerascale.datasets import permutation, stateless

BLOCK = 256
WINDOW = 512
_WINDOW_ROWS = BLOCK * WINDOW


def shuffled(positions: tf.Tensor, key: tf.Tensor, num_examples: int) -> tf.Tensor:
    """The example indices at these positions of an epoch's order.

    Over all positions it is a permutation of 0..num_examples-1.

    Args:
        positions: int64 tensor of shape (positions,), below `num_examples`.
        key: uint64 scalar: that of the epoch.
        num_examples: At least 1.

    Returns:
        int64 tensor of shape (positions,).
    """
    positions = tf.cast(positions, tf.int64)
    num_full, short = divmod(num_examples, BLOCK)
    num_blocks = num_full + (1 if short else 0)
    # Where the one smaller block comes; behind all if there is none.
    small = tf.constant(num_blocks, tf.int64)
    if short:
        drawn = permutation.permuted(tf.zeros([1], tf.int64), _key(key, 1), num_blocks)
        small = drawn[0]
    lacking = BLOCK - short if short else 0
    window, offset, size = _windows(positions, small, lacking, num_blocks)
    rows = permutation.permuted_in_groups(
        offset,
        window,
        lambda number: _key(key, number + 2),
        size,
        _sizes(lacking, num_blocks),
    )
    # From a row of the window to its block: those behind the small one come earlier.
    before = (small - window * WINDOW) * BLOCK
    is_here = small // WINDOW == window
    is_small = is_here & (rows >= before) & (rows < before + BLOCK - lacking)
    rows += lacking * tf.cast(is_here & (rows >= before) & ~is_small, tf.int64)
    place = window * WINDOW + rows // BLOCK
    full = place - tf.cast(place > small, tf.int64)
    full = tf.clip_by_value(full, 0, max(0, num_full - 1))
    # Of few numbers the kernel takes microseconds for each: only once for each block.
    distinct, places = tf.unique(full)
    block = permutation.permuted(distinct, _key(key, 0), max(1, num_full))
    block = tf.gather(block, places)
    block = tf.where(is_small, tf.constant(num_full, tf.int64), block)
    return block * BLOCK + tf.where(is_small, rows - before, rows % BLOCK)


def _windows(
    positions: tf.Tensor, small: tf.Tensor, lacking: int, num_blocks: int
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of each position its window, its place in there, and the rows of the window."""
    num_windows = -(-num_blocks // WINDOW)
    own = small // WINDOW  # The window that has the small block.
    behind = tf.minimum((own + 1) * WINDOW, num_blocks) * BLOCK - lacking
    moved = positions + lacking * tf.cast(positions >= behind, tf.int64)
    window = tf.minimum(moved // _WINDOW_ROWS, num_windows - 1)
    offset = moved - window * _WINDOW_ROWS
    blocks = tf.minimum(num_blocks - window * WINDOW, WINDOW)
    return window, offset, blocks * BLOCK - lacking * tf.cast(window == own, tf.int64)


def _sizes(lacking: int, num_blocks: int) -> set[int]:
    """All sizes that a window may have."""
    last = (num_blocks - 1) % WINDOW + 1
    return {n * BLOCK - less for n in (last, WINDOW) for less in (0, lacking)}


def _key(key: tf.Tensor, number: tf.Tensor | int) -> tf.Tensor:
    """A key of its own for each number."""
    return stateless.key_of_epoch(key, number)
