"""Random numbers that depend on an example's place in the global batch."""

import math

import tensorflow as tf

# Philox: TensorFlow's number for the algorithm, whose blocks hold four numbers and
# can be computed from any place on. Salmon et al. 2011, "Parallel random numbers: as
# easy as 1, 2, 3".
_PHILOX = 1
_PER_BLOCK = 4


def uniform(
    shape: tf.Tensor, offset: tf.Tensor, seed: tf.Tensor, draw: tf.Tensor
) -> tf.Tensor:
    """Uniform numbers in [0, 1), float32, of which each row knows its place.

    Args:
        shape: int32; its first entry is that of examples.
        offset: int64 scalar: the place of the first row in the global batch.
        seed: uint64 scalar.
        draw: uint64 scalar: which of the layer's draws this is.
    """
    width = tf.reduce_prod(shape[1:])
    # Whole blocks for each row, so that a row begins at a known one.
    blocks = (width + _PER_BLOCK - 1) // _PER_BLOCK
    first = tf.cast(offset * tf.cast(blocks, tf.int64), tf.uint64)
    bits = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=tf.stack([shape[0], blocks * _PER_BLOCK]),
        key=seed[None],
        counter=tf.stack([first, draw]),
        alg=_PHILOX,
        dtype=tf.uint32,
    )
    # TensorFlow's kernels and XLA make other floats of the same bits.
    bits = tf.bitwise.right_shift(bits[:, :width], tf.constant(8, tf.uint32))
    return tf.reshape(tf.cast(bits, tf.float32) * 2.0**-24, shape)


def normal(
    shape: tf.Tensor,
    offset: tf.Tensor,
    seed: tf.Tensor,
    draw: tf.Tensor,
    dtype: tf.DType,
) -> tf.Tensor:
    """Numbers of the standard normal distribution, of which each row knows its place.

    Box and Muller 1958, "A note on the generation of random normal deviates": two
    uniform numbers give two that are normal.

    Args:
        shape: int32; its first entry is that of examples.
        offset: int64 scalar: the place of the first row in the global batch.
        seed: uint64 scalar.
        draw: uint64 scalar: which of the layer's draws this is.
        dtype: float32 or float64.
    """
    width = tf.reduce_prod(shape[1:])
    half = (width + 1) // 2
    pairs = uniform(tf.stack([shape[0], 2, half]), offset, seed, draw)
    first, second = tf.unstack(tf.cast(pairs, dtype), axis=1)
    # In (0, 1]: the logarithm of 0 is not finite.
    radius = tf.sqrt(-2.0 * tf.math.log(1.0 - first))
    angle = second * tf.constant(2.0 * math.pi, dtype)
    both = tf.concat([radius * tf.cos(angle), radius * tf.sin(angle)], axis=1)
    return tf.reshape(both[:, :width], shape)
