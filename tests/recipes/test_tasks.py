"""The contract: every recipe, asked for every task, from every source that carries it.

What is held: training says the task, the final numbers are those of its evaluation
again, predictions have its columns, and what is exported answers as the run does.
"""

import dataclasses
import json

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from helpers import tfds_sets

import kerascale as ks
from kerascale.config.tasks import OF_CLASSES, TASKS
from kerascale.datasets import other_data
from kerascale.serving import batch_prediction
from kerascale.training import evaluation

ROWS = 96
SMALL = {
    "mlp": {"units": (8,)},
    "cnn": {"filters": (2,), "dense_units": 4},
    "rnn": {"units": (4,)},
    "transformer": {"num_layers": 1, "width": 8, "num_heads": 2},
}
# Source -> recipes that take it.
SOURCES = {
    "arrays": ("mlp", "rnn", "transformer"),
    "csv": ("mlp", "rnn", "transformer"),
    "table": ("mlp", "rnn", "transformer"),
    "parquet": ("mlp", "rnn", "transformer"),
    "npz": ("mlp", "cnn", "rnn", "transformer"),
    "tfrecord": ("mlp", "rnn", "transformer"),
    "images": ("mlp", "cnn", "rnn", "transformer"),
    "text": ("rnn", "transformer"),
    "packed": ("mlp", "rnn", "transformer"),
    "packed_table": ("mlp", "rnn", "transformer"),
    "tfds": ("mlp", "rnn", "transformer"),
    "tfds_images": ("mlp", "cnn", "rnn", "transformer"),
    "tfds_texts": ("rnn", "transformer"),
    "tfds_packed": ("mlp", "cnn", "rnn", "transformer"),
}
# The others take too long for each run of the tests; a served row is tested beside.
DEFAULT = {("mlp", "multilabel", "tfds")}


def labels_of(task, signal):
    """Labels that a signal in 0..1 decides, of shape (rows, columns)."""
    if task == "regression":
        return np.stack([signal * 300 + 5000, -signal], axis=1).round(3)
    if task == "multilabel":
        return np.stack([signal > 0.5, signal > 0.3, signal < 0.2], axis=1).astype(int)
    count = {"binary": 2, "classification": 3, "ordinal": 4}[task]
    return np.minimum((signal * count).astype(int), count - 1)[:, None]


def made(task, source, folder):
    """The configuration's fields, and a file to predict (None: there is none)."""
    random = np.random.default_rng(0)
    signal = random.random(ROWS)
    y = labels_of(task, signal)
    names = ["y"] if y.shape[1] == 1 else [f"y{i}" for i in range(y.shape[1])]
    label = ",".join(names)
    x = np.stack([signal, random.random(ROWS), signal**2], axis=1).astype("float32")
    own = y[:, 0] if task in OF_CLASSES else y
    if source.startswith("tfds"):
        return made_by_tfds(task, source, folder, signal, y)
    if source in ("csv", "table", "parquet", "text", "packed", "packed_table"):
        columns = {f"x{i}": x[:, i] for i in range(3)}
        if source in ("table", "packed_table"):
            columns["x0"] = [f"{v:.4f}" if v > 0.1 else "" for v in signal]
            columns["kind"] = np.array(["a", "b", "c", ""])[(signal * 3.99).astype(int)]
            day = pd.Timestamp("2020-01-01") + pd.to_timedelta(signal * 900, "D")
            columns["day"] = day.strftime("%d.%m.%Y")
        if source == "text":
            words = ["low", "small", "great", "high", "huge"]
            columns = {"text": [f"it is {words[int(s * 4.99)]} now" for s in signal]}
        frame = pd.DataFrame({**columns, **dict(zip(names, y.T, strict=True))})
        if source == "parquet":
            frame.to_parquet(folder / "data.parquet")
            fields = {"dataset": f"parquet:{folder}/data.parquet", "label": label}
            return fields, folder / "data.parquet"
        frame.to_csv(folder / "data.csv", index=False)
        fields = {"dataset": f"csv:{folder}/data.csv", "label": label}
        if source in ("packed", "packed_table"):
            fields |= {"pack": "always", "validation_fraction": 0.2}
        return fields, folder / "data.csv"
    pictures = np.repeat(np.repeat(signal[:, None, None], 4, 1), 4, 2)
    pictures = (pictures * 255).astype(np.uint8)
    if source == "npz":
        np.savez(folder / "data.npz", x=pictures, y=own)
        return {"dataset": f"npz:{folder}/data.npz"}, folder / "data.npz"
    if source == "images":
        rows = []
        for i, picture in enumerate(pictures):
            keras.utils.save_img(folder / f"{i}.png", picture[..., None], scale=False)
            rows.append({"file": f"{i}.png", **dict(zip(names, y[i], strict=True))})
        pd.DataFrame(rows).to_csv(folder / "labels.csv", index=False)
        return {"dataset": f"images:{folder}", "label": label}, folder
    if source == "tfrecord":
        with tf.io.TFRecordWriter(str(folder / "data.tfrecord")) as writer:
            for features, target in zip(x, y, strict=True):
                writer.write(_example(features, target))
        return {"dataset": f"tfrecord:{folder}"}, None
    return {"arrays": (x, own)}, None


