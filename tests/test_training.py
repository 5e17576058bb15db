"""What `train` promises: repeatability, the best weights, safe folders."""

import hashlib
import json
import math
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale import runs


@pytest.fixture(scope="module")
def recipe():
    return ks.load_recipe("mlp")


@pytest.fixture(scope="module")
def run(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp("training") / "run"
    return ks.train(recipe, recipe.Config(epochs=4, units=(16,)), run_dir=folder)


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


@pytest.mark.parametrize("steps_per_execution", [7, 1000])
def test_steps_per_execution_changes_no_weight(
    recipe, run, tmp_path, steps_per_execution
):
    config = recipe.Config(
        epochs=4, units=(16,), steps_per_execution=steps_per_execution
    )
    other = ks.train(recipe, config, run_dir=tmp_path / "run")
    for ours, theirs in zip(run.model.weights, other.model.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_augmentation_and_every_option_train(recipe, tmp_path):
    config = recipe.Config(
        epochs=2,
        augment_shift=0.1,
        augment_rotation=10.0,
        augment_zoom=0.1,
        augment_contrast=0.1,
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
    files = list((run.path / "tensorboard").rglob("events.*"))
    assert {file.parent.name for file in files} == {"train", "validation"}
    steps = [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").open()]
    per_epoch = math.ceil(run.info.num_examples["train"] / run.config.batch_size)
    assert steps == [per_epoch * (i + 1) for i in range(4)]


def test_run_folder_refuses_what_is_not_empty(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ks.RefusedError, match=r"new or empty folder.*mine\.txt"):
        runs.RunFolder(tmp_path, "mlp")
    assert (tmp_path / "mine.txt").read_text() == "precious"


def test_run_folder_is_held(tmp_path):
    with (
        runs.RunFolder(tmp_path / "run", "mlp"),
        pytest.raises(ks.RefusedError, match="held by another run"),
    ):
        runs.RunFolder(tmp_path / "run", "mlp")


def test_a_lock_of_a_killed_run_does_not_block(tmp_path):
    """The message names what the killed run left, not a holder."""
    code = (
        "import sys, time; from kerascale.run_folder import RunFolder\n"
        "folder = RunFolder(sys.argv[1], 'mlp'); print('held', flush=True)\n"
        "time.sleep(60)"
    )
    path = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, path], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(ks.RefusedError, match="held by another run"):
        runs.RunFolder(path, "mlp")
    holder.kill()
    holder.communicate()
    with pytest.raises(ks.RefusedError, match=r"which holds checkpoints"):
        runs.RunFolder(path, "mlp")


def test_run_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ks.RefusedError, match="folder that can be written"):
        runs.RunFolder(tmp_path / "file" / "run", "mlp")


def test_strategies_are_refused_with_the_way_out():
    with pytest.raises(ks.RefusedError, match=r"one device.*Received: mirrored"):
        ks.strategies.get("mirrored")
    with pytest.raises(ks.RefusedError, match=r"expected auto, .*Received: 'mirored'"):
        ks.strategies.get("mirored")
    assert ks.strategies.get("one_device").num_replicas_in_sync == 1


def test_auto_says_what_it_chose_and_why(capsys):
    ks.strategies.get("auto")
    assert "strategy: one_device (auto: " in capsys.readouterr().err


def test_config_of_another_recipe_is_refused(recipe):
    with pytest.raises(ks.RefusedError, match="expected mlp's Config"):
        ks.train(recipe, ks.TrainingConfig())


# Fine-tuning ------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["run folder", ".keras", ".weights.h5"])
def test_init_from_starts_where_the_other_ended(recipe, run, tmp_path, kind):
    source = {
        "run folder": run.path,
        ".keras": run.path / "model.keras",
        ".weights.h5": run.path / "checkpoints" / "best.weights.h5",
    }[kind]
    config = recipe.Config(epochs=0, units=(16,), seed=9)
    tuned = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=source)
    assert tuned.metrics == run.metrics


def test_init_from_lists_every_mismatch_and_changes_nothing(recipe, run, tmp_path):
    config = recipe.Config(epochs=0, units=(8,))
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config, run_dir=tmp_path / "run", init_from=run.path)
    problems = refused.value.problems
    assert len(problems) == 3  # The hidden kernel and bias, the last kernel.
    assert any("expected shape (8, 10). Received: (16, 10)" in p for p in problems)
    assert "--init-partial" in problems[0]
    assert not (tmp_path / "run").exists()


def test_init_partial_says_what_it_left(recipe, run, tmp_path, capsys):
    """Fine-tuning to other classes: the new head starts anew."""
    x = np.random.default_rng(0).integers(0, 17, (60, 8, 8, 1)).astype("uint8")
    mine = _recipe_with(
        lambda c: ks.datasets.from_arrays(x, np.arange(60) % 3, c), tmp_path
    )
    tuned = ks.train(
        mine,
        mine.Config(epochs=0, units=(16,)),
        run_dir=tmp_path / "run",
        init_from=run.path,
        init_partial=True,
    )
    text = capsys.readouterr().err
    assert text.count("left as they are") == 2
    assert "expected shape (16, 3). Received: (16, 10)" in text
    np.testing.assert_array_equal(tuned.model.weights[0], run.model.weights[0])


