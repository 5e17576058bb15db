"""The state of a training: all of it is captured, and all of it is given back."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.engine import state


def _trained(seed, epochs=1):
    keras.utils.set_random_seed(seed)
    model = ks.scale(
        keras.Sequential(
            [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(2)]
        )
    )
    model.compile("adam", "mse", metrics=["mae"])
    generator = np.random.default_rng(seed)
    x, y = generator.normal(size=(8, 3)), generator.normal(size=(8, 2))
    model.fit(x, y, batch_size=4, epochs=epochs, verbose=0)
    return model


def test_every_variable_is_given_back():
    one, other = _trained(0), _trained(1, epochs=3)
    arrays = state.capture(one)
    state.restore(other, arrays)
    for theirs, ours in (
        *zip(one.variables, other.variables, strict=True),
        *zip(one.optimizer.variables, other.optimizer.variables, strict=True),
    ):
        np.testing.assert_array_equal(theirs.numpy(), ours.numpy(), theirs.path)
    assert other.get_metrics_result() == one.get_metrics_result()


def test_what_is_missing_is_refused():
    model = _trained(0)
    arrays = state.capture(model)
    del arrays[max(arrays)]
    with pytest.raises(ks.RefusedError, match="expected in the checkpoint"):
        state.restore(model, arrays)
