"""Keras' dense layer and layer normalization, which XLA trains faster on a CPU.

In inference they are Keras' own, and so is all that is exported.
"""

from typing import Any

import keras
import tensorflow as tf

from kerascale.layers import _gradients
from kerascale.layers._common import at_least_float32


@keras.saving.register_keras_serializable(package="kerascale")
class Dense(keras.layers.Dense):
    """A `keras.layers.Dense` with a bias."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training or not self._is_plain():
            return super().call(inputs, training=training)
        outputs = _gradients.affine(inputs, self.kernel, self.bias)
        if self.activation is keras.activations.gelu:
            return _gradients.gelu(outputs)
        return self.activation(outputs)

    def _is_plain(self) -> bool:
        changed = self.lora_enabled or self.quantization_mode is not None
        return self.use_bias and not changed


@keras.saving.register_keras_serializable(package="kerascale")
class LayerNormalization(keras.layers.LayerNormalization):
    """A `keras.layers.LayerNormalization` over the last axis, with scale and center."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if not training:
            return super().call(inputs)
        dtype = at_least_float32(inputs.dtype)
        outputs = _gradients.layer_norm(
            tf.cast(inputs, dtype),
            tf.cast(self.gamma, dtype),
            tf.cast(self.beta, dtype),
            self.epsilon,
        )
        return tf.cast(outputs, self.compute_dtype)
