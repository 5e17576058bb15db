"""Trainings that slices of a batch would change: each kind is refused by its name.

Each function makes a compiled model, and the arguments of `fit`.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

import kerascale as ks

ROWS, BATCH_SIZE = 24, 8
_RNG = np.random.default_rng(0)
X = _RNG.normal(size=(ROWS, 6))
Y = X[:, :1] + 0.3 * _RNG.normal(size=(ROWS, 1))
LABELS = _RNG.integers(0, 3, ROWS)

FIT = {"x": X, "y": Y, "batch_size": BATCH_SIZE}
CLASSES = {**FIT, "y": LABELS}


def contrastive(y_true, y_pred):
    """Supervised contrastive, a value for each row, of this slice alone."""
    y, z = ops.reshape(y_true, (-1,)), ops.normalize(y_pred, axis=1)
    same = ops.cast(ops.equal(y[:, None], y[None, :]), z.dtype)
    logits = ops.matmul(z, ops.transpose(z)) / 0.5
    alike = ops.sum(same * ops.log_softmax(logits, axis=1), axis=1)
    return -alike / ops.sum(same, axis=1)


def rmse(y_true, y_pred):
    return ops.sqrt(ops.mean(ops.square(y_true - y_pred)))


def sequential(*before, units=1):
    return ks.scale(keras.Sequential([keras.Input((6,)), *before, layers.Dense(units)]))


def compiled(model, loss="mse", data=FIT, **options):
    if not model.built:
        model.build((None, 6))
    model.compile(keras.optimizers.SGD(0.01), loss, **options)
    return model, data


class Plain(ks.Model):
    """One layer, for subclasses with something of their own."""

    units = 1

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(self.units)

    def build(self, input_shape):
        self.dense.build((None, 6))

    def call(self, x):
        return self.dense(x)


def contrastive_in_compile():
    return compiled(sequential(units=4), contrastive, CLASSES)


def contrastive_in_compute_loss():
    class InBatch(Plain):
        units = 4

        def compute_loss(
            self, x=None, y=None, y_pred=None, sample_weight=None, training=True
        ):
            return ops.mean(contrastive(y, y_pred))

    return compiled(InBatch(), None, CLASSES)


def scalar_that_is_no_mean():
    return compiled(sequential(), rmse)


def scalar_that_is_no_mean_in_evaluate():
    return compiled(sequential(), rmse, {**FIT, "call": "evaluate"})


def evaluation_behind_a_step_of_ones_own():
    """What the train step does tells nothing of Keras' own test step."""

    class Silent(Plain):
        def train_step(self, data):
            return {"mean": ops.mean(data[1])}

        def fit_and_evaluate(self, **data):
            self.fit(**data)
            return self.evaluate(**data)

    return compiled(Silent(), rmse, {**FIT, "call": "fit_and_evaluate"})


def added_sum():
    class Added(layers.Layer):
        def call(self, x):
            self.add_loss(0.1 * ops.sum(ops.square(x)))
            return x

    return compiled(sequential(Added()))


def moving_mean():
    class Moving(layers.Layer):
        def build(self, shape):
            self.mean = self.add_weight(
                name="mean", shape=(6,), initializer="zeros", trainable=False
            )

        def call(self, x, training=False):
            if training:
                self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(x, axis=0))
            return x - self.mean

    return compiled(sequential(Moving(name="moving")))


def counter():
    class Counter(layers.Layer):
        def build(self, shape):
            self.seen = self.add_weight(
                name="seen", shape=(), initializer="zeros", trainable=False
            )

        def call(self, x, training=False):
            if training:
                self.seen.assign_add(ops.cast(ops.shape(x)[0], self.seen.dtype))
            return x

    return compiled(sequential(Counter(name="counter")))


def running_maximum():
    class Largest(keras.metrics.Metric):
        def __init__(self):
            super().__init__(name="largest")
            self.value = self.add_weight(name="value", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.value.assign(ops.maximum(self.value, ops.max(y_pred)))

        def result(self):
            return self.value

    return compiled(sequential(), metrics=[Largest()])


def own_clipping():
    class Clipping(Plain):
        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            weights = self.trainable_weights
            gradients, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 0.1)
            self.optimizer.apply_gradients(zip(gradients, weights, strict=True))
            return self.compute_metrics(x, y, y_pred)

    return compiled(Clipping())


def table():
    class WithTable(Plain):
        def call(self, inputs):
            x, table = inputs
            return self.dense(x) * ops.sum(table**2)

    rows = tf.data.Dataset.from_tensor_slices((X, Y)).batch(BATCH_SIZE)
    table = tf.linspace(tf.constant(-1.0, tf.float64), 1.0, BATCH_SIZE)
    data = rows.map(lambda x, y: ((x, table), y))
    return compiled(WithTable(), data={"x": data})


def mean_of_the_batch():
    class Centred(Plain):
        def call(self, x):
            return self.dense(x - ops.mean(x, axis=0, keepdims=True))

    return compiled(Centred())


def stateful():
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(BATCH_SIZE, 6, 1)),
            layers.LSTM(2, stateful=True, name="remembers"),
            layers.Dense(1),
        ]
    )
    return compiled(ks.scale(model), data={**FIT, "x": X[..., None]})


def stateful_in_predict():
    model, data = stateful()
    return model, {"x": data["x"], "batch_size": BATCH_SIZE, "call": "predict"}


def scalar_prediction():
    class Mean(Plain):
        def call(self, x):
            return ops.mean(self.dense(x))

        def predict_batch(self, x, verbose):
            return self.predict_on_batch(x)

    return compiled(Mean(), data={"x": X[:BATCH_SIZE], "call": "predict_batch"})


_OUTSIDE = keras.metrics.MeanAbsoluteError(name="outside")


def metric_of_no_scope():
    return compiled(sequential(), metrics=[_OUTSIDE])


def loss_made_inside():
    class Inside(Plain):
        def __init__(self):
            super().__init__()
            self.mine = keras.metrics.Mean(name="mine")

        def train_step(self, data):
            x, y = data
            with tf.GradientTape() as tape:
                loss = keras.losses.MeanSquaredError()(y, self(x, training=True))
            weights = self.trainable_weights
            self.optimizer.apply(tape.gradient(loss, weights), weights)
            self.mine.update_state(loss)
            return {"mine": self.mine.result()}

    return compiled(Inside(), None)


def log_that_is_no_mean():
    class Logging(Plain):
        def train_step(self, data):
            logs = super().train_step(data)
            return {**logs, "highest": ops.max(data[1])}

    return compiled(Logging())


CASES = {
    function.__name__: function
    for function in (
        contrastive_in_compile,
        contrastive_in_compute_loss,
        scalar_that_is_no_mean,
        scalar_that_is_no_mean_in_evaluate,
        evaluation_behind_a_step_of_ones_own,
        added_sum,
        moving_mean,
        counter,
        running_maximum,
        own_clipping,
        table,
        mean_of_the_batch,
        stateful,
        stateful_in_predict,
        scalar_prediction,
        metric_of_no_scope,
        loss_made_inside,
        log_that_is_no_mean,
    )
}
