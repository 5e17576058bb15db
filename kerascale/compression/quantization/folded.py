"""Convolutions whose batch normalization is folded into their kernel.

Converters fold it, so that integers stand for `kernel * gamma / sqrt(variance + eps)`:
on that grid training rounds, too. Once steps are quantized the normalization has its
moving statistics, which stay as they are, and the grid of outputs lies behind it (Jacob
et al. 2018, section 3.2; frozen statistics: Krishnamoorthi 2018, section 3.2.2).
"""

from typing import Any

import keras
import tensorflow as tf

from kerascale.compression.quantization import layers
from kerascale.compression.quantization.layers import Weighted
from kerascale.engine.compat import keras_private

# An attribute of a tensor whose activation comes first: the number of its grid.
_WAITING = "_kerascale_grid_behind_the_activation"


def factor(norm: keras.layers.BatchNormalization) -> tf.Tensor:
    """What a normalization multiplies each channel with; nowhere 0, of shape (c,)."""
    variance = tf.convert_to_tensor(norm.moving_variance)
    found = tf.math.rsqrt(variance + tf.cast(norm.epsilon, variance.dtype))
    if norm.scale:
        found *= tf.convert_to_tensor(norm.gamma)
    return tf.stop_gradient(tf.where(found == 0, tf.ones_like(found), found))


class Folded(Weighted):
    """Of a convolution: as `Weighted`, but for its outputs, which go to its norm."""

    @property
    def activation(self) -> Any:
        return vars(self)["activation"]

    def _on_its_grid(self, kernel: tf.Tensor, part: layers.Part) -> tf.Tensor:
        multiplied = tf.cast(factor(part.norm), kernel.dtype)
        return part.scheme.weights(kernel, multiplied)


class Norm(keras_private.Moments):
    """Of that normalization: its statistics, and the grid behind it."""

    def used_moments(self, mean: tf.Tensor, variance: tf.Tensor) -> Any:
        part = layers.part_of(self)
        if part is None:
            return mean, variance
        still = (self.moving_mean, self.moving_variance)
        still = [tf.cast(tf.convert_to_tensor(v), mean.dtype) for v in still]
        return part.scheme.statistics((mean, variance), still)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = super().call(inputs, *args, **kwargs)
        part = layers.part_of(self)
        if part is None:
            return outputs
        if part.norm is self:  # An activation follows, and then the grid.
            setattr(outputs, _WAITING, part.number)
            return outputs
        return layers.marked(part.scheme.activations(outputs, part.number), part.number)


class Residual:
    """Of a `kerascale.layers.ResidualBlock`: the activation between its kernels."""

    @property
    def activation(self) -> Any:
        own = vars(self)["activation"]
        return (lambda x: self._activated(own, x)) if layers.is_called(self) else own

    def _activated(self, own: Any, x: Any) -> Any:
        number = getattr(x, _WAITING, None)
        if number is None:  # Of the sum, which no kernel ends with.
            return own(x)
        return layers.activated(own, x, layers.part_of(self).scheme, number)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if layers.part_of(self) is None:
            return super().call(inputs, *args, **kwargs)
        with layers.being_called(self):
            return super().call(inputs, *args, **kwargs)
