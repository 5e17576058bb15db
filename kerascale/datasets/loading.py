"""From a data set's name, or from arrays, to batches that are ready for `fit`."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from kerascale.config import TrainingConfig
from kerascale.config.fields import to_dict
from kerascale.config.tasks import Task
from kerascale.datasets import (
    applicable,
    carried,
    corpora,
    folds,
    gathers,
    in_place,
    kept,
    memory,
    order,
    origins,
    pipeline,
    remote,
    resident,
    resizing,
    split_columns,
    targets,
    text,
    training_examples,
)
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.class_weights import class_weights
from kerascale.datasets.info import DataInfo, fingerprint
from kerascale.datasets.packed import automatic
from kerascale.datasets.packed import tasks as packed_tasks
from kerascale.datasets.packed import training as packed_training
from kerascale.datasets.packed.opened import PREFIX, open_packed
from kerascale.datasets.raw import Kind, RawData, Split
from kerascale.datasets.reading import EMBEDDED, read
from kerascale.datasets.sources.csv_options import CsvOptions
from kerascale.datasets.split_columns import SplitColumn
from kerascale.datasets.tables import encoding, fitting, image_labels, told
from kerascale.datasets.tables import loading as tables_loading
from kerascale.errors import RefusedError, TooLargeError

_TOO_LARGE = "the data does not fit in memory"


def from_config(
    config: TrainingConfig,
    *,
    kinds: Sequence[Kind],
    tasks: Sequence[Task] = ("classification",),
) -> Datasets:
    """The data that a recipe's configuration names, in batches.

    Args:
        config: See `TrainingConfig`; `image_size` and the `augment_*` fields of
            `ImageConfig`, and `vocabulary_size` and `max_length` of a recipe for
            text, are read where it has them.
        kinds: The kinds of data that the recipe's model can take.
        tasks: What the recipe's model can be asked for; see
            `kerascale.optimizers.compile_for_task`.

    Raises:
        RefusedError: If the data is not as expected, or of another kind.
    """
    here = remote.local_config(config)
    found = _from_config(here, kinds, tasks)
    if here.dataset == config.dataset:
        return found
    info = dataclasses.replace(found.info, name=config.dataset)
    return dataclasses.replace(found, info=info)


def _from_config(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[Task]
) -> Datasets:
    if config.dataset.startswith(PREFIX):
        folds.refuse_inapplicable(config.dataset, config, "packed data")
        packed = packed_training.prepare(
            open_packed(config.dataset), config, kinds=kinds
        )
        return packed_tasks.with_task(packed, config, tasks)
    asked = getattr(config, "pack", "never")
    if asked == "in-place":
        return in_place.prepare(config, kinds=kinds, tasks=tasks)
    if asked == "always" or (asked == "auto" and automatic.is_too_large(config)):
        folds.refuse_inapplicable(config.dataset, config, "data that is packed")
        why = "--pack always" if asked == "always" else _TOO_LARGE
        return _packed(config, kinds, tasks, why)
    try:
        return kept.get(
            config,
            (tuple(kinds), tuple(tasks)),
            lambda: _read_and_prepare(config, kinds, tasks),
        )
    except TooLargeError:
        if asked == "never" or config.dataset in EMBEDDED:
            raise
    # Behind the handler, whose error holds what was read.
    found = in_place.prepare(config, kinds=kinds, tasks=tasks, why=_TOO_LARGE)
    if found is not None:
        return found
    folds.refuse_inapplicable(config.dataset, config, "data that is packed")
    return _packed(config, kinds, tasks, _TOO_LARGE)


def _packed(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[Task], why: str
) -> Datasets:
    packed_tasks.refuse_other(config)
    packed = automatic.pack_and_prepare(config, kinds=kinds, tasks=tasks, why=why)
    return packed_tasks.with_task(packed, config, tasks)


def _read_and_prepare(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[Task]
) -> Datasets:
    column = split_columns.read(config)
    raw = _read(split_columns.without(config, column), kinds, tasks)
    applicable.refuse_inapplicable(raw.name, raw.kind, raw.class_names, config)
    raw = targets.with_task(raw, config.task, tasks, config.class_order)
    raw = carried.attached(raw, config)
    return _prepare(raw, config, kinds, column, is_last_use=True)


def _read(
    config: TrainingConfig, kinds: Sequence[Kind], tasks: Sequence[Task]
) -> RawData:
    is_table = config.dataset.startswith(("csv:", "parquet:"))
    if is_table and tuple(tasks) != ("classification",):
        return tables_loading.load(config, kinds, tasks)
    if config.dataset.startswith("tfds:"):
        # Imported here: tensorflow-datasets alone takes a second.
        from kerascale.datasets.tables import tfds_tables

        return tfds_tables.load(config, kinds, tasks)
    if config.dataset.startswith("images:") and config.label and len(tasks) > 1:
        return image_labels.load(config, tasks)
    return read(
        config.dataset,
        label=config.label,
        num_classes=config.num_classes,
        image_size=getattr(config, "image_size", None),
        skip_damaged_share=config.skip_damaged_share,
        csv_options=CsvOptions.of(to_dict(config)),
        test_data=config.test_data,
        held_out_fraction=config.validation_fraction,
        task=config.task if len(tasks) > 1 else "classification",
    )


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
    column: SplitColumn = split_columns.NONE,
    *,
    is_last_use: bool = False,
) -> Datasets:
    """The same; nobody needs `raw` any more if this `is_last_use` of it."""
    rank = raw.train.features.ndim - 1
    applicable.refuse_other_kind(raw.name, raw.kind, rank, kinds)
    size = getattr(config, "image_size", None)
    memory.refuse_what_does_not_fit(raw, size, is_last_use=is_last_use)
    if raw.kind == "corpus":
        folds.refuse_inapplicable(raw.name, config, "one text")
        return _prepare_corpus(raw, config)
    # Before its arrays are taken apart.
    found = fingerprint(raw, told.written(raw.columns) if raw.columns else "")
    named = folds.three(raw, config, column, is_last_use=is_last_use)
    named = {name: split for name, split in named.items() if split is not None}
    origin = origins.of(raw.kind, named, raw.feature_names)
    vectorizer, vocabulary_size, columns, examples = None, None, (), None
    if raw.kind == "table":
        rows, names = named["train"].features, raw.feature_names
        columns, vectorizer = fitting.fit(raw.columns, rows, names)
        shown = named.get("test") or named["train"]
        examples = vectorizer.inputs_of(shown.features[: encoding.EXAMPLES], names)
        named = {
            k: Split(vectorizer.encode(split.features, names), split.labels)
            for k, split in named.items()
        }
    elif raw.kind == "text":
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
        task=raw.task,
        target_names=raw.target_names,
        columns=tuple(column.shown() for column in columns),
        **targets.moments_of(
            raw.task,
            raw.name,
            lambda: named["train"].labels,
            config.regression_loss,
        ),
    )
    batches = {
        name: pipeline.Batches(
            gathers.gather_arrays(split.features, split.labels),
            num_examples=len(split),
            batch_size=config.micro_batch_size,
            seed=config.seed,
            **order.of_split(name, config),
        )
        for name, split in named.items()
    }
    if config.class_weight:
        batches["train"] = _weighted(batches["train"], named["train"], raw, config)
    if raw.kind == "image":
        batches["train"] = training_examples.augmented(batches["train"], config)
    return Datasets(
        info,
        **batches,
        vectorizer=vectorizer,
        mean=mean,
        variance=variance,
        origins=origin,
        divided_by={n: getattr(config, n, None) for n in folds.FIELDS},
        columns=tuple(column.to_json() for column in columns),
        examples=examples,
    )


def _encoded(vectorizer: keras.layers.Layer, split: Split) -> Split:
    ids = text.encode(vectorizer, split.features)
    longest = max(1, int((ids != 0).sum(axis=1).max()))
    return Split(ids[:, :longest], split.labels)


def _moments(raw: RawData, features: np.ndarray) -> tuple[Any, Any]:
    """Mean and variance, in float64: over all pixels, or for each feature."""
    if raw.kind in ("text", "table"):
        return None, None
    mean, variance = memory.moments(features, per_feature=raw.kind == "vector")
    return training_examples.scale(mean, variance, raw.kind, raw.feature_names)


def _weighted(
    batches: pipeline.Batches, split: Split, raw: RawData, config: TrainingConfig
) -> pipeline.Batches:
    """Batches (x, y, weight), which are (x, y) in an evaluation."""
    if split.labels.ndim > 1:
        raise RefusedError(
            "class_weight: expected only with classes, each example of one. Received: "
            f"{config.class_weight} with --task {raw.task}. Leave it out."
        )
    weights = class_weights(config.class_weight, raw.class_names, split.labels)
    return batches.weighted(resident.tensor(weights[split.labels]))


def _prepare_corpus(raw: RawData, config: TrainingConfig) -> Datasets:
    vectorizer = text.corpus_vectorizer(
        raw.train.features[0],
        tokenizer=getattr(config, "tokenizer", "characters"),
        vocabulary_size=getattr(config, "vocabulary_size", 4096),
    )
    length = getattr(config, "max_length", 64)
    named = {"train": raw.train, "validation": raw.validation, "test": raw.test}
    parts = {}
    for name, split in named.items():
        tokens = text.tokens_of(vectorizer, split.features[0])
        windows = functools.partial(gathers.gather_windows, tokens, length)
        parts[name] = corpora.Part(len(tokens), windows)
    return corpora.prepare(
        raw.name,
        parts,
        config,
        vectorizer=vectorizer,
        fingerprint=fingerprint(raw),
    )
