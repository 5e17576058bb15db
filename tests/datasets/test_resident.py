"""Copies of arrays as tensors, whose memory is used again."""

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.datasets import resident

_LARGE = 2**21  # float32: 8 MiB.


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(resident, "_kept", [])


def test_memory_is_used_again_once_nobody_holds_it():
    one = resident.tensor(np.arange(_LARGE, dtype="float32"))
    two = resident.tensor(np.ones(_LARGE, "float32"))
    assert one[5] == 5
    assert len(resident._kept) == 2
    rows = one[:2] + 0
    del one
    three = resident.tensor(np.zeros(_LARGE, "float32"))
    assert len(resident._kept) == 2
    assert two[0] == 1
    assert three[5] == 0
    np.testing.assert_array_equal(rows, [0, 1])


def test_what_is_kept_has_a_limit(monkeypatch):
    monkeypatch.setattr(resident, "_MOST_KEPT_BYTES", 5 * _LARGE)
    one = resident.tensor(np.ones(_LARGE, "float32"))
    two = resident.tensor(np.full(_LARGE, 2, "float32"))
    assert len(resident._kept) == 1
    resident.tensor(np.zeros(2 * _LARGE, "float32"))
    assert not resident._kept
    assert (one[3], two[3]) == (1, 2)


@pytest.mark.parametrize("execution", ["loop", "one_program"])
def test_a_second_fit_takes_no_new_memory(execution, monkeypatch):
    monkeypatch.setattr(resident, "_WORTH_COLLECTING_BYTES", _LARGE)
    x = np.zeros((2**13, 256), "float32")
    model = keras.Sequential([keras.Input((256,)), keras.layers.Dense(1)])
    model = ks.scale(model, execution=execution)
    model.compile("sgd", "mse")
    for _ in range(3):
        model.fit(x, x[:, :1], batch_size=2**12, verbose=0)
    assert len(resident._kept) == 1


def test_many_fits_on_little_data_do_not_add_up(monkeypatch):
    monkeypatch.setattr(resident, "_WORTH_COLLECTING_BYTES", 3 * 4 * _LARGE)
    x = np.zeros((2**13, 256), "float32")
    model = ks.scale(keras.Sequential([keras.Input((256,)), keras.layers.Dense(1)]))
    model.compile("sgd", "mse")
    for _ in range(8):
        model.fit(x, x[:, :1], batch_size=2**12, verbose=0)
    assert len(resident._kept) <= 4
