"""Dropout: ours equals one device; Keras' own can be repeated."""

import building
import keras
import numpy as np
from building import mlp, numbers, scaled, trained
from registry import case

import kerascale as ks


def _dropout_mlp(dropout):
    return mlp(
        keras.layers.Dense(7, activation="tanh"),
        dropout(0.4),
        keras.layers.Dense(5, activation="tanh"),
        dropout(0.3),
    )


@case("kerascale.layers.Dropout, odd width", default=("mirrored:4", "workers:2"))
def dropout():
    return trained(_dropout_mlp(ks.layers.Dropout), validation=True)


@case("kerascale.layers.Dropout of sequences")
def dropout_of_sequences():
    x = keras.Input((5, 3))
    y = ks.layers.Dropout(0.3)(x)
    y = keras.layers.LSTM(4, return_sequences=True)(y)
    y = ks.layers.Dropout(0.5)(y)
    y = keras.layers.Dense(3, activation="softmax")(y[:, -1])
    return trained(scaled(keras.Model(x, y)), numbers(145, 5, 3))


@case("kerascale.layers.Dropout, jit_compile")
def dropout_jit_compile():
    return trained(_dropout_mlp(ks.layers.Dropout), jit_compile=True)


@case("kerascale.layers.Dropout, steps_per_execution=3")
def dropout_steps_per_execution():
    return trained(_dropout_mlp(ks.layers.Dropout), steps_per_execution=3)


@case("kerascale.layers.Dropout, accumulation")
def dropout_accumulation():
    optimizer = keras.optimizers.Adam(0.01, gradient_accumulation_steps=3)
    return trained(_dropout_mlp(ks.layers.Dropout), optimizer=optimizer)


@case("Keras' Dropout: can be repeated", default=("mirrored:2",), deterministic=False)
def stock_dropout():
    return trained(_dropout_mlp(keras.layers.Dropout))


@case(
    "Keras' Dropout: another mask on each replica",
    default=("mirrored:2",),
    deterministic=False,
)
def stock_dropout_masks():
    rows = max(2, building.strategy.num_replicas_in_sync)
    x = keras.Input((64,))
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    model = scaled(keras.Model(x, layer(keras.layers.Dropout(0.5)(x))))
    model.compile(keras.optimizers.SGD(1.0), lambda y, y_pred: y_pred)
    # Equal rows, one for each replica: a weight moves by the mean of its masks.
    model.fit(np.ones((rows, 64)), np.ones((rows, 1)), batch_size=rows, verbose=0)
    moved = -layer.kernel.numpy()
    mixed = (moved > 1e-6) & (moved < 2 - 1e-6)
    assert mixed.sum() > 10, "all replicas drew one mask"
    return {"masks": moved}
