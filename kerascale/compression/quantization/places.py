"""Which layers of a model are quantized, in their order."""

import dataclasses
from typing import Any

import keras

from kerascale.compression.quantization import folded, layers
from kerascale.compression.quantization.layers import Part, Scheme
from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError
from kerascale.layers import Dropout, PositionEmbedding, ResidualBlock

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
        model_name: The name of the model.
        weighted: Dense layers and convolutions; their inputs have even numbers.
        others: Layers of which the weights are, or nothing, each with its mixin.
        blocks: Those in which normalizations are folded into convolutions.
    """

    model_name: str
    weighted: tuple[keras.layers.Layer, ...]
    others: tuple[tuple[keras.layers.Layer, type], ...]
    blocks: tuple[ResidualBlock, ...] = ()

    @property
    def norms(self) -> dict[int, keras.layers.BatchNormalization]:
        """`id` of a convolution -> what is folded into it."""
        return {id(conv): norm for b in self.blocks for conv, norm in _pairs(b)}

    @property
    def names(self) -> list[str]:
        """The name of each grid of activations, by its number.

        Without the model's own, which Keras counts up in a process.
        """
        return [
            f"{layer.path.removeprefix(f'{self.model_name}/')} {what}"
            for layer in self.weighted
            for what in ("inputs", "outputs")
        ]

    @property
    def weights(self) -> list[tuple[keras.Variable, Any]]:
        """The variables that are quantized, whose last axis is of channels.

        Each with what its channels are multiplied with behind it; None: nothing.
        """
        norms = self.norms
        found: dict[int, tuple[keras.Variable, Any]] = {}
        own = [x for x, mixin in self.others if mixin is not layers.Passing]
        for layer in (*self.weighted, *own):
            norm = norms.get(id(layer))
            factor = None if norm is None else folded.factor(norm)
            for variable in layer.variables:
                if variable.name in _TABLES:
                    found[id(variable)] = variable, factor
        return list(found.values())

    def attach(self, scheme: Scheme) -> None:
        """Lets the layers follow a scheme."""
        norms, numbers = self.norms, {}
        for i, layer in enumerate(self.weighted):
            norm = norms.get(id(layer))
            mixin = layers.Weighted if norm is None else folded.Folded
            layers.attach(layer, mixin, Part(scheme, 2 * i, norm))
            numbers[id(layer)] = 2 * i
        for layer, mixin in self.others:
            layers.attach(layer, mixin, Part(scheme, -1))
        for block in self.blocks:
            layers.attach(block, folded.Residual, Part(scheme, -1))
            for conv, norm in _pairs(block):
                is_inner = norm if conv is block.first else None
                part = Part(scheme, numbers[id(conv)] + 1, is_inner)
                layers.attach(norm, folded.Norm, part)

    def detach(self) -> None:
        """Lets them do what they did."""
        for layer in (*self.weighted, *(x for x, _ in self.others), *self.blocks):
            layers.detach(layer)
        for norm in self.norms.values():
            layers.detach(norm)


def _pairs(block: ResidualBlock) -> list[tuple[Any, keras.layers.BatchNormalization]]:
    """Its convolutions, each with the normalization behind it."""
    pairs = [(block.first, block.first_norm), (block.second, block.second_norm)]
    if block.shortcut is not None:
        pairs.append((block.shortcut, block.shortcut_norm))
    return pairs


def find(model: keras.Model) -> Places:
    """What of a built model is quantized.

    Raises:
        RefusedError: If there is nothing, or something that cannot be.
    """
    weighted, others = [], []
    norms, blocks = {}, []
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            norms[id(layer)] = layer.path
        if isinstance(layer, ResidualBlock):
            blocks.append(layer)
        for kinds, mixin in _MIXINS:
            if not isinstance(layer, kinds):
                continue
            if mixin is layers.Weighted:
                weighted.append(layer)
            else:
                others.append((layer, mixin))
    problems = []
    for block in blocks:
        for _, norm in _pairs(block):
            norms.pop(id(norm))
    if norms:
        problems.append(
            "a model without BatchNormalization but in kerascale.layers.ResidualBlock: "
            "converters fold it into the kernel in front of it. Received: "
            f"{', '.join(norms.values())}. Train without it"
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
    return Places(model.name, tuple(weighted), tuple(others), tuple(blocks))
