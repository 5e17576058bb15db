"""What the callbacks of a run write, tell and remember, step by step."""

import csv
import json

import keras
import numpy as np
import pytest

import kerascale as ks
from kerascale.callbacks import FailOnNonFinite, heartbeat, states
from kerascale.callbacks.history_record import HistoryRecord
from kerascale.callbacks.save_checkpoints import SaveCheckpoints
from kerascale.callbacks.step_losses import StepLosses
from kerascale.runs import step_losses


def _model(**compiled):
    keras.utils.set_random_seed(0)
    model = ks.scale(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
    model.compile("sgd", "mse", **compiled)
    return model


def _fit(model, *callbacks, x=None, **options):
    x = np.ones((16, 2), "float32") if x is None else x
    options = {"batch_size": 4, "shuffle": False, "verbose": 0, **options}
    model.fit(x, np.ones((len(x), 1)), callbacks=list(callbacks), **options)


def test_a_blow_up_is_told_of_its_own_step():
    x = np.ones((16, 2), "float32")
    x[9] = np.nan
    with pytest.raises(ks.NonFiniteError, match=r"epoch 1, batch 3 \(update 3\)"):
        _fit(_model(steps_per_execution=2), FailOnNonFinite(), x=x)


def test_early_stopping_goes_on_with_its_patience():
    def stopped_after(callback, epochs, first=0):
        callback.set_model(_model())
        for epoch in range(first, first + epochs):
            callback.on_epoch_end(epoch, {"loss": 1.0})
            if callback.model.stop_training:
                return epoch
        return None

    whole = keras.callbacks.EarlyStopping("loss", mode="min", patience=3)
    whole.on_train_begin()
    assert stopped_after(whole, 9) == 3
    before = keras.callbacks.EarlyStopping("loss", mode="min", patience=3)
    before.on_train_begin()
    assert stopped_after(before, 3) is None
    saved = json.loads(json.dumps(states.get_states([before])))
    after = keras.callbacks.EarlyStopping("loss", mode="min", patience=3)
    after.on_train_begin()
    states.set_states([after], saved)
    assert stopped_after(after, 9, first=3) == 3


def test_a_sign_of_life_after_each_step(monkeypatch):
    told = []

    def beat(phase, step=None):
        told.append((phase, step))

    monkeypatch.setattr(heartbeat.heartbeat, "beat", beat)
    _fit(_model(), heartbeat.Heartbeat(4), epochs=2)
    steps = [step for phase, step in told if phase == heartbeat.heartbeat.TRAINING]
    assert steps == list(range(1, 9))


def test_history_has_each_epoch_once(tmp_path):
    path = tmp_path / "history.csv"
    _fit(_model(), HistoryRecord(path), epochs=2)
    _fit(_model(), HistoryRecord(path), initial_epoch=2, epochs=4)
    with path.open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2", "3"]


def test_a_state_that_is_no_number_is_not_saved():
    submitted = []

    class Writer:
        def make_room(self):
            pass

        def submit(self, step, *state):
            submitted.append(step)

    callback = SaveCheckpoints(Writer(), 4)
    model = _model()
    callback.set_model(model)
    model.optimizer.build(model.trainable_variables)
    callback.on_train_begin()
    callback.on_epoch_begin(0)
    callback.on_epoch_end(0, {"loss": 1.0})
    assert len(submitted) == 1
    model.weights[0].assign([[np.nan], [0.0]])
    with pytest.raises(ks.NonFiniteError, match=r"The state became infinite or NaN"):
        callback.on_epoch_end(1, {"loss": 1.0})
    assert len(submitted) == 1


def test_a_short_last_execution_keeps_losses_at_their_places(tmp_path):
    path = tmp_path / "losses"
    model = _model(steps_per_execution=3)  # Of 4 steps: 3, and 1.
    _fit(model, StepLosses(path, 4), epochs=2)
    losses = step_losses.read(path)
    assert len(losses) == 8
    assert np.isfinite(losses).all()
