"""Batches of a packed data set, the same as of data in memory to the last bit."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.config import ImageConfig, TrainingConfig
from kerascale.datasets import (
    applicable,
    class_weights,
    gathers,
    order,
    origins,
    pages,
    pipeline,
    resized_crop,
    resizing,
    targets,
    training_examples,
)
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed import corpus, mapped, moments, table
from kerascale.datasets.packed.block_check import BlockCheck
from kerascale.datasets.packed.opened import PREFIX, Packed, open_packed
from kerascale.datasets.packed.origins import origins_of
from kerascale.datasets.packed.pictures import Pictures
from kerascale.datasets.packed.texts import EncodedTexts
from kerascale.datasets.raw import Kind
from kerascale.errors import RefusedError


def from_packed(
    path: str | os.PathLike,
    config: TrainingConfig | None = None,
    *,
    kinds: Sequence[Kind] | None = None,
) -> Datasets:
    """The data of a folder that `kerascale pack` made, in batches.

    Args:
        path: The folder; `packed:` may stand before it.
        config: As in `from_config`; None: the defaults.
        kinds: The kinds of data that the recipe's model can take; None: all.

    Raises:
        RefusedError: If it is no packed data set, or not as the configuration has it.

    Example:

    ```python
    recipe = ks.load_recipe("cnn")
    config = recipe.Config(epochs=3)
    data = ks.datasets.from_packed("birds.packed", config)
    run = ks.train(recipe, config, datasets=data)
    ```
    """
    name = os.fspath(path)
    if not name.startswith(PREFIX):
        name = PREFIX + name
    packed = open_packed(name)
    return prepare(packed, ImageConfig() if config is None else config, kinds=kinds)


def prepare(
    packed: Packed, config: TrainingConfig, *, kinds: Sequence[Kind] | None = None
) -> Datasets:
    """Batches of an open packed data set; see `from_packed`."""
    held = packed.manifest
    rank = len(held.shape or ())
    applicable.refuse_other_kind(packed.name, held.kind, rank, kinds)
    applicable.refuse_inapplicable(packed.name, held.kind, held.class_names, config)
    check = BlockCheck(packed)
    if held.kind == "corpus":
        return dataclasses.replace(corpus.prepare(packed, config), block_check=check)
    rows = packed.split_rows(config.validation_fraction)
    make = {"text": _of_texts, "image": _of_pictures, None: _of_flat_rows}
    datasets = make[held.encoding](packed, rows, config)
    datasets = dataclasses.replace(datasets, block_check=check)
    if not origins.kept():
        return datasets
    return dataclasses.replace(datasets, origins=origins_of(packed, rows))


def _of_flat_rows(
    packed: Packed, rows: Mapping[str, np.ndarray], config: TrainingConfig
) -> Datasets:
    held = packed.manifest
    size = getattr(config, "image_size", None) if held.kind == "image" else None
    shape = tuple(held.shape)
    if size is not None:
        shape = (size, size, shape[-1])
    arrays = (mapped.tensor(packed.features), mapped.tensor(packed.labels))
    made = {}
    for split, own in rows.items():
        made[split] = gathers.FromArrays(arrays, mapped.tensor(own))
        if shape != held.shape:
            made[split] = _resized(made[split], size)
    batches = _batches(packed, rows, made, config)
    for split, own in rows.items():
        files = [packed.features, packed.labels]
        batches[split] = _asking(batches[split], files, own)
    if held.kind == "image":
        batches["train"] = training_examples.augmented(batches["train"], config)
    info = _info(packed, rows, shape, config)
    if held.kind == "table":
        return table.with_columns(packed, Datasets(info, **batches), config)
    found = moments.of_training(packed, rows["train"], shape)
    mean, variance = training_examples.scale(*found, held.kind, held.feature_names)
    return Datasets(info, **batches, mean=mean, variance=variance)


def _of_pictures(
    packed: Packed, rows: Mapping[str, np.ndarray], config: TrainingConfig
) -> Datasets:
    pictures = Pictures(packed, getattr(config, "image_size", None))
    whole = pictures.whole()
    labels = mapped.tensor(packed.labels)
    index = {split: mapped.tensor(own) for split, own in rows.items()}

    def of(split: str) -> gathers.Gather:
        def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
            del epoch
            (numbers,) = gathers.taken([index[split]], indices)
            (images,) = whole(numbers)
            return images, *gathers.taken([labels], numbers)

        return gathers.traced_as_it_is(gather)

    made = {split: of(split) for split in rows}
    batches = {
        split: dataclasses.replace(each, host=whole)
        for split, each in _batches(packed, rows, made, config).items()
    }
    scale = getattr(config, "augment_resized_crop", 0.0)
    if scale:
        cropped = pictures.cropped(scale)

        def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, ...]:
            (numbers,) = gathers.taken([index["train"]], indices)
            drawn = resized_crop.draws(indices, epoch, config.seed)
            (images,) = cropped(numbers, drawn)
            return images, *gathers.taken([labels], numbers)

        train = batches["train"]
        plain = train.plain_gather or train.gather
        gather = gathers.traced_as_it_is(gather)
        train = dataclasses.replace(train, gather=gather, plain_gather=plain)
        if config.class_weight:
            train = _weighted(packed, rows, train, config)
        batches["train"] = train
    batches["train"] = training_examples.augmented(
        batches["train"], config, is_cropped=True
    )
    mean, variance = moments.of_pictures(
        packed.manifest.fingerprint, rows["train"], whole, pictures.shape
    )
    info = _info(packed, rows, pictures.shape, config)
    info = dataclasses.replace(info, dtype="uint8")
    return Datasets(info, **batches, mean=mean, variance=variance)


def _of_texts(
    packed: Packed, rows: Mapping[str, np.ndarray], config: TrainingConfig
) -> Datasets:
    encoded = EncodedTexts(packed, rows, config)
    labels = mapped.tensor(packed.labels)
    ids = {split: encoded.ids(split) for split in rows}
    made = {
        split: _ids(mapped.tensor(ids[split]), labels, mapped.tensor(own))
        for split, own in rows.items()
    }
    vectorizer = encoded.vectorizer
    info = _info(packed, rows, (None,), config)
    info = dataclasses.replace(info, vocabulary_size=vectorizer.vocabulary_size())
    batches = _batches(packed, rows, made, config)
    for split, own in ids.items():
        batches[split] = _asking(batches[split], [own])
    return Datasets(info, **batches, vectorizer=vectorizer)


def _batches(
    packed: Packed,
    rows: Mapping[str, np.ndarray],
    made: Mapping[str, gathers.Gather],
    config: TrainingConfig,
) -> dict[str, pipeline.Batches]:
    """Split -> its batches, of what gathers them."""
    batches = {
        split: pipeline.Batches(
            gather,
            num_examples=len(rows[split]),
            batch_size=config.micro_batch_size,
            seed=config.seed,
            **order.of_split(split, config),
        )
        for split, gather in made.items()
    }
    if config.class_weight:
        batches["train"] = _weighted(packed, rows, batches["train"], config)
    return batches


def _asking(
    batches: pipeline.Batches,
    arrays: Sequence[np.ndarray],
    index: np.ndarray | None = None,
) -> pipeline.Batches:
    """The same; the rows of files that are larger than memory are asked for ahead."""
    if not mapped.is_read_singly(arrays[0]):
        return batches
    return dataclasses.replace(batches, pages=pages.of_rows(arrays, index))


def _weighted(
    packed: Packed,
    rows: Mapping[str, np.ndarray],
    train: pipeline.Batches,
    config: TrainingConfig,
) -> pipeline.Batches:
    held = packed.manifest
    if held.target_names:
        raise RefusedError(
            "class_weight: expected only with classes, each example of one. Received: "
            f"{config.class_weight} with {packed.name}, whose task is {held.task}. "
            "Leave it out."
        )
    counts = packed.class_counts(rows["train"])
    weights = class_weights.weights_of(
        config.class_weight, packed.manifest.class_names, counts
    )
    return training_examples.weighted(train, weights)


def _info(
    packed: Packed,
    rows: Mapping[str, np.ndarray],
    shape: tuple[int | None, ...],
    config: TrainingConfig,
) -> DataInfo:
    held = packed.manifest
    moments_of_targets = targets.moments_of(
        held.task,
        packed.name,
        lambda: packed.labels[rows["train"]],
        config.regression_loss,
    )
    return DataInfo(
        name=packed.name,
        kind=held.kind,
        input_shape=shape,
        class_names=held.class_names,
        feature_names=held.feature_names,
        dtype=held.dtype if held.kind == "image" else None,
        num_examples={split: len(own) for split, own in rows.items()},
        fingerprint=held.fingerprint,
        task=held.task,
        target_names=held.target_names,
        **moments_of_targets,
    )


def _resized(gather: gathers.Gather, size: int) -> gathers.Gather:
    def resized(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        images, labels = gather(indices, epoch)
        return resizing.resized_batch(images, size), labels

    return gathers.traced_as_it_is(resized, gather)


def _ids(ids: tf.Tensor, labels: tf.Tensor, rows: tf.Tensor) -> gathers.Gather:
    """Ids are those of the split's own examples; labels those of all rows."""

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        del epoch
        found, numbers = gathers.taken([ids, rows], indices)
        return tf.cast(found, tf.int32), *gathers.taken([labels], numbers)

    return gathers.traced_as_it_is(gather)
