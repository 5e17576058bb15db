"""Examples of another data set, in the form that a run was trained on."""

import functools
import os
from typing import Any

import keras
import numpy as np

from kerascale.datasets import (
    applicable,
    corpora,
    gathers,
    in_place,
    pipeline,
    remote,
    resizing,
    text,
)
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed import other
from kerascale.datasets.packed.opened import PREFIX
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.reading import read
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.datasets.sources.csv_options import USUAL, CsvOptions
from kerascale.datasets.tables import rows as table_rows
from kerascale.errors import RefusedError, TooLargeError


def read_like(
    name: str,
    info: DataInfo,
    fields: dict[str, Any],
    *,
    vectorizer: keras.layers.Layer | None = None,
    label: str | None = None,
) -> pipeline.Batches:
    """Reads labelled examples to evaluate a run on.

    These are the test examples of a data set that has some, else its training
    examples. Images are resized to the size of the training.

    Args:
        name: The data set, as `kerascale.datasets.read` takes it.
        info: What is known of the data that the run was trained on.
        fields: The run's configuration: how a CSV file is written, the batch size.
        vectorizer: The run's layer from strings to ids; or None.
        label: Label column of a CSV file. Default: that of the training.

    Raises:
        RefusedError: If the data is of another kind, shape or of other classes.
    """
    name = remote.local_name(name)
    if name.startswith(PREFIX):
        _refuse_label(name, label)
        return other.read_like(name, info, fields, vectorizer)
    if name.startswith(("csv:", "parquet:")) and (info.columns or info.target_names):
        return _of_rows(name, info, fields, vectorizer, label)
    if name.startswith("tfds:") and info.columns:
        # Imported here: tensorflow-datasets alone takes a second.
        from kerascale.datasets.tables import tfds_tables

        label = label or fields.get("label")
        rows = tfds_tables.rows_like(name, info, vectorizer, label)
        return _batches(*rows, fields)
    batch_size = fields.get("batch_size", 32)
    try:
        raw = _read(name, info, fields, label)
    except TooLargeError:
        found = in_place.read_like(name, info, batch_size)
        if found is None:
            raise
        return found
    applicable.refuse_kind_unlike(info, raw.name, raw.kind)
    if raw.kind == "corpus":
        return _windows(raw, vectorizer, fields.get("max_length", 64), batch_size)
    split = raw.train if raw.test is None else raw.test
    features = _like_training(raw, split.features, info)
    if raw.kind == "text":
        features = text.encode(vectorizer, features)
    labels = split.labels if info.target_names else _labels(raw, split, info)
    if info.target_names and labels.shape[1:] != (len(info.target_names),):
        raise RefusedError(
            f"data: expected {len(info.target_names)} targets, as in training. "
            f"Received: {name}, with {labels.shape[1]}. Pass --label."
        )
    return _batches(features, labels, fields)


def _of_rows(
    name: str,
    info: DataInfo,
    fields: dict[str, Any],
    vectorizer: keras.layers.Layer | None,
    label: str | None,
) -> pipeline.Batches:
    """Rows of another table as they stand there."""
    prefix, _, path = name.partition(":")
    features, labels = table_rows.read(
        os.path.expanduser(path),
        info,
        fields,
        vectorizer,
        label or fields.get("label"),
        prefix=prefix,
        needs_labels=True,
    )
    return _batches(features, labels, fields)


def _batches(
    features: np.ndarray, labels: np.ndarray, fields: dict[str, Any]
) -> pipeline.Batches:
    return pipeline.Batches(
        gathers.gather_arrays(features, labels),
        num_examples=len(labels),
        batch_size=fields.get("batch_size", 32),
        seed=0,
        shuffle=False,
    )


def _read(
    name: str, info: DataInfo, fields: dict[str, Any], label: str | None
) -> RawData:
    is_parquet = name.startswith("parquet:")
    options = USUAL if is_parquet else CsvOptions.of(fields)
    if name.startswith("tfds:") and info.kind != "vector":
        # Of one picture or text each set may have its own name.
        is_same = str(fields.get("dataset")).startswith("tfds:")
        options = options if is_same else USUAL
    elif info.feature_names:
        options = options.only(info.feature_names)
    size = None
    if info.kind == "image" and len(set(info.input_shape[:2])) == 1:
        size = info.input_shape[0]
    is_npz, num_classes = name.startswith("npz:"), fields.get("num_classes")
    if name.startswith("tfrecord:"):
        num_classes = info.num_classes  # Its labels are indices.
    _refuse_label(name, label)
    return read(
        name,
        label=label or fields.get("label"),
        num_classes=None if is_npz else num_classes,
        image_size=size,
        csv_options=options,
        is_test=True,
        class_names=(info.class_names or info.target_names) or None,
        task=info.task if info.target_names else "classification",
    )


def _refuse_label(name: str, label: str | None) -> None:
    if not name.startswith(("csv:", "parquet:", "tfds:")) and label is not None:
        raise RefusedError(
            "label: expected only with csv:, parquet: or tfds: data. Received: "
            f"{label!r} with {name}. Leave it out."
        )


def _like_training(raw: RawData, features: np.ndarray, info: DataInfo) -> np.ndarray:
    """Columns in the order of the training; refuses another shape or dtype."""
    if raw.kind == "text":
        return features
    if set(raw.feature_names) == set(info.feature_names):
        order = [raw.feature_names.index(name) for name in info.feature_names]
        features = features[:, order] if order else features
    if raw.kind == "image":
        height, width = info.input_shape[:2]
        features = resizing.resized(features, height) if height == width else features
    received = (features.shape[1:], _dtype(raw, features))
    expected = (tuple(info.input_shape), info.dtype)
    if received != expected:
        raise RefusedError(
            f"data: expected examples as in training: shape {expected[0]}"
            f"{_of(expected[1])}. Received: {raw.name} with shape {received[0]}"
            f"{_of(received[1])}. Prepare it as the training data was."
        )
    return features


def _dtype(raw: RawData, features: np.ndarray) -> str | None:
    return str(features.dtype) if raw.kind == "image" else None


def _of(dtype: str | None) -> str:
    return "" if dtype is None else f" and {dtype}"


def _labels(raw: RawData, split: Split, info: DataInfo) -> np.ndarray:
    found = raw.class_names
    if sorted(found) == sorted(info.class_names):
        return with_classes_of(split, found, info.class_names, raw.name).labels
    if found == tuple(map(str, range(len(found)))) and len(found) == info.num_classes:
        found = info.class_names  # Arrays have the indices of the classes.
    return with_classes_of(split, found, info.class_names, raw.name).labels


def _windows(
    raw: RawData, vectorizer: keras.layers.Layer, length: int, batch_size: int
) -> pipeline.Batches:
    parts = [raw.train, raw.validation, raw.test]
    whole = "".join(str(part.features[0]) for part in parts if part is not None)
    tokens = text.tokens_of(vectorizer, whole)
    windows = functools.partial(gathers.gather_windows, tokens, length)
    part = corpora.Part(len(tokens), windows)
    return corpora.for_evaluation(raw.name, part, length=length, batch_size=batch_size)
