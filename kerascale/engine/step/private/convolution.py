"""The gradient of each example's kernel of a two-dimensional convolution."""

from typing import Any

import tensorflow as tf

# From so many channels on a product for each place of the kernel is faster than one
# of patches, which are copies.
_MANY_CHANNELS = 8


def each(layer: Any, inputs: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Each example's gradient.

    Args:
        layer: A `Conv2D` with channels last.
        inputs: (examples, height, width, channels).
        g: The gradient of the outputs, (examples, height', width', filters).

    Returns:
        (examples, *kernel size, channels, filters).
    """
    size, channels, filters = layer.kernel_size, inputs.shape[-1], g.shape[-1]
    count = tf.shape(g)[0]
    rows = tf.reshape(g, [count, -1, filters])
    parts = [tf.reshape(p, [count, -1, channels]) for p in _places(layer, inputs, g)]
    if channels < _MANY_CHANNELS:
        parts = [tf.concat(parts, axis=-1)]
    found = [tf.matmul(part, rows, transpose_a=True) for part in parts]
    whole = found[0] if len(found) == 1 else tf.concat(found, axis=1)
    return tf.reshape(whole, [count, *size, channels, filters])


def square_norms(layer: Any, inputs: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """Of each example's gradient, (examples,).

    Of a large kernel on a small image by products of positions, which need no
    gradient of each example; else by that gradient.
    """
    positions = (g.shape[1] or 10**6) * (g.shape[2] or 10**6)
    inner = layer.kernel_size[0] * layer.kernel_size[1] * inputs.shape[-1]
    count = tf.shape(g)[0]
    if 2 * positions**2 > inner * g.shape[-1]:
        flat = tf.reshape(each(layer, inputs, g), [count, -1])
        return tf.reduce_sum(flat * flat, axis=1)
    patches = [
        tf.reshape(part, [count, positions, -1]) for part in _places(layer, inputs, g)
    ]
    rows = tf.reshape(g, [count, positions, -1])
    of_inputs = sum(tf.matmul(p, p, transpose_b=True) for p in patches)
    pairs = of_inputs * tf.matmul(rows, rows, transpose_b=True)
    return tf.nn.relu(tf.reduce_sum(pairs, axis=[1, 2]))


def total(layer: Any, inputs: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
    """The sum over all examples: an ordinary gradient of the kernel."""
    return tf.raw_ops.Conv2DBackpropFilter(
        input=inputs,
        filter_sizes=[*layer.kernel_size, inputs.shape[-1], g.shape[-1]],
        out_backprop=g,
        strides=[1, *layer.strides, 1],
        padding=layer.padding.upper(),
    )


def _places(layer: Any, inputs: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
    """What each place of the kernel is multiplied with: shapes like g's."""
    height, width = layer.kernel_size
    (down, right), shape = layer.strides, tf.shape(g)
    if layer.padding == "same":
        sizes = tf.shape(inputs)
        pads = []
        for axis, (kernel, stride) in enumerate(((height, down), (width, right)), 1):
            whole = tf.maximum((shape[axis] - 1) * stride + kernel - sizes[axis], 0)
            pads.append([whole // 2, whole - whole // 2])
        inputs = tf.pad(inputs, [[0, 0], *pads, [0, 0]])
    found = []
    for i in range(height):
        for j in range(width):
            last = (shape[1] - 1) * down, (shape[2] - 1) * right
            part = inputs[:, i : i + last[0] + 1 : down, j : j + last[1] + 1 : right]
            part = tf.ensure_shape(part, [*g.shape[:3], inputs.shape[-1]])
            found.append(part)
    return found
