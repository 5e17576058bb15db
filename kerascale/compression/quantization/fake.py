"""Numbers as integers of 8 bits would have them, in floats: fake quantization.

Jacob et al. 2018, "Quantization and Training of Neural Networks for Efficient
Integer-Arithmetic-Only Inference", sections 2 and 3. What is rounded and clipped has
the gradient of what it was (straight-through: Bengio, Leonard, Courville 2013).
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Steps from the lowest of 256 integers to the highest, and from 0 to 127.
_STEPS = 255
_LARGEST = 127


def weights(kernel: tf.Tensor, axes: Sequence[int]) -> tf.Tensor:
    """Weights on a grid of their own for each channel: symmetric, -127 to 127.

    `s = max |w| / 127`, and `s * round(w / s)`: as `formats.rounding.to_int8` rounds.

    Args:
        kernel: Float tensor.
        axes: All but that of the channels.

    Returns:
        Of the same shape. Its gradient is that of the kernel.
    """
    dtype = kernel.dtype
    wide = tf.cast(kernel, keras.backend.result_type(dtype.name, "float32"))
    largest = tf.reduce_max(tf.abs(wide), axis=list(axes), keepdims=True)
    scale = tf.where(largest > 0, largest / _LARGEST, tf.ones_like(largest))

    @tf.custom_gradient
    def rounded(kernel: tf.Tensor, scale: tf.Tensor) -> Any:
        return tf.round(kernel / scale) * scale, lambda upstream: (upstream, None)

    return tf.cast(rounded(wide, tf.stop_gradient(scale)), dtype)


def folded(kernel: tf.Tensor, factor: tf.Tensor | None) -> tf.Tensor:
    """Weights that are on their grids once they are multiplied with a factor a channel.

    Args:
        kernel: Float tensor; the last axis is of channels.
        factor: Of shape (channels,), nowhere 0, and without a gradient; None: 1.
    """
    axes = range(kernel.shape.rank - 1)
    if factor is None:
        return weights(kernel, axes)
    return weights(kernel * factor, axes) / factor


def activations(x: tf.Tensor, low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Activations on one grid of 256 numbers, of which one is zero.

    `s = (high - low) / 255`, `z = round(-low / s)`, and `s * (clip(round(x / s) + z, 0,
    255) - z)`. What is clipped has no gradient.

    Args:
        x: Float tensor.
        low: Scalar, not positive: the lowest activation.
        high: Scalar, not negative. Where both are 0 nothing is known of the range, and
            nothing is changed.

    Returns:
        Of the same shape and dtype.
    """
    dtype = x.dtype
    wide = keras.backend.result_type(dtype.name, "float32")
    low, high = tf.cast(low, wide), tf.cast(high, wide)
    is_known = high > low
    scale = tf.where(is_known, (high - low) / _STEPS, tf.ones_like(high))
    zero = tf.round(-low / scale)

    @tf.custom_gradient
    def rounded(x: tf.Tensor, scale: tf.Tensor, zero: tf.Tensor) -> Any:
        places = tf.round(x / scale) + zero
        kept = tf.clip_by_value(places, 0, _STEPS)

        def gradient(upstream: tf.Tensor) -> tuple[Any, ...]:
            inside = tf.equal(places, kept)
            return tf.where(inside, upstream, tf.zeros_like(upstream)), None, None

        return (kept - zero) * scale, gradient

    x = tf.cast(x, wide)
    return tf.cast(tf.where(is_known, rounded(x, scale, zero), x), dtype)


def nudged(low: float, high: float) -> tuple[float, float]:
    """The lowest and the highest number of the grid, as converters want them."""
    scale = np.float32((high - low) / _STEPS)
    zero = np.round(-low / scale)
    return float((0 - zero) * scale), float((_STEPS - zero) * scale)
