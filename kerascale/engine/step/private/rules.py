"""The gradient of each example, of layers for which there is a formula.

With inputs a and gradients g of the products, an example's gradient of a dense kernel
is a^T g. Its norm does not need it: of one position it is |a| |g| (Goodfellow 2015), of
T positions the sum of (a a^T) * (g g^T) (Li et al. 2022, "Large language models can be
strong differentially private learners", section 4). The sum of clipped gradients is one
product with g scaled, with no second backward pass (Bu et al. 2023, "Differentially
private optimization on large model at small cost").
"""

from typing import Any, Protocol

import keras
import tensorflow as tf

from kerascale.engine.step.private import convolution


class Rule(Protocol):
    """What is done for one kind of layer. All tensors begin with the axis of examples.

    `given` and `g`, the gradient of the products, are float32 at least.
    """

    def fits(self, layer: keras.layers.Layer) -> bool:
        """Whether a layer of the kind computes as the rule says."""

    def variables(self, layer: keras.layers.Layer) -> list[keras.Variable]:
        """Those that have gradients, in the order of `each` and `total`."""

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """(given, products) of a call: see `taps.Tap`."""

    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        """The outputs of the layer."""

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        """Of each example's gradient of all variables: shape (examples,)."""

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        """Each example's gradients: shape (examples, ...)."""

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        """The sum over all examples."""


def _sum_of_squares(tensor: tf.Tensor) -> tf.Tensor:
    flat = tf.reshape(tensor, [tf.shape(tensor)[0], -1])
    return tf.reduce_sum(flat * flat, axis=1)


def _positions(tensor: tf.Tensor) -> tf.Tensor:
    """Shape (examples, positions, width): one position where there is no such axis."""
    width = tensor.shape[-1]
    if tensor.shape.rank == 2:
        return tensor[:, None, :]
    if tensor.shape.rank == 3:
        return tensor
    return tf.reshape(tensor, [tf.shape(tensor)[0], -1, width])


class _Affine:
    """Kernel and bias; a subclass says what the kernel is multiplied with."""

    def variables(self, layer: Any) -> list[keras.Variable]:
        return [layer.kernel, layer.bias] if layer.use_bias else [layer.kernel]

    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        activation = layer.activation
        return products if activation is None else activation(products)

    def _bias(self, layer: Any, g: tf.Tensor) -> list[tf.Tensor]:
        """Each example's gradient of the bias, if there is one."""
        return [tf.reduce_sum(_positions(g), axis=1)] if layer.use_bias else []


class Dense(_Affine):
    """`Dense`, on vectors and on sequences of them."""

    def fits(self, layer: Any) -> bool:
        return not layer.lora_enabled and layer.quantization_mode is None

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        products = keras.ops.matmul(inputs, layer.kernel)
        if layer.use_bias:
            products = keras.ops.add(products, layer.bias)
        return inputs, products

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        a, rows = _positions(given), _positions(g)
        found = sum(map(_sum_of_squares, self._bias(layer, g)))
        if given.shape.rank == 2:
            return found + _sum_of_squares(given) * _sum_of_squares(g)
        positions = a.shape[1]
        if positions is not None and 2 * positions**2 > a.shape[2] * rows.shape[2]:
            return found + _sum_of_squares(tf.matmul(a, rows, transpose_a=True))
        pairs = tf.matmul(a, a, transpose_b=True) * tf.matmul(
            rows, rows, transpose_b=True
        )
        # Rounding must not make it negative.
        return found + tf.nn.relu(tf.reduce_sum(pairs, axis=[1, 2]))

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        kernel = tf.matmul(_positions(given), _positions(g), transpose_a=True)
        return [kernel, *self._bias(layer, g)]

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        a = tf.reshape(given, [-1, given.shape[-1]])
        rows = tf.reshape(g, [-1, g.shape[-1]])
        bias = [tf.reduce_sum(rows, axis=0)] if layer.use_bias else []
        return [tf.matmul(a, rows, transpose_a=True), *bias]


