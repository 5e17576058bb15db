"""A finished run's answers for new examples: class names, not indices."""

import os
import pathlib
from typing import Any

import keras
import numpy as np
import pandas as pd

from kerascale.datasets import DataInfo, remote, targets, text
from kerascale.datasets.packed import other, pictures
from kerascale.datasets.packed.opened import PREFIX, Packed, open_packed
from kerascale.datasets.sources import csv_source, images_source, npz_source
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.tables import rows as table_rows
from kerascale.errors import RefusedError
from kerascale.runs.run import Run
from kerascale.serving import known_labels

_TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
# Tokens that a language model writes behind a prompt.
_CONTINUATION_TOKENS = 200


def predict(run: Run, path: str | os.PathLike) -> pd.DataFrame:
    """Predicts the examples in a file or folder.

    Args:
        run: A finished run.
        path: For tables and texts a CSV or Parquet file with the columns of the
            training data;
            for images an image or a folder of images; for any of them an `.npz`
            file with the array `x`; or `packed:FOLDER`. For a language model a text
            file, each line of which is a prompt.

    Returns:
        One row per example, in order. For classifiers: `path` (of images), `class`,
        `probability`, and `probability_NAME` for each class. For several labels: 0 or
        1 in `NAME`, and `probability_NAME`, for each. For a regression: `NAME`, the
        value of each target. For language models: `prompt` and `continuation`. Where
        the examples have labels, `attrs["labels"]` has them as `Split.labels` has, and
        `attrs["outputs"]` what the model gave.

    Raises:
        RefusedError: If the file does not fit the run's training data.
    """
    path = remote.local_file(os.fspath(path), nested=run.info.kind == "image")
    packed = os.fspath(path) if os.fspath(path).startswith(PREFIX) else None
    path = pathlib.Path(path)
    if run.info.kind == "corpus":
        return _continue_prompts(run, path)
    if not run.info.num_outputs:
        raise RefusedError(
            "run: expected a model of kerascale's own data sets. Received: a run on "
            "tf.data without class names. Call "
            "run.model.predict in Python."
        )
    if packed is not None:
        probabilities, columns, labels = _of_packed(run, open_packed(packed))
    else:
        features, columns, labels = read_examples(run, path)
        probabilities = run.model.predict(features, verbose=0)
    if not run.info.class_names:
        frame = pd.DataFrame({**columns, **_of_targets(run.info, probabilities)})
        frame.attrs.update(labels=labels, outputs=probabilities)
        return frame
    best = targets.decided(probabilities, _threshold(run))
    names = np.array(run.info.class_names, dtype=object)
    rows = np.arange(len(best))
    frame = pd.DataFrame(
        {
            **columns,
            "class": names[best],
            "probability": probabilities[rows, best],
            **{f"probability_{n}": probabilities[:, i] for i, n in enumerate(names)},
        }
    )
    indices = labels  # Of a table with words they are known by now.
    if not isinstance(labels, np.ndarray):
        indices = known_labels.indices(labels, run.info.class_names)
    frame.attrs.update(labels=indices, outputs=probabilities)
    return frame


def _threshold(run: Run) -> float | None:
    """Of two classes, what was chosen on the validation examples."""
    if run.info.task != "binary":
        return None
    return (getattr(run, "metrics", None) or {}).get("threshold")


