"""Normal noise that is a pure function of a key, an update and a variable's place.

So every replica adds the same, and a program of XLA what single operations add.
"""

import math
from collections.abc import Sequence

import tensorflow as tf

# TensorFlow's number for the algorithm. Salmon et al. 2011, "Parallel random numbers:
# as easy as 1, 2, 3".
_PHILOX = 1


def normal(
    shapes: Sequence[tf.TensorShape], key: tf.Tensor, update: tf.Tensor, dtype: tf.DType
) -> list[tf.Tensor]:
    """Numbers of the standard normal distribution, for some variables at once.

    Box and Muller 1958, "A note on the generation of random normal deviates". Uniform
    numbers have 53 bits in float64 and 24 in float32, of which nothing beyond 5.7
    deviations is drawn.

    Args:
        shapes: Of the variables.
        key: uint64 of shape (2,).
        update: Integer scalar, another one for each update with a key.
        dtype: Of the numbers.
    """
    sizes = [shape.num_elements() for shape in shapes]
    half = (sum(sizes) + 1) // 2
    words = 2 if dtype == tf.float64 else 1
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[words, 2, half],
        key=key[:1],
        counter=tf.stack([tf.zeros([], tf.uint64), _mixed(key[1], update)]),
        alg=_PHILOX,
        dtype=tf.uint32,
    )
    first, second = tf.unstack(_uniform(bits, dtype))
    # In (0, 1]: the logarithm of 0 is not finite.
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - first))
    angle = second * tf.constant(2.0 * math.pi, dtype)
    flat = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=0)
    parts = tf.split(flat[: sum(sizes)], sizes)
    return [tf.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]


def _mixed(word: tf.Tensor, update: tf.Tensor) -> tf.Tensor:
    """Another word for each update: no two have one within a key."""
    return word + tf.cast(tf.cast(update, tf.int64), tf.uint64)


def _uniform(bits: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """Numbers in [0, 1) of (words, ...) bits."""
    if bits.shape[0] == 1:
        top = tf.bitwise.right_shift(bits[0], tf.constant(8, tf.uint32))
        return tf.cast(top, dtype) * 2.0**-24
    high = tf.bitwise.right_shift(bits[0], tf.constant(5, tf.uint32))
    low = tf.bitwise.right_shift(bits[1], tf.constant(6, tf.uint32))
    return (tf.cast(high, dtype) * 2.0**26 + tf.cast(low, dtype)) * 2.0**-53
