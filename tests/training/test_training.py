"""What `train` promises: repeatability, the best weights, safe folders."""

import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import kerascale as ks
from kerascale.runs.folder import RunFolder


def test_python_in_five_lines(run):
    assert run.metrics["split"] == "test"
    assert len(run.history["val_loss"]) == 4
    assert run.path.is_dir()


def test_loaded_run_equals_the_trained_one(run):
    loaded = ks.load_run(run.path)
    assert loaded.config == run.config
    assert loaded.metrics == run.metrics
    assert loaded.info == run.info
    assert loaded.history == run.history
    x = np.random.default_rng(0).integers(0, 17, (5, 8, 8, 1)).astype("uint8")
    np.testing.assert_array_equal(
        loaded.model.predict(x, verbose=0), run.model.predict(x, verbose=0)
    )


def test_the_model_has_the_best_weights_by_validation_loss(recipe, tmp_path):
    # So fast a rate that the last epoch is not the best one.
    config = recipe.Config(
        epochs=8, units=(64,), learning_rate=0.3, schedule="constant", dropout=0.0
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    losses = run.history["val_loss"]
    assert min(losses) < losses[-1]
    validation = recipe.make_datasets(config).validation.dataset()
    assert run.model.evaluate(validation, verbose=0)[0] == pytest.approx(
        min(losses), rel=1e-5
    )


def test_early_stopping(recipe, tmp_path):
    config = recipe.Config(
        epochs=50, learning_rate=0.3, schedule="constant", early_stopping_patience=2
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    losses = run.history["val_loss"]
    assert len(losses) < 50
    assert int(np.argmin(losses)) == len(losses) - 3


def test_no_epochs_leave_an_untrained_run(recipe, tmp_path):
    run = ks.train(recipe, recipe.Config(epochs=0), run_dir=tmp_path / "run")
    assert run.history == {}
    assert run.metrics["loss"] > 1
    assert ks.load_run(run.path).history == {}


@pytest.mark.parametrize(
    "steps_per_execution", [7, pytest.param(1000, marks=pytest.mark.slow)]
)
def test_steps_per_execution_changes_no_weight(
    recipe, run, tmp_path, steps_per_execution
):
    config = recipe.Config(
        epochs=4, units=(16,), steps_per_execution=steps_per_execution
    )
    other = ks.train(recipe, config, run_dir=tmp_path / "run")
    for ours, theirs in zip(run.model.weights, other.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_augmentation_and_every_option_train(recipe, tmp_path):
    config = recipe.Config(
        epochs=2,
        augment_shift=0.1,
        augment_rotation=10.0,
        augment_zoom=0.1,
        augment_contrast=0.1,
        augment_flip=True,
        augment_crop=1,
        augment_cutout=0.2,
        optimizer="nesterov",
        schedule="inverse_time",
        warmup_epochs=1.0,
        initializer="he_normal",
        l1=1e-5,
        l2=1e-4,
        weight_clip=0.25,
        global_clipnorm=1.0,
    )
    run = ks.train(recipe, config, run_dir=tmp_path / "run")
    assert run.history["loss"][1] < run.history["loss"][0]
    kernels = [w.numpy() for w in run.model.weights if w.path.endswith("kernel")]
    assert kernels
    assert all(np.abs(kernel).max() <= 0.25 for kernel in kernels)


def test_user_callbacks_are_called(recipe, tmp_path):
    seen = []

    class Count(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append((epoch, sorted(logs)))

    config = recipe.Config(epochs=2)
    ks.train(recipe, config, run_dir=tmp_path / "run", callbacks=[Count()])
    names = ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert seen == [(0, names), (1, names)]


def test_tensorboard_and_records_can_be_read(run):
    folder = run.path / "tensorboard"
    parts = {
        part: EventAccumulator(str(folder / part), {"tensors": 0})
        for part in ("", "train")
    }
    for events in parts.values():
        events.Reload()
    fields = parts[""].PluginTagToContent("hparams")["_hparams_/session_start_info"]
    assert b"learning_rate" in fields
    nodes = {node.op for node in parts["train"].Graph().node}
    assert "MatMul" in nodes
    per_epoch = math.ceil(run.info.num_examples["train"] / run.config.batch_size)
    rates = parts["train"].Tensors("batch_learning_rate")
    every = math.ceil(per_epoch / 20)
    in_one = range(every, per_epoch + 1, every)
    due = [epoch * per_epoch + step for epoch in range(4) for step in in_one]
    assert [rate.step for rate in rates] == due
    values = [tf.make_ndarray(rate.tensor_proto).item() for rate in rates]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == len(values)
    lines = [json.loads(line) for line in (run.path / "metrics.jsonl").open()]
    epochs = [line for line in lines if "kind" not in line]
    assert [line["step"] for line in epochs] == [per_epoch * (i + 1) for i in range(4)]
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})


def test_run_folder_refuses_what_is_not_empty(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ks.RefusedError, match=r"new or empty folder.*mine\.txt"):
        RunFolder(tmp_path, "mlp")
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_run_folder_is_held(tmp_path):
    with (
        RunFolder(tmp_path / "run", "mlp"),
        pytest.raises(ks.RefusedError, match="held by another run"),
    ):
        RunFolder(tmp_path / "run", "mlp")


def test_a_lock_of_a_killed_run_does_not_block(tmp_path):
    """The message names what the killed run left, not a holder."""
    code = (
        "import sys, time; from kerascale.runs.folder import RunFolder\n"
        "folder = RunFolder(sys.argv[1], 'mlp'); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    path = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ks.RefusedError, match="held by another run"):
        RunFolder(path, "mlp")
    holder.kill()
    holder.communicate()
    with pytest.raises(ks.RefusedError, match=r"which holds checkpoints"):
        RunFolder(path, "mlp")


def test_run_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ks.RefusedError, match="folder that can be written"):
        RunFolder(tmp_path / "file" / "run", "mlp")


def test_config_of_another_recipe_is_refused(recipe):
    with pytest.raises(ks.RefusedError, match="expected mlp's Config"):
        ks.train(recipe, ks.TrainingConfig())


def test_a_run_does_not_depend_on_what_the_process_did_before(tmp_path, run_python):
    """The first run of a process reads and imports more than the second."""
    code = """
import sys
import kerascale as ks
recipe = ks.load_recipe("mlp")
for name in ("first", "second"):
    ks.train(recipe, recipe.Config(epochs=1), run_dir=f"{sys.argv[1]}/{name}")
"""
    run_python(code, tmp_path, imported=True)
    histories = [tmp_path / name / "history.csv" for name in ("first", "second")]
    assert histories[0].read_bytes() == histories[1].read_bytes()


def test_what_needs_no_data_is_refused_before_it_is_read(recipe, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    config = recipe.Config(dataset="csv:is-read-later.csv", label="y")
    with pytest.raises(ks.RefusedError, match="new or empty folder"):
        ks.train(recipe, config, run_dir=tmp_path)
    with pytest.raises(ks.RefusedError, match="which is no file"):
        ks.train(recipe, config, init_from=tmp_path / "none.keras")


def test_callbacks_that_refuse_leave_no_run_folder(tmp_path, recipe_with):
    recipe = recipe_with(ks.load_recipe("mlp").make_datasets)

    def make_callbacks(config):
        raise ks.RefusedError("no callbacks today")

    recipe.make_callbacks = make_callbacks
    with pytest.raises(ks.RefusedError, match="no callbacks today"):
        ks.train(recipe, recipe.Config(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
