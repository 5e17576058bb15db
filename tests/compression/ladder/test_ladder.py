"""`kerascale compress` in TensorFlow: rungs are what they say, and are measured."""

import json
import pathlib
import re
import shutil

import filelock
import numpy as np
import pytest
import tensorflow as tf
from compression.ladder.conftest import WISHES

import kerascale as ks
from kerascale.compression.formats import stored_weights
from kerascale.compression.formats.rungs import Rung
from kerascale.compression.ladder import build, paths, served, table
from kerascale.compression.ladder.climb import climb
from kerascale.compression.page import render
from kerascale.errors import ExportRefusedError, RefusedError
from kerascale.reporting import mistakes

SMALL = Rung("int8-weights", "tensorflow")


def _row(ladder, rung=SMALL):
    (row,) = (row for row in ladder.rows if row.rung == rung)
    return row


def _test_examples(run):
    _, source = mistakes.open_split(run, "test")
    x, y = zip(*source.dataset().as_numpy_iterator(), strict=True)
    return np.concatenate(x), np.concatenate(y)


def test_numbers_are_those_of_what_was_written(compressed):
    row = _row(compressed.ladder)
    x, labels = _test_examples(compressed.run)
    loaded = tf.saved_model.load(row.path)
    answer = loaded.signatures["serving_default"]
    outputs = answer(image=tf.constant(x, tf.float32))["probabilities"].numpy()
    right = outputs.argmax(-1) == labels
    assert row.scores["accuracy"] == pytest.approx(right.mean())
    original = compressed.run.model.predict(x, verbose=0)
    same = outputs.argmax(-1) == original.argmax(-1)
    assert row.scores["agreement"] == pytest.approx(same.mean())
    assert 0.9 < same.mean()
    assert row.scores["drop"] == pytest.approx(
        (original.argmax(-1) == labels).mean() - right.mean()
    )
    low, high = row.scores["drop_interval"]
    assert low < row.scores["drop"] < high
    # It is another model, and nearly the same.
    assert 0 < np.abs(outputs - original).max() < 0.1
    assert row.scores["largest_change"] <= np.abs(outputs - original).max() + 1e-6


def test_weights_are_kept_in_int8(compressed):
    row = _row(compressed.ladder)
    files = [f for f in pathlib.Path(row.path).rglob("variables.data*")]
    weights = sum(file.stat().st_size for file in files)
    float_row = _row(compressed.ladder, Rung("float32", "tensorflow"))
    before = pathlib.Path(float_row.path)
    assert weights < 0.35 * sum(f.stat().st_size for f in before.rglob("variables.d*"))
    assert row.size < float_row.size
    loaded = tf.saved_model.load(row.path)
    assert {"serving_default", "serve", "classify"} <= set(loaded.signatures)


def test_latency_and_memory_are_measured(compressed):
    for row in compressed.ladder.rows:
        for size in ("1", "32"):
            times = row.latency[size]
            assert 0 < times["median"] <= times["p99"] < 10
        assert row.peak_bytes > 0


def test_the_table_names_what_to_take(compressed):
    text = table.text(compressed.ladder)
    assert "int8-weights  TensorFlow" in text
    assert re.search(r"smallest within --max-drop 0.02: int8-weights in Tensor", text)


def test_the_page_needs_nothing_else(compressed):
    pytest.importorskip("matplotlib")
    html = render.render(compressed.ladder, compressed.changes)
    assert html.startswith("<!doctype html>\n<!-- written by kerascale -->")
    assert "int8-weights in TensorFlow" in html
    assert html.count("<svg") == 3
    outside = re.findall(r'(?:src|href)="(?!data:|#)([^"]*)"', html)
    assert not outside


def test_changed_answers_are_those_that_differ(compressed):
    row = _row(compressed.ladder)
    changes = compressed.changes[SMALL]
    count = round((1 - row.scores["agreement"]) * compressed.ladder.examples)
    assert len(changes) == min(count, 8)
    assert all(change.before != change.now for change in changes)


@pytest.mark.slow
def test_a_rung_that_is_there_is_taken(run_folder, capsys, monkeypatch):
    run = ks.load_run(run_folder)
    real, built = build.build, []

    def stopped(what, rung, *rest):
        built.append(rung)
        if rung == SMALL and built.count(SMALL) == 1:
            raise KeyboardInterrupt
        return real(what, rung, *rest)

    monkeypatch.setattr(build, "build", stopped)
    with pytest.raises(KeyboardInterrupt):
        climb(run, WISHES)
    base = run_folder / "compressed"
    assert [p.name for p in base.iterdir() if p.is_dir()] == ["float32"]
    climb(run, WISHES)  # Goes on behind the first.
    assert built == [Rung("float32", "tensorflow"), SMALL, SMALL]
    (base / "int8-weights/tensorflow/saved_model.pb").write_bytes(b"changed")
    ladder, _ = climb(run, WISHES)  # What is not what was measured is built again.
    assert built[3:] == [SMALL]
    assert "float32 in TensorFlow: there already" in capsys.readouterr().err
    assert json.loads((base / "ladder.json").read_text())["chosen"] == _row(ladder).path


