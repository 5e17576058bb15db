"""Files of weights that only get new numbers hold what Keras would write."""

import io

import h5py
import keras
import numpy as np
import pytest

from kerascale.engine import weights_file


def _trained(model):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)).astype("float32")
    model.fit(x, x[:, 0] > 0, batch_size=16, verbose=0)


def _model(dtype="float32"):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(7, activation="relu", dtype=dtype),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.1, seed=1),
            keras.layers.Dense(1, use_bias=False),
        ]
    )
    # Compiled as most are; its moments and counts are in the file too.
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def _contents(file):
    """Of each group and dataset its attributes, type and bytes."""
    found = {}

    def note(name, item):
        data = item[()].tobytes() if isinstance(item, h5py.Dataset) else b""
        found[name] = (dict(item.attrs), getattr(item, "dtype", None), data)

    with h5py.File(file, "r") as opened:
        opened.visititems(note)
    return found


def _equals_keras(model, tmp_path):
    path = tmp_path / "keras.weights.h5"
    model.save_weights(path)
    expected = _contents(path)
    assert expected
    return _contents(io.BytesIO(weights_file.content(model))) == expected


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "mixed_float16", "float64"])
def test_each_file_is_that_of_keras(tmp_path, dtype):
    model = _model(dtype)
    for _ in range(3):
        _trained(model)
        assert _equals_keras(model, tmp_path)
    # Another optimizer is other variables.
    model.compile("sgd", "binary_crossentropy")
    for _ in range(2):
        _trained(model)
        assert _equals_keras(model, tmp_path)


def test_a_model_that_is_not_compiled(tmp_path):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    for number in range(3):
        model.set_weights([np.full((5, 2), number), np.zeros(2)])
        assert _equals_keras(model, tmp_path)


class _Doubled(keras.layers.Dense):
    """Writes what is no variable."""

    def save_own_variables(self, store):
        store["0"] = 2 * self.kernel
        store["1"] = self.bias


def test_what_a_layer_computes_is_computed_each_time(tmp_path):
    model = keras.Sequential([keras.Input((5,)), _Doubled(1)])
    model.compile("sgd", "mse")
    for _ in range(2):
        _trained(model)
        assert _equals_keras(model, tmp_path)
