"""`fit` under replicas that share one processor: a batch is computed as a whole.

Logical devices of one CPU have the same cores, so that nothing is gained by slices.
While `fit` runs, the variables of the first replica are all that the model has, and it
trains in every mode of one device; then the others get its values. That slices would
give the same is shown before, as on any replicas.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from kerascale.datasets.pipeline import Batches
from kerascale.engine import state
from kerascale.engine.collectives import replicas
from kerascale.engine.compat import keras_private
from kerascale.engine.data import feed
from kerascale.engine.execution import mode_of_model, step_functions
from kerascale.engine.parity import check as parity_check
from kerascale.engine.step import build, randomness
from kerascale.engine.step.step import TrainStep

_WHOLE_ONLY = ("one_program", "split")


def can_be(model: keras.Model) -> bool:
    """Whether all replicas are in this process and share its CPU.

    Within the strategy's scope `fit` cannot leave it.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1 or model.run_eagerly:
        return False
    if not isinstance(strategy, tf.distribute.MirroredStrategy):
        return False
    devices = map(tf.DeviceSpec.from_string, strategy.extended.worker_devices)
    is_cpu = all(device.device_type == "CPU" for device in devices)
    return is_cpu and not tf.distribute.has_strategy()


def is_wanted(model: keras.Model) -> bool:
    """Whether `fit` shall do so."""
    mode = mode_of_model.written(model)
    if mode is None or not (mode.as_one or mode.kind in _WHOLE_ONLY):
        return False
    return can_be(model)


@contextlib.contextmanager
def applied(model: keras.Model, batches: Batches) -> Iterator[None]:
    """Within it the model is one of a single device.

    Args:
        model: Compiled, for which `can_be`.
        batches: What it is trained on, for the check of slices.

    Raises:
        RefusedError: If it could not train on replicas.
    """
    _show(model, batches)
    strategy = model.distribute_strategy
    variables = _variables(model)
    parts = [strategy.experimental_local_results(v.value) for v in variables]
    for variable, values in zip(variables, parts, strict=True):
        _gather(variable, values)
    own = step_functions.of_one_device(model)
    kept = {name: getattr(model, name) for name in own}
    try:
        for name in kept:
            setattr(model, name, own[name])
        mode = mode_of_model.written(model)
        if mode is not None:
            step_functions.set_mode(model, mode)
        with keras_private.of_one_device(
            model, [(v, values[0]) for v, values in zip(variables, parts, strict=True)]
        ):
            yield
    finally:
        for name in kept:
            own[name] = getattr(model, name)
            setattr(model, name, kept[name])
        for variable, values in zip(variables, parts, strict=True):
            _spread(variable, values)


@contextlib.contextmanager
def while_fitting(model: keras.Model, data: Any) -> Iterator[Any]:
    """Within it the model is of one device, if that is wanted; gives data for it."""
    batches = getattr(data, "batches", None)
    if batches is None or not is_wanted(model):
        yield data
        return
    with applied(model, batches):
        yield feed.of_strategy(data, model.distribute_strategy)


def _show(model: keras.Model, batches: Batches) -> None:
    build.before_first_step(model, batches.element_spec)
    if parity_check.is_due(model, "train"):
        zero = tf.constant(0, tf.int64)
        rows = batches.batch(zero, zero)
        parity_check.check(model, "train", rows, TrainStep(model))


def _variables(model: keras.Model) -> list[keras.Variable]:
    found = state.variables(model)
    for optimizer in keras_private.optimizers_of(model):
        found += optimizer.variables
    generator = randomness.unseeded_of(model)
    if generator is not None:
        found.append(generator.state)
    return list({id(v): v for v in found if replicas.is_spread(v.value)}.values())


def _is_sum(variable: keras.Variable) -> bool:
    """Whether what it is worth is the sum over replicas."""
    return (
        variable.value.synchronization == tf.VariableSynchronization.ON_READ
        and variable.value.aggregation == tf.VariableAggregation.SUM
    )


def _gather(variable: keras.Variable, values: tuple[tf.Variable, ...]) -> None:
    if _is_sum(variable):
        values[0].assign(tf.add_n([value.read_value() for value in values]))
        for other in values[1:]:
            other.assign(tf.zeros_like(other))


def _spread(variable: keras.Variable, values: tuple[tf.Variable, ...]) -> None:
    if not _is_sum(variable):
        for other in values[1:]:
            other.assign(values[0].read_value())
