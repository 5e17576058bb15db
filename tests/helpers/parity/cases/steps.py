"""Plain steps, and last batches that do not divide."""

import keras
from building import mlp, numbers, scaled, trained
from registry import case

BOTH = ("float64", "float32")


@case("SGD", default=("workers:2",), precisions=BOTH, examples=160)
def sgd():
    return trained(mlp(), n=160, validation=True)


@case("last batch uneven", default=("mirrored:2",), precisions=BOTH, examples=151)
def uneven():
    return trained(mlp(), n=151, validation=True)


@case("last batch of one example: Dense", default=("mirrored:2",), precisions=BOTH)
def empty_slice_dense():
    return trained(mlp(), optimizer=keras.optimizers.Adam(0.01), validation=True)


@case("last batch of one example: CNN")
def empty_slice_cnn():
    x = y = keras.Input((6, 6, 1))
    y = keras.layers.Conv2D(3, 3, activation="tanh")(y)
    y = keras.layers.MaxPooling2D(2)(y)
    y = keras.layers.Flatten()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), numbers(145, 6, 6, 1))


@case("last batch of one example: LSTM", default=("mirrored:4",))
def empty_slice_lstm():
    x = y = keras.Input((5, 2))
    y = keras.layers.LSTM(4)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), numbers(145, 5, 2))


@case("last batch of one example: residual CNN")
def empty_slice_residual_cnn():
    x = keras.Input((5, 5, 1))
    y = start = keras.layers.Conv2D(3, 3, padding="same", use_bias=False)(x)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    y = keras.layers.ReLU()(y)
    y = keras.layers.Conv2D(3, 3, padding="same", use_bias=False)(y)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    y = keras.layers.Add()([start, y])
    y = keras.layers.GlobalAveragePooling2D()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), numbers(145, 5, 5, 1), validation=True)
