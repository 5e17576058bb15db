"""Trainings whose rows know of each other: the same on one device and on two.

Each function makes a compiled model, and the arguments of `fit`. Batches are of 32
rows, the last of one: its second slice is empty.
"""

import importlib
import pathlib
import sys

import keras
import tensorflow as tf
from keras import layers, ops

import kerascale as ks

sys.path.insert(0, str(pathlib.Path(__file__).parents[3] / "docs" / "examples"))

ROWS, BATCH_SIZE, EPOCHS = 97, 32, 3

EXAMPLES = (
    "gan",
    "mean_teacher",
    "simclr",
    "supervised_contrastive",
    "two_towers",
    "vae",
)


def example(name):
    """That of docs/examples."""

    def make():
        module = importlib.import_module(name)
        # Its data have no end, and no smaller batch there.
        size = BATCH_SIZE + 1 if name == "simclr" else BATCH_SIZE
        return module.make(), module.data(rows=ROWS, batch_size=size)

    return make


def _digits():
    digits = ks.datasets.read("digits").train
    x = digits.features[:ROWS].reshape(ROWS, 64) / 16
    return {"x": x, "y": digits.labels[:ROWS], "batch_size": BATCH_SIZE}


class Averaged(ks.Model):
    """Keeps the mean of its weights over all updates, and their number."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(10)
        self.updates = self.add_weight(
            name="updates", shape=(), initializer="zeros", trainable=False
        )

    def build(self, input_shape):
        self.dense.build(input_shape)
        self.mean = self.add_weight(shape=(64, 10), trainable=False)

    def call(self, x):
        return self.dense(x)

    def after_update(self):
        self.updates.assign_add(1)
        self.mean.assign(0.9 * self.mean + 0.1 * self.dense.kernel)


class OwnStep(Averaged):
    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            logits = self(x, training=True)
            loss = self.compute_loss(y=y, y_pred=logits)
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        return {"loss": loss}


def _averaged(kind, **options):
    def make():
        model = kind()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-2, **options), loss)
        return model, _digits()

    return make


class GlobalMean(ks.Model):
    """Its loss is a mean over some of the rows: each slice has its own number."""

    def __init__(self):
        super().__init__()
        self.dense = layers.Dense(10)

    def call(self, x):
        return self.dense(x)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        each = keras.losses.sparse_categorical_crossentropy(y, y_pred, True)
        near = ops.square(y_pred - ks.ops.global_mean(y_pred))
        counted = ks.ops.global_mean(each, mask=y > 3)
        return counted + 0.1 * ops.sqrt(ks.ops.global_mean(near))


class Remembering(layers.Layer):
    """Takes off a moving mean, and counts the rows that it has seen."""

    def build(self, shape):
        self.mean = self.add_weight(shape=shape[1:], trainable=False)
        self.seen = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x, training=False):
        if training:
            rows = ks.ops.gather(x)
            self.mean.assign(0.9 * self.mean + 0.1 * ops.mean(rows, axis=0))
            self.seen.assign_add(ops.cast(ops.shape(rows)[0], self.seen.dtype))
        return x - self.mean


class Logging(ks.Model):
    """With logs of its own that are no means over rows."""

    def __init__(self):
        super().__init__()
        self.part = keras.Sequential([Remembering(), layers.Dense(10)])

    def call(self, x, training=False):
        return self.part(x, training=training)

    def train_step(self, data):
        logs = super().train_step(data)
        labels = ops.cast(ks.ops.gather(data[1]), "float64")
        return {**logs, "highest": ops.max(labels), "spread": ops.std(labels)}


def _layer_and_logs():
    model = Logging()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    return model, _digits()


def _global_mean():
    model = GlobalMean()
    model.compile(keras.optimizers.Adam(1e-2))
    return model, _digits()


class TwoTimes(ks.Model):
    """As in a guide of Keras: no `call`, an unused optimizer, a loss of compile."""

    def __init__(self):
        super().__init__()
        self.first = keras.Sequential([keras.Input((64,)), layers.Dense(8, "tanh")])
        self.second = keras.Sequential([keras.Input((8,)), layers.Dense(10)])
        self.loss_tracker = keras.metrics.Mean(name="mine")

    def compile(self, optimizers, loss_fn):
        super().compile()
        self.first_optimizer, self.second_optimizer = optimizers
        self.loss_fn = loss_fn

    def train_step(self, data):
        x, y = data
        pairs = (
            (self.first, self.first_optimizer),
            (self.second, self.second_optimizer),
        )
        for part, optimizer in pairs:
            with tf.GradientTape() as tape:
                loss = self.loss_fn(y, self.second(self.first(x)))
            gradients = tape.gradient(loss, part.trainable_weights)
            optimizer.apply_gradients(
                zip(gradients, part.trainable_weights, strict=True)
            )
        self.loss_tracker.update_state(loss)
        return {"mine": self.loss_tracker.result()}


def _two_times():
    model = TwoTimes()
    model.compile(
        (keras.optimizers.Adam(1e-2), keras.optimizers.SGD(0.1, momentum=0.9)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model, _digits()


CASES = {
    **{name: example(name) for name in EXAMPLES},
    "after_update": _averaged(Averaged),
    "after_update_of_own_step": _averaged(OwnStep),
    "after_update_of_sums": _averaged(Averaged, gradient_accumulation_steps=2),
    "global_mean": _global_mean,
    "layer_and_logs": _layer_and_logs,
    "two_times": _two_times,
}
