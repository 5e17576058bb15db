"""`evaluate` and `predict` on digits, in one call and batch by batch, on replicas.

    python beside_worker.py STRATEGY

STRATEGY is a name of `kerascale.strategies.get`; TF_CONFIG says which worker this is.
It prints what agreed, and how often TensorFlow was called.
"""

import json
import sys

import keras
import numpy as np

import kerascale as ks

BATCH = 32


class Everything(keras.callbacks.Callback):
    """Wants to be told of each batch, so that they are run one by one."""

    def on_test_batch_end(self, batch, logs=None):
        pass

    def on_predict_batch_end(self, batch, logs=None):
        pass


class Brightness(keras.layers.Layer):
    """The mean of each image, by which the rows of answers are known again."""

    def call(self, x):
        return keras.ops.mean(x, axis=(1, 2))


def main(strategy):
    strategy = ks.strategies.get(strategy)
    data = ks.datasets.read("digits").train
    x = np.asarray(data.features, "float32")
    y = np.asarray(data.labels)
    rows = len(y) // BATCH * BATCH - BATCH + 1  # The last batch is of one row.
    x, y = x[:rows], y[:rows]
    keras.utils.set_random_seed(1)
    with strategy.scope():
        image = keras.Input(x.shape[1:])
        hidden = keras.layers.Flatten()(image)
        hidden = keras.layers.Dense(16, activation="relu")(hidden)
        kind = keras.layers.Dense(10, activation="softmax", name="kind")(hidden)
        mean = Brightness(name="mean")(image)
        model = ks.scale(keras.Model(image, {"kind": kind, "mean": mean}))
        model.compile(
            "adam",
            {"kind": "sparse_categorical_crossentropy", "mean": "mse"},
            metrics={"kind": "accuracy"},
        )
    given = {"batch_size": BATCH, "verbose": 0}
    each = {**given, "callbacks": [Everything()]}
    together = model.predict(x, **given)
    calls = {"predict": model.predict_function is not None}
    one_by_one = model.predict(x, **each)
    found = {
        "predict": all(
            np.array_equal(together[name], one_by_one[name]) for name in one_by_one
        ),
        "rows": all(len(values) == rows for values in together.values()),
        "order": bool(
            np.allclose(np.ravel(together["mean"]), np.ravel(x.mean(axis=(1, 2))))
        ),
    }
    labels = {"kind": y, "mean": y / 10}
    scores = model.evaluate(x, labels, return_dict=True, **given)
    calls["evaluate"] = model.test_function.num_calls
    found["evaluate"] = scores == model.evaluate(x, labels, return_dict=True, **each)
    calls["one by one"] = model.test_function.num_calls - calls["evaluate"]
    # A fit in between: its variables are those that predict.
    model.fit(x[:64], {"kind": y[:64], "mean": y[:64] / 10}, **given)
    after = model.predict(x, **given)
    one_by_one = model.predict(x, **each)
    found["after fit"] = np.array_equal(after["kind"], one_by_one["kind"])
    found["trained"] = not np.array_equal(after["kind"], together["kind"])
    print(json.dumps({"found": found, "calls": calls, "batches": -(-rows // BATCH)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
