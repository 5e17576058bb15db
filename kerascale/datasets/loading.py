"""From a data set's name, or from arrays, to batches that are ready for `fit`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.config.fields import to_dict
from kerascale.datasets import (
    memory,
    origins,
    pipeline,
    resident,
    resizing,
    splits,
    text,
)
from kerascale.datasets.augmentation import Augmentation
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.class_weights import class_weights
from kerascale.datasets.info import DataInfo, fingerprint
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.reading import read
from kerascale.datasets.sources import arrays
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

_FIELDS_OF_KINDS: dict[tuple[str, ...], tuple[Kind, ...]] = {
    (
        "image_size",
        "augment_shift",
        "augment_rotation",
        "augment_zoom",
        "augment_contrast",
        "augment_flip",
        "augment_crop",
        "augment_cutout",
    ): ("image",),
    ("embedding_dim",): ("text",),
    ("max_length", "vocabulary_size"): ("text", "corpus"),
    ("class_weight",): ("image", "vector", "text"),
}

_FIELDS_OF_TEXT = ("separator", "no_header")
_FIELDS_OF_CSV = (*_FIELDS_OF_TEXT, "label", "columns", "drop_columns", "test_data")


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
        skip_damaged_share=config.skip_damaged_share,
        csv_options=CsvOptions.of(to_dict(config)),
        test_data=config.test_data,
        held_out_fraction=config.validation_fraction,
    )
    _refuse_inapplicable(raw, config)
    return _prepare(raw, config, kinds, is_last_use=True)


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
        y: Class indices, integers of shape (examples,); or names of classes, or -1
            and +1.
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
    return _prepare(raw, config, kinds)


def _prepare(
    raw: RawData,
    config: TrainingConfig,
    kinds: Sequence[Kind] | None,
    *,
    is_last_use: bool = False,
) -> Datasets:
    """The same; nobody needs `raw` any more if this `is_last_use` of it."""
    if kinds is not None and raw.kind not in kinds:
        way_out = "Take another recipe or data set"
        if raw.kind == "vector" and raw.train.features.ndim == 3:
            way_out += ", or if these are gray images, add a channel: x[..., None]"
        raise RefusedError(
            f"dataset: expected {' or '.join(kinds)} data for this recipe. Received: "
            f"{raw.name}, which is {raw.kind} data. {way_out}."
        )
    size = getattr(config, "image_size", None)
    memory.refuse_what_does_not_fit(raw, size, is_last_use=is_last_use)
    if raw.kind == "corpus":
        return _prepare_corpus(raw, config)
    # Before its arrays are taken apart.
    found = fingerprint(raw)
    fraction = config.validation_fraction
    named = splits.three(raw, fraction, is_last_use=is_last_use)
    origin = origins.of(raw.kind, named)
    vectorizer, vocabulary_size = None, None
    if raw.kind == "text":
        vectorizer = text.word_vectorizer(
            named["train"].features,
            vocabulary_size=getattr(config, "vocabulary_size", 10_000),
            max_length=getattr(config, "max_length", 256),
        )
        vocabulary_size = vectorizer.vocabulary_size()
        named = {k: _encoded(vectorizer, split) for k, split in named.items()}
    elif raw.kind == "image" and getattr(config, "image_size", None):
        named = {
            k: Split(resizing.resized(split.features, config.image_size), split.labels)
            for k, split in named.items()
        }
    mean, variance = _moments(raw, named["train"].features)
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
        fingerprint=found,
    )
    batches = {
        name: pipeline.Batches(
            pipeline.gather_arrays(split.features, split.labels),
            num_examples=len(split),
            batch_size=config.micro_batch_size,
            seed=config.seed,
            shuffle=name == "train",
        )
        for name, split in named.items()
    }
    if config.class_weight:
        batches["train"] = _weighted(batches["train"], named["train"], raw, config)
    if raw.kind == "image":
        batches["train"] = _augmented(batches["train"], config)
    return Datasets(
        info,
        **batches,
        vectorizer=vectorizer,
        mean=mean,
        variance=variance,
        origins=origin,
    )


def _encoded(vectorizer: keras.layers.Layer, split: Split) -> Split:
    ids = text.encode(vectorizer, split.features)
    longest = max(1, int((ids != 0).sum(axis=1).max()))
    return Split(ids[:, :longest], split.labels)


def _moments(raw: RawData, features: np.ndarray) -> tuple[Any, Any]:
    """Mean and variance, in float64: over all pixels, or for each feature."""
    if raw.kind == "text":
        return None, None
    mean, variance = memory.moments(features, per_feature=raw.kind == "vector")
    variance, constant = memory.without_constants(mean, variance)
    if raw.kind == "vector" and constant.any():
        numbers = np.flatnonzero(constant)
        names = [raw.feature_names[i] if raw.feature_names else str(i) for i in numbers]
        say(f"constant in the training examples: feature {', '.join(names[:20])}")
    return mean, variance


def _refuse_inapplicable(raw: RawData, config: Any) -> None:
    """A field that was set and cannot have an effect is a mistake worth a word."""
    problems = []
    for names, kinds in _FIELDS_OF_KINDS.items():
        for name in names:
            value = getattr(config, name, None)
            default = getattr(type(config), name, None)
            if raw.kind not in kinds and value != default:
                problems.append(
                    f"{name}: expected only with {' or '.join(kinds)} data. Received: "
                    f"{value!r} with {raw.name}, which is {raw.kind} data. Leave it out"
                )
    # What a table in Parquet cannot have is told where it is opened.
    is_table = raw.name.startswith(("csv:", "parquet:"))
    for name in () if is_table else _FIELDS_OF_CSV:
        value = getattr(config, name)
        where = "csv:" if name in _FIELDS_OF_TEXT else "csv: or parquet:"
        if value != getattr(TrainingConfig, name):
            problems.append(
                f"{name}: expected only with {where} data. Received: {value!r} with "
                f"{raw.name}. Leave it out"
            )
    if config.skip_damaged_share and not raw.name.startswith("tfrecord:"):
        problems.append(
            "skip_damaged_share: expected only with tfrecord: data. Received: "
            f"{config.skip_damaged_share!r} with {raw.name}. Leave it out"
        )
    found = len(raw.class_names)
    if config.num_classes is not None and config.num_classes != found:
        problems.append(
            f"num_classes: expected {found}, as {raw.name} has. Received: "
            f"{config.num_classes}. Leave it out"
        )
    if problems:
        raise RefusedError(problems, heading=raw.name)


def _weighted(
    batches: pipeline.Batches, split: Split, raw: RawData, config: TrainingConfig
) -> pipeline.Batches:
    """Batches (x, y, weight), which are (x, y) in an evaluation."""
    weights = class_weights(config.class_weight, raw.class_names, split.labels)
    return batches.weighted(resident.tensor(weights[split.labels]))


def _augmented(batches: pipeline.Batches, config: Any) -> pipeline.Batches:
    augmentation = Augmentation(
        shift=getattr(config, "augment_shift", 0.0),
        rotation=getattr(config, "augment_rotation", 0.0),
        zoom=getattr(config, "augment_zoom", 0.0),
        contrast=getattr(config, "augment_contrast", 0.0),
        flip=getattr(config, "augment_flip", False),
        crop=getattr(config, "augment_crop", 0),
        cutout=getattr(config, "augment_cutout", 0.0),
    )
    if not augmentation.active:
        return batches

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        images, *rest = batches.gather(indices, epoch)
        return augmentation(images, indices, epoch, config.seed), *rest

    plain = batches.plain_gather or batches.gather
    return dataclasses.replace(batches, gather=gather, plain_gather=plain)


def _prepare_corpus(raw: RawData, config: TrainingConfig) -> Datasets:
    max_length = getattr(config, "max_length", 64)
    named = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    vectorizer = text.corpus_vectorizer(
        raw.train.features[0],
        tokenizer=getattr(config, "tokenizer", "characters"),
        vocabulary_size=getattr(config, "vocabulary_size", 4096),
    )
    batches, sizes, problems = {}, {}, []
    for name, split in named.items():
        tokens = text.tokens_of(vectorizer, split.features[0])
        sizes[name] = pipeline.num_windows(tokens, max_length)
        if sizes[name] < 1:
            problems.append(
                f"{raw.name}, {name} text: expected at least max_length + 1 = "
                f"{max_length + 1} tokens. Received: {len(tokens)}. Add text, or "
                "lower max_length"
            )
            continue
        gather = plain = pipeline.gather_windows(tokens, max_length, shift=False)
        if name == "train":
            gather = pipeline.gather_windows(tokens, max_length, shift=True)
        batches[name] = pipeline.Batches(
            gather,
            num_examples=sizes[name],
            batch_size=config.micro_batch_size,
            seed=config.seed,
            shuffle=name == "train",
            plain_gather=plain,
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
