"""Keras' dense layer and layer normalization, which XLA trains faster on a CPU.

In inference they are Keras' own, and so is all that is exported.
"""

from typing import Any

import keras
import tensorflow as tf

from kerascale.layers import _gradients
from kerascale.layers._common import at_least_float32, is_on_tensorflow


@keras.saving.register_keras_serializable(package="kerascale")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` that trains faster where XLA compiles the step for a CPU.

    Weights, saved files, outputs and gradients are those of Keras' layer. XLA computes
    the gradient of a kernel slowly where it has few units: this layer computes it the
    other way around, and transposes the result.

    Args:
        units: Positive integer, the size of the output.
        **kwargs: All other arguments of `keras.layers.Dense`.

    Call arguments:
        inputs: Float tensor of shape `(batch, ..., features)`.
        training: Boolean.

    Returns:
        Float tensor of shape `(batch, ..., units)`.

    Example:

    >>> layer = kerascale.layers.Dense(4)
    >>> layer(np.zeros((2, 3), "float32")).shape
    (2, 4)
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        is_plain = self.lora_enabled or self.quantization_mode is not None
        if not training or is_plain or not is_on_tensorflow():
            return super().call(inputs, training=training)
        bias = self.bias if self.use_bias else None
        return activated(self, _gradients.affine(inputs, self.kernel, bias))


def activated(layer: keras.layers.Dense, outputs: Any) -> Any:
    """What a dense layer makes of its products in training."""
    if layer.activation is keras.activations.gelu:
        return _gradients.gelu(outputs)
    return layer.activation(outputs)


@keras.saving.register_keras_serializable(package="kerascale")
class LayerNormalization(keras.layers.LayerNormalization):
    """A `keras.layers.LayerNormalization` over the last axis, with scale and center."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not is_on_tensorflow():
            return super().call(inputs)
        dtype = at_least_float32(inputs.dtype)
        outputs = _gradients.layer_norm(
            tf.cast(inputs, dtype),
            tf.cast(self.gamma, dtype),
            tf.cast(self.beta, dtype),
            self.epsilon,
        )
        return tf.cast(outputs, self.compute_dtype)