def made_by_tfds(task, source, folder, signal, y):
    """The same as a data set of TFDS, and a table to predict."""
    names = ["y"] if y.shape[1] == 1 else [f"y{i}" for i in range(y.shape[1])]
    labels = {name: np.float32 for name in names}
    told = [dict(zip(names, row.astype("float32"), strict=True)) for row in y]
    words = [str(row[0]) for row in y]
    label = ",".join(names)
    if task in OF_CLASSES:
        labels = {"y": tfds.features.ClassLabel(num_classes=int(y.max()) + 1)}
        told = [{"y": int(row[0])} for row in y]
    elif task == "multilabel":
        label, several = "y", tfds.features.ClassLabel(names=["a", "b", "c"])
        labels = {"y": tfds.features.Sequence(several)}
        told = [{"y": np.flatnonzero(row).tolist()} for row in y]
        words = [";".join(np.array(["a", "b", "c"])[row > 0]) for row in y]
    kinds = np.array(["a", "b", "c", ""])[(signal * 3.99).astype(int)]
    sizes = np.array(["low", "small", "great", "high"])[(signal * 3.99).astype(int)]
    features, rows = {
        "tfds": (
            {
                "size": np.float32,
                "kind": tfds.features.Tensor(shape=(), dtype=np.str_),
            },
            [
                {"size": np.float32(v if v > 0.1 else np.nan), "kind": kind}
                for v, kind in zip(signal, kinds, strict=True)
            ],
        ),
        "tfds_texts": (
            {"text": tfds.features.Text()},
            [{"text": f"it is {size} now"} for size in sizes],
        ),
    }.get(source) or (
        {"image": tfds.features.Image(shape=(4, 4, 1))},
        [{"image": np.full((4, 4, 1), int(255 * v), np.uint8)} for v in signal],
    )
    name = f"{source}_{task}"
    rows = [{**row, **own} for row, own in zip(rows, told, strict=True)]
    # Ranks that are numbers have their order.
    tfds_sets.store(folder, name, {**features, **labels}, train=rows)
    fields = {"dataset": f"tfds:{name}", "label": label}
    if source == "tfds_packed":
        fields |= {"pack": "always", "validation_fraction": 0.2}
    if "image" in features:
        return fields, None
    table = pd.DataFrame([{k: row[k] for k in features} for row in rows])
    if task == "regression":
        table[names] = y.astype("float32")
    else:
        table["y"] = words
    table.to_csv(folder / "new.csv", index=False)
    return fields, folder / "new.csv"


def _example(x, y):
    train = tf.train
    floats = y.dtype.kind == "f"
    label = (
        train.Feature(float_list=train.FloatList(value=y))
        if floats
        else train.Feature(int64_list=train.Int64List(value=y))
    )
    features = {"x": train.Feature(float_list=train.FloatList(value=x)), "label": label}
    example = train.Example(features=train.Features(feature=features))
    return example.SerializeToString()


def _cells():
    for source, recipes in SOURCES.items():
        for recipe in recipes:
            for task in TASKS:
                marks = [] if (recipe, task, source) in DEFAULT else [pytest.mark.slow]
                yield pytest.param(
                    recipe, task, source, marks=marks, id=f"{recipe}-{task}-{source}"
                )


