"""Layers by themselves: which of them has a gradient that is not its own."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.trust.gradients import functions, rows, subject
from kerascale.trust.gradients.report import Report

# Seconds after which no further layer is looked at.
_SECONDS = 10.0


def check(
    model: keras.Model, x: Any, layer: keras.layers.Layer | None = None
) -> list[Report]:
    """Checks layers on what they are given in the model.

    Args:
        model: Built.
        x: A batch of inputs.
        layer: Which one; None: each that has no layers in it.

    Returns:
        A report for each layer that was called with tensors alone.
    """
    chosen = [layer] if layer is not None else _innermost(model)
    calls = _calls(model, x, chosen)
    began = time.monotonic()
    found = []
    for each in chosen:
        if id(each) not in calls or time.monotonic() - began > _SECONDS:
            continue
        report = _alone(each, *calls[id(each)])
        if report is not None:
            found.append(report)
    return found


def _innermost(model: keras.Model) -> list[keras.layers.Layer]:
    layers = [each for each in keras_private.all_layers(model) if each is not model]
    return [each for each in layers if not keras_private.direct_layers(each)]


class _Caught:
    """Put in front of a layer's class for one call of the model."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        box = vars(self).get("_kerascale_calls")
        if box is not None and id(self) not in box:
            box[id(self)] = (args, kwargs)
        return super().__call__(*args, **kwargs)


def _calls(
    model: keras.Model, x: Any, layers: Sequence[keras.layers.Layer]
) -> dict[int, tuple[tuple[Any, ...], dict[str, Any]]]:
    """`id` of a layer -> what it was called with first."""
    box: dict[int, Any] = {}
    before = [(layer, type(layer)) for layer in layers]
    for layer in layers:
        keras_private.adopt_class(layer, _Caught)
        vars(layer)["_kerascale_calls"] = box
    try:
        with keras_private.Aside([]):
            keras_private.call(model, tf.nest.map_structure(tf.constant, x), True)
    finally:
        for layer, plain in before:
            vars(layer).pop("_kerascale_calls", None)
            layer.__class__ = plain
    return box


def _alone(
    layer: keras.layers.Layer, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Report | None:
    """The report of a layer; None where it has nothing to differentiate by."""
    flat = tf.nest.flatten((args, kwargs))
    tensors = [t for t in flat if tf.is_tensor(t)]
    if not tensors:
        return None
    arrays = [subject.as_moved(t.numpy()) for t in tensors]

    def call(*given: tf.Tensor) -> Any:
        left = iter(given)
        filled = [next(left) if tf.is_tensor(t) else t for t in flat]
        own_args, own_kwargs = tf.nest.pack_sequence_as((args, kwargs), filled)
        with keras_private.Aside([]):
            return layer(*own_args, **own_kwargs)

    places = [i for i, a in enumerate(arrays) if a.dtype.kind == "f"]
    variables = list(layer.trainable_variables)
    if not places and not variables:
        return None
    precision = rows.precision_of(layer)
    if precision.epsilon > np.finfo(np.float64).eps:
        arrays = [t.numpy() for t in tensors]
    return functions.of_function(
        layer.path or layer.name, call, arrays, places, variables, precision
    )
