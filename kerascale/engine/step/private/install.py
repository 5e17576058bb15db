"""Whether a model can be trained privately, and how its gradients are found."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerascale.engine.compat import keras_private, tensorflow_private
from kerascale.engine.step import randomness
from kerascale.engine.step.private import rules, taps
from kerascale.errors import RefusedError

# How far the sums of gradients may differ that were found in two ways.
_TOLERANCE = 1e-3
_FEW = 8


def refuse_unfit(model: keras.Model) -> None:
    """Refuses what has no bound for the influence of an example.

    Args:
        model: Compiled, built and scaled.

    Raises:
        RefusedError: Naming all of it.
    """
    layers = keras_private.all_layers(model)
    problems = []
    normalizing = [
        layer.name
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
    ]
    if normalizing:
        problems.append(
            "a model without BatchNormalization, which mixes the examples of a batch "
            f"and keeps their statistics. Received: {', '.join(normalizing)}. Use "
            "LayerNormalization or GroupNormalization, or (of cnn) leave --residual out"
        )
    if not (model.has_default_train_step and model.has_default_metrics):
        problems.append(
            f"Keras' own training step. Received: {type(model).__name__}, which "
            "overrides train_step or compute_metrics"
        )
    elif type(model).compute_loss is not type(model).default_compute_loss:
        problems.append(
            f"compiled losses. Received: {type(model).__name__}, which overrides "
            "compute_loss"
        )
    optimizer = model.optimizer
    kinds = (keras.optimizers.LossScaleOptimizer, keras.optimizers.MultiOptimizer)
    if isinstance(optimizer, kinds):
        problems.append(
            "one optimizer, in float32, bfloat16 or float64. Received: "
            f"{type(optimizer).__name__}"
        )
    elif optimizer.gradient_accumulation_steps:
        problems.append(
            "no gradient_accumulation_steps: a batch of any size takes the memory of "
            "a usual one. Received: "
            f"{optimizer.gradient_accumulation_steps}. Use a larger batch_size"
        )
    if problems:
        raise RefusedError([f"dp_clip: expected {p}" for p in problems], heading="dp")


def tap(model: keras.Model, inputs: Any) -> str:
    """Taps all layers, if their formulas give what the tape gives.

    Args:
        model: Compiled, built and scaled.
        inputs: Some rows of the model's inputs.

    Returns:
        Why they cannot be used; empty: they are.

    Raises:
        RefusedError: If the rows of a batch depend on each other.
    """
    inputs = tf.nest.map_structure(lambda t: t[:_FEW], inputs)
    _refuse_mixing(model, inputs)
    found = {layer: rules.find(layer) for layer in keras_private.all_layers(model)}
    found = {layer: rule for layer, rule in found.items() if rule is not None}
    known = {id(v) for layer, rule in found.items() for v in rule.variables(layer)}
    others = [v for v in model.trainable_variables if id(v) not in known]
    if others:
        names = ", ".join(v.path for v in others[:3])
        return f"there is no formula for {names}{', ...' if others[3:] else ''}"
    for layer, rule in found.items():
        taps.install(layer, rule)
    worst = _difference(model, inputs)
    if worst <= _TOLERANCE:
        return ""
    for layer in found:
        taps.remove(layer)
    return f"formulas of its layers give gradients that differ by {worst:.1g}"


def has_loops(model: keras.Model, inputs: Any) -> bool:
    """Whether the model computes something in a loop, as recurrent layers do.

    Args:
        model: Built.
        inputs: Some rows of the model's inputs.
    """

    def call(inputs: Any) -> Any:
        return keras_private.call(model, inputs, training=True)

    traced = tf.function(call, autograph=False).get_concrete_function(inputs)
    names = tensorflow_private.operations(traced)
    return any("While" in name for name in names)


def refuse_draws(model: keras.Model) -> None:
    """Refuses layers that draw, where each example is computed by itself."""
    names = [*randomness.drawing_for_themselves(model)]
    names += [
        layer.name
        for layer in keras_private.all_layers(model)
        if getattr(layer, "draws_by_place", False) and any(_rates(layer))
    ]
    if names:
        raise RefusedError(
            "dp_clip: expected a model without random layers, or of dense, "
            "convolution, embedding and layer normalization layers alone, whose "
            f"gradients have formulas. Received: {', '.join(names)} beside others. "
            "Leave dropout out."
        )


def _rates(layer: Any) -> list[Any]:
    return [getattr(layer, name, 0) or 0 for name in randomness.RATES]


def _refuse_mixing(model: keras.Model, inputs: Any) -> None:
    rows = tf.shape(keras.tree.flatten(inputs)[0])[0]
    alone = tf.nest.map_structure(lambda t: t[:1], inputs)
    state = [v for v in model.non_trainable_variables if "seed" not in v.name]
    before = [np.array(v) for v in state]
    together = keras.tree.flatten(keras_private.call(model, inputs, training=False))
    single = keras.tree.flatten(keras_private.call(model, alone, training=False))
    keras_private.call(model, inputs, training=True)
    changed = [
        v.path
        for v, value in zip(state, before, strict=True)
        if not np.array_equal(value, np.array(v))
    ]
    for variable, value in zip(state, before, strict=True):
        variable.assign(value)
    if changed:
        raise RefusedError(
            "dp_clip: expected a model that keeps nothing of the data but its "
            f"weights. Received: {', '.join(changed)}, which a step changes."
        )
    for many, one in zip(together, single, strict=True):
        first = np.asarray(many[:1], np.float64)
        if int(rows) > 1 and not np.allclose(first, one, rtol=1e-2, atol=1e-3):
            raise RefusedError(
                "dp_clip: expected an output of each example by itself. Received: "
                "outputs that depend on the other rows of the batch."
            )


def _difference(model: keras.Model, inputs: Any) -> float:
    """The largest relative difference of a variable's gradient, both of one pass."""
    variables = model.trainable_variables
    with tf.GradientTape(persistent=True) as tape, taps.collecting() as box:
        box.tape = tape
        outputs = keras_private.call(model, inputs, training=True)
        # Any function of the outputs that is a sum over examples.
        value = tf.add_n(
            [
                tf.reduce_sum(tf.sin(3.0 * tf.cast(o, tf.float64) + 0.5))
                for o in keras.tree.flatten(outputs)
            ]
        )
    # Of several replicas the first one's, which is what was read.
    parts = model.distribute_strategy.experimental_local_results
    plain = tape.gradient(value, [parts(v.value)[0] for v in variables])
    of_products = tape.gradient(value, [t.products for t in box.taps])
    totals: dict[int, Any] = {}
    for each, g in zip(box.taps, of_products, strict=True):
        if g is None:
            continue
        given = each.rule.total(each.layer, each.given, g)
        one_by_one = each.rule.each(each.layer, each.given, g)
        norms = each.rule.square_norms(each.layer, each.given, g)
        flat = [np.asarray(e, np.float64).reshape(len(e), -1) for e in one_by_one]
        squares = sum((f * f).sum(1) for f in flat)
        if not np.allclose(norms, squares, rtol=1e-2, atol=1e-6 * squares.max()):
            return float("inf")
        for variable, own in zip(each.rule.variables(each.layer), given, strict=True):
            totals[id(variable)] = totals.get(id(variable), 0) + np.asarray(own)
    worst = 0.0
    largest = max(
        (np.abs(tf.convert_to_tensor(p)).max() for p in plain if p is not None),
        default=1.0,
    )
    for variable, expected in zip(variables, plain, strict=True):
        shape = variable.shape
        dense = np.zeros(shape) if expected is None else tf.convert_to_tensor(expected)
        own = totals.get(id(variable), np.zeros(shape))
        scale = max(np.abs(dense).max(), 1e-3 * largest, 1e-30)
        worst = max(worst, float(np.abs(own - dense).max() / scale))
    return worst
