"""Callbacks that a run relies on."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kerascale as ks
from kerascale.callbacks import (
    FailOnNonFinite,
    SaveWeights,
    TensorBoardRecord,
    Unwritten,
)
from kerascale.callbacks.deferred_writes import RecordFile
from kerascale.errors import SaveFailedError


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

    class Interrupted(keras.layers.Dense):
        def save_own_variables(self, store):
            raise KeyboardInterrupt

    callback.set_model(keras.Sequential([keras.Input((2,)), Interrupted(1)]))
    with pytest.raises(KeyboardInterrupt):
        callback.on_epoch_end(1, {})
    assert callback.path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["last.weights.h5"]


def test_best_weights_wait_for_room(model, tmp_path, monkeypatch, capfd):
    folder = tmp_path / "folder"
    best = SaveWeights(folder / "best.weights.h5", "loss", Unwritten("continue"))

    def end_epoch(number, loss):
        model.set_weights([np.full((2, 1), number), np.zeros(1)])
        best.on_epoch_end(number, {"loss": loss})

    best.set_model(model)
    best.on_train_begin()
    for number, loss in enumerate([3.0, 1.0, 2.0]):  # There is no such folder.
        end_epoch(number, loss)
    assert capfd.readouterr().err.count("SAVE FAILED") == 1
    # A run that goes on knows them too.
    state = json.loads(json.dumps(best.get_state()))
    best.on_train_begin()
    best.set_state(state)
    folder.mkdir()
    end_epoch(3, 2.5)
    assert "are written" in capfd.readouterr().err
    assert model.get_weights()[0][0, 0] == 3
    assert _values(best.path, model)[0][0, 0] == 1
    assert best.best_epoch == 1
    assert [p.name for p in folder.iterdir()] == ["best.weights.h5"]


def test_histograms_of_each_variable_and_a_graph_that_cannot_be_drawn(
    model, tmp_path, capfd
):
    record = TensorBoardRecord(
        tmp_path,
        steps_per_epoch=2,
        fields={"units": (3, 4), "rate": 0.1, "label": None},
        inputs=tf.TensorSpec((None, 99), "float32"),  # The model takes 2.
        histograms=True,
    )
    model.fit(
        np.ones((8, 2)),
        np.ones(8),
        batch_size=4,
        epochs=2,
        callbacks=[record],
        verbose=0,
    )
    events = EventAccumulator(str(tmp_path / "train"), {"tensors": 0})
    events.Reload()
    names = {variable.path for variable in model.weights}
    assert set(events.PluginTagToContent("histograms")) == names
    for variable in model.weights:
        first, last = events.Tensors(variable.path)
        assert (first.step, last.step) == (0, 1)
        buckets = tf.make_ndarray(last.tensor_proto)  # Left, right, how many.
        assert buckets[:, 2].sum() == np.size(variable)
        assert buckets[-1, 1] == pytest.approx(float(np.max(variable)))
    assert [e.step for e in events.Tensors("batch_loss")] == [1, 2, 3, 4]
    assert "TensorBoard shows no graph of the model" in capfd.readouterr().err


def test_a_record_waits_for_room_and_is_written_once(tmp_path):
    path = tmp_path / "folder" / "lines.txt"
    unwritten = Unwritten("continue")
    record = RecordFile(path, unwritten)
    record.append(b"one\n")
    path.rename(tmp_path / "aside")
    path.parent.rmdir()
    path.parent.write_text("in the way")  # As good as a full disk.
    record.append(b"two\n")
    record.append(b"three\n")
    with pytest.raises(SaveFailedError, match=r"SAVE FAILED: .*lines\.txt.*errno 17"):
        unwritten.refuse()
    path.parent.unlink()
    path.parent.mkdir()
    (tmp_path / "aside").rename(path)
    assert record.content() == b"one\ntwo\nthree\n"
    record.write_now()
    unwritten.refuse()
    assert path.read_bytes() == record.content() == b"one\ntwo\nthree\n"
    (tmp_path / "aside").write_text("in the way")
    with pytest.raises(SaveFailedError, match=r"Received: errno 17: File exists"):
        RecordFile(tmp_path / "aside" / "lines.txt").append(b"four")


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
