"""Functions with gradients of their own, in a form that XLA compiles well on a CPU.

XLA's sums over an axis are slow there, its matrix products are not. So a mean over the
last axis is a product with a column of equal weights, and a sum over the rows one with
rows of ones. Not on a GPU or TPU, whose products round their factors.
"""

import math
from typing import Any

import tensorflow as tf

from kerascale.engine.compat import tensorflow_private

# In the names of products that are sums: no operations of the model.
SUM = "sum_as_product"

# A product of fewer rows is taken apart by XLA into a loop that is as slow as a sum.
_ROWS = 5

# From so many units on it makes no difference.
_MANY_UNITS = 128


def layer_norm(x: Any, gamma: Any, beta: Any, epsilon: float) -> tf.Tensor:
    """Layer normalization over the last axis.

    [Ba et al., 2016](https://arxiv.org/abs/1607.06450).

    Args:
        x: Float tensor of shape `(..., width)`.
        gamma: Of shape `(width,)`.
        beta: Of shape `(width,)`.
        epsilon: Added to the variance.

    Returns:
        Float tensor of shape `(..., width)`.
    """

    @tf.custom_gradient
    def normalized(rows: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> Any:
        centered = rows - _row_means(rows)
        scale = tf.math.rsqrt(_row_means(centered * centered) + epsilon)
        unit = centered * scale

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            inner = upstream * gamma
            slope = inner - _row_means(inner) - unit * _row_means(inner * unit)
            return (
                slope * scale,
                column_sums(upstream * unit),
                column_sums(upstream),
            )

        return unit * gamma + beta, gradient

    rows, shape = _as_rows(x)
    gamma, beta = tf.convert_to_tensor(gamma), tf.convert_to_tensor(beta)
    return tf.reshape(normalized(rows, gamma, beta), shape)


def affine(x: Any, kernel: Any, bias: Any) -> tf.Tensor:
    """A product with a matrix, and a bias.

    Args:
        x: Float tensor of shape `(..., inputs)`.
        kernel: Of shape `(inputs, units)`.
        bias: Of shape `(units,)`; or None.

    Returns:
        Float tensor of shape `(..., units)`.
    """

    @tf.custom_gradient
    def product(rows: tf.Tensor, kernel: tf.Tensor) -> Any:
        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            return (
                tf.matmul(upstream, kernel, transpose_b=True),
                kernel_gradient(rows, upstream),
            )

        return tf.matmul(rows, kernel), gradient

    @tf.custom_gradient
    def biased(rows: tf.Tensor, bias: tf.Tensor) -> Any:
        return rows + bias, lambda upstream: (upstream, column_sums(upstream))

    rows, shape = _as_rows(x)
    kernel = tf.convert_to_tensor(kernel)
    outputs = product(rows, kernel)
    if bias is not None:
        outputs = biased(outputs, tf.convert_to_tensor(bias))
    return tf.reshape(outputs, [*shape[:-1], kernel.shape[-1]])


@tf.custom_gradient
def kernel_gradient(rows: tf.Tensor, upstream: tf.Tensor) -> Any:
    """The gradient of a kernel that rows were multiplied with.

    With few units XLA's product on a CPU takes up to ten times as long as the product
    the other way around, whose result is then transposed.

    Args:
        rows: Of shape `(rows, inputs)`.
        upstream: The gradient of the products, of shape `(rows, units)`.

    Returns:
        Tensor of shape `(inputs, units)`.
    """

    def gradient(second: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.matmul(upstream, second, transpose_b=True), tf.matmul(rows, second)

    if upstream.shape[1] < _MANY_UNITS and is_compiled_for_cpu():
        product = tf.matmul(upstream, rows, transpose_a=True)
        # Without the barrier XLA would turn it around again.
        product = tf.transpose(tensorflow_private.xla_barrier(product))
    else:
        product = tf.matmul(rows, upstream, transpose_a=True)
    return product, gradient


@tf.custom_gradient
def gelu(x: Any) -> Any:
    """The Gaussian error linear unit, not approximated.

    `x` times the normal distribution function:
    [Hendrycks and Gimpel, 2016](https://arxiv.org/abs/1606.08415).
    """
    x = tf.convert_to_tensor(x)
    cdf = 0.5 + 0.5 * tf.math.erf(x * math.sqrt(0.5))

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        density = tf.exp(-0.5 * x * x) * (1 / math.sqrt(2 * math.pi))
        return upstream * (cdf + x * density)

    return x * cdf, gradient


def _as_rows(x: Any) -> tuple[tf.Tensor, list[Any]]:
    """A matrix of its last axis, and its shape, as far as it is known."""
    x = tf.convert_to_tensor(x)
    sizes = tf.shape(x)
    shape = [sizes[i] if size is None else size for i, size in enumerate(x.shape)]
    return tf.reshape(x, [-1, x.shape[-1]]), shape


def _row_means(rows: tf.Tensor) -> tf.Tensor:
    if not _has_exact_products():
        return tf.reduce_mean(rows, 1, keepdims=True)
    width = rows.shape[1]
    with tf.name_scope(SUM):
        column = tf.fill([width, 1], tf.constant(1 / width, rows.dtype))
        return tf.matmul(rows, column)


def column_sums(rows: tf.Tensor) -> tf.Tensor:
    """The sums of the columns of a matrix."""
    if not _has_exact_products():
        return tf.reduce_sum(rows, 0)
    with tf.name_scope(SUM):
        ones = tf.ones([_ROWS, tf.shape(rows)[0]], rows.dtype)
        return tf.matmul(ones, rows)[0]


def is_compiled_for_cpu() -> bool:
    """Whether XLA compiles what is traced now, and all devices are CPUs."""
    return tensorflow_private.is_compiled_by_xla() and _has_exact_products()


def _has_exact_products() -> bool:
    """Whether all devices are CPUs."""
    return all(d.device_type == "CPU" for d in tf.config.list_logical_devices())
