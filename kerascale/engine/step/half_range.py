"""Gradients of float16: the sum over slices is infinite where the batch's would be.

On one device the gradient of a batch is a float16 before it becomes a float32, and
what exceeds its range is infinite: the step is skipped and the loss scale halved. The
gradients of slices are smaller, and may be finite each. They are added up as float32,
whose range hides it.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

# From here on a number is rounded to an infinite float16.
_INFINITE = 65520.0
# What passes numbers on, or adds them up.
_PASSING = ("AddN", "AddV2", "Identity", "Reshape")


def was_half(gradient: Any) -> bool:
    """Whether a traced gradient is one float16 that was widened.

    Of a sum of several, as where weights are shared, each part has the range for
    itself; and the rows of a sparse one are not added up as float16. Of what runs
    eagerly it is not known where it comes from.
    """
    if tf.executing_eagerly() or not isinstance(gradient, tf.Tensor):
        return False
    return _num_halves(gradient) == 1


def limited(totals: Sequence[Any], halves: Sequence[bool]) -> list[Any]:
    """Sums over all slices, infinite where a float16 is.

    Args:
        totals: Gradients of the global batch.
        halves: Of each, whether it was float16.
    """
    return [
        tf.where(tf.abs(total) < _INFINITE, total, total * float("inf"))
        if half
        else total
        for total, half in zip(totals, halves, strict=True)
    ]


def _num_halves(tensor: tf.Tensor) -> int:
    operation = tensor.op
    if operation.type == "Cast":
        return int(operation.inputs[0].dtype == tf.float16)
    if operation.type in _PASSING:
        return sum(
            _num_halves(each) for each in operation.inputs if each.dtype == tensor.dtype
        )
    return 0
