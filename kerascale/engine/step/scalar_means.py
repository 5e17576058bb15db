"""`keras.metrics.Mean` of a scalar: on a slice it counts by the slice's share."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard


class ScalarMean(keras.metrics.Mean):
    """Put in front of `Mean`, and behind what is derived of it.

    A batch counts once where its mean is given as a scalar without a weight; each of
    its slices, by the share that it has of the batch.
    """

    def update_state(self, values: Any, sample_weight: Any = None) -> Any:
        here = shard.current()
        if here is not None and sample_weight is None:
            values = tf.convert_to_tensor(values)
            if values.shape.rank == 0:
                sample_weight = here.share(tf.as_dtype(self.dtype))
        return super().update_state(values, sample_weight=sample_weight)


def weight_by_share(model: keras.Model) -> None:
    """Lets every mean of a model weight scalars so, but for those of its losses.

    Losses come as shares, or with their number of rows.
    """
    losses = [keras_private.loss_tracker(model), *keras_private.loss_metrics(model)]
    for metric in keras_private.all_metrics(model):
        is_loss = any(metric is loss for loss in losses)
        if isinstance(metric, keras.metrics.Mean) and not is_loss:
            plain = type(metric) is keras.metrics.Mean
            keras_private.adopt_class(metric, ScalarMean, behind=not plain)
