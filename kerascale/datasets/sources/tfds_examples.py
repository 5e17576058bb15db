"""Reads the examples of a prepared TFDS data set into memory."""

import contextlib
import io
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from absl import logging as absl_logging

from kerascale.datasets.raw import Split
from kerascale.datasets.sources import tfds_labels
from kerascale.datasets.sources.tfds_cells import decoded
from kerascale.datasets.sources.tfds_features import Chosen
from kerascale.datasets.sources.tfds_leaf import Leaf
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
    chosen: Chosen,
    image_size: int | None,
) -> tuple[Any, np.ndarray]:
    """Reads a split with TensorFlow, in its stored order.

    Args:
        builder: Of a data set that is prepared.
        split: The split's name.
        chosen: What is read.
        image_size: Height and width to resize images to; None: they have one size.

    Returns:
        Features as `Split` has them, of a table the values of each column by name; and
        labels as `tfds_labels.values_of` has them. What is read is held in memory
        once, not twice.

    Raises:
        RefusedError: If a file is damaged or missing; it is named.
    """
    num_examples = builder.info.splits[split].num_examples
    found: dict[str, np.ndarray] = {}
    place = 0
    try:
        for batch in batches(builder, split, chosen, image_size):
            rows = slice(place, place + len(next(iter(batch.values()))))
            for name, values in batch.items():
                if name not in found:
                    shape = (num_examples, *values.shape[1:])
                    found[name] = np.empty(shape, values.dtype)
                found[name][rows] = values
            place = rows.stop
    except Exception as error:
        # TensorFlow, ArrayRecord and Parquet each have their own errors for it.
        refuse_damaged_files(builder, split, error)
        raise
    if not found or place != num_examples:
        short = ValueError(f"{place} of {num_examples} examples")
        refuse_damaged_files(builder, split, short)
        raise short
    labels = tfds_labels.values_of(chosen.labels, found)
    return features_of(chosen, found), labels


def features_of(chosen: Chosen, found: Mapping[str, np.ndarray]) -> Any:
    """Features as `read_split` has them, out of the values of all."""
    if chosen.kind == "table":
        return {leaf.name: found[leaf.name] for leaf in chosen.features}
    features = found[chosen.features[0].name]
    if features.dtype == object:
        features[:] = [decoded(text) for text in features]
    return features if chosen.kind != "vector" else features.astype(np.float32)


def batches(
    builder: tfds.core.DatasetBuilder,
    split: str,
    chosen: Chosen,
    image_size: int | None,
    *,
    first: int = 0,
    batch_size: int = _BATCH_SIZE,
    is_encoded: bool = False,
    leaves: Sequence[Leaf] | None = None,
) -> Iterator[dict[str, np.ndarray]]:
    """Features and labels of a split, in its stored order.

    Args:
        builder: Of a data set that is prepared.
        split: The split's name.
        chosen: What is read.
        image_size: See `read_split`.
        first: Examples that are left out at the beginning.
        batch_size: Examples at a time.
        is_encoded: Images come as what is in their files.
        leaves: Which of them are wanted; None: all.

    Yields:
        The values of each by name; of any of several classes a 1 for each.
    """
    import tensorflow as tf

    leaves = chosen.leaves if leaves is None else leaves
    [image] = [leaf for leaf in leaves if leaf.form == "image"] or [None]
    skip = None
    if is_encoded and image is not None:
        skip = _nested({image.keys: tfds.decode.SkipDecoding()})
    if builder.info.file_format == tfds.core.FileFormat.ARRAY_RECORD:
        source = builder.as_data_source(split=split, decoders=skip)
        specs = {leaf.name: leaf.feature.get_tensor_spec() for leaf in leaves}
        if skip is not None:
            specs[image.name] = tf.TensorSpec((), tf.string)
        rows = (source[i] for i in range(first, len(source)))
        dataset = tf.data.Dataset.from_generator(
            lambda: ({leaf.name: leaf.of(row) for leaf in leaves} for row in rows),
            output_signature=specs,
        )
    else:
        wanted = _nested({leaf.keys: True for leaf in leaves})
        dataset = builder.as_dataset(
            split=split,
            decoders=tfds.decode.PartialDecoding(wanted, decoders=skip),
            # What is read once is not worth a cache.
            read_config=tfds.ReadConfig(try_autocache=False, skip_prefetch=True),
        ).skip(first)
        dataset = dataset.map(
            lambda example: {leaf.name: leaf.of(example) for leaf in leaves}
        )
    dataset = dataset.map(lambda example: _with_sets(example, leaves))
    dataset = _resized(dataset, None if is_encoded else image, image_size, batch_size)
    yield from dataset.prefetch(2).as_numpy_iterator()


def _nested(values: Mapping[tuple[str, ...], Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for keys, value in values.items():
        inner = found
        for key in keys[:-1]:
            inner = inner.setdefault(key, {})
        inner[keys[-1]] = value
    return found


# AutoGraph cannot resolve an annotation that names a local module.
def _with_sets(example: dict[str, Any], leaves: Sequence[Leaf]) -> dict[str, Any]:
    """The same with a 1 for each class of a feature that holds any of several."""
    import tensorflow as tf

    found = dict(example)
    for leaf in leaves:
        if leaf.form == "classes":
            count = leaf.feature.feature.num_classes
            ones = tf.one_hot(found[leaf.name], count, dtype=tf.float32)
            found[leaf.name] = tf.reduce_max(
                tf.concat([tf.zeros((1, count)), ones], axis=0), axis=0
            )
    return found


def _resized(
    dataset: Any, image: Leaf | None, size: int | None, batch_size: int
) -> Any:
    """Batches, in which images have the size that is asked for."""
    import tensorflow as tf

    if image is None or size is None:
        return dataset.batch(batch_size)

    def resize(example: dict[str, Any]) -> dict[str, Any]:
        images = example[image.name]
        resized = tf.image.resize(images, (size, size), antialias=True)
        if images.dtype == tf.uint8:
            resized = tf.saturate_cast(tf.round(resized), tf.uint8)
        return {**example, image.name: resized}

    shape = dataset.element_spec[image.name].shape
    if shape[:2] == (size, size):
        return dataset.batch(batch_size)
    if shape.is_fully_defined():
        # A batch at a time is faster than an image at a time.
        return dataset.batch(batch_size).map(resize, tf.data.AUTOTUNE)
    return dataset.map(resize, tf.data.AUTOTUNE).batch(batch_size)


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
