"""Batch normalization: the one place that says how it is done."""

from typing import Any

import keras
import tensorflow as tf


def batch_normalization(**kwargs: Any) -> keras.layers.BatchNormalization:
    """A `keras.layers.BatchNormalization` for the last axis.

    Statistics are those of the global batch, on any number of replicas.

    Args:
        **kwargs: `name`, `dtype` and the other arguments of the Keras layer.
    """
    # Keras' momentum of 0.99 needs hundreds of steps before the moving statistics
    # are of any use; 0.9 is what short runs need.
    return keras.layers.BatchNormalization(
        # On one device Keras' own sums would subtract two large numbers.
        momentum=0.9,
        synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1,
        **kwargs,
    )
