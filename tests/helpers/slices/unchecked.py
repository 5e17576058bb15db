"""Models that are trained though slices are not shown to be the batch."""

import keras
import tensorflow as tf
from helpers.slices.refused import CLASSES, Plain, compiled, contrastive, sequential
from keras import layers, ops

import kerascale as ks


def told():
    """It couples rows, and is believed not to."""
    model = sequential(units=4)
    return compiled(ks.scale(model, check="never"), contrastive, CLASSES)


def seeded():
    class Noise(layers.Layer):
        def __init__(self):
            super().__init__(name="noise")
            self.seeds = keras.random.SeedGenerator(0)

        def call(self, x, training=False):
            return x + keras.random.normal(ops.shape(x), seed=self.seeds)

    return compiled(sequential(Noise()))


def unseeded():
    class Noise(layers.Layer):
        def call(self, x, training=False):
            return x + tf.random.normal(tf.shape(x), dtype=x.dtype)

    return compiled(sequential(Noise()))


def unseeded_of_keras():
    """In a layer and in a step: Keras has a generator for each thread."""

    class Noise(layers.Layer):
        def call(self, x, training=False):
            return x + 0.1 * keras.random.normal(ops.shape(x), dtype=x.dtype)

    class Noisy(Plain):
        def __init__(self):
            super().__init__()
            self.noise = Noise()

        def call(self, x):
            return self.dense(self.noise(x))

        def train_step(self, data):
            x, y = data
            return super().train_step(
                (x, y + keras.random.uniform((1, 1), dtype=y.dtype))
            )

    return compiled(Noisy())


def rated():
    """The rate of Keras' own dropout is taken for nothing while slices are compared."""
    return compiled(sequential(layers.Dropout(0.5)))


CASES = {
    function.__name__: function
    for function in (
        told,
        seeded,
        unseeded,
        unseeded_of_keras,
        rated,
    )
}