def _of_targets(info: DataInfo, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Column -> values, of numbers that were predicted or of several labels."""
    columns = {}
    for place, name in enumerate(info.target_names):
        own = outputs[:, place]
        columns[name] = (own >= 0.5).astype(int) if info.task == "multilabel" else own
    if info.task == "multilabel":
        for place, name in enumerate(info.target_names):
            columns[f"probability_{name}"] = outputs[:, place]
    return columns


def read_examples(
    run: Run, path: pathlib.Path
) -> tuple[np.ndarray, dict[str, list[str]], list[str] | None]:
    """The features, columns to put in front of the answers, and labels, if known."""
    info, labels = run.info, None
    columns: dict[str, list[str]] = {}
    shape = () if info.kind == "text" else info.input_shape
    if info.columns or (info.target_names and _is_table(path) and info.feature_names):
        return _of_table(run, path)
    if path.suffix.lower() == ".npz":
        features = npz_source.read_features(path, info.kind, shape, info.dtype)
        if info.target_names:
            labels = known_labels.targets_of_arrays(path, info)
        else:
            labels = known_labels.of_arrays(path, info.class_names)
    elif info.kind == "image" and info.dtype != "uint8":
        raise RefusedError(
            "--input: expected an .npz file, as this model was trained on arrays of "
            f"{info.dtype} and not on pictures. Received: {path}."
        )
    elif info.kind == "image":
        features, paths = images_source.read_images(path, shape)
        columns["path"] = paths
        if info.class_names:
            labels = known_labels.of_folders(paths, path, info.class_names)
    elif path.name.lower().endswith(_TABLES) and info.feature_names:
        options = CsvOptions.of(run.fields)
        features, table = csv_source.read_features(
            path, info.kind, info.feature_names, options
        )
        labels = known_labels.of_table(table, run.fields.get("label"))
    elif path.suffix.lower() == ".parquet" and info.feature_names:
        # Imported here: it takes a while.
        from kerascale.datasets.sources import parquet_source

        label = run.fields.get("label")
        features, table = parquet_source.read_features(
            path, info.kind, info.feature_names, label
        )
        labels = known_labels.of_table(table, label)
    else:
        what = "a .csv, .parquet or" if info.feature_names else "an"
        raise RefusedError(
            f"--input: expected {what} .npz file, as this model was trained on "
            f"{info.name}. Received: {path}."
        )
    if info.kind == "text":
        features = text.encode(run.vectorizer, features)
    return features, columns, labels


def _is_table(path: pathlib.Path) -> bool:
    name = path.name.lower()
    return name.endswith((*_TABLES, ".parquet")) or path.is_dir()


def _of_table(run: Run, path: pathlib.Path) -> tuple[np.ndarray, dict[str, Any], Any]:
    """Rows as they stand in a file; labels, if their columns are there."""
    if not _is_table(path):
        raise RefusedError(
            "--input: expected a .csv or .parquet file, as this model was trained on "
            f"{run.info.name}. Received: {path}."
        )
    features, labels = table_rows.read(
        path, run.info, run.fields, run.vectorizer, run.fields.get("label")
    )
    return features, {}, labels


def _of_packed(
    run: Run, packed: Packed
) -> tuple[np.ndarray, dict[str, list[str]], Any]:
    """Probabilities, batch by batch, of all rows; their files, and their labels."""
    size = run.whole_number("batch_size", at_least=1, default=32)
    batches = other.inputs_like(packed, run.info, run.vectorizer, size)
    outputs, labels = [], []
    for x, y in batches.dataset():
        outputs.append(np.asarray(run.model.predict_on_batch(x)))
        labels += y.numpy().tolist()
    files = pictures.files_of(packed.folder)
    columns = {} if files is None else {"path": files}
    if packed.manifest.target_names:
        known = _known_targets(run.info, packed, np.array(labels, np.float32))
        return np.concatenate(outputs), columns, known
    names = packed.manifest.class_names
    # A row without a label has -1.
    labels = [names[label] if label >= 0 else "" for label in labels]
    return np.concatenate(outputs), columns, labels


def _known_targets(
    info: DataInfo, packed: Packed, labels: np.ndarray
) -> np.ndarray | None:
    """The targets of a run among those of packed data; None: they are not there."""
    held = packed.manifest
    if held.task != info.task or not set(info.target_names) <= set(held.target_names):
        return None
    return labels[:, [held.target_names.index(name) for name in info.target_names]]


def _continue_prompts(run: Run, path: pathlib.Path) -> pd.DataFrame:
    try:
        prompts = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusedError(
            "--input: expected a UTF-8 text file, each line a prompt. Received: "
            f"{path} ({error})."
        ) from error
    prompts = [prompt for prompt in prompts if prompt]
    if not prompts:
        raise RefusedError(
            "--input: expected a text file with at least one line, each a prompt. "
            f"Received: {path}, which has none."
        )
    continuations = [_continue(run, prompt) for prompt in prompts]
    return pd.DataFrame({"prompt": prompts, "continuation": continuations})


def _continue(run: Run, prompt: str) -> str:
    """Tokens drawn from the model's own probabilities, the same at each call."""
    window = run.whole_number("max_length", at_least=1)
    seed = run.whole_number("seed", at_least=0, default=0)
    generator = np.random.default_rng(seed)
    ids = text.encode(run.vectorizer, np.array([prompt], dtype=object))[0].tolist()
    drawn = []
    for _ in range(_CONTINUATION_TOKENS):
        # Padding stands behind the text: a causal model does not look at it, and one
        # shape means one compilation.
        recent = ids[-window:]
        padded = recent + [0] * (window - len(recent))
        answer = run.model.predict_on_batch(keras.ops.array([padded], dtype="int32"))
        probabilities = answer[0, len(recent) - 1].astype(np.float64)
        probabilities[: text.NUM_SPECIAL_TOKENS] = 0
        token = generator.choice(
            len(probabilities), p=probabilities / probabilities.sum()
        )
        ids.append(int(token))
        drawn.append(int(token))
    return text.joined(run.vectorizer, drawn, "")
