"""Data sets that TFDS prepared as ArrayRecord, trained on where they are."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from kerascale.config import TrainingConfig
from kerascale.config.tasks import Task
from kerascale.datasets import (
    applicable,
    class_weights,
    folds,
    gathers,
    order,
    pipeline,
    splits,
    training_examples,
)
from kerascale.datasets.bundle import Datasets
from kerascale.datasets.info import DataInfo
from kerascale.datasets.packed import moments
from kerascale.datasets.packed import tasks as packed_tasks
from kerascale.datasets.raw import Kind, Split
from kerascale.datasets.sources.class_names import with_classes_of
from kerascale.errors import RefusedError
from kerascale.runtime.console import say

if TYPE_CHECKING:
    from kerascale.datasets.sources.tfds_rows import TfdsRows


def prepare(
    config: TrainingConfig,
    *,
    kinds: Sequence[Kind],
    tasks: Sequence[Task],
    why: str | None = None,
) -> Datasets | None:
    """Batches of a `tfds:` data set whose rows are read by their number.

    Args:
        config: The recipe's configuration.
        kinds: The kinds of data that the recipe's model can take.
        tasks: What the recipe's model can be asked for.
        why: The reason, for a person; None: it was asked for.

    Returns:
        The same batches as of data in memory, to the last bit; None if it cannot be
        read in place and that was not asked for.

    Raises:
        RefusedError: If the data is not as expected; or that was asked for in vain.
    """
    found: TfdsRows | str = "a label or columns were chosen"
    if not (config.label or config.columns or config.drop_columns):
        found = _open(config.dataset, getattr(config, "image_size", None))
    if isinstance(found, str):
        if why is not None:
            return None
        raise RefusedError(
            "pack: expected in-place only with tfds: data of pictures and classes "
            "that TFDS prepared as ArrayRecord (download_and_prepare(file_format="
            f'"array_record")). Received: {config.dataset}; {found}. Take --pack '
            "always, which packs it into the cache folder."
        )
    folds.refuse_inapplicable(found.name, config, "data that is read in place")
    packed_tasks.refuse_other(config)
    applicable.refuse_other_kind(found.name, "image", 3, kinds)
    applicable.refuse_inapplicable(found.name, "image", found.class_names, config)
    say(
        f"data: {why or '--pack in-place'}: {found.name} is read in place, row by "
        f"row, from {found.folder}"
    )
    return packed_tasks.with_task(_datasets(found, config), config, tasks)


def _open(name: str, image_size: int | None) -> "TfdsRows | str":
    if not name.startswith("tfds:"):
        return "it is not of TensorFlow Datasets"
    # Which takes a second to load.
    from kerascale.datasets.sources.tfds_rows import open_rows

    return open_rows(name, image_size)


def _datasets(found: "TfdsRows", config: TrainingConfig) -> Datasets:
    readers = {split: found.reader(split) for split in found.labels}
    labels = dict(found.labels)
    rows = {split: np.arange(len(own)) for split, own in labels.items()}
    lacking = [split for split in ("test", "validation") if split not in labels]
    strata = splits.strata(labels["train"])
    part_of = splits.parts_of(strata, lacking, config.validation_fraction)
    for split in ("train", *lacking):
        rows[split] = np.flatnonzero(part_of == splits.NUMBERS[split])
        readers[split], labels[split] = readers["train"], labels["train"]
    batches = {
        split: pipeline.Batches(
            _gather(readers[split], rows[split], labels[split][rows[split]]),
            num_examples=len(rows[split]),
            batch_size=config.micro_batch_size,
            seed=config.seed,
            host=readers[split],
            **order.of_split(split, config),
        )
        for split in ("train", "validation", "test")
    }
    if config.class_weight:
        own = labels["train"][rows["train"]]
        counts = np.bincount(own, minlength=len(found.class_names))
        weights = class_weights.weights_of(
            config.class_weight, found.class_names, counts
        )
        batches["train"] = training_examples.weighted(batches["train"], weights)
    batches["train"] = training_examples.augmented(batches["train"], config)
    mean, variance = moments.of_pictures(
        found.fingerprint, rows["train"], readers["train"], found.shape
    )
    info = DataInfo(
        name=found.name,
        kind="image",
        input_shape=found.shape,
        class_names=found.class_names,
        dtype="uint8",
        num_examples={split: each.num_examples for split, each in batches.items()},
        fingerprint=found.fingerprint,
    )
    return Datasets(info, **batches, mean=mean, variance=variance, pack="in-place")


def read_like(name: str, info: DataInfo, batch_size: int) -> pipeline.Batches | None:
    """Another such data set, in the form that a run was trained on.

    Args:
        name: `tfds:NAME`.
        info: What is known of the data that the run was trained on.
        batch_size: Of its batches.

    Returns:
        Its test examples, or all of its training's; None if it cannot be read in
        place.

    Raises:
        RefusedError: If the data is of another kind or shape, or of other classes.
    """
    is_square = info.kind == "image" and info.input_shape[0] == info.input_shape[1]
    found = _open(name, info.input_shape[0] if is_square else None)
    if isinstance(found, str):
        return None
    applicable.refuse_kind_unlike(info, name, "image")
    if (tuple(found.shape), "uint8") != (tuple(info.input_shape), info.dtype):
        raise RefusedError(
            "data: expected examples as in training: shape "
            f"{tuple(info.input_shape)} and {info.dtype}. Received: {name} with shape "
            f"{found.shape} and uint8. Prepare it as the training data was."
        )
    split = "test" if "test" in found.labels else "train"
    own = found.labels[split]
    names = found.class_names
    numbered = tuple(map(str, range(len(names))))
    if names == numbered and len(names) == info.num_classes:
        names = info.class_names  # Arrays have the indices of the classes.
    labels = with_classes_of(Split(own, own), names, info.class_names, name).labels
    host = found.reader(split)
    say(f"data: {name} is read in place, row by row, from {found.folder}")
    return pipeline.Batches(
        _gather(host, np.arange(len(own)), labels),
        num_examples=len(own),
        batch_size=batch_size,
        seed=0,
        shuffle=False,
        host=host,
    )


def _gather(host: Any, rows: np.ndarray, labels: np.ndarray) -> gathers.Gather:
    """A function from indices to a batch.

    Args:
        host: Reads the pictures of rows.
        rows: int64 of shape (examples,): the row of each.
        labels: int64 of shape (examples,).
    """
    with tf.device("CPU"):
        numbers, known = tf.constant(rows), tf.constant(labels)

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        del epoch
        (images,) = host(tf.gather(numbers, indices))
        return images, tf.gather(known, indices)

    return gathers.traced_as_it_is(gather)
