"""Exports whose outputs are bfloat16 or integers: the numbers, and what they are."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import kerascale as ks
from kerascale.serving import graph

X = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
# No float32 has the first of them, no float64 the second.
IDS = np.array([[2**24 + 1], [2**53 + 1], [7]], "int64")


class Subclass(ks.Model):
    def __init__(self):
        super().__init__()
        self.hidden = layers.Dense(8, activation="relu")
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        return self.dense(self.hidden(x))


def _with_ids():
    ids = keras.Input((1,), dtype="int64", name="ids")
    vectors = layers.Flatten()(layers.Embedding(16, 4)(layers.Hashing(16)(ids)))
    scores = layers.Dense(3, activation="softmax", name="scores")(vectors)
    return ks.scale(keras.Model(ids, {"ids": layers.Identity()(ids), "scores": scores}))


@pytest.fixture(autouse=True)
def _in_halves():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def _served(path, **inputs):
    serve = tf.saved_model.load(str(path)).signatures["serving_default"]
    return serve(**{name: tf.constant(array) for name, array in inputs.items()})


def test_outputs_of_bfloat16_are_the_models(tmp_path):
    model = Subclass()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, np.zeros(6), verbose=0)
    path = ks.export_saved_model(model, tmp_path, labels=("a", "b", "c"))
    said = graph.read_signatures(path)
    assert said["serving_default"]["outputs"]["probabilities"]["dtype"] == "bfloat16"
    assert said["classify"]["outputs"]["scores"]["dtype"] == "float32"
    found = _served(path, features=X)["probabilities"].numpy()
    expected = model.predict(X, verbose=0)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(*(a.astype("float32") for a in (found, expected)))


def test_integers_stay_integers(tmp_path):
    model = _with_ids()
    path = ks.export_saved_model(model, tmp_path, inputs=IDS)
    said = graph.read_signatures(path)["serving_default"]
    assert said["inputs"]["ids"]["dtype"] == "int64"
    assert {n: o["dtype"] for n, o in said["outputs"].items()} == {
        "ids": "int64",
        "scores": "bfloat16",
    }
    np.testing.assert_array_equal(_served(path, ids=IDS)["ids"], IDS)
    np.testing.assert_array_equal(model.predict(IDS, verbose=0)["ids"], IDS)
