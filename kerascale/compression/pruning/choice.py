"""Which weights go: those of the smallest magnitude, as masks of 0 and 1.

Nothing is sorted, of which XLA and accelerators make slow programs: the threshold is
found by counting what is below a guess. Bits of floats that are not negative are in the
order of the floats: the threshold is exact, and the same on each replica.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import tensorflow as tf

Structure = Literal["unstructured", "2:4", "units", "heads"]
# What is cut out of a model; of each layer one is left.
WHOLE = ("units", "heads")
# How many of a row of weights a sparse tensor core multiplies at most, and of how many.
_KEPT, _OF = 2, 4


def smallest(scores: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Where the smallest of some numbers are.

    Args:
        scores: Not negative, float32 or float64, of shape (n,).
        count: How many of them; int64 scalar.

    Returns:
        bool of shape (n,). True in `count` places; where several numbers are equal to
        the largest of them, all of these.
    """
    kind = tf.int32 if scores.dtype == tf.float32 else tf.int64
    bits = tf.bitcast(scores, kind)

    # Below `low` are fewer than are wanted, up to `high` as many or more.
    def searching(
        low: tf.Tensor, high: tf.Tensor, fewer: tf.Tensor, enough: tf.Tensor, _: Any
    ) -> tf.Tensor:
        return tf.logical_and(low < high, enough != count)

    def narrow(
        low: tf.Tensor,
        high: tf.Tensor,
        fewer: tf.Tensor,
        enough: tf.Tensor,
        number: tf.Tensor,
    ) -> Sequence[tf.Tensor]:
        # Where it would be if they were evenly spread; by turns in the middle of the
        # bits, which is never far from half of the way.
        share = tf.cast((count - fewer) / (enough - fewer), scores.dtype)
        least, most = (tf.bitcast(x, scores.dtype) for x in (low, high))
        even = tf.bitcast(least + share * (most - least), kind)
        place = tf.where(number % 2 == 0, even, low + (high - low) // 2)
        place = tf.clip_by_value(place, low, high - 1)
        below = _count(bits <= place)
        is_enough = below >= count
        return (
            tf.where(is_enough, low, place + 1),
            tf.where(is_enough, place, high),
            tf.where(is_enough, fewer, below),
            tf.where(is_enough, below, enough),
            number + 1,
        )

    none, whole = tf.constant(0, tf.int64), tf.size(bits, tf.int64)
    begin = [tf.reduce_min(bits), tf.reduce_max(bits), none, whole, tf.constant(0)]
    _, threshold, *_ = tf.while_loop(searching, narrow, begin, parallel_iterations=1)
    return tf.logical_and(bits <= threshold, count > 0)


def _count(where: tf.Tensor) -> tf.Tensor:
    return tf.cast(tf.reduce_sum(tf.cast(where, tf.int32)), tf.int64)


def _scores(weights: tf.Tensor) -> tf.Tensor:
    if weights.dtype != tf.float64:
        weights = tf.cast(weights, tf.float32)
    return tf.abs(weights)


def of_weights(weights: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Keeps all weights of a kernel but the `count` smallest. bool, of its shape."""
    gone = smallest(tf.reshape(_scores(weights), [-1]), count)
    return tf.reshape(tf.logical_not(gone), weights.shape)


def of_units(weights: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Keeps all units but the `count` of the smallest norm. bool of shape (units,)."""
    axes = list(range(weights.shape.rank - 1))
    return tf.logical_not(
        smallest(tf.reduce_sum(tf.square(_scores(weights)), axes), count)
    )


def of_heads(
    values: tf.Tensor, outputs: tf.Tensor, num_heads: int, count: tf.Tensor
) -> tf.Tensor:
    """Keeps all attention heads but the `count` that can add least.

    What a head adds is at most the product of two norms: of the kernel that makes its
    values, and of the one that takes what it mixed of them.

    Args:
        values: Kernel of the values, (width, heads * head size).
        outputs: Kernel of the output, (heads * head size, width).
        num_heads: How many heads there are.
        count: How many of them go; int64 scalar.

    Returns:
        bool of shape (heads,).
    """
    made = tf.reshape(_scores(values), [values.shape[0], num_heads, -1])
    taken = tf.reshape(_scores(outputs), [num_heads, -1])
    made = tf.reduce_sum(tf.square(made), [0, 2])
    taken = tf.reduce_sum(tf.square(taken), 1)
    return tf.logical_not(smallest(made * taken, count))


def of_fours(weights: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """Keeps two of four weights in `count` groups: those in which the least is lost.

    A group is four weights that follow one another in the axis of inputs, the last but
    one, of one output: what NVIDIA's sparse tensor cores take.
    """
    groups = _in_groups(_scores(weights))
    # How many of its group are larger, or equal and come first.
    mine, other = groups[:, :, None, :], groups[:, None, :, :]
    first = tf.range(_OF)[:, None] > tf.range(_OF)[None, :]
    ahead = tf.logical_or(
        other > mine, tf.logical_and(other == mine, first[None, :, :, None])
    )
    rank = tf.reduce_sum(tf.cast(ahead, tf.int32), axis=2)
    is_small = rank >= _KEPT
    lost = tf.reduce_sum(tf.where(is_small, groups, tf.zeros_like(groups)), axis=1)
    chosen = tf.reshape(smallest(tf.reshape(lost, [-1]), count), lost.shape)
    gone = tf.logical_and(is_small, chosen[:, None, :])
    return tf.reshape(tf.logical_not(gone), weights.shape)


def _in_groups(weights: tf.Tensor) -> tf.Tensor:
    """Of shape (groups, 4, outputs)."""
    return tf.reshape(weights, [-1, _OF, weights.shape[-1]])


def fits_fours(shape: Sequence[int]) -> bool:
    """Whether the inputs of a kernel are groups of four."""
    return shape[-2] % _OF == 0


def num_items(structure: Structure, shape: Sequence[int]) -> int:
    """How many things may go of a kernel: weights, or groups of four."""
    size = 1
    for length in shape:
        size *= length
    return size // _OF if structure == "2:4" else size


def items_that_go(structure: Structure, items: int, rate: float) -> int:
    """How many of them go, where a share of the weights is to."""
    if structure == "2:4":  # Of a group half its weights.
        rate = min(1.0, rate * _OF / _KEPT)
    count = int(rate * items + 1e-6)
    return min(count, items - 1) if structure in WHOLE else count


CHOICES: dict[Structure, Callable[[Any, Any], tf.Tensor]] = {
    "unstructured": of_weights,
    "2:4": of_fours,
    "units": of_units,
}
