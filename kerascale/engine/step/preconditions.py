"""What cannot be right is refused before the first step, with the way out."""

from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.errors import RefusedError


def check(model: keras.Model, batch_spec: Any) -> None:
    """Refuses a model that cannot train on several replicas.

    Args:
        model: Compiled.
        batch_spec: Element spec of a global batch.
    """
    strategy = model.distribute_strategy
    _refuse_second(strategy)
    problems = []
    if keras.distribution.distribution() is not None:
        problems.append(_KERAS_DISTRIBUTION)
    if any(spec.dtype == tf.string for spec in _tensors(batch_spec)):
        problems.append(
            "data: expected numbers. Received: strings, which no accelerator takes. "
            "Turn them into numbers in the data pipeline: "
            "dataset.map(lambda x, y: (vectorizer(x), y)); put the vectorizer in "
            "front of the trained model when it is exported"
        )
    others = keras_private.optimizers_of(model)
    if others and keras_private.innermost(model.optimizer).gradient_accumulation_steps:
        problems.append(
            "optimizer: expected one optimizer where gradients are accumulated. "
            f"Received: {len(others)} more in attributes of {type(model).__name__}. "
            "Leave out gradient_accumulation_steps, and use larger batches"
        )
    parts = getattr(keras_private.innermost(model.optimizer), "optimizers", ())
    if any(part.gradient_accumulation_steps for part in parts):
        problems.append(
            "optimizer: expected gradient_accumulation_steps of the whole. Received: "
            "some of an optimizer in a MultiOptimizer, which would update at times of "
            "its own. Leave it out, and use larger batches"
        )
    fixed = _stateful(model) or _of_fixed_batch(model)
    if fixed:
        problems.append(_ANY_SIZE.format(", ".join(fixed)))
    problems += _foreign_variables(model, strategy)
    if problems:
        raise RefusedError(problems, heading=f"{type(model).__name__} on replicas")


# The first one that trained here.
_strategy: tf.distribute.Strategy | None = None


def _refuse_second(strategy: tf.distribute.Strategy) -> None:
    global _strategy
    if _strategy is None:
        _strategy = strategy
    elif strategy is not _strategy:
        raise RefusedError(
            "strategy: expected one strategy with replicas in a process: a second "
            "breaks the collectives of the first. Received: "
            f"{type(strategy).__name__} after {type(_strategy).__name__}. Use the same "
            "object again, or start a new process."
        )


def check_metrics(model: keras.Model) -> None:
    """Refuses metrics whose counts would be doubled: those of another scope."""
    strategy = model.distribute_strategy
    outside = [
        metric.name
        for metric in keras_private.all_metrics(model)
        if not hasattr(metric, "metrics")  # What holds others is not at fault.
        for v in metric.variables
        if not strategy.extended.variable_created_in_scope(v.value)
    ]
    if outside:
        raise RefusedError(
            "metrics: expected all of them to be made under the strategy. Received: "
            f"{', '.join(dict.fromkeys(outside))}, made outside of "
            f"{type(strategy).__name__}'s scope: each replica would count them all. "
            "Make them within `with strategy.scope():`, or give their names."
        )


def check_batch_statistics(model: keras.Model) -> None:
    """Refuses statistics of slices, unless they were asked for."""
    if getattr(model, "_kerascale_batch_statistics", "global") == "replica":
        return
    local = [
        layer.name
        for layer in keras_private.all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    if local:
        raise RefusedError(
            "BatchNormalization: expected statistics of the global batch. Received: "
            f"synchronized=False in {', '.join(local)}, with which the result would "
            "depend on the number of replicas. Pass synchronized=True, or "
            "kerascale.scale(model), which sets it; to have them per replica, "
            'kerascale.scale(model, batch_statistics="replica").'
        )


_KERAS_DISTRIBUTION = (
    "keras.distribution: expected none: on the TensorFlow backend it does nothing. "
    "Received: keras.distribution.distribution() is set. Use a tf.distribute strategy, "
    "and keras.distribution.set_distribution(None)"
)


def _tensors(spec: Any) -> list[Any]:
    return [s for s in tf.nest.flatten(spec) if hasattr(s, "dtype")]


def _foreign_variables(
    model: keras.Model, strategy: tf.distribute.Strategy
) -> list[str]:
    """Variables that were made before, or outside of, the strategy."""
    variables = [*model.variables]
    if model.optimizer is not None:
        variables += model.optimizer.variables
    outside = [
        getattr(v, "path", v.name)
        for v in variables
        if not strategy.extended.variable_created_in_scope(getattr(v, "value", v))
    ]
    if not outside:
        return []
    shown = ", ".join(outside[:3]) + (", ..." if len(outside) > 3 else "")
    return [
        "variables: expected all of them to be made under the strategy. Received: "
        f"{len(outside)} made outside of {type(strategy).__name__}'s scope ({shown}). "
        "Make the model, and compile it, within `with strategy.scope():`"
    ]


_ANY_SIZE = (
    "{}: expected a model of batches of any size: replicas take slices. Received: a "
    "fixed batch size, or a state that is kept from batch to batch. Leave out "
    "batch_shape and stateful=True, or use one device"
)


def check_prediction(model: keras.Model) -> None:
    """Refuses predictions that depend on which rows came before."""
    names = _stateful(model)
    if names:
        raise RefusedError(_ANY_SIZE.format(", ".join(names)) + ".")


def _stateful(model: keras.Model) -> list[str]:
    """Names of layers that keep a state for each row of a batch."""
    return [
        layer.name
        for layer in keras_private.all_layers(model)
        if getattr(layer, "stateful", False)
    ]


def _of_fixed_batch(model: keras.Model) -> list[str]:
    """Names of inputs that know how many rows a batch has."""
    inputs = keras.tree.flatten(getattr(model, "inputs", None) or [])
    return [i.name for i in inputs if i.shape[:1] != (None,)]
