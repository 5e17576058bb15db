"""Another packed data set, in the form that a run was trained on."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import gathers, pipeline, resizing, text
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed import corpus, mapped
from kerascale.datasets.packed.opened import Packed, open_packed
from kerascale.datasets.packed.records import Records
from kerascale.datasets.packed.texts import texts_of
from kerascale.datasets.raw import Split
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.errors import RefusedError


def read_like(
    name: str,
    info: DataInfo,
    fields: dict[str, Any],
    vectorizer: keras.layers.Layer | None,
) -> pipeline.Batches:
    """Batches to evaluate a run on; see `other_data.read_like`.

    Args:
        name: `packed:FOLDER`.
        info: What is known of the data that the run was trained on.
        fields: The run's configuration.
        vectorizer: The run's layer from strings to ids; or None.

    Raises:
        RefusedError: If the data is of another kind, shape or of other classes.
    """
    packed = open_packed(name)
    held = packed.manifest
    if held.kind != info.kind:
        raise RefusedError(
            f"data: expected {info.kind} data, as the run was trained on. Received: "
            f"{name}, which is {held.kind} data."
        )
    batch_size = fields.get("batch_size", 32)
    if held.kind == "corpus":
        length = fields.get("max_length", 64)
        return _windows(packed, vectorizer, length, batch_size)
    rows = _rows(packed)
    inputs = features_like(packed, rows, info, vectorizer)
    labels = _labels_like(packed, rows, info)

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        return inputs(indices, epoch), labels(tf.gather(numbers, indices))

    numbers = mapped.tensor(rows)
    return pipeline.Batches(
        gather, num_examples=len(rows), batch_size=batch_size, seed=0, shuffle=False
    )


def _rows(packed: Packed) -> np.ndarray:
    """Those of the test where the source had some, else all of the training's."""
    held = packed.manifest
    if "test" in held.given_splits:
        return packed.index["test"]
    lacking = [split for split in held.counts if split not in held.given_splits]
    return np.sort(np.concatenate([packed.index[s] for s in ("train", *lacking)]))


def features_like(
    packed: Packed,
    rows: np.ndarray,
    info: DataInfo,
    vectorizer: keras.layers.Layer | None,
) -> gathers.Gather:
    """What gives the inputs of the model for some of the rows.

    Args:
        packed: Of the kind of the run.
        rows: Those that are read.
        info: What is known of the data that the run was trained on.
        vectorizer: The run's layer from strings to ids; or None.

    Raises:
        RefusedError: If they are of another shape or dtype.
    """
    held = packed.manifest
    numbers = mapped.tensor(rows)
    if held.encoding == "text":
        return _ids_like(packed, numbers, vectorizer)
    features = mapped.tensor(packed.features)
    order = None
    if info.feature_names and set(held.feature_names) == set(info.feature_names):
        order = [held.feature_names.index(name) for name in info.feature_names]
    shape, size = tuple(held.shape), None
    if held.kind == "image" and info.input_shape[0] == info.input_shape[1]:
        size = info.input_shape[0]
        shape = (size, size, shape[-1])
    dtype = held.dtype if held.kind == "image" else None
    if (shape, dtype) != (tuple(info.input_shape), info.dtype):
        raise RefusedError(
            f"data: expected examples as in training: shape {tuple(info.input_shape)} "
            f"and {info.dtype or 'numbers'}. Received: {packed.name} with shape "
            f"{shape} and {held.dtype}. Prepare it as the training data was."
        )

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        del epoch
        found = tf.gather(features, tf.gather(numbers, indices))
        if order is not None:
            found = tf.gather(found, order, axis=1)
        if size is not None and tuple(held.shape[:2]) != (size, size):
            found = resizing.resized_batch(found, size)
        return found

    return gather


def _ids_like(
    packed: Packed, numbers: tf.Tensor, vectorizer: keras.layers.Layer
) -> gathers.Gather:
    records = Records(packed.folder, packed.manifest.shards)

    def read(rows: np.ndarray) -> np.ndarray:
        return text.encode(vectorizer, texts_of(records, rows))

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
        del epoch
        rows = tf.gather(numbers, indices)
        found = tf.numpy_function(read, [rows], tf.int32)
        return tf.ensure_shape(found, [None, None])

    return gather


def _labels_like(packed: Packed, rows: np.ndarray, info: DataInfo) -> Any:
    """What gives the class indices of the run for some row numbers."""
    held = packed.manifest
    found = held.class_names
    if found == tuple(map(str, range(len(found)))) and len(found) == info.num_classes:
        found = info.class_names  # Arrays have the indices of the classes.
    counts = packed.class_counts(rows)
    # A class that has no row may be one that was not trained.
    used = np.flatnonzero(counts)
    own = with_classes_of(Split(used, used), found, info.class_names, packed.name)
    table = np.zeros(len(found), np.int64)
    table[used] = own.labels
    labels, indices = mapped.tensor(packed.labels), tf.constant(table)
    return lambda numbers: tf.gather(indices, tf.gather(labels, numbers))


def _windows(
    packed: Packed, vectorizer: keras.layers.Layer, length: int, batch_size: int
) -> pipeline.Batches:
    own = corpus.vectorizer_of(packed)
    if own.get_vocabulary() != vectorizer.get_vocabulary():
        raise RefusedError(
            "data: expected a packed text with the vocabulary of the run. Received: "
            f"{packed.name}, which was packed with its own. Give the text itself: "
            "text:PATH."
        )
    total = packed.manifest.num_rows
    count = gathers.num_windows(range(total), length)
    if count < 1:
        raise RefusedError(
            f"data: expected at least max_length + 1 = {length + 1} tokens. "
            f"Received: {packed.name} with {total}. Add text."
        )
    tokens = mapped.tensor(packed.features)
    return pipeline.Batches(
        gathers.windows_of(tokens, (0, total), length, shift=False),
        num_examples=count,
        batch_size=batch_size,
        seed=0,
        shuffle=False,
    )