class Convolution(_Affine):
    """`Conv2D` on images with channels last."""

    def fits(self, layer: Any) -> bool:
        return (
            layer.data_format == "channels_last"
            and layer.groups == 1
            and tuple(layer.dilation_rate) == (1, 1)
            and not layer.lora_enabled
            and layer.quantization_mode is None
        )

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        products = layer.convolution_op(inputs, layer.kernel)
        if layer.use_bias:
            products = keras.ops.add(products, layer.bias)
        return inputs, products

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        found = sum(map(_sum_of_squares, self._bias(layer, g)))
        return found + convolution.square_norms(layer, given, g)

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        return [convolution.each(layer, given, g), *self._bias(layer, g)]

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        bias = [tf.reduce_sum(g, axis=[0, 1, 2])] if layer.use_bias else []
        return [convolution.total(layer, given, g), *bias]


class Embedding:
    """`Embedding` of ids, whatever is done with the vectors behind it."""

    def fits(self, layer: Any) -> bool:
        return not layer.lora_enabled and layer.quantization_mode is None

    def variables(self, layer: Any) -> list[keras.Variable]:
        return [layer.embeddings]

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        ids = keras.ops.cast(inputs, "int32")
        return ids, keras.ops.take(layer.embeddings, ids, axis=0)

    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        return keras.ops.cast(products, layer.compute_dtype)

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        rows = tf.shape(given)[0]
        ids = tf.reshape(given, [rows, -1])
        vectors = tf.reshape(g, [rows, -1, g.shape[-1]])
        same = tf.cast(ids[:, :, None] == ids[:, None, :], vectors.dtype)
        pairs = tf.matmul(vectors, vectors, transpose_b=True) * same
        return tf.nn.relu(tf.reduce_sum(pairs, axis=[1, 2]))

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        rows = tf.shape(given)[0]
        ids = tf.one_hot(tf.reshape(given, [rows, -1]), layer.input_dim, dtype=g.dtype)
        vectors = tf.reshape(g, [rows, -1, g.shape[-1]])
        return [tf.matmul(ids, vectors, transpose_a=True)]

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        vectors = tf.reshape(g, [-1, g.shape[-1]])
        ids = tf.reshape(given, [-1])
        return [tf.math.unsorted_segment_sum(vectors, ids, layer.input_dim)]


class LayerNormalization:
    """`LayerNormalization` over the last axis, with scale and center."""

    def fits(self, layer: Any) -> bool:
        return (
            list(layer.axis) == [-1]
            and layer.scale
            and layer.center
            and not layer.rms_scaling
        )

    def variables(self, layer: Any) -> list[keras.Variable]:
        return [layer.gamma, layer.beta]

    def products(self, layer: Any, inputs: Any) -> tuple[tf.Tensor, tf.Tensor]:
        dtype = keras.backend.result_type(
            keras.backend.standardize_dtype(inputs.dtype), "float32"
        )
        x = tf.cast(inputs, dtype)
        centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        variance = tf.reduce_mean(centered * centered, axis=-1, keepdims=True)
        unit = centered * tf.math.rsqrt(variance + layer.epsilon)
        gamma, beta = (tf.cast(v, dtype) for v in (layer.gamma, layer.beta))
        return unit, unit * gamma + beta

    def finish(self, layer: Any, products: tf.Tensor) -> tf.Tensor:
        return tf.cast(products, layer.compute_dtype)

    def square_norms(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> tf.Tensor:
        return sum(map(_sum_of_squares, self.each(layer, given, g)))

    def each(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        axes = list(range(1, g.shape.rank - 1))
        return [tf.reduce_sum(given * g, axes), tf.reduce_sum(g, axes)]

    def total(self, layer: Any, given: tf.Tensor, g: tf.Tensor) -> list[tf.Tensor]:
        axes = list(range(g.shape.rank - 1))
        return [tf.reduce_sum(given * g, axes), tf.reduce_sum(g, axes)]


# What a layer computes by -> its rule: a subclass with a `call` of its own has none.
_RULES: dict[Any, Rule] = {}


def register(kind: type[keras.layers.Layer], rule: Rule) -> None:
    """Gives a kind of layer a rule, which stands for its own `call`."""
    _RULES[kind.call] = rule


register(keras.layers.Dense, Dense())
register(keras.layers.Conv2D, Convolution())
register(keras.layers.Embedding, Embedding())
register(keras.layers.LayerNormalization, LayerNormalization())


def find(layer: keras.layers.Layer) -> Rule | None:
    """The rule that a layer computes by; None: there is none."""
    rule = _RULES.get(type(layer).call)
    return rule if rule is not None and rule.fits(layer) else None
