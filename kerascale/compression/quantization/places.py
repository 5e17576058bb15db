"""Which layers of a model are quantized, in their order."""

import dataclasses

import keras

from kerascale.compression.quantization import layers
from kerascale.compression.quantization.layers import Part, Scheme
from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError
from kerascale.layers import Dropout, PositionEmbedding

_kinds = keras.layers
_MIXINS: tuple[tuple[tuple[type, ...], type], ...] = (
    ((_kinds.Dense, _kinds.Conv1D, _kinds.Conv2D), layers.Weighted),
    ((_kinds.LSTMCell, _kinds.GRUCell, _kinds.SimpleRNNCell), layers.Cell),
    ((_kinds.Embedding, PositionEmbedding), layers.Table),
    (
        (
            Dropout,
            _kinds.Dropout,
            _kinds.Flatten,
            _kinds.GlobalMaxPooling2D,
            _kinds.MaxPooling1D,
            _kinds.MaxPooling2D,
            _kinds.Reshape,
        ),
        layers.Passing,
    ),
)
_TABLES = ("kernel", "recurrent_kernel", "embeddings")


@dataclasses.dataclass(frozen=True)
class Places:
    """What of a model is quantized.

    Args:
        weighted: Dense layers and convolutions; their inputs have even numbers.
        others: Layers of which the weights are, or nothing, each with its mixin.
    """

    weighted: tuple[keras.layers.Layer, ...]
    others: tuple[tuple[keras.layers.Layer, type], ...]

    @property
    def names(self) -> list[str]:
        """The name of each grid of activations, by its number.

        Without the model's own, which Keras counts up in a process.
        """
        return [
            f"{layer.path.partition('/')[2] or layer.path} {what}"
            for layer in self.weighted
            for what in ("inputs", "outputs")
        ]

    @property
    def weights(self) -> list[keras.Variable]:
        """The variables that are quantized; their last axis is of channels."""
        found = [layer for layer in self.weighted]
        found += [x for x, mixin in self.others if mixin is not layers.Passing]
        variables = [v for x in found for v in x.variables if v.name in _TABLES]
        return list({id(v): v for v in variables}.values())

    def attach(self, scheme: Scheme) -> None:
        """Lets the layers follow a scheme."""
        for i, layer in enumerate(self.weighted):
            layers.attach(layer, layers.Weighted, Part(scheme, 2 * i))
        for layer, mixin in self.others:
            layers.attach(layer, mixin, Part(scheme, -1))

    def detach(self) -> None:
        """Lets them do what they did."""
        for layer in (*self.weighted, *(x for x, _ in self.others)):
            layers.detach(layer)


def find(model: keras.Model) -> Places:
    """What of a built model is quantized.

    Raises:
        RefusedError: If there is nothing, or something that cannot be.
    """
    weighted, others = [], []
    norms = []
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            norms.append(layer.path)
        for kinds, mixin in _MIXINS:
            if not isinstance(layer, kinds):
                continue
            if mixin is layers.Weighted:
                weighted.append(layer)
            else:
                others.append((layer, mixin))
    problems = []
    if norms:
        problems.append(
            "a model without BatchNormalization, which converters fold into the "
            f"kernels in front of it. Received: {', '.join(norms)}. Train the plain "
            "model (of cnn: without residual)"
        )
    if not weighted:
        problems.append(
            "a model with dense layers or convolutions. Received: "
            f"{type(model).__name__} without"
        )
    if any(layer.quantization_mode is not None for layer in weighted):
        problems.append("layers that Keras has not quantized. Received: some that are")
    if any(getattr(layer, "lora_enabled", False) for layer in weighted):
        problems.append("a model without adapters. Received: some with LoRA")
    if problems:
        expected = [f"quantize_aware: expected {problem}" for problem in problems]
        raise RefusedError(expected, heading="quantize_aware")
    return Places(tuple(weighted), tuple(others))
