"""A change of a kernel by a product of two small matrices."""

import dataclasses
import math
from typing import Any

import keras
import tensorflow as tf
from keras import ops

from kerascale.layers import _gradients


@dataclasses.dataclass(eq=False)
class Adapter:
    """What is added to a kernel W that does not train: `scale * A B`.

    From Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section
    4.1. A kernel of more than two axes is a matrix of those that it is multiplied
    along, its inputs, and the others.

    Args:
        a: Of shape (inputs, rank).
        b: Of shape (rank, outputs).
        scale: alpha / rank.
        base: The kernel.
        inputs: The axes of the kernel that its inputs are multiplied along.
    """

    a: keras.Variable
    b: keras.Variable
    scale: float
    base: keras.Variable
    inputs: tuple[int, ...] = (0,)

    def added_to(self, kernel: Any) -> Any:
        """`kernel` with the change."""
        change = ops.multiply(ops.matmul(self.a, self.b), self.scale)
        shape = tuple(self.base.shape)
        order = _inputs_first(shape, self.inputs)
        if order != tuple(range(len(shape))) or len(shape) != 2:
            change = ops.reshape(change, [shape[axis] for axis in order])
            change = ops.transpose(change, [order.index(i) for i in range(len(shape))])
        return ops.add(kernel, change)


def _inputs_first(shape: tuple[int, ...], inputs: tuple[int, ...]) -> tuple[int, ...]:
    return (*inputs, *(axis for axis in range(len(shape)) if axis not in inputs))


def matrix_shape(shape: tuple[int, ...], inputs: tuple[int, ...]) -> tuple[int, int]:
    """(inputs, outputs) of a kernel, as a matrix."""
    rows = math.prod(shape[axis] for axis in inputs)
    return rows, math.prod(shape) // max(1, rows)


def affine(x: Any, adapter: Adapter, kernel: Any, bias: Any) -> tf.Tensor:
    """A product with a kernel and its change, in which the kernel has no gradient.

    Forwards it is a product with their sum, as it is when both are merged. Backwards
    the gradient of the whole kernel, a third of a dense layer's work, is left out.

    Args:
        x: Float tensor of shape (..., inputs).
        adapter: Of a kernel of shape (inputs, units).
        kernel: The kernel's value.
        bias: Of shape (units,); or None.

    Returns:
        Of shape (..., units).
    """
    x = tf.convert_to_tensor(x)
    kernel = tf.stop_gradient(tf.convert_to_tensor(kernel))
    a, b = (tf.convert_to_tensor(v) for v in (adapter.a, adapter.b))
    scale = tf.constant(adapter.scale, a.dtype)

    @tf.custom_gradient
    def product(rows: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> Any:
        merged = kernel + tf.matmul(a, b) * scale

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            upstream_of_a = tf.matmul(upstream, b, transpose_b=True) * scale
            return (
                tf.matmul(upstream, merged, transpose_b=True),
                _gradients.kernel_gradient(rows, upstream_of_a),
                tf.matmul(tf.matmul(rows, a) * scale, upstream, transpose_a=True),
            )

        return tf.matmul(rows, merged), gradient

    sizes = tf.shape(x)
    shape = [sizes[i] if size is None else size for i, size in enumerate(x.shape)]
    outputs = product(tf.reshape(x, [-1, x.shape[-1]]), a, b)
    outputs = tf.reshape(outputs, [*shape[:-1], kernel.shape[-1]])
    return outputs if bias is None else outputs + bias
