"""A random search by KerasTuner, in an environment of its own.

Arguments: the arrays (.npz), trials, epochs, a folder. The model and its optimizer are
those of kerascale's `mlp` on the digits. Prints what it took, as JSON.
"""

import json
import sys
import time

import keras
import keras_tuner
import numpy as np


def main() -> None:
    path, trials, epochs, folder = sys.argv[1:]
    arrays = np.load(path)
    steps = -(-len(arrays["x_train"]) // 32)

    def build(hp: keras_tuner.HyperParameters) -> keras.Model:
        rate = hp.Float("learning_rate", 1e-3, 1e-2, sampling="log")
        model = keras.Sequential(
            [
                keras.Input(arrays["x_train"].shape[1:]),
                keras.layers.Rescaling(1 / 16),
                keras.layers.Flatten(),
                keras.layers.Dense(128, activation="relu"),
                keras.layers.Dropout(hp.Float("dropout", 0.0, 0.5)),
                keras.layers.Dense(10, activation="softmax"),
            ]
        )
        decay = keras.optimizers.schedules.ExponentialDecay(rate, steps, 0.85)
        model.compile(
            keras.optimizers.Adam(decay),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        return model

    began = time.monotonic()
    tuner = keras_tuner.RandomSearch(
        build,
        objective=keras_tuner.Objective("val_loss", "min"),
        max_trials=int(trials),
        seed=1,
        directory=folder,
        project_name="search",
        overwrite=True,
    )
    tuner.search(
        arrays["x_train"],
        arrays["y_train"],
        batch_size=32,
        epochs=int(epochs),
        validation_data=(arrays["x_validation"], arrays["y_validation"]),
        verbose=0,
    )
    best = tuner.oracle.get_best_trials(1)[0].score
    print(json.dumps({"seconds": time.monotonic() - began, "best": best}))


if __name__ == "__main__":
    main()
