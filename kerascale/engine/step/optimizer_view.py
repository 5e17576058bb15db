"""The optimizer as a train step sees it: gradients are recorded, reduced, then applied.

The user's object keeps its class, and is saved as what it is; its view shares its
state, hands over the gradients of a step while that is traced, and applies what was
reduced on each replica by itself.
"""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.engine.compat import keras_private
from kerascale.engine.data import shard
from kerascale.engine.step import adam, in_update
from kerascale.errors import RefusedError

_phase = threading.local()


class Recorder:
    """What a train step gave to its optimizer, kept until it has been reduced."""

    def __init__(self) -> None:
        self.gradients: list[Any] | None = None
        self.variables: list[Any] = []
        # Whether the loss was weighted by the slice's share already.
        self.weighted = False
        # dtype -> the slice's share of the batch; None where it is all of it.
        self.share: Callable[[Any], tf.Tensor] | None = None
        # Takes (view, gradients, variables) and updates at once; None: the step's
        # gradients are kept until it has returned.
        self.update: Callable[[Any, list[Any], list[Any]], None] | None = None


def warn_of_missing(recorder: Recorder) -> bool:
    """Warns of variables that a step gave no gradient for; tells whether it has."""
    pairs = zip(recorder.gradients, recorder.variables, strict=True)
    missing = [getattr(v, "path", v.name) for g, v in pairs if g is None]
    if missing:
        warnings.warn(
            f"Gradients do not exist for variables {missing} when minimizing the loss.",
            stacklevel=3,
        )
    return bool(missing)


class _Local(keras_private.LocalOptimizer):
    """Applies on each replica; plain Adam in fewer operations."""

    def update_all(self, gradients, variables, learning_rate):
        quintuples = []
        is_adam = adam.is_plain(self)
        for gradient, variable in zip(gradients, variables, strict=True):
            if is_adam and isinstance(gradient, tf.Tensor):
                moments = keras_private.moments(self, variable)
                dense = tf.cast(gradient, variable.dtype)
                # A moving average may be written over the weights behind the update.
                constrained = None if self.use_ema else in_update.of(variable)
                quintuples.append((dense, variable.value, *moments, constrained))
            else:
                self.update_step(gradient, variable, learning_rate)
        if quintuples:
            adam.update(self, quintuples, learning_rate)

    def scheduled_rate(self, schedule):
        known, instead = getattr(_phase, "schedule", (None, None))
        # Updates, not micro-batches.
        return (instead if schedule is known else schedule)(self.iterations)


class _Recording:
    """Hands gradients to a recorder while a train step is traced."""

    def apply(self, grads, trainable_variables=None):
        recorder = getattr(_phase, "recorder", None)
        if recorder is None:
            with in_update.one_update():
                return super().apply(grads, trainable_variables)
        if trainable_variables is None:
            trainable_variables = keras_private.variables_of(self)
        if recorder.update is not None:
            recorder.update(self, list(grads), list(trainable_variables))
            return None
        if recorder.gradients is not None:
            raise RefusedError(
                "train_step: expected one optimizer.apply() per step. Received: a "
                "second one. Its gradients would have to be computed after the "
                "first update was reduced over all replicas."
            )
        recorder.gradients = list(grads)
        recorder.variables = list(trainable_variables)
        return None

    def apply_gradients(self, grads_and_vars):
        grads, variables = zip(*grads_and_vars, strict=True)
        self.apply(grads, variables)
        return keras_private.micro_batches(self)

    def scale_loss(self, loss):
        recorder = getattr(_phase, "recorder", None)
        if recorder is not None and recorder.share is not None:
            recorder.weighted = True
            shard.weigh()
            loss = loss * recorder.share(loss.dtype)
        return super().scale_loss(loss)


@contextlib.contextmanager
def recording(recorder: Recorder | None) -> Iterator[Recorder | None]:
    """Within it, `optimizer.apply` of a view hands gradients to `recorder`."""
    before = getattr(_phase, "recorder", None)
    _phase.recorder = recorder
    try:
        yield recorder
    finally:
        _phase.recorder = before


def note_weighted() -> None:
    """Says that the step's gradients are a part of those of the batch already."""
    recorder = getattr(_phase, "recorder", None)
    if recorder is not None:
        recorder.weighted = True


def apply_now(view: Any, gradients: list[Any], variables: list[Any]) -> None:
    """Updates with gradients that every replica has whole, while a step is traced."""
    with recording(None):
        view.apply(gradients, variables)


@contextlib.contextmanager
def instead_of_schedule(
    schedule: keras.optimizers.schedules.LearningRateSchedule,
    instead: Callable[[Any], tf.Tensor],
) -> Iterator[None]:
    """Within it, a view whose rate is of this schedule asks a function for it.

    Args:
        schedule: That of an optimizer.
        instead: Takes the count of updates, returns the rate.
    """
    _phase.schedule = (schedule, instead)
    try:
        yield
    finally:
        _phase.schedule = (None, None)


def optimizer_view(optimizer: keras.optimizers.Optimizer) -> Any:
    """The same optimizer, with the same state, that applies on each replica alone."""
    plain = type(optimizer)
    if plain not in _views:
        # `_Local` comes after the user's class and before Keras' TensorFlow
        # optimizer: what a class overrides itself (Nadam, Muon) stays.
        bases = (_Recording, plain, _Local)
        _views[plain] = type(plain.__name__, bases, {"__module__": plain.__module__})
        if issubclass(plain, keras.optimizers.LossScaleOptimizer):
            keras_private.apply_without_merging(_views[plain])
    return keras_private.with_state_of(_views[plain], optimizer, optimizer_view)


_views: dict[type, type] = {}


_swap = threading.Lock()


@contextlib.contextmanager
def as_optimizer(model: keras.Model, view: Any) -> Iterator[None]:
    """Lets a train step find the view as `self.optimizer`.

    Optimizers in other attributes are found as views of theirs.
    """
    attributes = vars(model)
    others = keras_private.optimizers_of(model)
    with _swap:
        before = {
            name: value
            for name, value in attributes.items()
            if value is attributes["optimizer"] or any(value is o for o in others)
        }
        for name, value in before.items():
            is_compiled = value is before["optimizer"]
            attributes[name] = view if is_compiled else optimizer_view(value)
        try:
            yield
        finally:
            attributes.update(before)
