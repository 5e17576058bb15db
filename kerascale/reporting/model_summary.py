"""What a model is made of: layers, parameters, memory."""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf

_TIMES = "\N{MULTIPLICATION SIGN}"


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """A layer that holds weights, or stands alone.

    Args:
        name: Its name, with those of the layers around it.
        kind: Its class.
        weights: Shapes, such as `kernel 3x3x1x8`.
        parameters: How many numbers these are.
    """

    name: str
    kind: str
    weights: str
    parameters: int


@dataclasses.dataclass(frozen=True)
class ModelSummary:
    """A model's layers, parameters, and the memory that these need in training.

    Args:
        name: The model's name.
        layers: In the order of the model.
        trainable: Numbers that training changes by a gradient.
        other: Numbers that it does not, such as moving means.
        weight_bytes: Of all of them.
        gradient_bytes: Of one gradient for each that is trained.
        optimizer_bytes: Of what the optimizer remembers.
    """

    name: str
    layers: list[LayerRow]
    trainable: int
    other: int
    weight_bytes: int
    gradient_bytes: int
    optimizer_bytes: int


def summarize(model: keras.Model) -> ModelSummary:
    """What a model is made of."""
    optimizer = getattr(model, "optimizer", None)
    trainable, other = model.trainable_weights, model.non_trainable_weights
    return ModelSummary(
        name=model.name,
        layers=[row for layer in _layers(model) for row in _rows(layer)],
        trainable=_count(trainable),
        other=_count(other),
        weight_bytes=_bytes([*trainable, *other]),
        gradient_bytes=_bytes(trainable),
        optimizer_bytes=_bytes(optimizer.variables if optimizer is not None else []),
    )


def _layers(model: keras.Model) -> Iterator[keras.layers.Layer]:
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            yield from _layers(layer)
        else:
            yield layer


def _rows(layer: keras.layers.Layer) -> Iterator[LayerRow]:
    """One row, or, of a layer that is made of others, also one for each of these."""
    kind = type(layer).__name__
    parts: dict[str, list[Any]] = {}
    for weight in layer.weights:
        parts.setdefault(_part(layer, weight), []).append(weight)
    if len(parts) < 2:
        yield LayerRow(layer.name, kind, _shapes(layer.weights), _count(layer.weights))
        return
    own = _shapes(parts.pop("", []))
    yield LayerRow(layer.name, kind, own, _count(layer.weights))
    for name, weights in parts.items():
        yield LayerRow(f"{layer.name} / {name}", "", _shapes(weights), _count(weights))


def _part(layer: keras.layers.Layer, weight: Any) -> str:
    """Where in a layer a weight is; empty: in none of the layers within it."""
    path = weight.path.split("/")[:-1]
    if layer.name in path:
        return " / ".join(path[path.index(layer.name) + 1 :])
    return ""


def _shapes(weights: Sequence[Any]) -> str:
    return ", ".join(
        f"{weight.name} {_TIMES.join(map(str, weight.shape)) or 'scalar'}"
        for weight in weights
    )


def _count(weights: Sequence[Any]) -> int:
    return sum(math.prod(weight.shape) for weight in weights)


def _bytes(weights: Sequence[Any]) -> int:
    return sum(
        math.prod(weight.shape) * tf.as_dtype(weight.dtype).size for weight in weights
    )
