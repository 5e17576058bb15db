"""Losses that a step of a user's own calls: means over the slice."""

import threading
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard

_MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
_seen = threading.local()


class SliceLoss:
    """Put in front of a `keras.Loss` that a model holds in an attribute.

    On several replicas Keras divides a mean by their number, for gradients that are
    summed; here slices count by the share that they have of the batch.
    """

    def call(self, y_true: Any, y_pred: Any) -> Any:
        values = super().call(y_true, y_pred)
        _seen.is_scalar = tf.convert_to_tensor(values).shape.rank == 0
        return values

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        value = super().__call__(y_true, y_pred, sample_weight)
        if shard.current() is None or _seen.is_scalar or self.reduction not in _MEANS:
            return value
        return value * tf.distribute.get_strategy().num_replicas_in_sync


def adopt(model: keras.Model) -> None:
    """Makes means over slices of all losses that a model and its layers hold."""
    given = keras.tree.flatten(getattr(model, "loss", None))
    compiled = {id(loss) for loss in [keras_private.compiled_loss(model), *given]}
    for layer in [model, *keras_private.all_layers(model)]:
        for value in vars(layer).values():
            if isinstance(value, keras.Loss) and id(value) not in compiled:
                keras_private.adopt_class(value, SliceLoss)
