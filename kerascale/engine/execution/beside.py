"""Batches of arrays in one call, some computed beside each other, each by itself."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets import nests
from kerascale.datasets.gathers import FromArrays
from kerascale.engine.compat import keras_private

# Batches that are computed beside each other.
_BESIDE = 4


def rows(
    arrays: Any, number: tf.Tensor, batch_size: tf.Tensor, total: tf.Tensor
) -> Any:
    """Batch `number` (from 0) of arrays of `total` rows; the scalars are int64."""
    begin = number * batch_size
    last = tf.minimum(begin + batch_size, total)
    return nests.map_present(lambda t: t[begin:last], arrays)


def examples(
    given: Any, number: tf.Tensor, batch_size: tf.Tensor, total: tf.Tensor
) -> Any:
    """The same of `FromArrays.given` with `total` examples."""
    arrays, index = given
    if index is None:
        return rows(arrays, number, batch_size, total)
    own = rows(index, number, batch_size, total)
    return FromArrays.rows((arrays, None), own, number)


def compute(
    function: Callable[[tf.Tensor], Sequence[tf.Tensor]],
    numbers: tuple[tf.Tensor, tf.Tensor],
    into: Sequence[tf.TensorArray],
    *,
    in_order: bool = False,
) -> list[tf.TensorArray]:
    """What a function gives for each batch.

    Args:
        function: Takes the number of a batch, int64 scalar.
        numbers: The first one, and the one behind the last.
        into: An array for each tensor that the function gives.
        in_order: Whether a batch must be done before the next one begins.
    """
    first, end = numbers

    def body(number: tf.Tensor, *arrays: tf.TensorArray) -> Any:
        place = tf.cast(number - first, tf.int32)
        given = zip(arrays, function(number), strict=True)
        return (number + 1, *(array.write(place, tensor) for array, tensor in given))

    _, *arrays = tf.while_loop(
        lambda number, *_: number < end,
        body,
        (first, *into),
        parallel_iterations=1 if in_order else _BESIDE,
    )
    return arrays


def writes(
    model: keras.Model,
    scope: keras_private.Aside,
    besides: Sequence[keras.Variable] = (),
) -> bool:
    """Whether a step that ran in a scope wrote a variable of the model.

    Args:
        model: The model.
        scope: What it wrote lies there.
        besides: Variables that do not count.
    """
    known = {id(variable) for variable in besides}
    return any(
        id(variable) not in known and scope.written(variable) is not None
        for variable in model.variables
    )
