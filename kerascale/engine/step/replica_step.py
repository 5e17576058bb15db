"""The training step and the test step of one replica, on its slice of a batch."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import step_loss
from kerascale.engine.step.private import method as private


class ReplicaStep:
    """What a replica does with its slice: for a `keras.Model` to inherit from.

    It stands at Keras' own extension points: `train_step`, `test_step` and
    `compute_loss`.
    """

    def train_step(self, data: Any) -> dict[str, Any]:
        """The forward and backward pass on one replica's slice of a batch.

        To be overridden as in Keras: compute `self.compute_loss(...)`, take
        gradients, and hand them to `self.optimizer.apply(...)` once, under no
        condition. The engine reduces them over all replicas before it applies them:
        on several replicas, after this method has returned.
        `compute_loss` gives the mean over the slice: a metric fed with it takes the
        number of examples as `sample_weight`.
        """
        method = private.of(self)
        if method is not None:
            return method.train_step(self, data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        x = self.step_inputs(x, y, training=True)
        with tf.GradientTape() as tape:
            y_pred = keras_private.call(self, x, training=True)
            loss = keras_private.compute_loss(
                self, x, y, y_pred, sample_weight, training=True
            )
            self._track_loss(loss, x)
            if self.optimizer is not None:
                loss = self.optimizer.scale_loss(loss)
        if self.trainable_weights:
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply(gradients, self.trainable_weights)
        return self._update_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data: Any) -> dict[str, Any]:
        """The forward pass on one replica's slice of a batch, in inference mode."""
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        x = self.step_inputs(x, y, training=False)
        y_pred = keras_private.call(self, x, training=False)
        loss = keras_private.compute_loss(
            self, x, y, y_pred, sample_weight, training=False
        )
        self._track_loss(loss, x)
        return self._update_metrics(x, y, y_pred, sample_weight)

    def step_inputs(self, x: Any, y: Any, *, training: bool) -> Any:
        """What a step computes on, of the inputs of its slice: those, as they are."""
        del y, training
        return x

    def metric_labels(self, y: Any, sample_weight: Any) -> tuple[Any, Any]:
        """What metrics see of labels and weights; the loss may be given more."""
        return y, sample_weight

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """The loss, as Keras computes it; on several replicas, that of a slice.

        To be overridden as in Keras, with a mean over the examples of `x`. The mean
        of all slices, weighted by their examples, is the loss of the global batch.
        """
        here = shard.current()
        if here is None:
            return super().compute_loss(x, y, y_pred, sample_weight, training=training)
        losses = []
        compiled = keras_private.compiled_loss(self)
        if compiled is not None:
            share = compiled(y, y_pred, sample_weight)
            if share is not None:
                # From a share of the whole to a mean over the slice.
                factor = tf.math.divide_no_nan(
                    tf.cast(here.size, share.dtype), tf.cast(here.count, share.dtype)
                )
                losses.append(share * factor)
        losses += [_as_float(tf.reduce_sum(loss)) for loss in self.losses]
        if not losses:
            raise ValueError(
                "No loss to compute. Provide a `loss` argument in `compile()`."
            )
        return keras.ops.sum(losses) if len(losses) > 1 else losses[0]

    def _track_loss(self, loss: Any, x: Any) -> None:
        tracker = keras_private.loss_tracker(self)
        here = shard.current()
        if here is None:
            step_loss.tell(loss)
            rows = tf.shape(next(t for t in keras.tree.flatten(x) if t is not None))[0]
            tracker.update_state(loss, sample_weight=rows)
            return
        if loss.shape.rank:  # A loss without reduction: what is shown is its mean.
            each = loss * here.share(loss.dtype)
            each = tf.reduce_mean(tf.reshape(each, [tf.shape(each)[0], -1]), axis=1)
            rows = here.row_weights(tf.shape(each)[0], each.dtype)
            count = tf.cast(here.count, each.dtype)
            loss = tf.math.divide_no_nan(tf.reduce_sum(each * rows), count)
        tracker.update_state(loss, sample_weight=here.count)
        step_loss.tell(loss * here.share(loss.dtype))

    def _update_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any
    ) -> dict[str, Any]:
        y, sample_weight = self.metric_labels(y, sample_weight)
        here = shard.current()
        if here is not None and here.filled:
            rows = tf.shape(keras.tree.flatten(y_pred)[0])[0]
            keras_private.update_compiled_metrics_by_row(
                self,
                y,
                y_pred,
                sample_weight,
                here.row_weights(rows, tf.as_dtype(keras.config.floatx())),
            )
            return self.get_metrics_result()
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def _as_float(tensor: tf.Tensor) -> tf.Tensor:
    if tensor.dtype.is_floating:
        return tensor
    return tf.cast(tensor, keras.config.floatx())
