"""`class_weight` of `fit`: checked by name, and put into batches of our own."""

import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.datasets import nests, resident
from kerascale.datasets.gathers import FromArrays, traced_as_it_is
from kerascale.datasets.pipeline import Batches
from kerascale.datasets.sources.checks import listing
from kerascale.errors import RefusedError


def num_outputs(model: keras.Model) -> int | None:
    """Outputs for an example, of a model that is built and has one output."""
    outputs = getattr(model, "outputs", None)
    return outputs[0].shape[-1] if outputs and len(outputs) == 1 else None


def checked(class_weight: Any) -> dict[int, float] | None:
    """The weights by class index; None where there are none.

    Args:
        class_weight: As in `keras.Model.fit`.

    Raises:
        RefusedError: Naming every key that is no class index, which Keras ignores
            without a word, and every weight that is no number.
    """
    if class_weight is None:
        return None
    if not isinstance(class_weight, Mapping):
        raise RefusedError(
            "class_weight: expected a dict of class index -> weight, such as "
            f"{{0: 1.0, 1: 5.0}}. Received: {class_weight!r}."
        )
    wrong = [key for key in class_weight if not _is_index(key)]
    if wrong:
        raise RefusedError(
            "class_weight: expected class indices as keys: integers from 0. Received: "
            f"{listing(wrong)}. Write each class as its index in the labels."
        )
    wrong = [key for key, value in class_weight.items() if not _is_number(value)]
    if wrong:
        got = ", ".join(f"{key}: {class_weight[key]!r}" for key in wrong)
        raise RefusedError(
            f"class_weight: expected a finite number for each class. Received: {got}."
        )
    return {int(key): float(value) for key, value in class_weight.items()} or None


def check_classes(
    class_weight: Mapping[int, float], labels: Any, num_outputs: int | None = None
) -> None:
    """Refuses weights for classes that there are not.

    Args:
        class_weight: Checked.
        labels: Class indices of shape (examples,) or (examples, 1), or one-hot of
            shape (examples, classes).
        num_outputs: Outputs of the model for an example, where they are known.

    Raises:
        RefusedError: Naming the keys and the classes; or where an example has more
            than one class.
    """
    if tf.nest.is_nested(labels):
        return  # Keras refuses it by name.
    labels = keras.ops.convert_to_numpy(labels)
    one_hot = labels.ndim == 2 and labels.shape[1] > 1
    if labels.ndim > 2 or (
        one_hot and labels.dtype.kind in "iu" and labels.size and labels.max() > 1
    ):
        raise RefusedError(
            "class_weight: expected labels with one class for an example: indices of "
            "shape (examples,), or one-hot. Received: labels of shape "
            f"{labels.shape}. Pass sample_weight, of the shape of the labels."
        )
    if one_hot:
        classes = np.arange(labels.shape[1])
    else:
        # A class of the model may have no example here.
        outputs = np.arange(num_outputs or 0)
        classes = np.union1d(np.round(labels).astype(np.int64), outputs)
    wrong = [key for key in class_weight if key not in classes]
    if wrong:
        raise RefusedError(
            f"class_weight: expected classes among {listing(classes.tolist())}. "
            f"Received: {listing(wrong)}, which the labels never are. Leave it out."
        )


def without_gaps(
    class_weight: Mapping[int, float], labels_spec: Any, num_outputs: int | None
) -> dict[int, float]:
    """The weights, with the 1 of classes that are not among them.

    So a `tf.data.Dataset` may leave classes out as arrays may: Keras looks weights up
    in a list which ends with the largest key.

    Args:
        class_weight: Checked.
        labels_spec: That of the labels of a batch.
        num_outputs: Outputs of the model for an example, where they are known.
    """
    shape = getattr(labels_spec, "shape", None)
    width = shape[-1] if shape is not None and shape.rank == 2 else None
    count = max(max(class_weight) + 1, width or 0, num_outputs or 0)
    return {i: class_weight.get(i, 1.0) for i in range(count)}


def put_into(
    batches: Batches, class_weight: Mapping[int, float], num_outputs: int | None
) -> Batches:
    """Batches (x, y, weight), with the weight of each example's class.

    Args:
        batches: Of (x, y).
        class_weight: Checked.
        num_outputs: See `check_classes`.

    Raises:
        RefusedError: If the batches have weights already; or as `check_classes`.
    """
    spec = batches.element_spec
    if type(spec) is not tuple or len(spec) != 2 or tf.nest.is_nested(spec[1]):
        raise RefusedError(
            "class_weight: expected batches (x, y) with one array of labels. Received: "
            f"{len(nests.flat(spec))} arrays in a batch. Leave "
            "class_weight out where batches have weights of their own."
        )
    arrays = _arrays(batches)
    labels = batches.example_batch()[1] if arrays is None else arrays[1]
    # A batch need not have all classes.
    known = class_weight if arrays is not None else {}
    check_classes(known, labels, num_outputs)
    if _are_arrays(batches.gather):
        weights = resident.tensor(_weights(class_weight, labels).numpy())
        return batches.weighted(weights)
    plain = batches.gather

    def weighted(indices: tf.Tensor, epoch: tf.Tensor) -> Any:
        x, y = plain(indices, epoch)
        return x, y, _weights(class_weight, y)

    return dataclasses.replace(
        batches,
        gather=traced_as_it_is(weighted, plain),
        plain_gather=batches.plain_gather or plain,
    )


def _arrays(batches: Batches) -> Any:
    """(x, y) of all examples, where they are in memory; else None."""
    for gather in (batches.gather, batches.plain_gather):
        if _are_arrays(gather):
            return gather.arrays
    return None


def _are_arrays(gather: Any) -> bool:
    return isinstance(gather, FromArrays) and gather.is_in_memory


def _weights(class_weight: Mapping[int, float], labels: Any) -> tf.Tensor:
    """The weight of each example, of shape (examples,); 1 where none is told."""
    if labels.shape.rank > 1:
        if labels.shape[-1] == 1:
            labels = tf.squeeze(labels, axis=-1)
        else:
            labels = tf.argmax(labels, axis=-1)
    if labels.dtype.is_floating:
        labels = tf.round(labels)
    labels = tf.cast(labels, tf.int64)
    count = max(class_weight) + 1
    table = [class_weight.get(i, 1.0) for i in range(count)]
    table = tf.constant([*table, 1.0], keras.config.floatx())
    is_there = (labels >= 0) & (labels < count)
    return tf.gather(table, tf.where(is_there, labels, count))


def _is_index(key: Any) -> bool:
    """Whether it is a whole number from 0; 2.0 is one, as Keras has it."""
    return isinstance(key, numbers.Real) and float(key).is_integer() and key >= 0


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, str) and math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
