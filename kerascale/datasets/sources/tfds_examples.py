"""Reads the examples of a prepared TFDS data set into memory."""

import contextlib
import io
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging as absl_logging

from kerascale.datasets.raw import Split
from kerascale.errors import RefusedError

_BATCH_SIZE = 1024


@contextlib.contextmanager
def quiet_tfds() -> Iterator[None]:
    """TFDS prints nothing inside: no progress bar, no message, no log below errors.

    Afterwards the progress bar is on, as it is at first: TFDS does not say if it was.
    It draws from Python's generator where it prepares a data set. A user has seeded
    that for what comes next, which goes on as if nothing had been drawn.
    """
    state = random.getstate()
    verbosity = absl_logging.get_verbosity()
    absl_logging.set_verbosity(absl_logging.ERROR)
    tfds.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.enable_progress_bar()
        absl_logging.set_verbosity(verbosity)
        random.setstate(state)


def read_array_records(
    builder: tfds.core.DatasetBuilder, split: str, feature: str, label: str
) -> Split:
    """Reads a small split that was prepared as ArrayRecord, without TensorFlow."""
    source = builder.as_data_source(split=split)
    examples = [source[index] for index in range(len(source))]
    return Split(
        np.stack([example[feature] for example in examples]),
        np.array([example[label] for example in examples], dtype=np.int64),
    )


def read_split(
    builder: tfds.core.DatasetBuilder,
    split: str,
    keys: tuple[str, str],
    image_size: int | None,
) -> Split:
    """Reads a split of images or texts with TensorFlow, in its stored order.

    Args:
        builder: Of a data set that is prepared.
        split: The split's name.
        keys: Names of the feature (an `Image` or a `Text`) and of the `ClassLabel`.
        image_size: Height and width to resize images to; None: they have one size.

    Returns:
        As `Split` has it. The images are held in memory once, not twice.

    Raises:
        RefusedError: If a file is damaged or missing; it is named.
    """
    num_examples = builder.info.splits[split].num_examples
    features, labels, place = None, np.empty(num_examples, dtype=np.int64), 0
    try:
        for batch, batch_labels in batches(builder, split, keys, image_size):
            if features is None:
                features = np.empty((num_examples, *batch.shape[1:]), batch.dtype)
            features[place : place + len(batch)] = batch
            labels[place : place + len(batch)] = batch_labels
            place += len(batch)
    except Exception as error:
        # TensorFlow, ArrayRecord and Parquet each have their own errors for it.
        refuse_damaged_files(builder, split, error)
        raise
    if features is None or place != num_examples:
        found = ValueError(f"{place} of {num_examples} examples")
        refuse_damaged_files(builder, split, found)
        raise found
    if features.dtype == object:
        features[:] = [text.decode("utf-8", "replace") for text in features]
    return Split(features, labels)


def batches(
    builder: tfds.core.DatasetBuilder,
    split: str,
    keys: tuple[str, str],
    image_size: int | None,
    *,
    first: int = 0,
    batch_size: int = _BATCH_SIZE,
    is_encoded: bool = False,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features and labels of a split, in its stored order.

    Args:
        builder: Of a data set that is prepared.
        split: The split's name.
        keys: Names of the feature and of the label.
        image_size: See `read_split`.
        first: Examples that are left out at the beginning.
        batch_size: Examples at a time.
        is_encoded: Images come as what is in their files.
    """
    import tensorflow as tf

    feature, label = keys
    skip = {feature: tfds.decode.SkipDecoding()} if is_encoded else None
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        source = builder.as_data_source(split=split, decoders=skip)
        specs = {key: builder.info.features[key].get_tensor_spec() for key in keys}
        if is_encoded:
            specs[feature] = tf.TensorSpec((), tf.string)
        rows = (source[i] for i in range(first, len(source)))
        dataset = tf.data.Dataset.from_generator(
            lambda: ({key: row[key] for key in keys} for row in rows),
            output_signature=specs,
        )
    else:
        dataset = builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(
                dict.fromkeys(keys, True), decoders=skip
            ),
            # What is read once is not worth a cache.
            read_config=tfds.ReadConfig(try_autocache=False, skip_prefetch=True),
        ).skip(first)

    # AutoGraph cannot resolve an annotation that names a local module.
    def pair(example: dict[str, Any]) -> tuple[Any, Any]:
        return example[feature], example[label]

    def resize(images: Any, labels: Any) -> tuple[Any, Any]:
        resized = tf.image.resize(images, (image_size, image_size), antialias=True)
        if images.dtype == tf.uint8:
            resized = tf.saturate_cast(tf.round(resized), tf.uint8)
        return resized, labels

    dataset = dataset.map(pair)
    shape = dataset.element_spec[0].shape
    if image_size is None or shape.rank == 0 or shape[:2] == (image_size, image_size):
        dataset = dataset.batch(batch_size)
    elif shape.is_fully_defined():
        # A batch at a time is faster than an image at a time.
        dataset = dataset.batch(batch_size).map(resize, tf.data.AUTOTUNE)
    else:
        dataset = dataset.map(resize, tf.data.AUTOTUNE).batch(batch_size)
    yield from dataset.prefetch(2).as_numpy_iterator()


def refuse_damaged_files(
    builder: tfds.core.DatasetBuilder, split: str, cause: Exception
) -> None:
    """Raises if files are damaged; returns if something else is wrong."""
    info = builder.info.splits[split]
    damaged = []
    for shard, expected in enumerate(info.shard_lengths):
        try:
            found = _count(builder, f"{split}[{shard}shard]")
        except Exception:
            found = None
        if found != expected:
            damaged.append(info.filepaths[shard])
    if damaged:
        reason = str(cause).strip().split("\n")[0] or type(cause).__name__
        raise RefusedError(
            [
                f"{file}: expected the examples that TFDS wrote there. Received: a "
                f"damaged or missing file ({reason}). Restore it, or delete "
                f"{builder.data_dir} to have it prepared again."
                for file in damaged
            ],
            heading=f"{builder.info.full_name} cannot be read",
        ) from cause


def _count(builder: tfds.core.DatasetBuilder, split: str) -> int:
    """The number of examples that can be read; nothing is decoded."""
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        raw = tfds.decode.DeserializeMethod.RAW_BYTES
        source = builder.as_data_source(split=split, deserialize_method=raw)
        return sum(1 for _ in source)
    skip = {key: tfds.decode.SkipDecoding() for key in builder.info.features}
    config = tfds.ReadConfig(try_autocache=False)
    dataset = builder.as_dataset(split=split, decoders=skip, read_config=config)
    return sum(1 for _ in dataset)
