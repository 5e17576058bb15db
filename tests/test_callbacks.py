"""Callbacks that a run relies on."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.callbacks import FailOnNonFinite, SaveWeights


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    return model


def _values(path, model):
    model.load_weights(path)
    return model.get_weights()


def test_save_weights_keeps_the_best(model, tmp_path):
    callback = SaveWeights(tmp_path / "best.weights.h5", "val_loss")
    callback.set_model(model)
    for number, loss in enumerate([3.0, 1.0, 2.0, 1.0, float("nan")]):
        model.set_weights([np.full((2, 1), number), np.zeros(1)])
        callback.on_epoch_end(number, {"val_loss": loss})
    # The first of equals, and never a NaN.
    assert _values(callback.path, model)[0][0, 0] == 1


def test_a_save_that_is_interrupted_leaves_the_one_before(model, tmp_path):
    callback = SaveWeights(tmp_path / "last.weights.h5")
    callback.set_model(model)
    callback.on_epoch_end(0, {})
    before = callback.path.read_bytes()

    class Interrupted(keras.Sequential):
        def save_weights(self, path, overwrite=True):
            path.write_bytes(b"half")
            raise KeyboardInterrupt

    callback.set_model(Interrupted())
    with pytest.raises(KeyboardInterrupt):
        callback.on_epoch_end(1, {})
    assert callback.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.weights.h5"]


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_fail_on_non_finite_names_the_update(steps_per_execution):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse", steps_per_execution=steps_per_execution)
    x = np.ones((64, 2), dtype="float32")
    x[40] = np.nan
    with pytest.raises(
        ks.NonFiniteError, match=r"loss became nan in epoch 1, .*update"
    ):
        model.fit(
            x,
            np.ones((64, 1)),
            batch_size=8,
            shuffle=False,
            callbacks=[FailOnNonFinite()],
            verbose=0,
        )