def test_a_fine_tuned_run_records_what_it_started_from(recipe, run, tmp_path):
    config = recipe.Config(epochs=0, units=(16,))
    tuned = ks.train(recipe, config, run_dir=tmp_path / "run", init_from=run.path)
    content = json.loads((tuned.path / "config.json").read_text())
    expected = hashlib.sha256((run.path / "model.keras").read_bytes()).hexdigest()
    assert content["init_from"] == str(run.path)
    assert content["init_sha256"] == expected


def test_what_needs_no_data_is_refused_before_it_is_read(recipe, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    config = recipe.Config(dataset="csv:is-read-later.csv", label="y")
    with pytest.raises(ks.RefusedError, match="new or empty folder"):
        ks.train(recipe, config, run_dir=tmp_path)
    with pytest.raises(ks.RefusedError, match="which is no file"):
        ks.train(recipe, config, init_from=tmp_path / "none.keras")


def test_callbacks_that_refuse_leave_no_run_folder(tmp_path):
    recipe = _recipe_with(ks.load_recipe("mlp").make_datasets, tmp_path)

    def make_callbacks(config):
        raise ks.RefusedError("no callbacks today")

    recipe.make_callbacks = make_callbacks
    with pytest.raises(ks.RefusedError, match="no callbacks today"):
        ks.train(recipe, recipe.Config(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_init_from_a_file_that_is_no_model(recipe, tmp_path):
    path = tmp_path / "bad.keras"
    path.write_bytes(b"no zip")
    with pytest.raises(ks.RefusedError, match=r"expected a run folder.*bad\.keras"):
        ks.train(recipe, recipe.Config(epochs=0), init_from=path)


# tf.data and arrays from Python ----------------------------------------------


def _recipe_with(make_datasets, tmp_path):
    import types

    module = types.ModuleType("mine")
    module.__file__ = "mine.py"
    module.Config = ks.load_recipe("mlp").Config
    module.make_datasets = make_datasets
    module.make_model = ks.load_recipe("mlp").make_model
    return module


def test_arrays_from_python(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(300, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    recipe = _recipe_with(lambda c: ks.datasets.from_arrays(x, y, c), tmp_path)
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] > 0.9
    assert run.info.class_names == ("0", "1")


def test_tf_data_from_python(tmp_path):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(256, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    recipe = _recipe_with(
        lambda c: ks.datasets.from_tf_data(data, data, class_names=("no", "yes")),
        tmp_path,
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["split"] == "validation"
    assert run.metrics["accuracy"] > 0.9


def test_tf_data_that_cannot_be_counted_is_refused():
    data = tf.data.Dataset.range(4).map(lambda i: (i, i)).batch(2)
    problems = {
        "train": data.repeat(),
        "validation": data.filter(lambda x, y: True),
        "test": data.take(0),
    }
    with pytest.raises(ks.RefusedError) as refused:
        ks.datasets.from_tf_data(**problems)
    text = "\n".join(refused.value.problems)
    for what in ("infinite", "unknown cardinality", "empty"):
        assert what in text


def test_make_datasets_must_return_datasets(tmp_path):
    recipe = _recipe_with(lambda c: [1, 2], tmp_path)
    with pytest.raises(ks.RefusedError, match=r"Received: an object of type list"):
        ks.train(recipe, recipe.Config())


def test_make_model_must_build_and_compile(tmp_path):
    recipe = _recipe_with(
        ks.load_recipe("mlp").make_datasets,
        tmp_path,
    )
    recipe.make_model = lambda config: ks.models.MLP(10)
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, recipe.Config())
    assert "a built model" in refused.value.problems[0]
    assert "a compiled model" in refused.value.problems[1]


def test_a_run_does_not_depend_on_what_the_process_did_before(tmp_path, run_python):
    """The first run of a process reads and imports more than the second."""
    code = """
import sys
import kerascale as ks
recipe = ks.load_recipe("mlp")
for name in ("first", "second"):
    ks.train(recipe, recipe.Config(epochs=1), run_dir=f"{sys.argv[1]}/{name}")
"""
    run_python(code, tmp_path)
    histories = [tmp_path / name / "history.csv" for name in ("first", "second")]
    assert histories[0].read_bytes() == histories[1].read_bytes()


# What a review found ----------------------------------------------------------


def test_a_test_split_that_shuffles_is_evaluated_right(tmp_path):
    """Labels and predictions come from one pass."""
    x = np.random.default_rng(0).normal(size=(256, 5)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    data = tf.data.Dataset.from_tensor_slices((x, y))
    shuffled = data.shuffle(256).batch(32)
    recipe = _recipe_with(
        lambda c: ks.datasets.from_tf_data(
            data.batch(32), test=shuffled, class_names=("no", "yes")
        ),
        tmp_path,
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert run.metrics["accuracy"] > 0.9


def test_a_feature_that_is_constant_in_training_stays_harmless(tmp_path, capsys):
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3)).astype("float32")
    y = (x[:, 0] > 0).astype("int64")
    x[:, 2] = 7.0
    rare = x[:50].copy()
    rare[:, 2] = 8.0
    recipe = _recipe_with(
        lambda c: ks.datasets.from_arrays(x, y, c, test=(rare, y[:50])), tmp_path
    )
    run = ks.train(recipe, recipe.Config(epochs=20), run_dir=tmp_path / "run")
    assert "constant in the training examples: feature 2" in capsys.readouterr().err
    assert run.metrics["accuracy"] > 0.8


def _linear(activation, classes):
    def make_model(config, datasets):
        model = keras.Sequential(
            [
                keras.Input(datasets.info.input_shape),
                keras.layers.Flatten(),
                keras.layers.Dense(classes, activation=activation),
            ]
        )
        return ks.optimizers.compile_classifier(model, config, 1)

    return make_model


@pytest.mark.parametrize(
    ("activation", "classes", "message"),
    [
        (None, 10, "expected probabilities, which sum to 1"),
        ("sigmoid", 10, "expected probabilities, which sum to 1"),
        ("sigmoid", 1, r"an output of shape \(batch, 10\)"),
    ],
)
def test_models_without_probabilities_are_refused(
    tmp_path, activation, classes, message
):
    recipe = _recipe_with(ks.load_recipe("mlp").make_datasets, tmp_path)
    recipe.make_model = _linear(activation, classes)
    with pytest.raises(ks.RefusedError, match=message):
        ks.train(recipe, recipe.Config(), run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_plain_keras_model_of_a_recipe_is_scaled(tmp_path):
    from kerascale.engine.model import Engine

    recipe = _recipe_with(ks.load_recipe("mlp").make_datasets, tmp_path)
    recipe.make_model = _linear("softmax", 10)
    run = ks.train(recipe, recipe.Config(epochs=0), run_dir=tmp_path / "run")
    assert isinstance(run.model, Engine)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label": "y"}, "label: expected only with csv: data"),
        ({"num_classes": 5}, "num_classes: expected 10, as digits has"),
    ],
)
def test_fields_that_cannot_apply_are_refused(recipe, values, message):
    with pytest.raises(ks.RefusedError, match=message):
        ks.train(recipe, recipe.Config(**values))


def test_image_fields_are_refused_for_tables(recipe, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n" + "1,x\n2,y\n" * 20)
    config = recipe.Config(
        dataset=f"csv:{tmp_path / 't.csv'}", label="b", augment_shift=0.2, image_size=9
    )
    with pytest.raises(ks.RefusedError) as refused:
        ks.train(recipe, config)
    assert [p.partition(":")[0] for p in refused.value.problems] == [
        "image_size",
        "augment_shift",
    ]


def test_what_a_model_cannot_be_is_refused_not_thrown():
    recipe = ks.load_recipe("transformer")
    with pytest.raises(ks.RefusedError, match=r"recipe transformer: .*patch"):
        ks.train(recipe, recipe.Config(patch_size=3))


def test_evaluation_of_the_training_split_is_not_augmented(recipe):
    plain = recipe.make_datasets(recipe.Config()).train.for_evaluation()
    augmented = recipe.make_datasets(recipe.Config(augment_shift=0.5)).train
    for ours, theirs in zip(
        augmented.for_evaluation().dataset(), plain.dataset(), strict=True
    ):
        np.testing.assert_array_equal(ours[0], theirs[0])
        np.testing.assert_array_equal(ours[1], theirs[1])


def test_data_that_does_not_fit_in_memory_is_refused(recipe, monkeypatch):
    from kerascale.datasets import memory

    monkeypatch.setattr(memory, "available_bytes", lambda: 100_000)
    with pytest.raises(ks.RefusedError, match=r"digits: expected data that fits"):
        ks.train(recipe)


def test_moments_in_parts_equal_those_of_the_whole(monkeypatch):
    from kerascale.datasets import memory

    features = np.random.default_rng(0).normal(3, 2, (101, 4, 5)).astype("float32")
    monkeypatch.setattr(memory, "_PART_BYTES", 500)
    for per_feature, axes in ((True, (0, 1)), (False, None)):
        mean, variance = memory.moments(features, per_feature=per_feature)
        np.testing.assert_allclose(mean, features.mean(axes, dtype="float64"))
        np.testing.assert_allclose(variance, features.var(axes, dtype="float64"))
