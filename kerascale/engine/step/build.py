"""Makes a model ready for several replicas, before the first step."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import (
    batch_norm,
    preconditions,
    randomness,
    scalar_means,
    slice_losses,
)
from kerascale.engine.step.losses import GlobalLoss
from kerascale.engine.step.private import method as private
from kerascale.runtime.console import say


def before_first_step(model: keras.Model, batch_spec: Any) -> None:
    """What Keras does by running a batch through the model, done from its shapes.

    Args:
        model: Compiled.
        batch_spec: Element spec of a global batch; or a batch. None: Keras builds the
            model when it traces the first step.
    """
    if replicas.is_distributed(model.distribute_strategy):
        if model.distribute_strategy.num_replicas_in_sync > 1:
            prepare(model, batch_spec)
        else:
            build(model, batch_spec)
    elif model.optimizer is not None:
        if model.built and not model.optimizer.built:
            # What an optimizer does once, when it is built, must not become a part of
            # the step that is traced.
            model.optimizer.build(model.trainable_variables)
        inner = keras_private.innermost(model.optimizer)
        is_needed = inner.gradient_accumulation_steps or private.of(model) is not None
        if is_needed and batch_spec is not None:
            # The sums must be there before a step adds to them; and losses, before
            # they are told which rows count.
            build(model, batch_spec)


def build(model: keras.Model, batch_spec: Any) -> None:
    """Builds whatever of a compiled model is not built."""
    if not keras_private.is_built(model, type(model).default_compute_loss):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch_spec)
        batch_spec = (x, *model.metric_labels(y, weights))
        keras_private.build(model, keras.tree.map_structure(_symbol, batch_spec))


# An attribute of a model.
_STATISTICS = "_kerascale_batch_statistics"


def set_batch_statistics(model: keras.Model, kind: str) -> None:
    """Sets every `BatchNormalization` to statistics of the global batch.

    On one replica a slice is the batch, and nothing is changed.
    """
    vars(model)[_STATISTICS] = kind
    if kind != "global" or model.distribute_strategy.num_replicas_in_sync == 1:
        return
    changed = [
        layer
        for layer in keras_private.all_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization) and not layer.synchronized
    ]
    for layer in changed:
        layer.synchronized = True
    if changed:
        say(
            f"note: {len(changed)} BatchNormalization of {model.name} set to "
            "synchronized=True: statistics are those of the global batch."
        )


def batch_statistics(model: keras.Model) -> str:
    """What `set_batch_statistics` has set."""
    return vars(model).get(_STATISTICS, "global")


def prepare(model: keras.Model, batch_spec: Any) -> None:
    """Builds what is not built, and puts the global batch where slices would be.

    Args:
        model: Compiled, of several replicas.
        batch_spec: Element spec of a global batch: x, or (x, y[, sample_weight]).
    """
    preconditions.check(model, batch_spec)
    build(model, batch_spec)
    if model.optimizer is not None:
        keras_private.prepare_optimizer(model.optimizer)
    keras_private.keep_added_losses_apart(model)
    keras_private.wrap_losses(model, GlobalLoss)
    scalar_means.weight_by_share(model)
    slice_losses.adopt(model)
    preconditions.check_metrics(model)
    preconditions.check_batch_statistics(model)
    for layer in keras_private.all_layers(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            keras_private.adopt_class(layer, batch_norm.GlobalMoments)
    randomness.prepare_unseeded(model)
    names = randomness.draw_by_replica(model)
    if names and not getattr(model, "_kerascale_said", False):
        vars(model)["_kerascale_said"] = True
        say(
            f"note: {', '.join(names)}: Keras' own random layers draw on each replica "
            "by themselves. The run can be repeated, but it equals one device in "
            "distribution, not in bits; kerascale.layers.Dropout does both."
        )


@contextlib.contextmanager
def in_replica(model: keras.Model) -> Iterator[None]:
    """What holds while the step of a replica is traced: draws, and what counts."""
    with randomness.unseeded(model), _only_if_counted(model):
        yield


@contextlib.contextmanager
def _only_if_counted(model: keras.Model) -> Iterator[None]:
    """Undoes metric updates that were made for the filler row of an empty slice."""
    here = shard.current()
    if here is None:
        yield
        return
    # Shares of the loss, of which an empty slice has its own: nothing.
    shares = {id(metric) for metric in keras_private.loss_metrics(model)}
    variables = [
        v.value
        for metric in model.metrics
        if id(metric) not in shares
        for v in metric.variables
    ]
    before = [variable.read_value() for variable in variables]
    yield
    counted = here.count > 0
    for variable, value in zip(variables, before, strict=True):
        variable.assign(tf.where(counted, variable.read_value(), value))


def _symbol(spec: Any) -> Any:
    if not hasattr(spec, "shape"):  # A member that is absent.
        return None
    return keras.KerasTensor(
        tuple(spec.shape),
        dtype=keras.backend.standardize_dtype(spec.dtype),
        sparse=isinstance(spec, tf.SparseTensorSpec),
        ragged=isinstance(spec, tf.RaggedTensorSpec),
    )
