"""Copies of scaled models, and the names under which they are saved."""

import copy
import json
import pickle
import zipfile

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.engine.model import Engine
from kerascale.engine.parity import check

X = np.random.default_rng(0).normal(size=(16, 4)).astype("float32")
Y = X[:, :1]


@keras.saving.register_keras_serializable(package="shop", name="Net")
class Registered(keras.Model):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


@keras.saving.register_keras_serializable(package="shop")
class Own(ks.Model):
    def __init__(self, **arguments):
        super().__init__(**arguments)
        self.dense = keras.layers.Dense(1)

    def call(self, x):
        return self.dense(x)


def _functional():
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(1)(inputs))


def _sequential():
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])


MODELS = {
    "sequential": _sequential,
    "functional": _functional,
    "registered": Registered,
    "own": Own,
}


def _scaled(name):
    model = MODELS[name]()
    options = {"execution": "fixed", "check": "never"}
    return model if name == "own" else ks.scale(model, **options)


def _fitted(model):
    model.compile(keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    model.fit(X, Y, batch_size=8, verbose=0)
    return model


def _pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("sequential", _pickled),
        ("functional", copy.copy),
        ("registered", _pickled),
        ("own", copy.deepcopy),
    ],
)
def test_a_copy_is_scaled_too_and_goes_on_alike(name, way):
    new = way(_scaled(name))
    assert isinstance(new, Engine)
    model = _fitted(_scaled(name))
    model.predict(X, batch_size=8, verbose=0)  # Functions that no pickle takes.
    other = way(model)
    assert isinstance(other, Engine)
    if name != "own":
        assert other.execution == "fixed"
        assert not check.is_due(other, "train")
    assert keras.saving.get_registered_name(type(other)) == (
        keras.saving.get_registered_name(type(model))
    )
    for each in (model, other):
        each.fit(X, Y, batch_size=8, verbose=0, shuffle=False)
    for one, two in zip(model.variables, other.variables, strict=True):
        assert one is not two
        np.testing.assert_allclose(one, two, rtol=1e-6)
    steps = [int(each.optimizer.iterations) for each in (model, other)]
    assert steps == [4, 4]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_clone_has_its_own_weights(name):
    model = _fitted(_scaled(name))
    clone = keras.models.clone_model(model)
    # Others are made by Keras of their names.
    assert isinstance(clone, Engine) == (name in ("functional", "own"))
    before = model.get_weights()
    _fitted(ks.scale(clone))
    for one, two in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_registered_class_keeps_its_name(tmp_path):
    model = _fitted(_scaled("registered"))
    path = tmp_path / "model.keras"
    model.save(path)
    with zipfile.ZipFile(path) as file:
        written = json.loads(file.read("config.json"))
    assert written["registered_name"] == "shop>Net"
    loaded = keras.models.load_model(path)
    assert type(loaded) is Registered  # As in a process that scales nothing.
    np.testing.assert_allclose(loaded(X), model(X), rtol=1e-6)


def test_a_class_may_say_that_it_is_not_checked():
    class Known(Own):
        check = "never"

    assert not check.is_due(Known(), "train")
    assert check.is_due(Own(), "train")
