"""Trainings that slices do not change, though they look as if: none is refused.

Each function makes a compiled model, and the arguments of `fit`.
"""

import keras
import tensorflow as tf
from helpers.slices.refused import CLASSES, FIT, Plain, X, compiled, sequential
from keras import layers, ops

import kerascale as ks

_ENTROPY = keras.losses.sparse_categorical_crossentropy


def flattened_values():
    def loss(y_true, y_pred):
        labels, logits = ops.reshape(y_true, (-1,)), ops.reshape(y_pred, (-1, 3))
        return _ENTROPY(labels, logits, from_logits=True)

    model = keras.Sequential([keras.Input((5, 6)), layers.Dense(3)])
    x = X[:, None].repeat(5, 1)
    labels = (X[:, :5] > 0).astype("int32") + (X[:, :5] > 1)
    return compiled(ks.scale(model), loss, {**FIT, "x": x, "y": labels})


def values_of_some_rows():
    def loss(y_true, y_pred):
        counted = y_true[:, 0] > 0
        y_true, y_pred = (tf.boolean_mask(t, counted) for t in (y_true, y_pred))
        return ops.square(y_true - y_pred)[:, 0]

    return compiled(sequential(), loss)


def scalar_metric():
    def distance(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred))

    # The last batch is of one row.
    data = {name: FIT[name][:17] for name in ("x", "y")}
    return compiled(sequential(), data={**data, "batch_size": 8}, metrics=[distance])


def scalar_loss():
    def loss(y_true, y_pred):
        return ops.mean(ops.square(y_true - y_pred))

    return compiled(sequential(), loss)


class OwnLoss(Plain):
    """A mean of a user's own, which of no rows is not a number."""

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None):
        return ops.mean(ops.square(y - y_pred))


def batches_of_two():
    data = {name: FIT[name][:6] for name in ("x", "y")}
    return compiled(OwnLoss(), data={**data, "batch_size": 2})


def much_state():
    """Of layers, of metrics, of an optimizer with slots, and of seeds."""
    model = sequential(
        layers.Dense(8, activation="relu"),
        layers.BatchNormalization(),
        ks.layers.Dropout(0.4, seed=1),
        units=3,
    )
    model.compile(
        keras.optimizers.Adam(0.01, clipnorm=0.1, use_ema=True),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model, {**CLASSES, "validation_data": (X[:7], CLASSES["y"][:7])}


CASES = {
    function.__name__: function
    for function in (
        flattened_values,
        values_of_some_rows,
        scalar_metric,
        scalar_loss,
        batches_of_two,
        much_state,
    )
}
