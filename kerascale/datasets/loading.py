"""From a data set's name, or from arrays, to batches that are ready for `fit`."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.datasets import pipeline, splits, text
from kerascale.datasets.augmentation import Augmentation
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.info import DataInfo, fingerprint
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.reading import read
from kerascale.datasets.sources import arrays
from kerascale.errors import RefusedError


def from_config(config: TrainingConfig, *, kinds: Sequence[Kind]) -> Datasets:
    """The data that a recipe's configuration names, in batches.

    Args:
        config: See `TrainingConfig`; `image_size` and the `augment_*` fields of
            `ImageConfig`, and `vocabulary_size` and `max_length` of a recipe for
            text, are read where it has them.
        kinds: The kinds of data that the recipe's model can take.

    Raises:
        RefusedError: If the data is not as expected, or of another kind.
    """
    raw = read(
        config.dataset,
        label=config.label,
        num_classes=config.num_classes,
        image_size=getattr(config, "image_size", None),
    )
    return prepare(raw, config, kinds=kinds)


def from_arrays(
    x: Any,
    y: Any,
    config: TrainingConfig,
    *,
    validation: tuple[Any, Any] | None = None,
    test: tuple[Any, Any] | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
) -> Datasets:
    """Datasets out of NumPy arrays.

    Args:
        x: Features of the training examples: numbers of shape (examples, ...), or
            strings of shape (examples,).
        y: Class indices, integers of shape (examples,).
        config: Its batch size, seed and splits are used, as in `from_config`.
        validation: (x, y) like the training examples; or None.
        test: (x, y) like the training examples; or None.
        class_names: The name of each class, by label index.
        name: What to call the data in reports.
    """
    raw = arrays.from_numpy(
        x,
        y,
        validation=validation,
        test=test,
        class_names=class_names,
        num_classes=config.num_classes,
        name=name,
    )
    return prepare(raw, config)


def prepare(
    raw: RawData, config: TrainingConfig, *, kinds: Sequence[Kind] | None = None
) -> Datasets:
    """Splits, vectorises and batches a data set that is in memory.

    See `from_config` for the arguments and errors.
    """
    if kinds is not None and raw.kind not in kinds:
        raise RefusedError(
            f"dataset: expected {' or '.join(kinds)} data for this recipe. Received: "
            f"{raw.name}, which is {raw.kind} data. Take another recipe or data set."
        )
    if raw.kind == "corpus":
        return _prepare_corpus(raw, config)
    train, validation, test = _three_splits(raw, config.validation_fraction)
    named = {"train": train, "validation": validation, "test": test}
    vectorizer, vocabulary_size = None, None
    if raw.kind == "text":
        vectorizer = text.word_vectorizer(
            train.features,
            vocabulary_size=getattr(config, "vocabulary_size", 10_000),
            max_length=getattr(config, "max_length", 256),
        )
        vocabulary_size = vectorizer.vocabulary_size()
        named = {k: _encoded(vectorizer, split) for k, split in named.items()}
    elif raw.kind == "image" and getattr(config, "image_size", None):
        named = {k: _resized(split, config.image_size) for k, split in named.items()}
    mean, variance = _moments(raw.kind, named["train"].features)
    shape = named["train"].features.shape[1:]
    info = DataInfo(
        name=raw.name,
        kind=raw.kind,
        input_shape=(None,) if raw.kind == "text" else tuple(shape),
        class_names=raw.class_names,
        feature_names=raw.feature_names,
        dtype=str(raw.train.features.dtype) if raw.kind == "image" else None,
        num_examples={k: len(split) for k, split in named.items()},
        vocabulary_size=vocabulary_size,
        fingerprint=fingerprint(raw),
    )
    batches = {
        name: pipeline.Batches(
            pipeline.gather_arrays(split.features, split.labels),
            num_examples=len(split),
            batch_size=config.batch_size,
            seed=config.seed,
            shuffle=name == "train",
        )
        for name, split in named.items()
    }
    if raw.kind == "image":
        batches["train"] = _augmented(batches["train"], config)
    return Datasets(
        info, **batches, vectorizer=vectorizer, mean=mean, variance=variance
    )


def _three_splits(raw: RawData, fraction: float) -> tuple[Split, Split, Split]:
    train, validation, test = raw.train, raw.validation, raw.test
    # Of what a data set lacks, the test examples are taken out first, so that they
    # stay the same if it is given a validation split later.
    if test is None:
        train, test = splits.split_off(train, fraction, salt=1)
    if validation is None:
        train, validation = splits.split_off(train, fraction, salt=2)
    return train, validation, test


def _encoded(vectorizer: keras.layers.Layer, split: Split) -> Split:
    ids = text.encode(vectorizer, split.features)
    longest = max(1, int((ids != 0).sum(axis=1).max()))
    return Split(ids[:, :longest], split.labels)


def _resized(split: Split, size: int) -> Split:
    if split.features.shape[1:3] == (size, size):
        return split
    resized = tf.image.resize(split.features, (size, size), antialias=True).numpy()
    if split.features.dtype == np.uint8:
        resized = np.clip(np.rint(resized), 0, 255)
    return Split(resized.astype(split.features.dtype), split.labels)


def _moments(kind: Kind, features: np.ndarray) -> tuple[Any, Any]:
    """Mean and variance, in float64: over all pixels, or for each feature."""
    if kind == "text":
        return None, None
    axes = None if kind == "image" else tuple(range(features.ndim - 1))
    mean = features.mean(axis=axes, dtype=np.float64)
    variance = features.var(axis=axes, dtype=np.float64)
    return np.asarray(mean), np.asarray(variance)


def _augmented(batches: pipeline.Batches, config: Any) -> pipeline.Batches:
    augmentation = Augmentation(
        shift=getattr(config, "augment_shift", 0.0),
        rotation=getattr(config, "augment_rotation", 0.0),
        zoom=getattr(config, "augment_zoom", 0.0),
        contrast=getattr(config, "augment_contrast", 0.0),
    )
    if not augmentation.active:
        return batches

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        images, labels = batches.gather(indices, epoch)
        return augmentation(images, indices, epoch, config.seed), labels

    return pipeline.Batches(
        gather,
        num_examples=batches.num_examples,
        batch_size=batches.batch_size,
        seed=batches.seed,
        shuffle=batches.shuffle,
    )


def _prepare_corpus(raw: RawData, config: TrainingConfig) -> Datasets:
    max_length = getattr(config, "max_length", 64)
    named = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    vectorizer = text.character_vectorizer(raw.train.features[0])
    batches, sizes, problems = {}, {}, []
    for name, split in named.items():
        tokens = text.encode(vectorizer, split.features)[0]
        sizes[name] = pipeline.num_windows(tokens, max_length)
        if sizes[name] < 1:
            problems.append(
                f"{raw.name}, {name} text: expected at least max_length + 1 = "
                f"{max_length + 1} characters. Received: {len(tokens)}. Add text, or "
                "lower max_length"
            )
            continue
        batches[name] = pipeline.Batches(
            pipeline.gather_windows(tokens, max_length, shift=name == "train"),
            num_examples=sizes[name],
            batch_size=config.batch_size,
            seed=config.seed,
            shuffle=name == "train",
        )
    if problems:
        raise RefusedError(problems, heading=raw.name)
    info = DataInfo(
        name=raw.name,
        kind=raw.kind,
        input_shape=(None,),
        class_names=(),
        num_examples=sizes,
        vocabulary_size=vectorizer.vocabulary_size(),
        fingerprint=fingerprint(raw),
    )
    return Datasets(info, **batches, vectorizer=vectorizer)
