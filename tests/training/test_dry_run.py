"""`--fast-dev-run` and `--overfit-batches`: an answer, and no run folder."""

import json
import pathlib
import tempfile

import keras
import numpy as np
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.config import CheckpointPolicy
from kerascale.training import dry_run
from kerascale.training.dry_run import DryRun


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty folder to work in, and an empty one for temporary files."""
    monkeypatch.chdir(tmp_path)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    yield tmp_path
    # TensorFlow keeps files of its own there.
    assert not list(temporary.glob("kerascale*"))
    assert [p.name for p in tmp_path.iterdir()] == ["temporary"]


class _Seen(keras.callbacks.Callback):
    """Counts batches of training and of validation."""

    def __init__(self):
        super().__init__()
        self.counts = {"train": 0, "test": 0}

    def on_train_batch_end(self, batch, logs=None):
        self.counts["train"] += 1

    def on_test_batch_end(self, batch, logs=None):
        self.counts["test"] += 1


def test_fast_dev_run_is_one_batch_of_everything(recipe, here):
    seen = _Seen()
    run = ks.train(recipe, fast_dev_run=True, callbacks=[seen])
    assert seen.counts == {"train": 1, "test": 1}
    assert len(run.history["loss"]) == len(run.history["val_loss"]) == 1
    assert (run.metrics["split"], run.metrics["examples"]) == ("test", 32)
    assert run.config.epochs == 1
    assert not run.path.exists()


def test_fast_dev_run_makes_an_update_with_accumulation(recipe, here):
    config = recipe.Config(batch_size=32, gradient_accumulation_steps=4)
    run = ks.train(recipe, config, fast_dev_run=True)
    assert int(run.model.optimizer.iterations) == 1


def test_fast_dev_run_of_a_stream(recipe, here):
    x = np.random.default_rng(0).normal(size=(90, 6)).astype("float32")
    batches = tf.data.Dataset.from_tensor_slices((x, (x[:, 0] > 0).astype(int)))
    batches = batches.batch(10)
    data = ks.datasets.from_tf_data(batches, batches, class_names=("no", "yes"))
    seen = _Seen()
    run = ks.train(recipe, datasets=data, fast_dev_run=True, callbacks=[seen])
    assert seen.counts == {"train": 1, "test": 1}
    assert run.metrics["examples"] == 10


def test_a_failure_leaves_nothing_behind(recipe_with, here):
    def make_datasets(config):
        raise ValueError("no data today")

    with pytest.raises(ValueError, match="no data today"):
        ks.train(recipe_with(make_datasets), fast_dev_run=True)


def test_overfitting_sees_the_same_examples_again_and_again(recipe):
    config = recipe.Config(batch_size=32)
    whole = recipe.make_datasets(config)
    part = dry_run.limited(DryRun(overfit_batches=2), whole, config)
    assert part.validation is None
    assert part.steps_per_epoch == 36  # As in the training that it is for.
    assert part.info.num_examples == {"train": 64}
    batches = [x.numpy() for x, _ in part.train.dataset(epochs=2)]
    assert len(batches) == 72
    for i, batch in enumerate(batches):
        np.testing.assert_array_equal(batch, batches[i % 2])
    assert not np.array_equal(batches[0], batches[1])
    # They are those that the training begins with, which are of several classes.
    for i, (x, y) in enumerate(whole.train.dataset().take(2)):
        np.testing.assert_array_equal(x, batches[i])
        assert len(set(y.numpy())) > 5
    # And what is evaluated at the end is the same, once.
    evaluated = [x.numpy() for x, _ in part.test.dataset()]
    assert len(evaluated) == 2
    np.testing.assert_array_equal(evaluated, batches[:2])


def test_overfitting_does_not_augment():
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(augment_shift=0.2, augment_rotation=30.0)
    whole = recipe.make_datasets(config)
    part = dry_run.limited(DryRun(overfit_batches=1), whole, config)
    x, _ = next(iter(part.train.dataset()))
    first = whole.train.indices(tf.constant(0, tf.int64), tf.constant(0, tf.int64))
    plain, _ = whole.train.plain_gather(first, tf.constant(0, tf.int64))
    np.testing.assert_array_equal(x, plain)
    augmented, _ = next(iter(whole.train.dataset()))
    assert not np.array_equal(augmented, plain)


def test_overfitting_of_a_stream_that_shuffles(recipe):
    numbers = tf.data.Dataset.range(100).map(lambda i: (tf.fill([3], i), i % 2))
    batches = numbers.shuffle(100).batch(10)
    data = ks.datasets.from_tf_data(batches, class_names=("even", "odd"))
    part = dry_run.limited(DryRun(overfit_batches=2), data, recipe.Config())
    once = [y.numpy().tolist() for _, y in part.test.dataset()]
    for _ in range(2):
        again = [y.numpy().tolist() for _, y in part.train.dataset()]
        assert again == once * 5


def test_a_model_that_can_learn(recipe, here, capfd):
    config = recipe.Config(epochs=4)
    run = ks.train(recipe, config, overfit_batches=1)
    assert run.metrics["split"] == "training"
    assert run.metrics["examples"] == 32
    assert run.metrics["accuracy"] == 1.0
    assert run.metrics["loss"] < 0.5 * run.metrics["loss_before"]
    assert "val_loss" not in run.history
    said = capfd.readouterr().err
    assert "overfitting: the loss on the same batch came down, from 2." in said
    assert "the run folder is temporary, and nothing is kept" in said


def test_a_model_that_cannot_learn(kerascale, tmp_path):
    finished = kerascale(
        "train", "mlp", "--overfit-batches", "2", "--epochs", "2",
        "--learning-rate", "1e-9", "--json",
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr
    result = json.loads(finished.stdout.splitlines()[-1])
    assert (result["learned"], result["run_dir"]) == ("no", None)
    assert result["overfit_batches"] == 2
    assert "the loss on the same 2 batches did NOT come down" in finished.stderr
    assert "No run folder was left." in finished.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("before", "after", "learned"),
    [
        (2.3, 0.1, "yes"),
        (2.3, 1.15, "yes"),
        (2.3, 1.5, "a little"),
        (2.3, 2.29, "no"),
        (2.3, 5.0, "no"),
        (-1.0, -2.0, "yes"),
        (-1.0, 0.0, "no"),
    ],
)
def test_the_verdict(before, after, learned):
    verdict = dry_run.judge(1, {"loss_before": before, "loss": after})
    assert verdict.learned == learned
    assert f"from {before:.4g} before" in verdict.text


def test_what_contradicts_itself_is_refused_at_once(recipe, here):
    with pytest.raises(ks.RefusedError, match="at most one of them") as caught:
        ks.train(
            recipe,
            run_dir="somewhere",
            fast_dev_run=True,
            overfit_batches=2,
            checkpoints=CheckpointPolicy(fresh=True),
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 3
    assert "run_dir: expected none with a fast dev run" in text
    assert "fresh: expected none with a fast dev run" in text


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_wrong_number_of_batches(recipe, here, count):
    with pytest.raises(ks.RefusedError, match="overfit_batches: expected an integer"):
        ks.train(recipe, overfit_batches=count)


def test_more_batches_than_there_are(recipe, here):
    # 1,145 examples to train on.
    with pytest.raises(ks.RefusedError, match="expected at most 35, the full batches"):
        ks.train(recipe, overfit_batches=36)


def test_the_flags_leave_a_run_of_before_alone(run, kerascale):
    before = {p: p.stat().st_mtime_ns for p in pathlib.Path(run.path).rglob("*")}
    finished = kerascale("train", "mlp", "--fast-dev-run", "--run-dir", run.path)
    assert finished.returncode == 2
    assert "run_dir: expected none with a fast dev run" in finished.stderr
    assert before == {p: p.stat().st_mtime_ns for p in run.path.rglob("*")}
