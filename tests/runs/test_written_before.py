"""What version 0.1.0 wrote is resumed, loaded, evaluated and served by this one.

`written_before` holds runs, models and an export of version 0.1.0, and `make.py`, which
says how they came about. They are read here through public names and the command line
alone, from a copy.

What is read must be the same to the last bit on any machine: weights, the optimizer's
variables, what callbacks remember, configurations and records. What is computed from
it, such as predictions and the history of a run that goes on, must be the same to the
last bit where the vector units of the CPU and the version of TensorFlow are those that
the values were computed with (`arithmetic` in `make.py`), and within a relative 1e-5
elsewhere: another CPU adds in another order.
"""

import copy
import json
import pathlib
import runpy
import shutil
import subprocess
import sys

import keras
import numpy as np
import pandas
import pytest
from written_before import make

import kerascale as ks

WRITTEN = pathlib.Path(make.__file__).parent
EXPECTED = json.loads((WRITTEN / "expected.json").read_text())
RUNS = EXPECTED["runs"]


@pytest.fixture(scope="module")
def answers():
    with np.load(WRITTEN / "answers.npz") as arrays:
        return dict(arrays)


@pytest.fixture
def written(tmp_path, monkeypatch):
    """A copy of all that was written, which is the working directory."""
    folder = tmp_path / "written"
    shutil.copytree(WRITTEN, folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def command(monkeypatch, capfd):
    """`python -m kerascale ...` in this process: returns what it said and printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["kerascale", *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_module("kerascale", run_name="__main__", alter_sys=True)
        printed = capfd.readouterr()
        assert not ended.value.code, printed.err
        return printed

    return run


@pytest.fixture(scope="module")
def assert_computed():
    """Compares what was computed: see the docstring of this file."""
    same_machine = make.arithmetic() == {
        name: EXPECTED[name] for name in ("vector_units", "tensorflow")
    }

    def compare(found, expected):
        if isinstance(expected, dict):
            assert list(found) == list(expected)
            for name in expected:
                compare(found[name], expected[name])
        elif isinstance(expected, str):
            assert found == expected
        elif same_machine:
            np.testing.assert_array_equal(found, expected)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)

    return compare


def history_of(folder):
    table = pandas.read_csv(folder / "history.csv", float_precision="round_trip")
    return table.drop(columns="epoch").to_dict("list")


def test_a_finished_run_is_loaded_to_the_last_bit(written, answers, assert_computed):
    expected = RUNS["finished"]
    run = ks.load_run("runs/finished")
    assert make.state(run.model) == {n: expected[n] for n in ("weights", "optimizer")}
    assert run.history == expected["history"]
    assert run.metrics == expected["metrics"]
    assert (run.config.units, run.config.learning_rate) == ((8,), 0.02)
    assert run.info.class_names == tuple("0123456789")
    predicted = run.model.predict(make.IMAGES, verbose=0)
    assert_computed(predicted, answers["finished"])


def test_a_finished_run_is_evaluated_and_predicts(
    written, command, answers, assert_computed
):
    printed = command("evaluate", "runs/finished", "--json").out
    metrics = json.loads(printed.splitlines()[-1])["metrics"]
    assert_computed(metrics, RUNS["finished"]["metrics"])

    np.savez("images.npz", x=make.IMAGES)
    command("predict", "runs/finished", "--input", "images.npz", "--output", "p.csv")
    table = pandas.read_csv("p.csv", float_precision="round_trip")
    by_class = table[[c for c in table if c.startswith("probability_")]]
    assert_computed(by_class.to_numpy("float32"), answers["finished"])


def test_a_report_is_written_about_a_finished_run(written, command):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    told = command("report", "runs/finished", "--output", "page.html").err
    assert "no mistakes are shown" not in told
    accuracy = RUNS["finished"]["metrics"]["accuracy"]
    assert f"{accuracy:.4f}" in pathlib.Path("page.html").read_text()


def test_a_run_goes_on_in_the_middle_of_an_epoch_from_the_command_line(
    written, command, assert_computed
):
    """It ends where the undisturbed one does: it knows of the epoch without a gain."""
    expected = RUNS["stopped"]
    flags = {"run_dir": "runs/stopped", **make.STOPPED, "units": 8}
    told = command(
        "train",
        "mlp",
        *(f"--{name.replace('_', '-')}={value}" for name, value in flags.items()),
    ).err
    step = expected["interrupted"]["step"]
    assert f"resuming at step {step} (epoch 3, 3 of 5 batches done)" in told
    assert "stopped early after epoch 3; best weights by val_loss: those of" in told
    assert_computed(history_of(written / "runs/stopped"), expected["history"])
    # Nothing is moved or renamed, and one file is new: where the time went.
    names = [n.replace("000000000010", f"{step:012}") for n in expected["files"]]
    assert make.files("runs/stopped") == sorted([*names, "goodput.json"])
    run = ks.load_run("runs/stopped")
    # Those of the first epoch, which 0.1.0 trained.
    assert make.sums(run.model.weights) == expected["weights"]
    assert_computed(run.metrics, expected["metrics"])


def test_a_run_goes_on_in_the_middle_of_an_epoch_with_a_callback_of_the_user(
    written, capfd, assert_computed
):
    """Bits of weights and optimizer, and the callback's memory, are those of then."""
    expected = RUNS["lowered"]
    plateau = make.plateau()
    seen = {}

    def before_batch(batch, logs):
        if not seen:
            seen.update(make.state(spy.model))
            seen["callbacks"] = [make.memory(plateau)]
            seen["step"] = 5 * make.BATCHES_PER_EPOCH + batch

    spy = keras.callbacks.LambdaCallback(on_train_batch_begin=before_batch)
    recipe = ks.load_recipe("mlp")
    run = ks.train(
        recipe,
        recipe.Config(**make.LOWERED),
        run_dir="runs/lowered",
        callbacks=[plateau, spy],
    )
    told = capfd.readouterr().err
    assert "resuming at step 28 (epoch 6, 3 of 5 batches done)" in told
    assert seen == expected["interrupted"]
    assert run.history["learning_rate"] == expected["history"]["learning_rate"]
    assert_computed(run.history, expected["history"])
    assert_computed(run.metrics, expected["metrics"])


@pytest.mark.parametrize("name", ["scaled", "net", "lowered"])
def test_a_keras_file_is_loaded_to_the_last_bit(name, answers, assert_computed):
    expected = EXPECTED["models"][name]
    assert ks.models  # Their classes are registered when it is imported.
    model = keras.saving.load_model(WRITTEN / "models" / f"{name}.keras")
    assert type(model).__name__ == expected["class"]
    assert make.state(model) == {n: expected[n] for n in ("weights", "optimizer")}
    predicted = model.predict(make.ROWS, verbose=0)
    assert_computed(predicted, answers[f"models/{name}"])
    model.fit(make.ROWS, np.arange(6) % 3, batch_size=3, verbose=0)
    if name == "lowered":  # And clipped, after each update.
        assert max(abs(model.trainable_variables[0].numpy()).flat) <= 0.25
        config = keras.optimizers.serialize(model.optimizer)["config"]
        rate = keras.saving.deserialize_keras_object(config["learning_rate"])
        assert type(rate) is ks.optimizers.Lowered
        assert_computed([float(rate(s)) for s in range(6)], expected["rates"])


def test_each_class_is_found_under_the_name_it_was_written_with():
    assert ks.models
    known = keras.saving.get_custom_objects()
    assert [n for n in EXPECTED["registered"] if n not in known] == []
    for name, then in json.loads((WRITTEN / "classes.json").read_text()).items():
        # A copy: Keras changes what it is given.
        made = keras.saving.deserialize_keras_object(copy.deepcopy(then))
        now = json.loads(json.dumps(keras.saving.serialize_keras_object(made)))
        assert without_places(now) == without_places(then), name


def without_places(config):
    """Without the modules, which may have moved, and addresses in memory."""
    if isinstance(config, list):
        return [without_places(item) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        name: without_places(value)
        for name, value in config.items()
        if name != "shared_object_id"
        and not (name == "module" and str(value).startswith("kerascale."))
    }


ASK = """
import json, sys
sys.modules["kerascale"] = sys.modules["keras"] = None
import numpy as np, tensorflow as tf
images = np.load(sys.argv[1])
answers = {}
for version in sys.argv[2:]:
    served = tf.saved_model.load(version).signatures
    for name in ("serving_default", "serve"):
        found = served[name](image=tf.constant(images))
        answers[f"{version} {name}"] = found["probabilities"].numpy()
np.savez("asked.npz", **answers)
"""


def test_an_export_is_served_and_followed_by_a_new_version(
    written, command, answers, assert_computed
):
    """Both answer in a process that can import neither kerascale nor Keras."""
    command("export", "runs/finished", "served")
    told = command("versions", "served", "--check-files", "--json").out
    listed = json.loads(told.splitlines()[-1])["versions"]
    assert [version["version"] for version in listed] == [1, 2]
    assert [version["changed_files"] for version in listed] == [[], []]
    old, new = (
        json.loads((written / f"served/{n}/assets.extra/kerascale.json").read_text())
        for n in (1, 2)
    )
    for unchanged in ("format", "recipe", "run", "fields", "data", "signatures"):
        assert new[unchanged] == old[unchanged], unchanged
    assert (new["follows"], new["breaks"]) == (1, [])
    # What it was made of came later.
    assert set(new["files"]) - set(old["files"]) == {"assets.extra/provenance.json"}
    assert set(old["files"]) <= set(new["files"])

    np.save("images.npy", make.IMAGES.astype("float32"))
    subprocess.run(
        [sys.executable, "-I", "-c", ASK, "images.npy", "served/1", "served/2"],
        check=True,
        timeout=100,
        capture_output=True,
    )
    with np.load("asked.npz") as asked:
        assert len(asked) == 4
        for found in asked.values():
            assert_computed(found, answers["served"])
