"""Shapes that data comes in."""

import keras
import numpy as np
from building import classes, numbers, scaled, trained
from registry import case


@case("dict inputs", default=("mirrored:2",))
def dict_inputs():
    inputs = {"a": keras.Input((4,), name="a"), "b": keras.Input((2,), name="b")}
    joined = keras.layers.Concatenate()([inputs["a"], inputs["b"]])
    y = keras.layers.Dense(3, activation="softmax")(joined)
    x = {"a": numbers(145, 4), "b": numbers(145, 2, seed=2)}
    return trained(scaled(keras.Model(inputs, y)), x, classes(145), validation=True)


@case("tuple inputs", default=("mirrored:4",))
def tuple_inputs():
    inputs = (keras.Input((4,)), keras.Input((3, 2)))
    joined = keras.layers.Concatenate()([inputs[0], keras.layers.Flatten()(inputs[1])])
    y = keras.layers.Dense(3, activation="softmax")(joined)
    x = (numbers(145, 4), numbers(145, 3, 2, seed=2))
    return trained(scaled(keras.Model(inputs, y)), x, classes(145), validation=True)


@case("embedding of repeated ids, clipped", default=("workers:2",))
def sparse_gradients():
    ids = np.random.default_rng(3).integers(0, 6, (145, 8))
    x = keras.Input((8,), dtype="int32")
    y = keras.layers.Flatten()(keras.layers.Embedding(6, 3)(x))
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(
        scaled(keras.Model(x, y)),
        ids,
        optimizer=keras.optimizers.SGD(0.5, clipnorm=0.02),
    )


@case("embedding of repeated ids, Adam")
def sparse_gradients_adam():
    ids = np.random.default_rng(3).integers(0, 6, (145, 8))
    x = keras.Input((8,), dtype="int32")
    y = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(9, 3)(x))
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(
        scaled(keras.Model(x, y)), ids, optimizer=keras.optimizers.Adam(0.03)
    )


@case("attention", precisions=("float64",))
def attention():
    x = keras.Input((6, 4))
    y = keras.layers.MultiHeadAttention(2, 3)(x, x)
    y = keras.layers.LayerNormalization()(keras.layers.Add()([x, y]))
    y = keras.layers.GlobalAveragePooling1D()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(
        scaled(keras.Model(x, y)),
        numbers(145, 6, 4),
        optimizer=keras.optimizers.Adam(0.01),
    )


@case("subclassed model with a training argument")
def subclassed():
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(8, activation="tanh")
            self.out = keras.layers.Dense(3, activation="softmax")

        def call(self, x, training=False):
            return self.out(self.hidden(x) * (1.5 if training else 1.0))

    return trained(scaled(Network()))


@case("string inputs of a model that is not compiled", default=("mirrored:2",))
def string_predictions():
    x = keras.Input((), dtype="string")
    vectorizer = keras.layers.TextVectorization(
        output_sequence_length=3, vocabulary=["a", "b"]
    )
    y = keras.layers.Embedding(4, 2)(vectorizer(x))
    y = keras.layers.Dense(3)(keras.layers.Flatten()(y))
    model = scaled(keras.Model(x, y))
    words = np.array(["a b", "b", "a", "b b", "c"], dtype=object)
    return {"predictions/0": model.predict(words, batch_size=2, verbose=0)}
