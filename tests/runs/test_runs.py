"""Run folders: held while a run goes on, left clean, and loaded or refused."""

import hashlib
import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import kerascale as ks
from kerascale.runs import layout
from kerascale.runs.folder import RunFolder
from kerascale.serving import batch_prediction

pytestmark = pytest.mark.usefixtures("forked_loaders")

PLAIN = '''
"""Softmax regression, in a file."""

import dataclasses

import keras

import kerascale as ks


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(ks.TrainingConfig):
    """Fields."""


def make_datasets(config):
    return ks.datasets.from_config(config, kinds=("image", "vector"))


def make_model(config, datasets):
    layers = [
        keras.Input(datasets.info.input_shape),
        keras.layers.Flatten(),
        keras.layers.Dense(datasets.info.num_classes, activation="softmax"),
    ]
    return ks.optimizers.compile_classifier(keras.Sequential(layers), config, 10)
'''
# The same with a class that Keras finds only if the file was imported.
OWN_CLASS = PLAIN.replace(
    "def make_datasets",
    """@keras.saving.register_keras_serializable(package="somebody")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x


def make_datasets""",
).replace("keras.layers.Flatten()", "keras.layers.Flatten(), Twice()")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with each of our own classes that a compiled model can name."""
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        epochs=1, units=(8,), warmup_epochs=0.5, weight_clip=0.5, dropout=0.1
    )
    folder = tmp_path_factory.mktemp("runs") / "run"
    return ks.train(recipe, config, run_dir=folder)


@pytest.fixture(scope="module")
def language_model(tmp_path_factory):
    recipe = ks.load_recipe("language_model")
    config = recipe.Config(
        epochs=0, num_layers=1, width=8, max_length=16, seed=3, positions="learned"
    )
    folder = tmp_path_factory.mktemp("language") / "run"
    return ks.train(recipe, config, run_dir=folder)


@pytest.fixture
def copy(trained, tmp_path):
    """A run folder to damage."""
    return shutil.copytree(trained.path, tmp_path / "copy")


# Loading without the recipe -------------------------------------------------------


def _train_file(folder, source, table=None):
    path = folder / "mine.py"
    path.write_text(source.lstrip())
    recipe = ks.load_recipe(str(path))
    data = {} if table is None else {"dataset": f"csv:{table}", "label": "name"}
    run = ks.train(recipe, recipe.Config(epochs=0, **data), run_dir=folder / "run")
    return path, run


def test_a_classifier_predicts_and_exports_without_its_recipe(tmp_path):
    table = tmp_path / "table.csv"
    pd.DataFrame({"a": range(40), "b": 1.5, "name": ["x", "y"] * 20}).to_csv(
        table, index=False
    )
    path, run = _train_file(tmp_path, PLAIN, table)
    expected = batch_prediction.predict(run, table)
    path.unlink()
    loaded = ks.load_run(run.path)
    assert batch_prediction.predict(loaded, table).equals(expected)
    assert ks.export_saved_model(loaded, tmp_path / "served").name == "1"
    with pytest.raises(ks.RefusedError, match=r"needs its recipe, '.*mine\.py'"):
        _ = loaded.config
    path.write_text(PLAIN.lstrip())
    assert loaded.config.epochs == 0


@pytest.mark.parametrize(
    "broken",
    [
        "import no_such_module",
        None,
        pytest.param("1 / 0", marks=pytest.mark.slow),
        pytest.param("def (", marks=pytest.mark.slow),
    ],
)
def test_a_recipe_that_the_model_needs(tmp_path, run_python, broken):
    path, run = _train_file(tmp_path, OWN_CLASS)
    code = (
        "import sys, kerascale as ks\n"
        "try:\n"
        "    print(ks.load_run(sys.argv[1]).config)\n"
        "except ks.RefusedError as error:\n"
        "    print(error)"
    )
    assert "Config(dataset='digits'" in run_python(code, run.path, imported=True).stdout
    if broken is None:
        path.unlink()
    else:
        path.write_text(broken)
    refusal = run_python(code, run.path, imported=True).stdout
    assert "model.keras cannot be loaded (Could not locate class 'Twice'" in refusal
    assert "The recipe, whose classes it may need, cannot be loaded either" in refusal
    assert {
        "import no_such_module": "No module named 'no_such_module'",
        "1 / 0": "division by zero",
        "def (": "mine.py, line 1",
        None: str(path),
    }[broken] in refusal


def test_a_recipe_whose_fields_have_changed(tmp_path):
    _, run = _train_file(tmp_path, PLAIN)
    config = json.loads((run.path / "config.json").read_text())
    config["fields"]["gone"] = 1
    (run.path / "config.json").write_text(json.dumps(config))
    loaded = ks.load_run(run.path)
    assert loaded.fields["gone"] == 1
    with pytest.raises(ks.RefusedError, match="gone: no such field"):
        _ = loaded.config


def test_a_language_model_continues_prompts_without_its_recipe(
    language_model, tmp_path, monkeypatch
):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("The \n")
    expected = batch_prediction.predict(language_model, prompts)
    folder = shutil.copytree(language_model.path, tmp_path / "run")
    config = json.loads((folder / "config.json").read_text())
    config["recipe"] = "gone"
    (folder / "config.json").write_text(json.dumps(config))
    assert batch_prediction.predict(ks.load_run(folder), prompts).equals(expected)
    for field in ("max_length", "seed"):
        changed = {**config, "fields": {**config["fields"], field: "many"}}
        (folder / "config.json").write_text(json.dumps(changed))
        message = rf"config\.json: expected the field {field}, .* Received: 'many'"
        with pytest.raises(ks.RefusedError, match=message):
            batch_prediction.predict(ks.load_run(folder), prompts)


def test_a_run_says_what_it_is(trained):
    assert repr(ks.load_run(trained.path)).startswith("Run(recipe='mlp', path='")


# Damaged and foreign folders -----------------------------------------------------


def _change(**changes):
    def change(path):
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | changes))

    return change


def _change_data(**changes):
    def change(path):
        content = json.loads(path.read_text())
        content["data"] |= changes
        path.write_text(json.dumps(content))

    return change


def _write(text):
    return lambda path: path.write_text(text)


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("config.json", _write("[]"), r"expected an object\. Received: \[\]"),
        ("config.json", _write("{}"), r"recipe: expected text\. Received: None"),
        ("config.json", _write("{"), "damaged"),
        ("config.json", lambda path: path.write_bytes(b"\xff"), "damaged"),
        ("config.json", _change(recipe=3), r"recipe: expected text\. Received: 3"),
        ("config.json", _change(fields=None), "fields: expected an object"),
        ("config.json", _change(fields=[1]), "fields: expected an object"),
        ("config.json", _change(data=[]), "data: expected an object"),
        ("config.json", _change_data(extra=1), "data: .*extra"),
        ("config.json", _change_data(kind="sound"), "data: kind: expected"),
        ("config.json", _change_data(class_names=3), "data: "),
        ("config.json", _change_data(input_shape=None), "data: "),
        ("config.json", _change_data(input_shape=["x"]), "data: input_shape"),
        ("evaluation.json", _write("3"), r"expected an object\. Received: 3"),
        ("evaluation.json", _write(""), "damaged"),
        ("history.csv", _write("loss\n1.0\n"), r"a column epoch\. Received: loss"),
        ("history.csv", _write("epoch,loss\n0,low\n"), "low"),
        ("history.csv", _write("epoch,loss\n0,1,2,3\n0\n1,2,3,4,5\n"), "damaged"),
        ("history.csv", lambda path: path.write_bytes(b"\xff\xfe\x00"), "damaged"),
        ("model.keras", _write(""), "damaged"),
        ("model.keras", _write("no zip"), "damaged"),
    ],
)
def test_a_damaged_file_is_named(copy, name, damage, message):
    damage(copy / name)
    with pytest.raises(ks.RefusedError, match=message) as refused:
        ks.load_run(copy)
    assert str(copy / name) in str(refused.value)


@pytest.mark.parametrize("name", ["config.json", "evaluation.json", "model.keras"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(ks.RefusedError, match=rf"which has no .*{name}"):
        ks.load_run(copy)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.9, 0.99])
def test_a_model_that_was_cut_off_is_refused(copy, share):
    content = (copy / "model.keras").read_bytes()
    (copy / "model.keras").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ks.RefusedError, match=r"model\.keras is damaged"):
        ks.load_run(copy)


def test_one_flipped_byte_is_refused_or_harmless(copy, trained):
    """Harmless: in a date, which is no part of the model."""
    content = (copy / "model.keras").read_bytes()
    weights = trained.model.get_weights()
    refused = 0
    for position in np.linspace(0, len(content) - 1, 40, dtype=int):
        flipped = bytearray(content)
        flipped[position] ^= 0xFF
        (copy / "model.keras").write_bytes(flipped)
        try:
            loaded = ks.load_run(copy)
        except ks.RefusedError:
            refused += 1
        else:
            for ours, theirs in zip(weights, loaded.model.get_weights(), strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert refused > 30


@pytest.mark.parametrize("damage", ["none", "cut", "other model"])
def test_a_vectorizer_that_is_none(language_model, tmp_path, damage):
    folder = shutil.copytree(language_model.path, tmp_path / "run")
    file = folder / "vectorizer.keras"
    if damage == "none":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-100])
    else:
        shutil.copy(folder / "model.keras", file)
    with pytest.raises(ks.RefusedError, match=r"vectorizer\.keras"):
        ks.load_run(folder)


def test_a_saved_model_loads_in_keras_after_one_import(trained, run_python):
    run_python(
        "import sys, kerascale.models, keras\n"
        "model = keras.saving.load_model(sys.argv[1])\n"
        "assert type(model).__name__ == 'MLP' and model.compiled\n"
        "rate = model.optimizer.get_config()['learning_rate']\n"
        "assert rate['class_name'] == 'WarmUp', rate\n"
        "assert 'kerascale.runs.run' not in sys.modules",
        trained.path / "model.keras",
        imported=True,
    )


# Serving a language model ---------------------------------------------------------


def test_texts_longer_than_max_length_are_served(language_model, tmp_path, run_python):
    version = ks.export_saved_model(language_model, tmp_path / "served")
    text = "The quick brown fox jumps over the lazy dog. " * 3
    texts = [text, text[:16], "The", ""]
    expected = language_model.serving_model(tf.constant(texts)).numpy()
    assert expected.shape[:2] == (4, 16)
    # A text gives the same with and without what stands behind its 16 characters.
    np.testing.assert_array_equal(expected[0], expected[1])
    output = run_python(
        """
