"""`tfds:NAME`: data sets of TensorFlow Datasets: images, texts, arrays and tables."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from kerascale.config.tasks import AskedTask
from kerascale.datasets.raw import RawData, Split
from kerascale.datasets.sources import tfds_labels
from kerascale.datasets.sources.checks import Problems, check_features
from kerascale.datasets.sources.tfds_cells import numbers_of
from kerascale.datasets.sources.tfds_examples import quiet_tfds, read_split
from kerascale.datasets.sources.tfds_features import USUAL, Asked, Chosen
from kerascale.datasets.sources.tfds_prepared import Prepared, prepare
from kerascale.errors import RefusedError, TooLargeError
from kerascale.runtime.free_memory import available_bytes

# Training needs room for more than the examples.
_SHARE_OF_MEMORY = 0.7
# What a Python string takes beside its characters.
_BYTES_PER_STRING = 64


def load_tfds(
    name: str,
    image_size: int | None = None,
    *,
    asked: Asked = USUAL,
    num_classes: int | None = None,
    task: AskedTask = "classification",
) -> RawData:
    """Loads a data set of TensorFlow Datasets into memory.

    It is read from `TFDS_DATA_DIR` (or `~/tensorflow_datasets`), and prepared there
    first if it is not yet, which downloads it. The data set needs a `train` split;
    `validation` and `test` are used if it has them with labels.

    Starts TensorFlow's runtime: create a multi-worker strategy before.

    Args:
        name: As `tfds.load` takes it: `mnist`, `imdb_reviews/plain_text:1.0.0`.
        image_size: Height and width in pixels to resize every image to, without
            regard to its proportions. None: the images have one size already.
        asked: Which features are read; see `tfds_features.choose`.
        num_classes: Of labels that are whole numbers.
        task: What is asked for; see `tfds_labels.decide`.

    Returns:
        Data of kind `image`, `text` or `vector`. A table of numbers alone is one of
        vectors; others are read by `kerascale.datasets.tables.tfds_tables`.

    Raises:
        RefusedError: If there is no such data set, it cannot be prepared, is
            damaged, does not fit in memory, or has other features.

    Example:

    >>> data = load_tfds("mnist")
    """
    prepared = prepare(name, asked)
    where = f"tfds:{prepared.name}"
    tfds_labels.refuse_other_task(where, prepared.chosen.labels, task)
    prepared.chosen.say_unread(where)
    examples = read_examples(prepared, image_size)
    if prepared.chosen.kind != "table":
        return raw_of(prepared, examples, task, num_classes)
    numbers = as_numbers(prepared.chosen, examples)
    if numbers is None:
        raise RefusedError(
            f"{where}: expected columns of numbers without gaps. Received: words, "
            "classes or gaps among the features. Leave them out (--drop-columns), or "
            "train mlp, rnn or transformer on it."
        )
    return raw_of(prepared, numbers, task, num_classes)


class Examples(NamedTuple):
    """Examples of a split: features and labels as `tfds_examples.read_split` does."""

    features: Any
    labels: np.ndarray


def read_examples(
    prepared: Prepared, image_size: int | None = None
) -> dict[str, Examples]:
    """Reads all splits of which the labels are known.

    Raises:
        RefusedError: If they do not fit in memory, or a file is damaged.
    """
    name, builder, splits = prepared.name, prepared.builder, prepared.splits
    chosen = prepared.chosen
    _check_memory(
        name,
        sum(builder.info.splits[split].num_examples for split in splits),
        _bytes_of_an_example(prepared, image_size),
    )
    with quiet_tfds():
        found = {
            split: Examples(*read_split(builder, split, chosen, image_size))
            for split in splits
        }
    return _with_labels(name, found)


def raw_of(
    prepared: Prepared,
    examples: Mapping[str, Examples],
    task: AskedTask,
    num_classes: int | None,
    columns: tuple[Any, ...] = (),
) -> RawData:
    """Data of examples whose features are as `Split` has them.

    Args:
        prepared: The data set.
        examples: By split.
        task: What is asked for.
        num_classes: Of labels that are whole numbers.
        columns: What each column of a table of texts was taken for.

    Raises:
        RefusedError: If the labels are not those of the task, or a number is not
            finite.
    """
    chosen, where = prepared.chosen, f"tfds:{prepared.name}"
    train = examples["train"].labels
    decided = tfds_labels.decide(where, chosen.labels, train, task, num_classes)
    kind = chosen.kind
    if kind == "table" and not columns:
        kind = "vector"
    splits = {}
    problems = Problems(f"{where} cannot be used", subject=where)
    for split, (features, labels) in examples.items():
        if kind == "vector":
            check_features(features, f"the {split} examples", problems)
        splits[split] = Split(features, decided.labels(labels, split))
    problems.raise_if_any()
    return RawData(
        name=where,
        kind=kind,
        class_names=decided.class_names,
        feature_names=chosen.feature_names,
        task=decided.task,
        is_told=decided.is_told,
        target_names=decided.target_names,
        columns=columns,
        **splits,
    )


def as_numbers(
    chosen: Chosen, examples: Mapping[str, Examples]
) -> dict[str, Examples] | None:
    """A table as float32 of shape (rows, columns); None: it has words or gaps."""
    found = {}
    for split, (columns, labels) in examples.items():
        numbers = numbers_of(chosen.features, columns)
        if numbers is None:
            return None
        found[split] = Examples(numbers, labels)
    return found


def _bytes_of_an_example(prepared: Prepared, image_size: int | None) -> int:
    chosen = prepared.chosen
    if chosen.kind == "image":
        return image_bytes(prepared.name, chosen.features[0].feature, image_size)
    if chosen.kind == "vector":
        return math.prod(chosen.features[0].feature.shape) * 4
    words = sum(leaf.form != "number" for leaf in chosen.features)
    numbers = (len(chosen.features) - words) * 8
    if not words:
        return numbers
    text = _text_bytes(prepared.builder, prepared.splits)
    return numbers + text + (words - 1) * _BYTES_PER_STRING


def image_bytes(name: str, feature: tfds.features.Image, image_size: int | None) -> int:
    """Size of one image in memory; refuses images that cannot be an array."""
    shape, dtype = feature.shape, np.dtype(feature.np_dtype)
    if not shape[-1] or dtype not in (np.uint8, np.float32):
        raise RefusedError(
            f"tfds:{name}: expected images of uint8 or float32 with a fixed number of "
            f"channels. Received: {dtype} of shape {shape}. Take another data set or "
            "config."
        )
    if image_size is not None:
        shape = (image_size, image_size, shape[-1])
    if None in shape:
        raise RefusedError(
            f"tfds:{name}: expected images of one size. Received: images of shape "
            f"{shape}. Pass --image-size N to resize all images to NxN pixels."
        )
    return math.prod(shape) * dtype.itemsize


def _text_bytes(builder: tfds.core.DatasetBuilder, splits: list[str]) -> int:
    infos = [builder.info.splits[split] for split in splits]
    mean = sum(i.num_bytes for i in infos) // sum(i.num_examples for i in infos)
    return mean + _BYTES_PER_STRING


def _check_memory(name: str, num_examples: int, bytes_per_example: int) -> None:
    needed, room = num_examples * bytes_per_example, available_bytes()
    if needed > room * _SHARE_OF_MEMORY:
        raise TooLargeError(
            f"tfds:{name}: expected examples that fit in memory. Received: "
            f"{num_examples} examples, which need {needed / 2**30:.1f} GiB of "
            f"{room / 2**30:.1f} GiB. Take a smaller data set, or of images a smaller "
            "--image-size N."
        )


def _with_labels(name: str, found: dict[str, Examples]) -> dict[str, Examples]:
    """The splits that can be used: TFDS writes -1 where a label is not known."""
    labels = {split: examples.labels for split, examples in found.items()}
    return {split: found[split] for split in tfds_labels.known(f"tfds:{name}", labels)}