@pytest.mark.parametrize(("recipe", "task", "source"), _cells())
def test_every_recipe_has_every_task(recipe, task, source, tmp_path, monkeypatch):
    monkeypatch.setenv("KERASCALE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    fields, file = made(task, source, tmp_path / "data")
    arrays = fields.pop("arrays", None)
    recipe = ks.load_recipe(recipe)
    # What can be told by the labels is; an order cannot.
    asked = task if task == "ordinal" else "auto"
    is_text = source in ("text", "tfds_texts")
    small = SMALL[recipe.name] | ({"max_length": 6} if is_text else {})
    config = recipe.Config(
        epochs=1, batch_size=16, execution="loop", task=asked, **small, **fields
    )
    datasets = None
    if arrays is not None:
        datasets = ks.datasets.from_arrays(*arrays, config)
    run_dir = tmp_path / "run"
    ks.train(recipe, config, strategy="one_device", run_dir=run_dir, datasets=datasets)
    run = ks.load_run(run_dir)
    assert run.info.task == task
    _check_metrics(run, task)
    assert "loss" in run.history
    if datasets is None:
        # What the run says of itself is found again, from its files.
        again = recipe.make_datasets(run.config)
        threshold = run.metrics.get("threshold")
        found = evaluation.evaluate(
            run.model, again.test.for_evaluation(), run.info, threshold
        )
        assert found == {n: v for n, v in run.metrics.items() if n != "split"}
    if file is not None:
        _check_predictions(run, file, task)
    _check_export(run, tmp_path / "served")
    json.loads((run_dir / "evaluation.json").read_text())


def _check_metrics(run, task):
    wanted = {
        "classification": {"accuracy", "confusion_matrix"},
        "binary": {"auc", "average_precision", "threshold", "curves"},
        "ordinal": {"mae", "kappa", "accuracy"},
        "multilabel": {"exact_match", "auc", "per_label"},
        "regression": {"mae", "rmse", "r2", "points"},
    }[task]
    assert wanted <= set(run.metrics)
    in_history = {
        "classification": {"accuracy"},
        "binary": {"auc"},
        "ordinal": {"mae"},
        "multilabel": {"auc"},
        "regression": {"mae", "rmse", "r2"},
    }[task]
    assert in_history | {f"val_{name}" for name in in_history} <= set(run.history)
    if task == "regression":
        # In the units of the data, whose first target is in the thousands.
        points = next(iter(run.metrics["points"].values()))
        assert min(points["predicted"]) > 4000


def _check_predictions(run, file, task):
    frame = batch_prediction.predict(run, file)
    assert len(frame) == ROWS
    if task == "regression":
        assert set(run.info.target_names) <= set(frame)
    elif task == "multilabel":
        assert set(frame[run.info.target_names[0]]) <= {0, 1}
    else:
        assert set(frame["class"]) <= set(run.info.class_names)
    if task == "binary":
        positive = frame[f"probability_{run.info.class_names[1]}"]
        taken = (positive >= run.metrics["threshold"]).to_numpy()
        assert (taken == (frame["class"] == run.info.class_names[1])).all()
    if str(file).endswith((".csv", ".parquet", ".npz")):
        assert frame.attrs["labels"] is not None
        source = str(file).rsplit(".", 1)[1]
        other = other_data.read_like(
            f"{source}:{file}", run.info, run.fields, vectorizer=run.vectorizer
        )
        labels, outputs = evaluation.answers(run.model, other, run.info)
        np.testing.assert_array_equal(labels, frame.attrs["labels"])
        np.testing.assert_allclose(outputs, frame.attrs["outputs"], rtol=1e-5)


def _check_export(run, folder):
    version = ks.export_saved_model(run, folder)
    served = tf.saved_model.load(str(version))
    task = run.info.task
    extra = "regress" if task == "regression" else "classify"
    several = task == "regression" and len(run.info.target_names) > 1
    assert (extra in served.signatures) != several
    record = json.loads((version / "assets.extra" / "kerascale.json").read_text())
    assert record["task"] == task
    if task == "binary":
        assert record["metrics"]["threshold"] == run.metrics["threshold"]


def test_a_row_is_served_as_it_stands_in_the_file(tmp_path):
    fields, file = made("regression", "table", tmp_path)
    fields["label"] = "y0"
    recipe = ks.load_recipe("mlp")
    config = recipe.Config(
        epochs=1, batch_size=16, execution="loop", units=(8,), **fields
    )
    run = ks.train(
        recipe,
        config,
        strategy="one_device",
        run_dir=tmp_path / "run",
    )
    # Numbers alone that follow the column `y1` are a feature now, too.
    version = ks.export_saved_model(run, tmp_path / "served")
    served = tf.saved_model.load(str(version)).signatures
    rows = pd.read_csv(file, dtype=str, keep_default_na=False)
    inputs = {
        each["input_name"]: tf.constant(rows[each["name"]].tolist())
        for each in run.info.columns
        if each["kind"] != "ignored"
    }
    found = served["serving_default"](**inputs)["prediction"].numpy()
    expected = batch_prediction.predict(run, file)["y0"]
    np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)
    # A value that nobody has seen, and gaps, have an answer as well.
    strange = {name: tf.constant([""]) for name in inputs}
    strange["kind"] = tf.constant(["never seen"])
    assert np.isfinite(served["serving_default"](**strange)["prediction"]).all()
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[tensor.numpy()[0]]))
        for name, tensor in inputs.items()
    }
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    serialised = tf.constant([example.SerializeToString()])
    answer = served["regress"](inputs=serialised)["outputs"].numpy()
    np.testing.assert_allclose(answer[0], found[0], rtol=1e-5)
    # The columns that were decided can be given again.
    file = str(run.path / "columns.json")
    again = dataclasses.replace(run.config, columns=(file,))
    datasets = recipe.make_datasets(again)
    kinds = {c["name"]: c["kind"] for c in datasets.info.columns}
    assert kinds == {c["name"]: c["kind"] for c in run.info.columns}
