"""Layers that normalise: over the global batch, or within an example."""

import keras
import numpy as np
from building import classes, mlp, numbers, result, scaled, trained
from registry import case


@case(
    "BatchNormalization",
    default=("mirrored:2", "workers:2"),
    precisions=("float64", "float32"),
)
def batch_normalization():
    layers = [
        keras.layers.Dense(8, name="before_norm"),
        keras.layers.BatchNormalization(momentum=0.8),
        keras.layers.Activation("tanh"),
    ]
    return trained(
        mlp(*layers), optimizer=keras.optimizers.SGD(0.1, momentum=0.5), validation=True
    )


@case("BatchNormalization of images", default=("mirrored:4",), examples=151)
def batch_normalization_images():
    x = y = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(3, 3, use_bias=False)(y)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    y = keras.layers.Flatten()(keras.layers.ReLU()(y))
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), numbers(151, 4, 4, 2), n=151)


@case("BatchNormalization of masked sequences")
def batch_normalization_masked():
    x = numbers(145, 6, 3)
    lengths = np.random.default_rng(4).integers(1, 7, 145)
    x[np.arange(6) >= lengths[:, None]] = 0
    inputs = keras.Input((6, 3))
    y = keras.layers.Masking()(inputs)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    y = keras.layers.LSTM(4)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(inputs, y)), x, validation=True)


@case("GroupNormalization, LayerNormalization")
def group_normalization():
    x = y = keras.Input((4, 4, 2))
    y = keras.layers.Conv2D(4, 3, use_bias=False)(y)
    y = keras.layers.GroupNormalization(2)(y)
    y = keras.layers.Flatten()(keras.layers.ReLU()(y))
    y = keras.layers.LayerNormalization()(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    return trained(scaled(keras.Model(x, y)), numbers(145, 4, 4, 2))


@case(
    "MobileNetV2, 5 steps",
    strategies=("mirrored:2", "workers:2"),
    examples=6,
)
def mobilenet_v2():
    model = scaled(
        keras.applications.MobileNetV2(
            weights=None, input_shape=(96, 96, 3), classes=10
        )
    )
    model.compile(
        # At a rate of 0.01 what one rounding changes grows tenfold with each step.
        keras.optimizers.SGD(0.001),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    x, y = numbers(30, 96, 96, 3), classes(30, count=10)
    history = model.fit(x, y, batch_size=6, verbose=0, shuffle=False)
    return result(model, history, x, y)