import sys
import json
import tensorflow as tf
serve = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
texts = tf.constant(json.loads(sys.argv[2]))
print(json.dumps(serve(text=texts)["probabilities"].numpy().tolist()))
""",
        version,
        json.dumps(texts),
        imported="tensorflow",
    ).stdout
    served = np.array(json.loads(output.splitlines()[-1]))
    np.testing.assert_allclose(served, expected, atol=1e-5)


# The folder of a run that is going on ---------------------------------------------


def test_a_file_that_cannot_be_written_leaves_no_temporary(tmp_path):
    with RunFolder(tmp_path / "run", "mlp") as folder:
        with pytest.raises(TypeError):
            folder.write_json("a.json", {"no": object()})
        (folder.path / "b.json").mkdir()
        with pytest.raises(OSError, match=r"b\.json"):
            folder.write_json("b.json", {})
        assert not list(folder.path.glob(".*.tmp"))


def _refuse_in(path):
    with RunFolder(path, "mlp") as folder:
        folder.write_json(layout.CONFIG, {})
        raise ks.RefusedError("no")


@pytest.mark.parametrize("path", ["run", "a/b/run", None])
def test_a_refused_run_leaves_nothing(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ks.RefusedError, match="no"):
        _refuse_in(path)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_run_leaves_what_was_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mlp" / "1").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for path in (None, "empty"):
        with pytest.raises(ks.RefusedError, match="no"):
            _refuse_in(path)
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
        "empty",
        "runs",
        "runs/mlp",
        "runs/mlp/1",
    ]


@pytest.mark.parametrize("name", ["history.csv", "checkpoints/last.weights.h5"])
def test_what_was_trained_stays(tmp_path, name):
    folder = RunFolder(tmp_path / "run", "mlp")
    folder.write_json(layout.CONFIG, {})
    (folder.path / name).write_text("precious")
    with pytest.raises(ks.RefusedError, match="late"), folder:
        raise ks.RefusedError("late")
    assert {p.name for p in folder.path.iterdir()} == {
        "config.json",
        "checkpoints",
        name.partition("/")[0],
    }
    assert (folder.path / name).read_text() == "precious"


def test_other_errors_leave_the_folder_unless_it_is_discarded(tmp_path):
    for discard in (False, True):
        folder = RunFolder(tmp_path / "run", "mlp")
        if discard:
            folder.discard()
        with pytest.raises(KeyError), folder:
            raise KeyError
        assert (tmp_path / "run").exists() is not discard
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


def test_a_folder_that_cannot_be_made_leaves_no_parents(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(13, "Permission denied", "x")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(ks.RefusedError, match="Permission denied"):
        RunFolder(tmp_path / "a" / "b", "mlp")
    assert list(tmp_path.iterdir()) == []


def test_check_creates_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for path in (None, "new", "a/b/new", "empty", tmp_path / "new"):
        RunFolder.check(path, "mlp")
    assert [p.name for p in tmp_path.rglob("*")] == ["empty"]


def test_check_refuses_what_the_constructor_refuses(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("precious")
    (tmp_path / "file").write_text("")
    with pytest.raises(ks.RefusedError, match=r"new or empty folder.*mine\.txt"):
        RunFolder.check("full")
    for path in ("file", "file/run"):
        with pytest.raises(ks.RefusedError, match=r"can be written.*not a folder"):
            RunFolder.check(path)
    with (
        RunFolder(tmp_path / "run", "mlp"),
        pytest.raises(ks.RefusedError, match="held by another run"),
    ):
        RunFolder.check(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").rmdir()
    (tmp_path / "run" / ".lock").touch()  # Of a run that was killed.
    RunFolder.check("run")
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    for path in ("run", "new", None):
        with pytest.raises(ks.RefusedError, match="permission denied"):
            RunFolder.check(path, "mlp")


def test_config_records_the_initial_weights(trained, tmp_path):
    recipe = ks.load_recipe("mlp")
    model = trained.path / "model.keras"
    sha256 = hashlib.sha256(model.read_bytes()).hexdigest()
    for number, source in enumerate((None, model, str(model))):
        with RunFolder(tmp_path / str(number), "mlp") as folder:
            folder.write_config(
                recipe,
                trained.config,
                trained.info,
                {"strategy": "one_device"},
                init_from=source,
                init_partial=source is not None,
            )
        written = json.loads((folder.path / "config.json").read_text())
        assert [written[f"init_{what}"] for what in ("from", "partial", "sha256")] == (
            [None, False, None] if source is None else [str(source), True, sha256]
        )
    with (
        pytest.raises(ks.RefusedError, match=r"init_from: .*gone\.keras"),
        RunFolder(tmp_path / "run", "mlp") as folder,
    ):
        folder.write_config(
            recipe, trained.config, trained.info, {}, init_from="gone.keras"
        )
    assert not (tmp_path / "run").exists()
