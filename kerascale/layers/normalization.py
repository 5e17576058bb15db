"""Batch normalization: the one place that says how it is done."""

from typing import Any

import keras


def batch_normalization(**kwargs: Any) -> keras.layers.BatchNormalization:
    """A `keras.layers.BatchNormalization` for the last axis.

    Statistics are those of one replica's share of the batch: exact on one device.

    Args:
        **kwargs: `name`, `dtype` and the other arguments of the Keras layer.
    """
    # Keras' momentum of 0.99 needs hundreds of steps before the moving statistics
    # are of any use; 0.9 is what short runs need.
    return keras.layers.BatchNormalization(momentum=0.9, synchronized=False, **kwargs)
