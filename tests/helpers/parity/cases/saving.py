"""Models saved after a training on replicas, to be loaded by plain Keras."""

import building
import keras
import numpy as np
from building import BATCH, classes, numbers, result, scaled, trained
from registry import case


def _saved(model, found, x):
    """Saves the model beside the results; `test_saving.py` loads it."""
    # Each worker has all of the model; they must not write one file.
    name = f"{building.case_name}.{building.worker}.keras"
    model.save(building.output / name)
    np.savez(
        building.output / f"{building.case_name}.{building.worker}.saved.npz",
        x=x,
        predictions=model.predict(x, verbose=0),
        trainable=np.concatenate([v.numpy().ravel() for v in model.trainable_weights]),
    )
    return found


@case("saved: Functional", default=("mirrored:2", "workers:2"))
def saved_functional():
    x = y = keras.Input((4,))
    y = keras.layers.Dense(8, activation="tanh")(y)
    y = keras.layers.BatchNormalization(momentum=0.9)(y)
    y = keras.layers.Dense(3, activation="softmax")(y)
    model = scaled(keras.Model(x, y))
    return _saved(
        model, trained(model, epochs=2, validation=True), numbers(7, 4, seed=4)
    )


@case("saved: Sequential")
def saved_sequential():
    layers = [keras.layers.Dense(8, activation="tanh"), keras.layers.Dense(3)]
    model = scaled(keras.Sequential([*layers, keras.layers.Softmax()]))
    return _saved(model, trained(model, epochs=2), numbers(7, 4, seed=4))


@case(
    "saved: MobileNetV3Small",
    deterministic=False,
    strategies=("mirrored:2", "workers:2"),
)
def saved_mobilenet():
    model = scaled(
        keras.applications.MobileNetV3Small(
            input_shape=(32, 32, 3),
            weights=None,
            classes=5,
            alpha=0.35,
            minimalistic=True,
        )
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x = numbers(18, 32, 32, 3)
    history = model.fit(x, classes(18, count=5), batch_size=6, shuffle=False, verbose=0)
    return _saved(model, result(model, history), x[:BATCH])
