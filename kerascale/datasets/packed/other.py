"""Another packed data set, in the form that a run was trained on."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import applicable, corpora, gathers, pipeline, resizing, text
from kerascale.datasets.host_rows import HostRows
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed import corpus, mapped, table
from kerascale.datasets.packed.opened import Packed, open_packed
from kerascale.datasets.packed.pictures import Pictures
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
    applicable.refuse_kind_unlike(info, name, held.kind)
    batch_size = fields.get("batch_size", 32)
    if held.kind == "corpus":
        length = fields.get("max_length", 64)
        return _windows(packed, vectorizer, length, batch_size)
    rows = _rows(packed)
    labels = _labels_like(packed, rows, info)
    return _batches(packed, rows, info, vectorizer, batch_size, labels)


def inputs_like(
    packed: Packed,
    info: DataInfo,
    vectorizer: keras.layers.Layer | None,
    batch_size: int,
) -> pipeline.Batches:
    """All rows in their order, as inputs of a run's model, each with its own label.

    Raises:
        RefusedError: If the data is of another kind or shape.
    """
    applicable.refuse_kind_unlike(
        info, packed.name, packed.manifest.kind, asked="--input"
    )
    rows = np.arange(packed.manifest.num_rows)
    labels = mapped.tensor(packed.labels)
    own = lambda rows: gathers.taken([labels], rows)[0]  # noqa: E731
    return _batches(packed, rows, info, vectorizer, batch_size, own)


def _batches(
    packed: Packed,
    rows: np.ndarray,
    info: DataInfo,
    vectorizer: keras.layers.Layer | None,
    batch_size: int,
    labels: Callable[[tf.Tensor], tf.Tensor],
) -> pipeline.Batches:
    if packed.manifest.kind == "table":
        table.refuse_other_columns(packed, vectorizer)
    numbers = mapped.tensor(rows)
    host = None
    if packed.manifest.encoding is None:
        inputs = _features_like(packed, info)
    else:
        host = _host_like(packed, info, vectorizer)
        inputs = lambda rows: host(rows)[0]  # noqa: E731

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        del epoch
        (own,) = gathers.taken([numbers], indices)
        return inputs(own), labels(own)

    return pipeline.Batches(
        gathers.traced_as_it_is(gather),
        num_examples=len(rows),
        batch_size=batch_size,
        seed=0,
        shuffle=False,
        host=host,
    )


def _rows(packed: Packed) -> np.ndarray:
    """Those of the test where the source had some, else all of the training's."""
    held = packed.manifest
    if "test" in held.given_splits:
        return packed.index["test"]
    lacking = [split for split in held.counts if split not in held.given_splits]
    return np.sort(np.concatenate([packed.index[s] for s in ("train", *lacking)]))


def _features_like(packed: Packed, info: DataInfo) -> Callable[[tf.Tensor], tf.Tensor]:
    """What gives the inputs of a run's model for some rows of one shape."""
    held = packed.manifest
    features = mapped.tensor(packed.features)
    order = None
    if info.feature_names and set(held.feature_names) == set(info.feature_names):
        order = [held.feature_names.index(name) for name in info.feature_names]
    shape, size = tuple(held.shape), _size_like(info)
    if size is not None:
        shape = (size, size, shape[-1])
    dtype = held.dtype if held.kind == "image" else None
    _refuse_other_shape(packed, shape, dtype, info)

    def inputs(rows: tf.Tensor) -> tf.Tensor:
        (found,) = gathers.taken([features], rows)
        if order is not None:
            found = tf.gather(found, order, axis=1)
        if size is not None and tuple(held.shape[:2]) != (size, size):
            found = resizing.resized_batch(found, size)
        return found

    return inputs


def _host_like(
    packed: Packed, info: DataInfo, vectorizer: keras.layers.Layer | None
) -> HostRows:
    """The same of rows of any size: pictures, or the ids of texts."""
    if packed.manifest.encoding == "image":
        pictures = Pictures(packed, _size_like(info))
        _refuse_other_shape(packed, pictures.shape, "uint8", info)
        return pictures.whole()
    records = Records(packed.folder, packed.manifest.shards)

    def read(rows: np.ndarray) -> list[np.ndarray]:
        return [text.encode(vectorizer, texts_of(records, rows))]

    # Texts of one batch are padded to the longest of them: not in pieces.
    return HostRows(read, [tf.TensorSpec([None], tf.int32)], num_threads=1)


def _size_like(info: DataInfo) -> int | None:
    """The height and width of a run's images; None: they differ, or are no images."""
    if info.kind != "image" or info.input_shape[0] != info.input_shape[1]:
        return None
    return info.input_shape[0]


def _refuse_other_shape(
    packed: Packed, shape: tuple[int, ...], dtype: str | None, info: DataInfo
) -> None:
    if (tuple(shape), dtype) == (tuple(info.input_shape), info.dtype):
        return
    raise RefusedError(
        f"data: expected examples as in training: shape {tuple(info.input_shape)} "
        f"and {info.dtype or 'numbers'}. Received: {packed.name} with shape "
        f"{tuple(shape)} and {dtype or 'numbers'}. Prepare it as the training data was."
    )


def _targets_like(packed: Packed, info: DataInfo) -> Any:
    """What gives the targets of the run for some row numbers."""
    held = packed.manifest
    if held.task != info.task or set(held.target_names) != set(info.target_names):
        what = ", ".join(held.target_names) or "classes"
        raise RefusedError(
            f"data: expected labels as in training: {info.task} of "
            f"{', '.join(info.target_names) or 'classes'}. Received: {packed.name}, "
            f"{held.task} of {what}. Pack it with the label of the training."
        )
    labels = mapped.tensor(packed.labels)
    order = [held.target_names.index(name) for name in info.target_names]
    return lambda rows: tf.gather(gathers.taken([labels], rows)[0], order, axis=1)


def _labels_like(packed: Packed, rows: np.ndarray, info: DataInfo) -> Any:
    """What gives the class indices of the run for some row numbers."""
    held = packed.manifest
    if held.target_names or info.target_names:
        return _targets_like(packed, info)
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
    return lambda rows: tf.gather(indices, gathers.taken([labels], rows)[0])


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
    part = corpus.whole(packed, length)
    return corpora.for_evaluation(
        packed.name, part, length=length, batch_size=batch_size
    )
