"""A loop over the first axis, for the forward and the backward pass of recurrences."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

Rows = tuple[tf.Tensor, ...]


def scan(
    body: Callable[[Rows, Rows], tuple[Rows, Rows]],
    state: Sequence[tf.Tensor],
    inputs: Sequence[tf.Tensor],
    widths: Sequence[int],
    *,
    reverse: bool = False,
) -> tuple[Rows, Rows]:
    """Carries a state along the first axis.

    Args:
        body: (state, rows of the inputs) -> (next state, rows of the results).
        state: The first one: tensors of shape `(batch, width)`.
        inputs: Tensors of shape `(length, batch, ...)`, of one dtype with the state.
        widths: Those of the results.
        reverse: From the last row to the first; results keep their places.

    Returns:
        The last state, and the results, of shape `(length, batch, width)`.
    """
    length = inputs[0].shape[0] or tf.shape(inputs[0])[0]
    batch = inputs[0].shape[1]
    arrays = [_array(rows, length, rows.shape[1:]).unstack(rows) for rows in inputs]

    def step(i: tf.Tensor, state: Rows, results: Rows) -> tuple[tf.Tensor, Rows, Rows]:
        place = length - 1 - i if reverse else i
        state, rows = body(state, tuple(array.read(place) for array in arrays))
        pairs = zip(results, rows, strict=True)
        return i + 1, tuple(state), tuple(a.write(place, row) for a, row in pairs)

    _, state, results = tf.while_loop(
        lambda i, *_: i < length,
        step,
        [
            tf.constant(0),
            tuple(state),
            tuple(_array(state[0], length, [batch, width]) for width in widths),
        ],
        parallel_iterations=1,
        # Of a loop whose bound is known XLA makes a plain one.
        maximum_iterations=length,
    )
    return state, tuple(array.stack() for array in results)


def _array(like: tf.Tensor, length: Any, shape: Any) -> tf.TensorArray:
    return tf.TensorArray(like.dtype, size=length, element_shape=shape)


def before(first: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """What each row comes after: `first`, and all rows but the last."""
    return tf.concat([first[None], rows[:-1]], 0)


def as_matrix(rows: tf.Tensor) -> tf.Tensor:
    """The rows of all places below each other."""
    return tf.reshape(rows, [-1, rows.shape[-1]])