def test_a_wrong_float_model_is_left_out(run_folder, monkeypatch):
    """As where a converter drops an operation: see `findings/`."""
    run = ks.load_run(run_folder)

    def of_another_model(self, face):
        doubled = tuple(
            (variable, lambda variable=variable: 2 * tf.identity(variable.value))
            for variable in run.model.trainable_variables
        )
        names = {name: getattr(face, name) for name in face.__dataclass_fields__}
        return stored_weights.StoredInterface(**names, stored=doubled)

    monkeypatch.setattr(stored_weights.WeightStore, "interface", of_another_model)
    ladder, _ = climb(run, WISHES)
    assert ladder.rows == []
    assert ladder.chosen is None
    assert "the converter is wrong" in ladder.left_out["float32 in TensorFlow"]
    assert ladder.left_out["int8-weights in TensorFlow"].startswith("there is no float")


def test_a_rung_passes_the_gate_of_any_version(compressed, tmp_path):
    path = compressed.run.path / "compressed" / "int8-weights"
    rung = paths.find(path, None)
    version = served.export(compressed.run, path, rung, tmp_path / "s", max_drop=0.02)
    assert version == tmp_path / "s" / "1"
    record = json.loads((version / "assets.extra" / "kerascale.json").read_text())
    scores = _row(compressed.ladder).scores
    assert record["metrics"]["accuracy"] == scores["accuracy"]
    assert record["compressed"] == str(SMALL)
    names = {file.name for file in version.iterdir()}
    assert not names & {"rung.json", "answers.npz", "gate.npz"}
    # The run itself may follow it, and it the run: signatures and labels are the same.
    assert ks.export_saved_model(compressed.run, tmp_path / "s").name == "2"
    again = served.export(compressed.run, path, rung, tmp_path / "s", max_drop=0.02)
    assert again.name == "3"


def test_what_is_not_as_measured_is_refused(compressed, tmp_path):
    run_folder = tmp_path / "run"
    shutil.copytree(compressed.run.path, run_folder)
    rung_path = run_folder / "compressed" / "int8-weights" / "tensorflow"
    export = (compressed.run, rung_path, SMALL, tmp_path / "served")
    record = json.loads((rung_path / "rung.json").read_text())
    ladder_file = run_folder / "compressed" / "ladder.json"
    limit = json.loads(ladder_file.read_text())

    worse = {**record, "scores": {**record["scores"], "drop": 0.05}}
    (rung_path / "rung.json").write_text(json.dumps(worse))
    with pytest.raises(ExportRefusedError, match=r"within the limit.*0\.0500 of acc"):
        served.export(*export, max_drop=1)
    (rung_path / "rung.json").write_text(json.dumps(record))

    with np.load(rung_path / "gate.npz") as arrays:
        answers = {name: arrays[name] for name in arrays.files}
    first = next(n for n in answers if answers[n].dtype == np.float32)
    np.savez(rung_path / "gate.npz", **{**answers, first: answers[first] + 0.01})
    with pytest.raises(ExportRefusedError, match="does not answer as the trained one"):
        served.export(*export, max_drop=1)
    np.savez(rung_path / "gate.npz", **answers)

    (rung_path / "assets.extra" / "labels.json").write_text("[]")
    with pytest.raises(ExportRefusedError, match="missing or has changed"):
        served.export(*export, max_drop=1)
    assert not (tmp_path / "served").exists()
    assert limit["max_drop"] == WISHES.max_drop


def test_a_rung_that_is_not_there(compressed):
    with pytest.raises(RefusedError, match=r"are: float32/tensorflow, int8-weights/t"):
        paths.find(compressed.run.path / "compressed" / "int4", None)
    with pytest.raises(RefusedError, match="of the format onnx"):
        paths.find(compressed.run.path / "compressed" / "int8-weights", "onnx")


def test_a_second_command_is_refused(run_folder):
    run = ks.load_run(run_folder)
    (run_folder / "compressed").mkdir()
    with filelock.FileLock(run_folder / "compressed" / ".lock"):
        with pytest.raises(RefusedError, match="held by another kerascale compress"):
            climb(run, WISHES)


def test_data_that_is_gone_is_refused(run_folder):
    config = json.loads((run_folder / "config.json").read_text())
    config["data"]["fingerprint"] = "another"
    (run_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RefusedError, match="expected the examples that the run was"):
        climb(ks.load_run(run_folder), WISHES)
    assert not (run_folder / "compressed").exists()
