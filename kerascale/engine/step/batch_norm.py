"""Batch statistics of the global batch, from slices of any size."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step.global_sum import global_sum


class GlobalMoments(keras_private.Moments):
    """Put in front of `keras.layers.BatchNormalization`.

    Keras' own synchronised moments subtract two large numbers, know no mask, and count
    the filler row of an empty slice. These are the mean, and then the mean squared
    distance from it, as on one device.
    """

    def global_moments(
        self, inputs: tf.Tensor, mask: Any, axes: Sequence[int]
    ) -> tuple[tf.Tensor, tf.Tensor] | None:
        here = shard.current()
        if not self.synchronized or here is None:
            return None
        rows = here.row_weights(tf.shape(inputs)[0], inputs.dtype)
        weights = tf.reshape(rows, [-1] + [1] * (inputs.shape.rank - 1))
        epsilon = 0.0
        if mask is not None:
            weights *= tf.cast(mask, inputs.dtype)[..., None]
            # Keras adds it where there is a mask.
            epsilon = keras.backend.epsilon()
        weights = tf.broadcast_to(weights, tf.shape(inputs))
        count = tf.reduce_sum(weights, axes)
        total = tf.reduce_sum(inputs * weights, axes)
        count, total = global_sum([tf.stop_gradient(count), total])
        mean = total / (count + epsilon)
        shape = [1] * inputs.shape.rank
        shape[self.axis] = -1
        distance = inputs - tf.reshape(tf.stop_gradient(mean), shape)
        (squares,) = global_sum([tf.reduce_sum(distance**2 * weights, axes)])
        return mean, squares / (count + epsilon)
