"""What training adds to examples: random changes of images, weights of classes."""

import dataclasses
from typing import Any

import numpy as np
import tensorflow as tf

from kerascale.datasets import memory, pipeline
from kerascale.datasets.augmentation import Augmentation
from kerascale.datasets.gathers import traced_as_it_is
from kerascale.datasets.raw import Kind
from kerascale.runtime.console import say


def augmented(
    batches: pipeline.Batches, config: Any, *, is_cropped: bool = False
) -> pipeline.Batches:
    """Batches of images that are changed as the `augment_*` fields say.

    Args:
        batches: Of images.
        config: Has the fields.
        is_cropped: Whether random windows were cut already.
    """
    resized_crop = 0.0 if is_cropped else getattr(config, "augment_resized_crop", 0.0)
    augmentation = Augmentation(
        shift=getattr(config, "augment_shift", 0.0),
        rotation=getattr(config, "augment_rotation", 0.0),
        zoom=getattr(config, "augment_zoom", 0.0),
        contrast=getattr(config, "augment_contrast", 0.0),
        flip=getattr(config, "augment_flip", False),
        crop=getattr(config, "augment_crop", 0),
        cutout=getattr(config, "augment_cutout", 0.0),
        resized_crop=resized_crop,
    )
    if not augmentation.active:
        return batches

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any]:
        images, *rest = batches.gather(indices, epoch)
        return augmentation(images, indices, epoch, config.seed), *rest

    plain = batches.plain_gather or batches.gather
    gather = traced_as_it_is(gather, batches.gather)
    return dataclasses.replace(batches, gather=gather, plain_gather=plain)


def weighted(batches: pipeline.Batches, weights: np.ndarray) -> pipeline.Batches:
    """Batches (x, y, weight) out of (x, y), which are (x, y) in an evaluation.

    Args:
        batches: With class indices.
        weights: float32 of shape (classes,).
    """
    with tf.device("CPU"):
        table = tf.constant(weights)

    def gather(indices: tf.Tensor, epoch: tf.Tensor) -> tuple[Any, Any, Any]:
        x, y = batches.gather(indices, epoch)
        return x, y, tf.gather(table, y)

    plain = batches.plain_gather or batches.gather
    gather = traced_as_it_is(gather, batches.gather)
    return dataclasses.replace(batches, gather=gather, plain_gather=plain)


def scale(
    mean: np.ndarray, variance: np.ndarray, kind: Kind, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Moments by which features can be divided; constant features are said.

    Args:
        mean: Of the training features, in float64.
        variance: Like `mean`.
        kind: Of the data.
        names: Of a table's columns; empty where they have none.
    """
    variance, constant = memory.without_constants(mean, variance)
    if kind == "vector" and constant.any():
        numbers = np.flatnonzero(constant)
        named = [names[i] if names else str(i) for i in numbers]
        say(f"constant in the training examples: feature {', '.join(named[:20])}")
    return mean, variance
