"""What a layer does while its model is fake-quantized: mixins for layers of Keras.

A layer keeps its class's name, and with nothing attached does what it did. Attached is
a `Part`: its own numbers in the scheme of the whole model.
"""

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private

# An attribute of a layer: its `Part`.
_PART = "_kerascale_quantized"
# An attribute of a tensor that is on a grid already: the number of that grid.
_GRID = "_kerascale_grid"
_now = threading.local()


class Scheme(Protocol):
    """How the activations and weights of a model are quantized.

    With `in_rows` a dense layer computes one matrix of all vectors that it is given, as
    integer kernels do, and not a product of more axes that is taken apart.
    """

    in_rows: bool

    def activations(self, x: tf.Tensor, number: int) -> tf.Tensor:
        """What the next operation sees of activations of that number."""

    def weights(self, kernel: tf.Tensor, factor: Any = None) -> tf.Tensor:
        """What an operation sees of its weights; the last axis is of channels.

        `factor`, of shape (channels,): what they are multiplied with behind it.
        """

    def statistics(self, batch: Sequence, still: Sequence) -> Sequence:
        """Mean and variance that a folded normalization uses in training: those of the
        batch, or the moving ones.
        """


@dataclasses.dataclass(frozen=True)
class Part:
    """A layer's part in a scheme.

    Args:
        scheme: Of the whole model.
        number: The grid of its inputs; that of its outputs is the next. Of a
            normalization: the grid behind it.
        norm: The normalization that is folded into its kernel. Of a normalization with
            an activation in front of its grid: that itself.
    """

    scheme: Scheme
    number: int
    norm: keras.layers.Layer | None = None


def attach(layer: keras.layers.Layer, mixin: type, part: Part | None) -> None:
    """Gives a layer a mixin, and its part."""
    keras_private.adopt_class(layer, mixin)
    vars(layer)[_PART] = part


def detach(layer: keras.layers.Layer) -> None:
    """From now on it does what it did."""
    vars(layer).pop(_PART, None)


def part_of(layer: Any) -> Part | None:
    """A layer's part; None: it has none now."""
    return vars(layer).get(_PART)


def marked(x: Any, number: int) -> Any:
    """The same tensor, of which is known that it is on a grid."""
    setattr(x, _GRID, number)
    return x


@contextlib.contextmanager
def being_called(layer: Any) -> Iterator[None]:
    """Within it, in this thread, a layer is the innermost one that is called."""
    before = getattr(_now, "layer", None)
    _now.layer = layer
    try:
        yield
    finally:
        _now.layer = before


def is_called(layer: Any) -> bool:
    """Whether it is the innermost one that is called."""
    return getattr(_now, "layer", None) is layer


def activated(own: Any, x: Any, scheme: Scheme, number: int) -> Any:
    """An activation and the grid of a kernel's outputs, in their order."""
    if not is_fused(own):  # An integer kernel ends in front of it.
        return own(scheme.activations(x, number))
    return marked(scheme.activations(own(x), number), number)


class Weighted:
    """Of a dense layer or a convolution: inputs, kernel and outputs are quantized."""

    @property
    def kernel(self) -> Any:
        kernel = super().kernel
        part = part_of(self)
        if part is None:
            return kernel
        return self._on_its_grid(_tensor(kernel, self), part)

    def _on_its_grid(self, kernel: tf.Tensor, part: Part) -> tf.Tensor:
        """What it sees of its kernel."""
        return part.scheme.weights(kernel)

    @property
    def activation(self) -> Any:
        own = vars(self)["activation"]
        if not is_called(self):
            return own
        part = part_of(self)
        return lambda x: activated(own, x, part.scheme, part.number + 1)

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        part = part_of(self)
        if part is None:
            return super().call(inputs, *args, **kwargs)
        if getattr(inputs, _GRID, None) is None:
            inputs = part.scheme.activations(inputs, part.number)
        with being_called(self):
            if part.scheme.in_rows and isinstance(self, keras.layers.Dense):
                return _in_rows(super().call, inputs, *args, **kwargs)
            return super().call(inputs, *args, **kwargs)


def _in_rows(call: Any, inputs: tf.Tensor, *args: Any, **kwargs: Any) -> tf.Tensor:
    if inputs.shape.rank == 2:
        return call(inputs, *args, **kwargs)
    rows = call(tf.reshape(inputs, [-1, inputs.shape[-1]]), *args, **kwargs)
    shape = tf.concat([tf.shape(inputs)[:-1], [rows.shape[-1]]], 0)
    outputs = tf.reshape(rows, shape)
    outputs.set_shape([*inputs.shape[:-1], rows.shape[-1]])
    number = getattr(rows, _GRID, None)
    return outputs if number is None else marked(outputs, number)


def is_fused(activation: Any) -> bool:
    """Whether integer kernels have it at their end."""
    known = keras.activations
    return activation in (None, known.linear, known.relu, known.relu6)


class Cell:
    """Of a recurrent cell: both kernels are quantized, and nothing in the loop."""

    @property
    def kernel(self) -> Any:
        return _own_weights(self, "kernel")

    @property
    def recurrent_kernel(self) -> Any:
        return _own_weights(self, "recurrent_kernel")


class Table:
    """Of an embedding."""

    @property
    def embeddings(self) -> Any:
        if "embeddings" in vars(self):
            return _own_weights(self, "embeddings")
        table, part = super().embeddings, part_of(self)
        return table if part is None else part.scheme.weights(_tensor(table, self))


def _own_weights(layer: Any, name: str) -> Any:
    variable, part = vars(layer)[name], part_of(layer)
    if part is None:
        return variable
    return part.scheme.weights(_tensor(variable, layer))


def _tensor(variable: Any, layer: Any) -> tf.Tensor:
    """As the layer sees it: cast to what it computes in."""
    return tf.cast(tf.convert_to_tensor(variable), layer.compute_dtype)


class Passing:
    """Of a layer that gives numbers of the grid that it was given."""

    def call(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        outputs = super().call(inputs, *args, **kwargs)
        number = getattr(inputs, _GRID, None)
        if part_of(self) is None or number is None:
            return outputs
        # A tensor of its own: what is given back unchanged may be used elsewhere.
        return marked(tf.identity(outputs), number)
